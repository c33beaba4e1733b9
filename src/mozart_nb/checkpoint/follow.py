"""Looking at a job from outside: other processes read its record while its host writes, without any lock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from mozart_nb.checkpoint import answers
from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.journal import JournalScan, Tip, first_line
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import Loaded, load_state
from mozart_nb.checkpoint.lock import Owner, owner
from mozart_nb.engine.state import JobState, JobStatus
from mozart_nb.errors import CheckpointCorruptError, UnknownJobError
from mozart_nb.events import Answer, Event

_ACTIVE = frozenset({"running", "waiting", "pausing"})
ShownStatus = JobStatus | Literal["interrupted"]

_PAUSE_SECONDS = 0.02
_TRIES = 4

T = TypeVar("T")


def read_state(layout: Layout) -> JobState:
    """The job's state as it stands on disk, from its snapshot and what the journal holds beyond it.

    Raises `UnknownJobError` when there is no such job, `CheckpointCorruptError`, `CheckpointTooNewError`.
    """
    return load_for_reading(layout).state


def load_for_reading(layout: Layout) -> Loaded:
    """The same with everything that was noticed on the way; nothing is changed on disk."""
    if not layout.exists:
        raise UnknownJobError(f"there is no job `{layout.job_id}` in {layout.workspace}", job_id=layout.job_id)
    return _patiently(lambda: load_state(layout, DiskFiles(), holder=False))


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A job as it looks from outside: `status` is `interrupted` when it should be running and nobody runs it.

    `owner` is who runs it; None when nobody does. What runs on another machine is believed.
    """

    state: JobState
    status: ShownStatus
    owner: Owner | None
    warnings: tuple[str, ...] = ()


def look(layout: Layout) -> Glimpse:
    """State, status and owner of a job, read so that they fit together. Raises as `read_state` does."""
    loaded = load_for_reading(layout)
    holder = _live_owner(layout)
    if holder is None and loaded.state.status in _ACTIVE:
        loaded = load_for_reading(layout)  # it may have settled between the two looks
    is_gone = holder is None and loaded.state.status in _ACTIVE
    status: ShownStatus = "interrupted" if is_gone else loaded.state.status
    torn = loaded.torn if holder is None else ()
    return Glimpse(loaded.state, status, holder, (*loaded.warnings, *torn))


def _live_owner(layout: Layout) -> Owner | None:
    found = owner(layout)
    return found if found is not None and found.alive is not False else None


def read_events(layout: Layout, since_seq: int = 0) -> Iterator[Event]:
    """The events after `since_seq`, oldest first, one at a time. Raises as `read_state` does."""
    if not layout.exists:
        raise UnknownJobError(f"there is no job `{layout.job_id}` in {layout.workspace}", job_id=layout.job_id)
    for again in reversed(range(_TRIES)):
        try:
            for event in JournalScan(layout, DiskFiles()):
                if event.seq > since_seq:
                    since_seq = event.seq
                    yield event
        except (CheckpointCorruptError, FileNotFoundError):
            if not again:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def read_answer(layout: Layout, at: int, size: int) -> Answer:
    """The answer whose line begins at byte `at` and takes `size` bytes (`answer_at`, `answer_size` of a batch).

    Raises `CheckpointCorruptError` when no whole answer stands there.
    """
    return answers.read_answer(layout, DiskFiles(), at, size)


@contextlib.contextmanager
def answer_reader(layout: Layout) -> Iterator[Callable[[int, int], Answer]]:
    """Reads many answers of a job, in any order: a function of offset and size, as `read_answer`.

    The file stays open meanwhile, so a job that is started over cannot pull it away.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(layout.answers.open("rb"))
        except FileNotFoundError:
            yield lambda at, size: read_answer(layout, at, size)
            return

        def read(at: int, size: int) -> Answer:
            file.seek(at)
            return answers.answer_in(layout, file.read(size), at, size)

        yield read


class JournalReader:
    """Hands out a job's events as they are written: `poll` now and then.

    A line is handed out once it is whole; after a crash of machine and host the newest of them may turn out never to
    have been saved, and their numbers are then used again. When the job is started over (`run --fresh`), the events of
    the new one follow, beginning with its `job.planned`.
    """

    def __init__(self, layout: Layout, after: Tip | None = None) -> None:
        """Events after `after` (`Loaded.tip`); by default from the beginning."""
        self._layout = layout
        self._files = DiskFiles()
        self._tip = after or Tip()
        self._first_line = self._read_first_line()

    @property
    def seq(self) -> int:
        """The number of the last event handed out."""
        return self._tip.seq

    def poll(self) -> list[Event]:
        """New events since the last poll, in order. Raises as `read_state` does."""
        if self._was_started_over():
            self._tip = Tip()
        try:
            return self._scan(self._tip)
        except CheckpointCorruptError:
            # The host may have cut back what a full disk did not take, and written other lines in its place.
            return _patiently(lambda: self._scan(Tip()))

    def _scan(self, after: Tip) -> list[Event]:
        if not self._is_reachable(after):
            after = Tip()
        seen = self._tip.seq
        scan = JournalScan(self._layout, self._files, after)
        found = [event for event in scan if event.seq > seen]
        self._tip = scan.tip if scan.tip.seq >= seen else self._tip
        return found

    def _is_reachable(self, tip: Tip) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self._files.size(self._layout.segment(tip.segment)) >= tip.offset
        return False

    def _was_started_over(self) -> bool:
        first = self._read_first_line()
        known, self._first_line = self._first_line, first or self._first_line
        return bool(known and first and known != first)

    def _read_first_line(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            line = first_line(self._files, self._layout, 1)
            return line.checksum if line is not None else ""
        return ""


def _patiently(read: Callable[[], T]) -> T:
    """A reader may catch the host in the middle of mending its file: look again before calling it corrupt."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(CheckpointCorruptError, FileNotFoundError):
            return read()
        time.sleep(_PAUSE_SECONDS)
    return read()
