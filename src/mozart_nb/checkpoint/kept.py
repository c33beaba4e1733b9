"""Answers kept by content: what was asked and accepted once, in any job of the workspace, is not asked again.

    kept = open_kept(layout, state, asks_anew=False)
    observers = [*observers, kept.observe]      tells it what is accepted
    Parts(…, kept=kept)                         asks it before anything is sent
    kept.close()                                after the observers are drained

An index that cannot be read or written is a warning and nothing more: then nothing is kept.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mozart_nb.checkpoint.answers import read_answer
from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.kept_index import AnswerIndex, Contents, Row, Source, discard, is_damage
from mozart_nb.checkpoint.kept_sources import (
    catch_up,
    identity_of,
    journal_of,
    layout_at,
    read_finished,
    row_of,
    split_hash,
)
from mozart_nb.checkpoint.layout import ANSWER_INDEX, Layout
from mozart_nb.engine.ports import Claim
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MozartError
from mozart_nb.events import (
    Answer,
    BatchCompleted,
    Event,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobPaused,
    JobPlanned,
    SessionFinished,
)

WRITE_SECONDS = 0.2
"""So much time lies between two writes of the index, but for the last one of a run."""

_SETTLED = (JobCompleted, JobPaused, JobFailed, JobCancelled)

T = TypeVar("T")


class Occurrences:
    """Which of several equal requests of a job is whose: no two batches share one, and a batch keeps its own.

    Settled batches weigh a bit in an integer per content, others a tuple.
    """

    __slots__ = ("_claims", "_taken")

    def __init__(self) -> None:
        self._claims: dict[int, tuple[str, int]] = {}
        self._taken: dict[int, int] = {}

    def of(self, batch: int, content: str) -> int:
        """The occurrence of this batch's request: the smallest that no other batch has."""
        if (claim := self._claims.get(batch)) is not None:
            if claim[0] == content:
                return claim[1]
            self._taken[_key(claim[0])] ^= 1 << claim[1]  # it asks for something else now
        taken = self._taken.get(_key(content), 0)
        occurrence = (~taken & (taken + 1)).bit_length() - 1
        self.take(content, occurrence)
        self._claims[batch] = (content, occurrence)
        return occurrence

    def take(self, content: str, occurrence: int, batch: int = 0) -> None:
        """That occurrence is spoken for; with `batch`, by a batch that may ask again."""
        self._taken[_key(content)] = self._taken.get(_key(content), 0) | 1 << occurrence
        if batch:
            self._claims[batch] = (content, occurrence)

    def settle(self, batch: int) -> None:
        """That batch asks no more; what it has stays taken."""
        self._claims.pop(batch, None)


def _key(content: str) -> int:
    """Half of a hash: two contents that share it would at worst be asked again."""
    return int(content[:16], 16)


