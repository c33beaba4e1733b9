"""The board: one object per web server, through which everything that is shown of jobs is read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.consumers.rows import ErrorRecord
from mozart_nb.looking.board.keys import Places
from mozart_nb.looking.board.shapes import (
    AnswerPage,
    BatchPage,
    BatchWish,
    EventPage,
    Frame,
    JobLook,
    JobPage,
    JobWish,
    News,
    Plan,
)
from mozart_nb.looking.details import BatchDetails, Limits, LogTail
from mozart_nb.looking.diagnosis import Diagnosis
from mozart_nb.looking.failures import FailureFilter
from mozart_nb.looking.history import RunWish
from mozart_nb.looking.logs import EVERYTHING, LogFilter
from mozart_nb.looking.timeline import Moments

MOST_BATCHES: Final = 250_000
"""Records of batches that are kept in memory for jobs nobody watches, about 1.5 kB each; the last used ones stay."""


class Board:
    """What the web sees. All methods but `subscribe` and `close` block: call them in a worker thread; any will do.

    A job is named by its key (`Summary.key`); no method takes a path. Every method that takes a key raises
    `UnknownJobError`, `AmbiguousKeyError` (a `MisuseError`), and `CheckpointCorruptError` or `CheckpointTooNewError`
    where the record cannot be read. Texts are as they are in the record: whoever shows them masks and escapes them.
    """

    def __init__(
        self,
        layouts: Callable[[], Sequence[Layout]] | None = None,
        *,
        most_batches: int = MOST_BATCHES,
        now: Callable[[], float] = time.time,
    ) -> None: ...

    # --- which jobs ---------------------------------------------------------------------------------------------------

    def jobs(self, wish: JobWish = JobWish()) -> JobPage:
        """A part of the list of all jobs known from here."""

    def find(self, key: str) -> Layout:
        """Where the job is."""

    def key_of(self, layout: Layout) -> str:
        """The key of a job that may have just come into being."""

    # --- one job ------------------------------------------------------------------------------------------------------

    def look(self, key: str) -> JobLook:
        """The job as it stands now."""

    def version(self, key: str) -> str:
        """Changes whenever journal, config or liveness do; cheap."""

    def status(self, key: str, batches: Sequence[int] = ()) -> dict[str, Any]:
        """The document of `mozart status --json`, with those batches listed."""

    def plan(self, key: str) -> Plan:
        """What the job was planned from."""

    def batches(self, key: str, wish: BatchWish = BatchWish()) -> BatchPage:
        """A part of its batches. Raises `MisuseError` for numbers that nobody can read."""

    def statuses(self, key: str) -> bytes:
        """One letter per batch, from batch 1: the batch map of 100,000 batches is 100 kB. See `STATUS_LETTERS`."""

    def batch(self, key: str, number: int, limits: Limits = Limits()) -> BatchDetails:
        """Everything about one batch. Raises `IndexError` when the plan has no such batch."""

    def output(self, key: str, number: int, attempt: int = 0, *, lines: int = 40) -> LogTail:
        """The end of what an attempt (0: the last) has printed, as people read it. Raises `IndexError`."""

    def questions(self, key: str) -> list[Any]:
        """What waits for an answer (`looking.questions.OpenQuestion`)."""

    def answers(self, key: str, *, first_batch: int = 1, limit: int = 100, only_failed: bool = False) -> AnswerPage:
        """Rows of the table of answers, from that batch on."""

    # --- what happened ------------------------------------------------------------------------------------------------

    def events(self, key: str, *, since: int = 0, limit: int = 100) -> EventPage:
        """Events after `since`, oldest first."""

    def last_events(self, key: str, limit: int = 100, wanted: LogFilter = EVERYTHING) -> EventPage:
        """The last events that are wanted, oldest first."""

    def errors(self, key: str, wanted: FailureFilter = FailureFilter()) -> list[ErrorRecord]:
        """Every failure of the job, in order of time, with what rules saw and the ends of the output."""

    def diagnosis(self, key: str) -> Diagnosis:
        """Why it is where it is, what held it up, what to do next."""

    def moments(self, key: str) -> Moments:
        """How far the time slider reaches, and its marks."""

    def frame(self, key: str, seq: int) -> Frame:
        """The job as it was after event `seq` (cut to what there is)."""

    def runs(self, key: str | None = None, wish: RunWish = RunWish()) -> list[RunRow]:
        """Runs of a job, or of all jobs, the last one first."""

    # --- live ---------------------------------------------------------------------------------------------------------

    def subscribe(self, key: str, *, since: int | None = None, record: str = "") -> AsyncIterator[News]:
        """What happens from now on, or after event `since` of that `record`. Ends when it is closed or the job is gone.

        One task reads for all who listen to a job, about twice a second. Whoever is slow gets `reload` instead of what
        was missed. Use it as `async with contextlib.aclosing(board.subscribe(key)) as news: ...`.
        """

    async def close(self) -> None:
        """End all subscriptions and let go of everything."""
