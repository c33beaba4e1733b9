"""The store as its driver sees it: order, durability, snapshots that cost little and never get in the way."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import layout_in, load, open_store, write_history, write_job
from support.faulty_files import FaultyFiles
from support.histories import History, ListSink, plan_shape

from mozart_nb import events as ev
from mozart_nb.checkpoint import snapshot as snapshots
from mozart_nb.checkpoint.frames import ANSWERS, EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.snapshot import PRESERVED_AT_ONCE, SnapshotEncoder, changed_by
from mozart_nb.checkpoint.store import JobStore
from mozart_nb.engine import ports
from mozart_nb.engine.fold import apply, fold
from mozart_nb.engine.state import JobState
from mozart_nb.errors import CheckpointUnwritableError


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


async def with_store(layout: Layout, work: Callable[[JobStore, JobState], Awaitable[Any]], **options: Any) -> JobStore:
    store, loaded = await open_store(layout, **options)
    try:
        await work(store, loaded.state)
    finally:
        await store.close()
    return store


def flat_life(store: Any, state: JobState, total: int, seed: int = 1) -> History:
    return History(random.Random(seed), store, state=state, shape=ev.PlanShape(total, 1, 1, total))


def complete(life: History, number: int) -> None:
    """One batch from start to end: five events."""
    where: dict[str, Any] = {"batch": number, "attempt": 1}
    life.emit(ev.BatchStarted(**where))
    life.emit(ev.SessionOpened(**where, session_id=f"{number:032x}", marker="m", log=f"logs/0000/{number:04d}-1"))
    finished = ev.SessionFinished(
        **where, outcome="ok", exit_code=0, cost_usd=0.01, usage=ev.Usage(1200, 340), model="claude-test", turns=3
    )
    life.sink.add_answer(ev.Answer(finished, text="done"))
    life.emit(finished)
    rules = tuple(ev.RuleResult(n, "file_exists", "passed", path=f"reports/{number:04d}-{n}.md") for n in range(3))
    life.emit(ev.ValidationPassed(**where, results=rules, stdout_tail="done"))
    life.emit(ev.BatchCompleted(batch=number))


# --- the port ---------------------------------------------------------------------------------------------------------


async def test_it_is_the_store_that_the_engine_asks_for(layout: Layout) -> None:
    store, _ = await open_store(layout)
    as_port: ports.Store = store
    assert as_port.pressure == ""
    await as_port.close()
    await as_port.close()


async def test_an_event_is_on_disk_when_commit_returns_and_not_before(layout: Layout) -> None:
    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, 3)
        life.emit(life.next_event())
        assert not layout.segment(1).exists()
        await store.commit(state)
        assert layout.segment(1).read_bytes().count(b"\n") == 1

    await with_store(layout, work)


async def test_answers_are_synced_before_the_events_that_refer_to_them(layout: Layout) -> None:
    order: list[str] = []

    class Watching(FaultyFiles):
        def write(self, handle: int, data: bytes | memoryview) -> int:
            order.append("answers" if bytes(data).startswith(b'{"crc"') and b'"answer":' in bytes(data) else "events")
            return super().write(handle, data)

        def sync(self, handle: int) -> None:
            order.append("sync")
            super().sync(handle)

    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, 3)
        life.emit(life.next_event())
        life.emit(life.next_event())
        await store.commit(state)
        assert order == ["events", "sync"], "without answers there is nothing to sync first"
        order.clear()
        complete(life, 1)
        await store.commit(state)
        assert order == ["answers", "sync", "events", "sync"]

    await with_store(layout, work, files=Watching())


async def test_an_answer_stands_where_the_store_said_it_would(layout: Layout) -> None:
    async def work(store: JobStore, state: JobState) -> None:
        finished = ev.SessionFinished(batch=1, attempt=1, outcome="ok")
        texts = ["", "plain", "three\nlines\n", "ümläut „quotes“ \u2028 \x00 \U0001f980", "x" * 100_000]
        places = [store.add_answer(ev.Answer(finished, text)) for text in texts]
        await store.commit(state)
        places += [store.add_answer(ev.Answer(finished, text)) for text in texts]
        await store.commit(state)
        lines = layout.answers.read_bytes()
        for text, (at, size) in zip([*texts, *texts], places, strict=True):
            assert json.loads(lines[at : at + size])["answer"].get("text", "") == text
            assert (await store.read_answer(at, size)).text == text

    await with_store(layout, work)


async def test_lines_are_plain_json_with_a_checksum_of_their_own(layout: Layout) -> None:
    await write_history(layout, random.Random(1), 80)
    for path, frame, key in ((layout.segment(1), EVENTS, "event"), (layout.answers, ANSWERS, "answer")):
        lines = path.read_bytes().splitlines()
        assert lines
        for line in lines:
            assert list(json.loads(line)) == ["crc", key]
            assert frame.unwrap(line) is not None
            assert frame.unwrap(line[:-2] + b" }") is None


async def test_an_event_that_cannot_be_written_down_is_refused_before_it_counts(layout: Layout) -> None:
    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, 3)
        life.emit(life.next_event())
        with pytest.raises(ValueError, match="surrogates"):
            store.append(ev.JobPaused(seq=2, reason="\udcff"), state)
        with pytest.raises(ValueError, match="does not follow"):
            store.append(ev.JobPaused(seq=4), state)
        life.emit(life.next_event())
        await store.commit(state)

    await with_store(layout, work)
    assert load(layout).state.job.seq == 2


async def test_a_cancelled_commit_still_saves_in_order(layout: Layout) -> None:
    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, 50)
        for number in range(1, 21):
            for _ in range(3):
                life.emit(life.next_event())
            waiting = asyncio.create_task(store.commit(state))
            await asyncio.sleep(0)
            if number % 2:
                waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    await with_store(layout, work)
    assert load(layout).state.job.seq == 60


async def test_the_loop_goes_on_while_the_disk_is_slow(layout: Layout) -> None:
    class Slow(FaultyFiles):
        def sync(self, handle: int) -> None:
            assert threading.current_thread() is not threading.main_thread()
            time.sleep(0.05)
            super().sync(handle)

    turns = 0

    async def work(store: JobStore, state: JobState) -> None:
        nonlocal turns
        life = flat_life(store, state, 3)
        life.emit(life.next_event())
        saving = asyncio.create_task(store.commit(state))
        while not saving.done():
            turns += 1
            await asyncio.sleep(0.001)
        await saving

    await with_store(layout, work, files=Slow())
    assert turns > 10


async def test_nothing_to_save_costs_no_trip_to_the_disk(layout: Layout) -> None:
    files = FaultyFiles()

    async def work(store: JobStore, state: JobState) -> None:
        before = len(files.calls)
        await store.commit(state)
        assert len(files.calls) == before

    await with_store(layout, work, files=files)


def _grow(layout: Layout) -> None:
    with layout.segment(1).open("ab") as file:
        file.write(b"x")


TAMPERING: dict[str, Callable[[Layout], object]] = {
    "another writer": _grow,
    "journal removed": lambda layout: layout.segment(1).unlink(),
    "workspace removed": lambda layout: shutil.rmtree(layout.workspace),
    "workspace moved": lambda layout: layout.workspace.rename(layout.workspace.with_name("moved")),
}


@pytest.mark.skipif(os.name != "posix", reason="elsewhere open files cannot be moved")
@pytest.mark.parametrize("tamper", TAMPERING.values(), ids=TAMPERING)
async def test_a_journal_that_somebody_else_touches_is_not_written_to(
    layout: Layout, tamper: Callable[[Layout], object]
) -> None:
    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, 3)
        life.emit(life.next_event())
        await store.commit(state)
        tamper(layout)
        life.emit(life.next_event())
        for _ in range(2):
            with pytest.raises(CheckpointUnwritableError, match=re.escape(str(layout.root))):
                await store.commit(state)

    await with_store(layout, work)


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
async def test_state_is_for_the_user_alone_and_not_for_version_control(layout: Layout) -> None:
    await write_history(layout, random.Random(2), 100, checkpoint=True)
    for path in [layout.snapshot, layout.state_root, *layout.state_root.rglob("*")]:
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert "*" in (layout.state_root / ".gitignore").read_text().splitlines()


async def test_the_reserve_is_there_only_while_a_host_runs_the_job(layout: Layout) -> None:
    async def work(store: JobStore, state: JobState) -> None:
        assert layout.reserve.stat().st_size == 1 << 20

    await with_store(layout, work)
    assert not layout.reserve.exists()


# --- snapshots --------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_a_snapshot_taken_while_events_keep_coming_is_the_state_at_its_beginning(seed: int) -> None:
    rng = random.Random(seed)
    sink = ListSink()
    life = History(rng, sink, shape=plan_shape(rng, 40))
    for _ in life.play(rng.randrange(5, 150)):
        continue
    begun = len(sink.events)
    encoder = SnapshotEncoder(life.state, max(life.state.batches, default=0))
    text = b""
    while not encoder.finished:
        text += encoder.take(life.state, rng.randint(1, 3))
        for _ in range(rng.randrange(4)):
            event = life.next_event()
            assert encoder.preserve(event, life.state)
            life.emit(event)
    expected = fold(sink.events[:begun])
    assert encoder.job == expected.job
    assert json.loads(b"{" + text + b"}") == {
        str(number): json.loads(snapshots._encode(batch)) for number, batch in expected.batches.items()
    }


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_every_record_an_event_changes_is_known_beforehand(seed: int) -> None:
    rng = random.Random(seed)
    sink = ListSink()
    life = History(rng, sink)
    state = JobState()
    for event in life.play(120):
        before = {number: snapshots._encode(batch) for number, batch in state.batches.items()}
        expected = set(changed_by(event, state))
        apply(state, event)
        changed = {n for n, batch in state.batches.items() if before.get(n) != snapshots._encode(batch)}
        assert changed <= expected, event


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000), after=st.integers(200, 4000))
def test_snapshots_on_the_way_never_change_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, seed: int, after: int
) -> None:
    layout = layout_in(tmp_path_factory.mktemp("job"))
    written = write_job(layout, seed, 150, snapshot_after_bytes=after, segment_bytes=5000)
    loaded = load(layout)
    assert loaded.state == written.state
    assert [line for line in loaded.warnings if not line.startswith(f"{layout.snapshot} is missing")] == []
    layout.snapshot.unlink(missing_ok=True)
    assert load(layout).state == written.state


async def test_the_snapshot_is_readable_json_with_one_batch_per_line(layout: Layout) -> None:
    written = await write_history(layout, random.Random(3), 150, checkpoint=True)
    text = layout.snapshot.read_text(encoding="utf-8")
    found = json.loads(text)
    state = written.state
    assert list(found)[:8] == ["job_id", "job_name", "status", "format", "seq", "segment", "offset", "line"]
    assert list(found)[-1] == "checksum"
    assert (found["job_id"], found["job_name"], found["status"]) == ("job", "A job", state.status)
    assert (found["seq"], found["offset"]) == (state.job.seq, layout.segment(1).stat().st_size)
    assert list(found["batches"]) == [str(number) for number in sorted(state.batches)]
    for number, batch in state.batches.items():
        [line] = [line for line in text.splitlines() if line.startswith(f'"{number}": ')]
        record = json.loads(line.partition(": ")[2].rstrip(","))
        assert record.get("status", "pending") == batch.status
        assert record.get("stderr_tail", "") == batch.stderr_tail
        assert len(record.get("validation_details", [])) == len(batch.validation_details)


async def test_a_job_without_batches_has_a_snapshot_too(layout: Layout) -> None:
    async def work(store: JobStore, state: JobState) -> None:
        flat_life(store, state, 3).emit(flat_life(store, state, 3).next_event())
        await store.checkpoint(state)

    await with_store(layout, work)
    assert json.loads(layout.snapshot.read_text())["batches"] == {}
    assert load(layout).warnings == []


async def test_bytes_written_grow_with_the_work_and_not_with_its_square(layout: Layout) -> None:
    sizes: list[int] = []

    class Counting(FaultyFiles):
        def replace(self, source: Path, target: Path) -> None:
            sizes.append(source.stat().st_size)
            super().replace(source, target)

    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, 1500)
        life.emit(life.next_event())
        life.emit(life.next_event())
        for number in range(1, 1501):
            complete(life, number)
            if number % 5 == 0:
                await store.commit(state)

    await with_store(layout, work, files=Counting(), snapshot_after_bytes=10_000)
    journal = layout.segment(1).stat().st_size
    assert len(sizes) >= 4
    assert sum(sizes) <= 2 * journal
    assert sizes == sorted(sizes)


async def test_a_final_checkpoint_leaves_nothing_to_replay(layout: Layout) -> None:
    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, 600)
        life.emit(life.next_event())
        life.emit(life.next_event())
        for number in range(1, 601):
            complete(life, number)
        await store.checkpoint(state)

    await with_store(layout, work)
    assert (load(layout).tail_bytes, load(layout).warnings) == (0, [])


async def test_events_that_come_during_a_checkpoint_are_not_in_it(layout: Layout) -> None:
    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, 4000)
        life.emit(life.next_event())
        life.emit(life.next_event())
        for number in range(1, 3001):
            complete(life, number)
        saving = asyncio.create_task(store.checkpoint(state))
        number = 3000
        while not saving.done():
            number += 1
            complete(life, number)
            await store.commit(state)
            await asyncio.sleep(0)
        await saving
        await store.commit(state)
        assert number > 3001, "the checkpoint gave others no turn"
        loaded = load(layout)
        assert loaded.snapshot_bytes > 0
        assert loaded.tail_bytes > 0
        assert loaded.state == state

    await with_store(layout, work)


async def test_an_event_that_changes_more_than_can_be_kept_aside_starts_the_snapshot_again(layout: Layout) -> None:
    total = PRESERVED_AT_ONCE * 2

    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, total)
        life.emit(life.next_event())
        life.emit(life.next_event())
        for number in range(1, total + 1):
            life.emit(ev.BatchStarted(batch=number, attempt=1))
        await store.commit(state)
        saving = asyncio.create_task(store.checkpoint(state))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        life.emit(ev.JobCancelled(by="test"))
        await saving
        await store.commit(state)
        assert load(layout).state == state

    await with_store(layout, work)
    assert json.loads(layout.snapshot.read_text())["status"] == "cancelled"
    assert not layout.snapshot_draft.exists()


class Timed:
    """Awaits a coroutine and notes the processor time (seconds) of each of its steps."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], steps: list[float]) -> None:
        self._coroutine = coroutine
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, None]:
        sent = None
        while True:
            begun = time.thread_time()
            try:
                waits_for = self._coroutine.send(sent)
            except StopIteration:
                return
            finally:
                self._steps.append(time.thread_time() - begun)
            sent = yield waits_for


async def test_no_commit_holds_the_loop_up_however_many_batches_there_are(layout: Layout) -> None:
    steps: list[float] = []

    async def work(store: JobStore, state: JobState) -> None:
        life = flat_life(store, state, 20_000)
        life.emit(life.next_event())
        life.emit(life.next_event())
        for number in range(1, 10_001):
            complete(life, number)
        for number in range(10_001, 10_101):
            complete(life, number)
            await Timed(store.commit(state), steps)
        await Timed(store.checkpoint(state), steps)

    await with_store(layout, work)
    steps.sort()
    assert steps[len(steps) * 98 // 100] < 0.004
