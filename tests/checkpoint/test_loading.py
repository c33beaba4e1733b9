"""A job comes back from its folder whatever happened to it, or says exactly what is wrong and touches nothing."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import Written, layout_in, load, open_store, write_history, write_job
from support.faulty_files import Fault, FaultyFiles
from support.histories import History, Tee, history

from mozart_nb import events as ev
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import load_state
from mozart_nb.engine.fold import apply, fold
from mozart_nb.engine.state import JobState
from mozart_nb.errors import CheckpointCorruptError, CheckpointTooNewError, CheckpointUnwritableError


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


def contents(layout: Layout) -> dict[str, bytes]:
    """Every file of the workspace."""
    return {str(path): path.read_bytes() for path in sorted(layout.workspace.rglob("*")) if path.is_file()}


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def append_event(layout: Layout, document: bytes) -> None:
    with layout.segment(1).open("ab") as file:
        file.write(EVENTS.wrap(document))


# --- the usual case ---------------------------------------------------------------------------------------------------


def test_a_job_that_does_not_exist_yet_has_an_empty_state(layout: Layout) -> None:
    loaded = load(layout, holder=True)
    assert (loaded.state.job.seq, loaded.warnings, loaded.orphans) == (0, [], [])
    assert not layout.workspace.exists()


@pytest.mark.parametrize("seed", range(6))
def test_what_was_written_is_what_is_loaded(layout: Layout, seed: int) -> None:
    written = write_job(layout, seed, 150, checkpoint=True)
    loaded = load(layout)
    assert loaded.state == written.state == fold(written.events)
    assert loaded.warnings == []
    assert loaded.tail_bytes == 0


def test_a_host_takes_over_where_the_last_one_stopped(layout: Layout) -> None:
    first = write_job(layout, 1, 90)
    second = write_job(layout, 2, 90)
    third = write_job(layout, 3, 90, checkpoint=True)
    assert load(layout).state == third.state == fold([*first.events, *second.events, *third.events])


def test_a_journal_in_many_segments_is_one_journal(layout: Layout) -> None:
    written = write_job(layout, 4, 300, segment_bytes=3000)
    assert len(list(layout.journal.iterdir())) > 5
    assert load(layout).state == written.state
    layout.snapshot.unlink(missing_ok=True)
    assert load(layout).state == written.state


def test_a_workspace_can_be_moved_between_runs(layout: Layout, tmp_path: Path) -> None:
    first = write_job(layout, 5, 120, checkpoint=True)
    moved = Layout(tmp_path / "elsewhere" / "results", "job")
    moved.workspace.parent.mkdir()
    shutil.move(layout.workspace, moved.workspace)
    assert load(moved).warnings == []
    second = write_job(moved, 6, 50)
    assert load(moved).state == fold([*first.events, *second.events])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), at=st.integers(1, 200))
def test_a_snapshot_taken_at_any_event_and_the_tail_make_the_whole(
    tmp_path_factory: pytest.TempPathFactory, seed: int, at: int
) -> None:
    layout = layout_in(tmp_path_factory.mktemp("job"))
    rng = random.Random(seed)

    async def live() -> JobState:
        store, loaded = await open_store(layout)
        life = History(rng, store, state=loaded.state)
        for _ in life.play(at):
            continue
        await store.checkpoint(life.state)
        for _ in life.play(40):
            continue
        await store.commit(life.state)
        await store.close()
        return life.state

    state = asyncio.run(live())
    loaded = load(layout)
    assert loaded.snapshot_bytes > 0
    assert loaded.state == state
    layout.snapshot.unlink()
    assert load(layout).state == state


# --- torn ends --------------------------------------------------------------------------------------------------------


def test_a_last_line_torn_at_any_byte_costs_that_event_alone(layout: Layout) -> None:
    written = write_job(layout, 7, 12)
    layout.snapshot.unlink(missing_ok=True)
    whole = layout.segment(1).read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    shorter = fold(written.events[:-1])
    for size in range(last, len(whole)):
        layout.segment(1).write_bytes(whole[:size])
        assert load(layout).state == shorter
        assert layout.segment(1).read_bytes() == whole[:size], "a reader must not change anything"
        loaded = load(layout, holder=True)
        assert loaded.state == shorter
        assert layout.segment(1).read_bytes() == whole[:last]
        assert len([line for line in loaded.warnings if "never finished" in line]) == (size > last)


def test_a_torn_line_after_a_snapshot_is_cut_as_well(layout: Layout) -> None:
    written = write_job(layout, 8, 60, checkpoint=True)
    with layout.segment(1).open("ab") as file:
        file.write(EVENTS.wrap(b'{"kind":"job.completed"}')[:-5])
    loaded = load(layout, holder=True)
    assert loaded.state == written.state
    assert "never finished" in loaded.warnings[0]
    assert load(layout).warnings == []


def test_after_a_torn_line_the_next_host_goes_on(layout: Layout) -> None:
    first = write_job(layout, 9, 40)
    edit(layout.segment(1), lambda text: text[:-7])
    second = write_job(layout, 10, 40)
    assert load(layout).state == fold([*first.events[:-1], *second.events])


def test_a_torn_answer_is_cut_and_the_next_one_stands_in_its_place(layout: Layout) -> None:
    written = write_job(layout, 11, 120)
    end = written.state.job.answers_end
    with layout.answers.open("ab") as file:
        file.write(b'{"crc":"00000000","answer":{"fin')
    loaded = load(layout, holder=True)
    assert (layout.answers.stat().st_size, loaded.answers_bytes) == (end, end)
    assert "answers.jsonl was never finished" in loaded.warnings[-1]


def test_what_a_killed_host_left_is_synced_before_anything_is_built_upon_it(layout: Layout) -> None:
    killed_between_the_syncs(layout)
    for at, name in ((1, layout.segment(1).name), (2, layout.answers.name)):
        with pytest.raises(CheckpointUnwritableError, match=name):
            load_state(layout, FaultyFiles(Fault(at, kinds=("sync",))), holder=True)
    assert load_state(layout, FaultyFiles(Fault(1)), holder=False).orphans


# --- snapshots that cannot be used ------------------------------------------------------------------------------------


SNAPSHOT_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda text: text[: len(text) // 2],
    "without its last line": lambda text: text[: text.rstrip(b"\n").rfind(b"\n") + 1],
    "without its last byte but one": lambda text: text[:-2],
    "one digit changed": lambda text: text.replace(b'"attempts":1', b'"attempts":2', 1),
    "a newer format": lambda text: text.replace(b'"format":1', b'"format":9', 1),
    "not JSON": lambda _: b"\x00" * 300,
    "written anew by hand": lambda text: msgspec.json.format(text, indent=4),
}


@pytest.mark.parametrize("damage", SNAPSHOT_DAMAGE.values(), ids=SNAPSHOT_DAMAGE)
def test_a_damaged_snapshot_is_named_and_nothing_is_lost(layout: Layout, damage: Callable[[bytes], bytes]) -> None:
    written = write_job(layout, 12, 150, checkpoint=True)
    edit(layout.snapshot, damage)
    loaded = load(layout)
    assert loaded.state == written.state
    assert len(loaded.warnings) == 1
    assert "read the whole journal" in loaded.warnings[0]


def test_a_snapshot_cut_at_any_line_is_never_believed(layout: Layout) -> None:
    written = write_job(layout, 13, 80, checkpoint=True)
    lines = layout.snapshot.read_bytes().splitlines(keepends=True)
    for count in range(len(lines)):
        layout.snapshot.write_bytes(b"".join(lines[:count]))
        assert load(layout).state == written.state
        assert load(layout).warnings


def test_a_missing_snapshot_only_costs_time(layout: Layout) -> None:
    asyncio.run(settled_job(layout))
    expected = load(layout).state
    layout.snapshot.unlink()
    loaded = load(layout)
    assert loaded.state == expected
    assert loaded.warnings == [f"{layout.snapshot} is missing: read the whole journal"]


def test_nobody_is_told_that_a_job_that_has_just_begun_has_no_snapshot(layout: Layout) -> None:
    write_job(layout, 14, 3)
    assert not layout.snapshot.exists()
    assert load(layout).warnings == []


async def settled_job(layout: Layout) -> None:
    store, loaded = await open_store(layout)
    life = History(random.Random(14), store, state=loaded.state)
    for _ in life.play(60):
        continue
    life.finish()
    await store.checkpoint(life.state)
    await store.close()


def test_a_snapshot_of_another_run_of_the_same_job_is_not_believed(tmp_path: Path) -> None:
    here, there = layout_in(tmp_path / "a"), layout_in(tmp_path / "b")
    written = write_job(here, 15, 100, checkpoint=True)
    write_job(there, 16, 100, checkpoint=True)
    shutil.copy(there.snapshot, here.snapshot)
    loaded = load(here)
    assert loaded.state == written.state
    assert "does not belong to this journal" in loaded.warnings[0]


def test_a_snapshot_of_another_job_is_not_believed(layout: Layout) -> None:
    write_job(layout, 15, 100, checkpoint=True)
    other = Layout(layout.workspace, "other")
    shutil.copy(layout.snapshot, other.snapshot)
    shutil.copytree(layout.root, other.root)
    with pytest.raises(CheckpointCorruptError, match="belongs to job `job`"):
        load(other)
    shutil.rmtree(layout.root)
    first = msgspec.structs.replace(history(15, 1)[0], job_id="other")  # type: ignore[call-arg]
    other.segment(1).write_bytes(EVENTS.wrap(ev.encode_event(first)))
    loaded = load(other)
    assert loaded.state.job.seq == 1
    assert f"{other.snapshot} was not used, because it belongs to job `job`" in loaded.warnings[0]


def test_a_snapshot_ahead_of_its_journal_is_not_believed(layout: Layout) -> None:
    written = write_job(layout, 17, 60, checkpoint=True)
    edit(layout.segment(1), lambda text: b"".join(text.splitlines(keepends=True)[:40]))
    loaded = load(layout)
    assert loaded.state == fold(written.events[:40])
    assert "does not belong" in loaded.warnings[0]


# --- journals that cannot be read -------------------------------------------------------------------------------------


def refuse(layout: Layout, error: type[Exception], *words: str) -> None:
    """Host and reader refuse the job, say all of `words`, and leave every byte as it was."""
    before = contents(layout)
    for holder in (False, True):
        with pytest.raises(error) as caught:
            load(layout, holder=holder)
        for word in words:
            assert word in str(caught.value)
    assert contents(layout) == before


def test_a_damaged_line_in_the_middle_is_named_with_segment_and_line(layout: Layout) -> None:
    write_job(layout, 18, 60)
    lines = layout.segment(1).read_bytes().splitlines(keepends=True)
    lines[29] = lines[29].replace(b'"seq":30', b'"seq":31')
    layout.segment(1).write_bytes(b"".join(lines))
    refuse(layout, CheckpointCorruptError, "000001.jsonl line 30", "damaged")


def test_a_line_removed_from_the_middle_is_noticed(layout: Layout) -> None:
    write_job(layout, 19, 60)
    lines = layout.segment(1).read_bytes().splitlines(keepends=True)
    layout.segment(1).write_bytes(b"".join(lines[:20] + lines[21:]))
    refuse(layout, CheckpointCorruptError, "line 21", "holds event 22, but 21 must follow")


def test_a_missing_segment_is_named(layout: Layout) -> None:
    write_job(layout, 20, 200, segment_bytes=2000)
    layout.segment(3).unlink()
    refuse(layout, CheckpointCorruptError, "000003.jsonl is missing")


def test_an_event_that_does_not_follow_is_refused(layout: Layout) -> None:
    write_job(layout, 21, 1)
    append_event(layout, ev.encode_event(ev.SessionFinished(seq=2, batch=3, attempt=1, outcome="ok")))
    refuse(layout, CheckpointCorruptError, "line 2", "does not follow from what was before")


def test_a_journal_of_another_job_is_refused(layout: Layout, tmp_path: Path) -> None:
    write_job(layout, 22, 30)
    other = Layout(layout.workspace, "other")
    shutil.copytree(layout.root, other.root)
    refuse(other, CheckpointCorruptError, "belongs to job `job`")


def test_a_snapshot_whose_journal_is_gone_is_refused(layout: Layout) -> None:
    write_job(layout, 23, 60, checkpoint=True)
    layout.segment(1).unlink()
    refuse(layout, CheckpointCorruptError, "journal", "is gone")


def test_answers_that_somebody_cut_off_stop_the_host_but_not_the_reader(layout: Layout) -> None:
    written = write_job(layout, 24, 120)
    assert written.answers
    edit(layout.answers, lambda text: text[:-10])
    assert "but the journal refers to" in load(layout).warnings[-1]
    with pytest.raises(CheckpointCorruptError, match="but the journal refers to"):
        load(layout, holder=True)


NEWER = {
    "an unknown event": b'{"kind":"batch.teleported","seq":2,"batch":1}',
    "an unknown word": b'{"kind":"batch.started","seq":2,"batch":1,"attempt":1,"mode":"quantum"}',
}


@pytest.mark.parametrize("document", NEWER.values(), ids=NEWER)
def test_what_only_a_newer_version_understands_is_refused(layout: Layout, document: bytes) -> None:
    write_job(layout, 25, 1)
    append_event(layout, document)
    refuse(layout, CheckpointTooNewError, "line 2", "unknown")


def test_a_newer_format_is_refused(layout: Layout) -> None:
    first = history(26, 1)[0]
    assert isinstance(first, ev.JobPlanned)
    layout.journal.mkdir(parents=True)
    append_event(layout, ev.encode_event(msgspec.structs.replace(first, format=ev.FORMAT + 1)))
    refuse(layout, CheckpointTooNewError, f"format {ev.FORMAT + 1}")


# --- answers without their event --------------------------------------------------------------------------------------


def killed_between_the_syncs(layout: Layout, *, attempt: int = 1) -> ev.SessionFinished:
    """A job whose host saved an answer and died before it saved the event; returns that event."""

    async def live() -> ev.SessionFinished:
        store, loaded = await open_store(layout)
        life = History(random.Random(27), Tee(store), state=loaded.state, shape=ev.PlanShape(3, 1, 1, 3))
        for event in (
            life.next_event(),
            ev.JobStarted(run_id="r"),
            ev.BatchStarted(batch=2, attempt=1),
            ev.SessionOpened(batch=2, attempt=1, session_id="s"),
        ):
            life.emit(event)
        finished = ev.SessionFinished(batch=2, attempt=attempt, outcome="ok", cost_usd=0.5)
        at, size = store.add_answer(ev.Answer(finished, text="forty-two", data={"n": 42}))
        await store.commit(life.state)
        await store.close()
        return msgspec.structs.replace(finished, answer_at=at, answer_size=size)

    return asyncio.run(live())


def test_an_answer_without_its_event_is_handed_to_the_driver(layout: Layout) -> None:
    expected = killed_between_the_syncs(layout)
    [orphan] = load(layout, holder=True).orphans
    assert orphan.finished == expected
    assert orphan.text == "forty-two"


def test_an_answer_is_an_orphan_only_once(layout: Layout) -> None:
    killed_between_the_syncs(layout)

    async def journal_it() -> None:
        store, loaded = await open_store(layout)
        finished = msgspec.structs.replace(loaded.orphans[0].finished, seq=loaded.tip.seq + 1)
        store.append(finished, loaded.state)
        apply(loaded.state, finished)
        await store.commit(loaded.state)
        assert (await store.read_answer(finished.answer_at, finished.answer_size)).text == "forty-two"
        await store.close()

    asyncio.run(journal_it())
    loaded = load(layout, holder=True)
    assert loaded.orphans == []
    assert loaded.state.job.cost_usd == 0.5


def test_an_answer_to_an_attempt_that_has_its_end_is_no_orphan(layout: Layout) -> None:
    killed_between_the_syncs(layout)
    append_event(layout, ev.encode_event(ev.SessionFinished(seq=5, batch=2, attempt=1, outcome="killed")))
    loaded = load(layout, holder=True)
    assert (loaded.tip.seq, loaded.orphans) == (5, [])


def test_an_answer_to_an_attempt_that_no_longer_runs_is_no_orphan(layout: Layout) -> None:
    killed_between_the_syncs(layout, attempt=7)
    assert load(layout, holder=True).orphans == []


def test_an_answer_that_is_not_there_is_said_to_be_missing(layout: Layout) -> None:
    async def ask(written: Written) -> None:
        store, _ = await open_store(layout)
        _, at, size = written.answers[-1]
        assert (await store.read_answer(at, size)).text == written.answers[-1][0].text
        with pytest.raises(CheckpointCorruptError, match="holds no answer"):
            await store.read_answer(at + 1, size)
        await store.close()

    async def live() -> None:
        await ask(await write_history(layout, random.Random(28), 120))

    asyncio.run(live())
