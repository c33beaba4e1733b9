"""Where kept answers come from: the records of a workspace's jobs, present and archived.

The index of answers is brought up to date from them whenever it is opened, so it may be deleted, and a host may die
before it has written what it knew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from mozart_nb.checkpoint.ends import last_seq, planned_in
from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.frames import ANSWERS
from mozart_nb.checkpoint.kept_index import AnswerIndex, Row, Source
from mozart_nb.checkpoint.layout import ARCHIVE, STATE_FOLDER, Layout, jobs_in
from mozart_nb.checkpoint.load import load_state
from mozart_nb.checkpoint.lock import is_running
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MozartError
from mozart_nb.events import SessionFinished

_NEVER_KEPT = frozenset({"rehearsal", "claude_cli"})
"""Backends whose sessions are no function of what they are asked."""

_ROWS_AT_ONCE = 1000


class _Line(msgspec.Struct):
    """What of an answer's line says whose it is; its text is not even decoded."""

    finished: SessionFinished


_decode_line = msgspec.json.Decoder(_Line).decode


@dataclass(frozen=True, slots=True)
class Place:
    """One journal of the workspace: its identity, its job's folder relative to `.mozart`, the backend it names."""

    journal: str
    folder: str
    layout: Layout
    backend: str
    planned_at: float


def identity_of(seed: int, planned_at: float) -> str:
    """What tells a journal from every other one of a workspace, wherever it is moved."""
    return f"{seed:08x}@{planned_at:.3f}"


def journal_of(state: JobState) -> str:
    """The identity of a job's present journal; "" while it has none."""
    return identity_of(state.job.seed, state.job.created_at) if state.job.seq else ""


def layout_at(state_root: Path, folder: str) -> Layout:
    """The job whose folder has that name relative to `.mozart`."""
    path = state_root / folder
    return Layout(path.parent.parent, path.name)


def split_hash(request_hash: str) -> tuple[str, int]:
    """Content and occurrence of a request's identity. Raises `ValueError`."""
    content, _, occurrence = request_hash.partition("-")
    bytes.fromhex(content)
    return content, int(occurrence)


# --- bringing the index up to date ------------------------------------------------------------------------------------


def catch_up(index: AnswerIndex, own: Layout, state: JobState) -> None:
    """Make the index say what the workspace's jobs have. `state` is that of job `own`, whose lock the caller holds.

    Raises `sqlite3.Error` and `OSError`; a job whose record cannot be read has nothing to give.
    """
    known = index.sources()
    places = {place.journal: place for place in _places(own.state_root)}
    for journal in known.keys() - places.keys():
        index.forget(journal)
    for place in sorted(places.values(), key=lambda place: place.planned_at):
        source = known.get(place.journal)
        if source is not None and source.folder != place.folder:
            index.move(place.journal, place.folder)
        if place.layout == own:
            _add(index, place, source, state)
        elif place.backend not in _NEVER_KEPT and _may_have_more(place, source):
            _add(index, place, source, _state_of(place.layout))


def _places(state_root: Path) -> Iterator[Place]:
    for workspace in (state_root.parent, *_archives(state_root)):
        for job_id in jobs_in(workspace):
            layout = Layout(workspace, job_id)
            planned = planned_in(layout)
            if planned is not None:
                folder = layout.root.relative_to(state_root).as_posix()
                journal = identity_of(planned.seed, planned.at)
                yield Place(journal, folder, layout, planned.backend, planned.at)


def _archives(state_root: Path) -> list[Path]:
    folder = state_root / ARCHIVE
    return sorted(place for place in folder.iterdir() if (place / STATE_FOLDER).is_dir()) if folder.is_dir() else []


def _may_have_more(place: Place, source: Source | None) -> bool:
    """Whether a job of somebody else has completed what the index does not know; who runs it now says so itself."""
    if source is not None and source.seq >= last_seq(place.layout):
        return False
    return not is_running(place.layout)


def _state_of(layout: Layout) -> JobState | None:
    try:
        return load_state(layout, DiskFiles(), holder=False).state
    except (OSError, MozartError):
        return None


def _add(index: AnswerIndex, place: Place, source: Source | None, state: JobState | None) -> None:
    if state is None:
        # Remembered all the same, so that what cannot be read is not read again and again.
        index.put(Source(place.journal, place.folder, last_seq(place.layout)), ())
    elif source is None or source.seq < state.job.seq:
        known = {at for _, _, at in index.rows_of(place.journal)} if source is not None else set()
        rows = _accepted(place.layout, state, known)
        while some := list(islice(rows, _ROWS_AT_ONCE)):  # others write in between
            index.put(Source(place.journal, place.folder, 0), some)
        index.put(Source(place.journal, place.folder, state.job.seq), ())


def _accepted(layout: Layout, state: JobState, known: set[int]) -> Iterator[Row]:
    """The answers of completed batches, in the order in which they stand in the file; `known` places are left out."""
    batches = [
        batch
        for batch in state.batches.values()
        if batch.status == "completed" and batch.answer_at >= 0 and batch.answer_at not in known
    ]
    batches.sort(key=lambda batch: batch.answer_at)
    finished = read_finished(layout, ((batch.answer_at, batch.answer_size) for batch in batches))
    for batch, line in zip(batches, finished, strict=True):
        row = row_of(line, batch.answer_at, batch.answer_size, batch.finished_at) if line is not None else None
        if row is not None:
            yield row


def row_of(finished: SessionFinished, place: int, size: int, at: float) -> Row | None:
    """The row of an accepted answer, or None when it is none that can be kept."""
    if not finished.request_hash or finished.code:
        return None
    try:
        content, occurrence = split_hash(finished.request_hash)
    except ValueError:
        return None
    return Row(content, occurrence, finished.batch, place, size, at)


def read_finished(layout: Layout, places: Iterable[tuple[int, int]]) -> Iterator[SessionFinished | None]:
    """The ends of the sessions whose answers stand at these places (offset, size); None for what is no whole line."""
    try:
        file = layout.answers.open("rb")
    except OSError:
        yield from (None for _ in places)
        return
    with file:
        for offset, size in places:
            file.seek(offset)
            document = ANSWERS.unwrap(file.read(size)[:-1])
            try:
                yield _decode_line(document).finished if document is not None else None
            except (msgspec.DecodeError, ValueError):
                yield None
