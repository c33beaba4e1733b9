"""How a job's state comes back from disk: the snapshot if it can be trusted, and what the journal holds after it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mozart_nb.checkpoint.answers import scan_answers
from mozart_nb.checkpoint.files import Files, unwritable
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.journal import JournalScan, Tip, corrupt, line_checksum, segments
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.snapshot import UnusableSnapshotError, read_snapshot
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import JobState
from mozart_nb.events import Answer, Event, decode_event


@dataclass(slots=True)
class Loaded:
    """A job as it stands on disk.

    `tip` is its last event; `orphans` are answers that were saved but whose `session.finished` was not: the driver
    journals `orphan.finished` (place in `answers.jsonl` filled in) before it does anything else. `warnings` are for
    people; `torn` says what a reader left out of unfinished last lines, which means nothing while a host is writing.
    `snapshot_bytes` is the size of the snapshot in use (0 if none), `tail_bytes` what the journal holds
    beyond it, `answers_bytes` the size of `answers.jsonl`.
    """

    state: JobState
    tip: Tip = field(default_factory=Tip)
    orphans: list[Answer] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    snapshot_bytes: int = 0
    tail_bytes: int = 0
    answers_bytes: int = 0


def load_state(layout: Layout, files: Files, *, holder: bool) -> Loaded:
    """The state of a job, from its snapshot and journal. A job that does not exist yet has an empty one (`seq` 0).

    `holder` says that the caller holds the job's lock: only then is an unfinished last line cut off, in the journal
    and in `answers.jsonl`. Nothing else is ever changed.

    Raises `CheckpointCorruptError`, `CheckpointTooNewError`, and `CheckpointUnwritableError` when the cut fails.
    """
    with without_collector():
        loaded = _from_snapshot(layout, files)
        scan = JournalScan(layout, files, loaded.tip)
        for event in scan:
            try:
                apply(loaded.state, event)
            except (ValueError, LookupError) as error:
                raise scan.broken_after_tip(error) from error
    loaded.tail_bytes = _distance(layout, files, loaded.tip, scan.tip)
    loaded.tip = scan.tip
    if _misses_snapshot(loaded):
        loaded.warnings.append(f"{layout.snapshot} is missing: read the whole journal")
    for torn in scan.torn:
        path = layout.segment(torn.segment)
        _note_torn(loaded, path, torn.excess, holder=holder)
        if holder:
            _cut(files, path, torn.keep, layout)
    if holder and loaded.tip.seq:
        _make_durable(files, layout.segment(loaded.tip.segment), layout)
    _add_orphans(loaded, layout, files, holder=holder)
    return loaded


def _from_snapshot(layout: Layout, files: Files) -> Loaded:
    has_journal = bool(segments(files, layout))
    try:
        snapshot = read_snapshot(layout, files)
    except FileNotFoundError:
        return Loaded(JobState())
    except UnusableSnapshotError as error:
        if not has_journal:
            raise _no_journal(layout) from error
        return Loaded(JobState(), warnings=[f"{layout.snapshot} was not used, because {error}: read the whole journal"])
    if not has_journal:
        raise _no_journal(layout)
    if not stands_in_journal(snapshot.tip, layout, files):
        said = f"{layout.snapshot} was not used, because it does not belong to this journal: read the whole journal"
        return Loaded(JobState(), warnings=[said])
    return Loaded(JobState(snapshot.job, snapshot.batches), snapshot.tip, snapshot_bytes=snapshot.size)


def _misses_snapshot(loaded: Loaded) -> bool:
    """A job that has just begun has none yet, and nobody should be told."""
    expected = loaded.state.is_settled or loaded.tail_bytes > _SNAPSHOT_EXPECTED_BYTES
    return expected and not loaded.snapshot_bytes and not loaded.warnings


def _no_journal(layout: Layout) -> Exception:
    return corrupt(layout, f"{layout.snapshot} is there, but the journal in {layout.journal} is gone")


_WINDOW = 1 << 16
_SNAPSHOT_EXPECTED_BYTES = 1 << 20


def stands_in_journal(tip: Tip, layout: Layout, files: Files) -> bool:
    """Whether the line that ends where `tip` says holds the event it says."""
    path = layout.segment(tip.segment)
    begin = tip.offset
    text = b""
    while begin > 0 and b"\n" not in text[:-1]:
        begin = max(0, begin - max(_WINDOW, len(text)))
        try:
            text = files.read(path, begin, tip.offset - begin)
        except FileNotFoundError:
            return False
    if not text.endswith(b"\n") or len(text) != tip.offset - begin:
        return False
    line = text[:-1].rpartition(b"\n")[2]
    document = EVENTS.unwrap(line)
    if document is None or line_checksum(line) != tip.line:
        return False
    try:
        event: Event = decode_event(document)
    except (msgspec.DecodeError, ValueError):
        return False
    return event.seq == tip.seq


def _distance(layout: Layout, files: Files, begin: Tip, end: Tip) -> int:
    """Bytes of journal from one position to a later one."""
    passed = sum(files.size(layout.segment(number)) for number in range(begin.segment, end.segment))
    return passed + end.offset - begin.offset


# --- what the holder of the lock puts in order ------------------------------------------------------------------------


def _add_orphans(loaded: Loaded, layout: Layout, files: Files, *, holder: bool) -> None:
    try:
        size = files.size(layout.answers)
    except FileNotFoundError:
        size = 0
    if size < loaded.state.job.answers_end:
        said = f"{layout.answers} has {size} bytes, but the journal refers to {loaded.state.job.answers_end}"
        if holder:
            raise corrupt(layout, said)
        loaded.warnings.append(said)
        return
    found = scan_answers(layout, files, loaded.state.job.answers_end)
    loaded.orphans = [answer for answer in found.answers if _is_orphan(answer, loaded.state)]
    loaded.answers_bytes = size - found.excess
    if found.excess:
        _note_torn(loaded, layout.answers, found.excess, holder=holder)
        if holder:
            _cut(files, layout.answers, loaded.answers_bytes, layout)
    elif holder and found.answers:
        _make_durable(files, layout.answers, layout)


def _is_orphan(answer: Answer, state: JobState) -> bool:
    """Whether the attempt it answers still runs as far as the journal knows."""
    finished = answer.finished
    batch = state.batches.get(finished.batch)
    if batch is None or batch.status != "running" or batch.attempts != finished.attempt:
        return False
    return batch.phase not in ("finished", "judged")


def _note_torn(loaded: Loaded, path: Path, excess: int, *, holder: bool) -> None:
    done = "cut off" if holder else "left out"
    said = f"the last line of {path} was never finished: {excess} bytes {done}"
    (loaded.warnings if holder else loaded.torn).append(said)


def _cut(files: Files, path: Path, keep: int, layout: Layout) -> None:
    try:
        handle = files.open_append(path)
        try:
            files.truncate(handle, keep)
            files.sync(handle)
        finally:
            files.close(handle)
    except OSError as error:
        raise unwritable(error, path, layout.job_id) from error


def _make_durable(files: Files, path: Path, layout: Layout) -> None:
    """What a killed host wrote and never synced is about to be built upon."""
    try:
        handle = files.open_append(path)
        try:
            files.sync(handle)
        finally:
            files.close(handle)
    except OSError as error:
        raise unwritable(error, path, layout.job_id) from error


@contextmanager
def without_collector() -> Iterator[None]:
    """Hundreds of thousands of objects come to life and none of them dies: looking for garbage is a waste."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
