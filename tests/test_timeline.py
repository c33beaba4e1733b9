"""Past states: any moment of a job's life, read from its journal."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import layout_in, write_job
from support.histories import History, ListSink, history

from mozart_nb import events as ev
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.journal import Tip
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.fold import fold
from mozart_nb.engine.state import JobState
from mozart_nb.errors import CheckpointCorruptError, UnknownJobError
from mozart_nb.looking.timeline import Timeline
from mozart_nb.looking.timeline.catching_up import SLICE_SECONDS, InterruptedReadError, Slices
from mozart_nb.looking.timeline.keyframes import Keyframes


def write_events(layout: Layout, events: Sequence[ev.Event], *, segment: int = 1, mode: str = "wb") -> None:
    layout.journal.mkdir(parents=True, exist_ok=True)
    with layout.segment(segment).open(mode) as file:
        file.writelines(EVENTS.wrap(ev.encode_event(event)) for event in events)


def assert_same(state: JobState, expected: JobState) -> None:
    assert state == expected
    assert {n: state.status_of(n) for n in range(1, state.total + 1)} == {
        n: expected.status_of(n) for n in range(1, expected.total + 1)
    }


# --- keyframes --------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), count=st.integers(1, 150), interval=st.integers(1, 40), most_copies=st.integers(1, 60)
)
def test_any_state_of_a_random_life_is_the_fold_of_the_events_until_then(
    seed: int, count: int, interval: int, most_copies: int
) -> None:
    events = history(seed, count)
    frames = Keyframes(interval=interval, most_copies=most_copies)
    for event in events:
        frames.take(event, Tip(event.seq))
    handed_out = []
    for seq in range(count + 1):
        state = frames.state_at(seq, events[frames.before(seq).seq :], Slices())
        handed_out.append(state)
    for seq, state in enumerate(handed_out):
        assert_same(state, fold(events[:seq]))  # and nothing that was handed out later has changed it


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_every_batch_that_differs_between_two_moments_is_among_the_changed_ones(seed: int, data: st.DataObject) -> None:
    events = history(seed, 150)
    frames = Keyframes(interval=16)
    for event in events:
        frames.take(event, Tip(event.seq))
    one, other = data.draw(st.integers(2, 150)), data.draw(st.integers(2, 150))
    changed = frames.changed(one, other)
    assert changed == frames.changed(other, one)
    before, after = fold(events[:one]), fold(events[:other])
    differing = {
        n
        for n in range(1, after.total + 1)
        if before.batches.get(n) != after.batches.get(n) or before.status_of(n) != after.status_of(n)
    }
    if changed is None:
        assert any(isinstance(event, ev.ConfigReloaded) for event in events)
    else:
        assert differing <= changed


def test_keyframes_take_no_more_room_than_they_may() -> None:
    frames = Keyframes(interval=4, most_copies=50)
    for event in history(5, 2000, total=12):
        frames.take(event, Tip(event.seq))
    assert sum(len(frame.changed) for frame in frames._frames) <= 50


# --- on disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_timeline_reads_any_moment_from_the_journal(tmp_path: Path, seed: int) -> None:
    written = write_job(layout_in(tmp_path), seed, 400, segment_bytes=20_000)
    timeline = Timeline(written.layout, interval=32)
    for seq in (*range(0, 400, 37), 399, 400):
        assert_same(timeline.state_at(seq), fold(written.events[:seq]))


async def test_positions_beyond_the_ends_are_cut_to_them(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(3, 60)
    write_events(layout, events)
    timeline = Timeline(layout)
    assert await timeline.at(10_000) == fold(events)
    assert await timeline.at(-5) == JobState()


async def test_moments_tell_the_ends_and_mark_runs_waits_and_settlings(tmp_path: Path) -> None:
    layout, sink = layout_in(tmp_path), ListSink()
    life = History(random.Random(1), sink, shape=ev.PlanShape(3))
    for event in (
        life.next_event(),
        ev.JobStarted(run_id="a"),
        ev.LimitHit(code="E101", until=2e9, wait_seconds=60, source="retry-after", number=1),
        ev.LimitHit(code="E101", until=2e9, wait_seconds=60, source="retry-after", number=1),
        ev.JobPausing(reason="asked to"),
        ev.JobPaused(reason="asked to"),
        ev.JobResumed(run_id="b", crashed=True),
        ev.JobFailed(reason="1 batch failed"),
    ):
        life.emit(event)
    write_events(layout, sink.events)
    moments = await Timeline(layout).moments()
    assert (moments.last_seq, moments.record) == (8, 0)
    assert (moments.first_at, moments.last_at) == (sink.events[0].at, sink.events[-1].at)
    assert [(mark.seq, mark.kind) for mark in moments.marks] == [
        (1, "planned"),
        (2, "run"),
        (3, "wait"),
        (5, "pausing"),
        (6, "paused"),
        (7, "run"),
        (8, "failed"),
    ]
    assert [mark.label for mark in moments.marks][-2:] == ["run 2, after a crash", "1 batch failed"]
    assert moments.marks[2].label == "E101 API rate limit: 60 s"


async def test_a_time_leads_to_the_last_event_before_it(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(8, 40)
    write_events(layout, events)
    timeline = Timeline(layout)
    assert await timeline.seq_at(events[0].at - 1) == 0
    assert await timeline.seq_at(events[20].at) == next(
        n for n in range(40, 0, -1) if events[n - 1].at <= events[20].at
    )
    assert await timeline.seq_at(9e9) == 40
    assert await timeline.time_at(21) == events[20].at
    assert await timeline.time_at(0) == await timeline.time_at(41) == 0.0


async def test_thousands_of_waits_leave_a_bounded_number_of_marks(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    begin = history(1, 2, total=3)
    waits = [
        ev.LimitHit(seq=2 + n, at=2e9 + n, code="E101", until=3e9, wait_seconds=1, source="x", number=n)
        for n in range(1, 3001)
    ]
    write_events(layout, [*begin, *waits])
    marks = (await Timeline(layout).moments()).marks
    assert len(marks) <= 400
    assert [mark.kind for mark in marks[:2]] == ["planned", "run"]


# --- while it changes -------------------------------------------------------------------------------------------------


async def test_a_running_job_grows_when_it_is_refreshed(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(11, 120)
    write_events(layout, events[:70])
    timeline = Timeline(layout, interval=16)
    assert (await timeline.moments()).last_seq == 70
    write_events(layout, events[70:], mode="ab")
    assert (await timeline.moments()).last_seq == 70
    assert (await timeline.refresh()).last_seq == 120
    assert await timeline.at(111) == fold(events[:111])
    assert await timeline.at(20) == fold(events[:20])


async def test_a_line_still_being_written_is_left_until_it_is_whole(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(12, 50)
    write_events(layout, events[:49])
    whole = EVENTS.wrap(ev.encode_event(events[49]))
    with layout.segment(1).open("ab") as file:
        file.write(whole[:30])
    timeline = Timeline(layout)
    assert (await timeline.refresh()).last_seq == 49
    with layout.segment(1).open("ab") as file:
        file.write(whole[30:])
    assert (await timeline.refresh()).last_seq == 50
    assert await timeline.at(50) == fold(events)


async def test_a_job_started_over_is_read_anew_and_says_so(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    write_events(layout, history(13, 90))
    timeline = Timeline(layout, interval=8)
    assert (await timeline.moments()).record == 0
    shutil.rmtree(layout.root)
    events = history(14, 40)
    write_events(layout, events)
    assert await timeline.at(35) == fold(events[:35])
    moments = await timeline.moments()
    assert (moments.record, moments.last_seq) == (1, 40)


async def test_last_events_that_were_written_again_differently_are_read_again(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    one, other = history(15, 80), history(15, 60)
    write_events(layout, one)
    timeline = Timeline(layout, interval=8)
    assert await timeline.at(80) == fold(one)
    write_events(layout, other)  # a crash of the machine took the last twenty back
    paused = msgspec.structs.replace(ev.JobPaused(reason="disk full"), seq=61, at=other[-1].at)
    write_events(layout, [paused], mode="ab")
    moments = await timeline.refresh()
    assert (moments.last_seq, moments.record) == (61, 0)
    assert await timeline.at(61) == fold([*other, paused])


async def test_a_segment_that_supersedes_the_end_of_the_one_before_counts(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(16, 100)
    write_events(layout, events[:60])
    timeline = Timeline(layout, interval=8)
    assert (await timeline.moments()).last_seq == 60
    write_events(layout, events[50:], segment=2)
    assert (await timeline.refresh()).last_seq == 100
    for seq in (49, 50, 55, 60, 99):
        assert await timeline.at(seq) == fold(events[:seq])


async def test_a_job_that_does_not_exist_and_one_that_is_damaged_are_errors(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    with pytest.raises(UnknownJobError):
        await Timeline(layout).moments()
    events = history(17, 30)
    write_events(layout, events)
    text = bytearray(layout.segment(1).read_bytes())
    text[len(text) // 2] ^= 1
    layout.segment(1).write_bytes(text)
    with pytest.raises(CheckpointCorruptError):
        await Timeline(layout).at(20)


# --- many requests ----------------------------------------------------------------------------------------------------


async def test_of_many_requests_the_latest_wins(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(18, 300)
    write_events(layout, events)
    timeline = Timeline(layout)
    states = await asyncio.gather(*(timeline.at(seq) for seq in range(1, 40)))
    assert states[:-1] == [None] * 38
    assert states[-1] == fold(events[:39])


async def test_a_request_that_is_cancelled_or_let_go_stops_its_thread(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    write_events(layout, history(19, 3000, total=60))
    timeline = Timeline(layout)
    request = asyncio.create_task(timeline.at(2000))
    await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    request = asyncio.create_task(timeline.at(2000))
    await asyncio.sleep(0)
    timeline.close()
    assert await request is None
    state = await timeline.at(2000)
    assert state is not None
    assert state.job.seq == 2000


def test_slices_end_when_nobody_waits_any_more() -> None:
    slices = Slices(lambda: False)
    slices.rest()
    time.sleep(SLICE_SECONDS)
    with pytest.raises(InterruptedReadError):
        slices.rest()


async def test_the_loop_keeps_its_beat_while_a_long_journal_is_read(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    write_events(layout, history(20, 8_000, total=600))
    timeline = Timeline(layout)
    late: list[float] = []

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.002)
            late.append(time.perf_counter() - began - 0.002)

    heart = asyncio.create_task(beat())
    moments = await timeline.moments()
    for seq in range(500, moments.last_seq, 1500):
        assert await timeline.at(seq) is not None
    heart.cancel()
    assert len(late) > 20
    assert sorted(late)[int(len(late) * 0.9)] < 0.05, "the reading thread held the interpreter"
