"""Other processes see what a host writes, while it writes it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from support.checkpoints import layout_in, load, open_store, write_history, write_job
from support.histories import History, Tee

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import JournalReader, look, read_answer, read_events, read_state
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.checkpoint.plan import archive
from mozart_nb.engine.fold import fold
from mozart_nb.errors import CheckpointCorruptError, UnknownJobError


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


async def test_a_reader_gets_every_event_once_across_segments(layout: Layout) -> None:
    store, loaded = await open_store(layout, segment_bytes=2000, snapshot_after_bytes=1500)
    tee = Tee(store)
    life = History(random.Random(1), tee, state=loaded.state)
    reader, seen = JournalReader(layout), []
    for _ in life.play(300):
        if life.rng.random() < 0.3:
            await store.commit(life.state)
            if life.rng.random() < 0.5:
                seen += reader.poll()
                assert read_state(layout) == life.state
    await store.commit(life.state)
    seen += reader.poll()
    assert seen == tee.events
    assert reader.poll() == []
    assert reader.seq == 300
    assert len(list(layout.journal.iterdir())) > 3
    await store.close()


def test_a_line_is_handed_out_when_it_is_whole(layout: Layout) -> None:
    written = write_job(layout, 2, 20)
    whole = layout.segment(1).read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    layout.segment(1).write_bytes(whole[:last])
    reader = JournalReader(layout)
    assert len(reader.poll()) == 19
    for size in range(last, len(whole)):
        layout.segment(1).write_bytes(whole[:size])
        assert reader.poll() == []
        assert read_state(layout).job.seq == 19
    layout.segment(1).write_bytes(whole)
    assert reader.poll() == written.events[19:]


def test_a_reader_may_begin_in_the_middle(layout: Layout) -> None:
    first = write_job(layout, 3, 50)
    reader = JournalReader(layout, load(layout).tip)
    assert reader.poll() == []
    second = write_job(layout, 4, 50)
    assert reader.poll() == second.events
    assert list(read_events(layout)) == [*first.events, *second.events]
    assert list(read_events(layout, since_seq=90)) == second.events[40:]


def test_a_reader_of_a_job_that_has_not_begun_waits(layout: Layout) -> None:
    reader = JournalReader(layout)
    assert reader.poll() == []
    written = write_job(layout, 5, 30)
    assert reader.poll() == written.events


def test_lines_that_were_cut_and_written_differently_do_not_stop_a_reader(layout: Layout) -> None:
    write_job(layout, 6, 40)
    reader = JournalReader(layout)
    reader.poll()
    lines = layout.segment(1).read_bytes().splitlines(keepends=True)
    layout.segment(1).write_bytes(b"".join(lines[:30]))
    assert reader.poll() == []
    after = write_job(layout, 7, 40)
    assert reader.poll() == after.events[10:], "the numbers 31 to 40 had been handed out before"
    later = write_job(layout, 8, 10)
    assert reader.poll() == later.events


def test_events_written_again_in_a_new_segment_are_handed_out_once(layout: Layout) -> None:
    written = write_job(layout, 9, 40)
    reader = JournalReader(layout)
    assert reader.poll() == written.events
    lines = layout.segment(1).read_bytes().splitlines(keepends=True)
    layout.segment(2).write_bytes(b"".join(lines[35:]))
    assert reader.poll() == []
    later = write_job(layout, 10, 10)
    assert reader.poll() == later.events
    assert load(layout).state == fold([*written.events, *later.events])


def test_a_job_that_is_started_over_is_followed_from_its_beginning(layout: Layout) -> None:
    write_job(layout, 11, 40)
    reader = JournalReader(layout)
    reader.poll()
    with JobLock(layout):
        archive(layout)
    assert reader.poll() == []
    fresh = write_job(layout, 12, 60)
    assert reader.poll() == fresh.events


def test_damage_is_reported_and_not_passed_over(layout: Layout) -> None:
    write_job(layout, 13, 30)
    text = layout.segment(1).read_bytes()
    layout.segment(1).write_bytes(text.replace(b'"seq":12', b'"seq":13', 1))
    with pytest.raises(CheckpointCorruptError, match="line 12"):
        JournalReader(layout).poll()
    with pytest.raises(CheckpointCorruptError, match="line 12"):
        list(read_events(layout))
    with pytest.raises(CheckpointCorruptError, match="line 12"):
        read_state(layout)


async def test_answers_are_read_by_their_place(layout: Layout) -> None:
    written = await write_history(layout, random.Random(14), 120)
    for answer, at, size in written.answers:
        assert read_answer(layout, at, size).text == answer.text
    with pytest.raises(CheckpointCorruptError, match="holds no answer"):
        read_answer(layout, 1, 10)


def test_looking_changes_nothing(layout: Layout) -> None:
    write_job(layout, 15, 60)
    with layout.segment(1).open("ab") as file:
        file.write(b"torn")
    before = {path: path.read_bytes() for path in layout.workspace.rglob("*") if path.is_file()}
    glimpse = look(layout)
    assert glimpse.state.job.seq == 60
    assert "never finished" in glimpse.warnings[-1]
    with JobLock(layout):
        assert look(layout).warnings == (), "its host may be just writing it"
    assert list(read_events(layout))[-1].seq == 60
    assert {path: path.read_bytes() for path in layout.workspace.rglob("*") if path.is_file()} == before


def test_a_job_that_is_not_there_is_unknown(layout: Layout, tmp_path: Path) -> None:
    write_job(layout, 16, 5)
    for other in (Layout(layout.workspace, "other"), Layout(tmp_path / "nowhere", "job")):
        for ask in (read_state, look, lambda place: list(read_events(place))):
            with pytest.raises(UnknownJobError):
                ask(other)
    shutil.rmtree(layout.root)
    with pytest.raises(UnknownJobError):
        read_state(layout)


def test_a_status_seen_between_two_events_is_one_that_was(layout: Layout) -> None:
    written = write_job(layout, 17, 200, snapshot_after_bytes=1000)
    states = [fold(written.events[:count]) for count in (50, 200)]
    whole = layout.segment(1).read_bytes().splitlines(keepends=True)
    layout.snapshot.unlink(missing_ok=True)
    layout.segment(1).write_bytes(b"".join(whole[:50]))
    assert read_state(layout) == states[0]
    layout.segment(1).write_bytes(b"".join(whole))
    assert read_state(layout) == states[1]
    assert isinstance(next(read_events(layout)), ev.JobPlanned)