class WorkspaceAnswers:
    """Implements `engine.ports.KeptAnswers` on `answers.db`, and keeps it: `observe` is an observer of the job.

    Everything that touches the disk happens in one thread of its own. `warnings` holds what people should know;
    once `tell` is set, it is told what comes later.
    """

    def __init__(
        self,
        layout: Layout,
        state: JobState,
        *,
        asks_anew: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens the index and brings it up to date, which may take seconds where it has to be made again.

        `state` is read, also later, and never changed.
        """
        self.warnings: list[str] = []
        self.tell: Callable[[str], None] | None = None
        self._layout = layout
        self._state = state
        self._asks_anew = asks_anew
        self._now = now
        self._journal = journal_of(state)
        self._occurrences = Occurrences()
        self._contents = Contents()
        self._finished: dict[int, SessionFinished] = {}
        self._rows: list[Row] = []
        self._unread: list[tuple[int, int, float]] = []
        self._seq = state.job.seq
        self._written_at = float("-inf")
        self._index: AnswerIndex | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"answers-{layout.job_id}")
        self._guarded(self._open)

    # --- engine.ports.KeptAnswers -------------------------------------------------------------------------------------

    async def claim(self, batch: int, content: str) -> Claim:
        """The identity of this batch's request, and the answer accepted for it before, if there is one."""
        occurrence = self._occurrences.of(batch, content)
        request_hash = f"{content}-{occurrence}"
        if self._asks_anew or self._index is None or not self._contents.may_hold(content):
            return Claim(request_hash)
        answer = await self._in_thread(lambda: self._look_up(content, occurrence, request_hash))
        return Claim(request_hash, answer)

    def _look_up(self, content: str, occurrence: int, request_hash: str) -> Answer | None:
        found = self._index.find(content, occurrence) if self._index is not None else None
        if found is None:
            return None
        folder, place, size = found
        try:
            answer = read_answer(layout_at(self._layout.state_root, folder), DiskFiles(), place, size)
        except (OSError, MozartError):
            return None  # moved away or removed: then it is not kept
        return answer if answer.finished.request_hash == request_hash and not answer.finished.code else None

    # --- engine.bus.Observer ------------------------------------------------------------------------------------------

    async def observe(self, events: Sequence[Event]) -> None:
        """Remember what sessions answered, and keep what was accepted. Never raises."""
        for event in events:
            self._seq = max(self._seq, event.seq)
            match event:
                case JobPlanned():
                    self._journal = identity_of(event.seed, event.at)
                case SessionFinished():
                    self._finished[event.batch] = event
                case BatchCompleted():
                    self._accept(event)
        is_over = any(isinstance(event, _SETTLED) for event in events)
        is_due = bool(self._rows or self._unread) and self._now() - self._written_at >= WRITE_SECONDS
        if self._index is not None and (is_over or is_due):
            await self._in_thread(self._write)

    def _accept(self, event: BatchCompleted) -> None:
        self._occurrences.settle(event.batch)
        finished = self._finished.pop(event.batch, None)
        if self._index is None:
            return
        if finished is not None:
            row = row_of(finished, finished.answer_at, finished.answer_size, event.at)
            if row is not None:
                self._rows.append(row)
            return
        batch = self._state.batches.get(event.batch)
        if batch is not None and batch.answer_at >= 0:  # answered in an earlier run, accepted only now
            self._unread.append((batch.answer_at, batch.answer_size, event.at))

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        unread, self._unread = self._unread, []
        found = read_finished(self._layout, ((place, size) for place, size, _ in unread))
        for (place, size, at), finished in zip(unread, found, strict=True):
            row = row_of(finished, place, size, at) if finished is not None else None
            if row is not None:
                rows.append(row)
        if self._index is not None and self._journal:
            self._index.put(Source(self._journal, self._layout.job_id, self._seq), rows)
        self._written_at = self._now()

    # --- opening, closing, failing ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what is not written yet and give everything back. Blocks for as long as a write takes."""
        self._executor.shutdown()
        if self._rows or self._unread:
            self._guarded(self._write)
        if self._index is not None:
            self._index.close()
            self._index = None

    def _open(self) -> None:
        path = self._layout.state_root / ANSWER_INDEX
        try:
            self._index, self._contents = self._opened(path)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            discard(path)
            self._index, self._contents = self._opened(path)

    def _opened(self, path: Path) -> tuple[AnswerIndex, Contents]:
        index = AnswerIndex(path)
        try:
            catch_up(index, self._layout, self._state)
            self._seed(index)
            return index, Contents() if self._asks_anew else index.contents()
        except BaseException:
            index.close()
            raise

    def _seed(self, index: AnswerIndex) -> None:
        """What this job's batches have claimed in earlier runs stays theirs."""
        for content, occurrence, _ in index.rows_of(self._journal) if self._journal else ():
            self._occurrences.take(content, occurrence)
        running = [self._state.batches[number] for number in self._state.agenda.running]
        for batch in running:
            if batch.session is not None and batch.session.request_hash:
                self._occurrences.take(*split_hash(batch.session.request_hash), batch=batch.number)
        answered = [batch for batch in running if batch.answer_at >= 0]
        found = read_finished(self._layout, ((batch.answer_at, batch.answer_size) for batch in answered))
        for batch, finished in zip(answered, found, strict=True):
            if finished is not None and finished.request_hash:
                self._occurrences.take(*split_hash(finished.request_hash), batch=batch.number)

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """Do it; on failure nothing is kept from now on, and people are told once."""
        try:
            return work()
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        path = self._layout.state_root / ANSWER_INDEX
        warning = f"answers are not kept in this run, because {path} cannot be used: {error}"
        index, self._index = self._index, None
        if index is not None:
            index.close()
        if is_damage(error):
            warning += "; it will be made again"
            self._guarded(lambda: discard(path))
        if not self.warnings:
            self.warnings.append(warning)

    async def _in_thread(self, work: Callable[[], T]) -> T | None:
        told = len(self.warnings)
        done = await asyncio.get_running_loop().run_in_executor(self._executor, self._guarded, work)
        if self.tell is not None:
            for warning in self.warnings[told:]:
                self.tell(warning)
        return done


def open_kept(layout: Layout, state: JobState, *, asks_anew: bool = False) -> WorkspaceAnswers:
    """The kept answers of the workspace that holds `layout`, for the run of its job. Blocks; never raises.

    `state` is the job's, just loaded; the caller holds the job's lock. With `asks_anew` no answer is taken, but what is
    accepted is kept and takes the place of what was.
    """
    return WorkspaceAnswers(layout, state, asks_anew=asks_anew)
