"""The board: one object per web server, through which everything that is shown of jobs is read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from mozart_nb.checkpoint.ends import events_since, last_seq
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.scan import scan
from mozart_nb.consumers.documents import status_document
from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.consumers.progress import progress_of
from mozart_nb.consumers.rows import ErrorRecord
from mozart_nb.errors import CheckpointCorruptError, StillReadingError
from mozart_nb.hooks import hook_rows, hooks_of
from mozart_nb.job.frozen import freeze
from mozart_nb.looking.board.answers import answer_page
from mozart_nb.looking.board.batches import chosen, letters, page
from mozart_nb.looking.board.feed import Feed
from mozart_nb.looking.board.keys import Places
from mozart_nb.looking.board.masks import masked_data
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
from mozart_nb.looking.board.summaries import Summaries
from mozart_nb.looking.board.watched import Reading, Shelf, Watched, reaching
from mozart_nb.looking.details import BatchDetails, Limits, LogTail, read_details
from mozart_nb.looking.details.facts import Facts
from mozart_nb.looking.details.logs import read_log_tail, recorded_tail
from mozart_nb.looking.diagnosis import Diagnosis, diagnose
from mozart_nb.looking.failures import FailureFilter, failures_at
from mozart_nb.looking.history import RunWish, find_runs, runs_at
from mozart_nb.looking.logs import EVERYTHING, LogFilter, last_events
from mozart_nb.looking.questions import OpenQuestion, open_questions
from mozart_nb.looking.timeline import Mark, Marks, Moments, Timeline
from mozart_nb.plans.prepared import Prepared

MOST_BATCHES: Final = 200_000
"""Records of batches that are kept in memory for jobs nobody watches, about 1.5 kB each; the last used ones stay."""

MOST_JOBS: Final = 64
"""Jobs that are kept in memory, however small."""

PATIENCE_SECONDS: Final = 2.0
"""How long a request for the past of a job waits for the first reading of its journal; then it may come again."""

ALL_JOBS: Final = JobWish()
ALL_BATCHES: Final = BatchWish()
ALL_RUNS: Final = RunWish()
ALL_FAILURES: Final = FailureFilter()
USUAL_LIMITS: Final = Limits()


class Board:
    """What the web sees. All methods but `subscribe` and `close` block: call them in a worker thread; any will do.

    A job is named by its key (`Summary.key`); no method takes a path. Every method that takes a key raises
    `UnknownJobError`, `AmbiguousJobError`, and `CheckpointCorruptError` or `CheckpointTooNewError` where the record
    cannot be read. Texts are as they are in the record: whoever shows them masks and escapes them.
    """

    def __init__(
        self,
        layouts: Callable[[], Sequence[Layout]] | None = None,
        *,
        most_batches: int = MOST_BATCHES,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`layouts` are the jobs there are, the last used one first; by default all that are known from here."""
        self._places = Places(layouts) if layouts is not None else Places()
        self._shelf = Shelf(most_batches, MOST_JOBS, now=now)
        self._summaries = Summaries(self._places, self._shelf)
        self._now = now
        self._feeds: dict[Layout, Feed] = {}
        self._reading = ThreadPoolExecutor(2, thread_name_prefix="mozart-feed")
        self._past = ThreadPoolExecutor(1, thread_name_prefix="mozart-past")
        self._reads: dict[Timeline, Future[Moments]] = {}
        self._runs: tuple[object, list[RunRow], list[str]] = (None, [], [])

    # --- which jobs ---------------------------------------------------------------------------------------------------

    def jobs(self, wish: JobWish = ALL_JOBS) -> JobPage:
        """A part of the list of all jobs known from here."""
        return self._summaries.page(wish)

    def find(self, key: str) -> Layout:
        """Where the job is."""
        return self._places.find(key)

    def key_of(self, layout: Layout) -> str:
        """The key of a job that may have just come into being."""
        return self._places.key_of(layout)

    def remember(self, layout: Layout) -> None:
        """Know a job that the user's index may not have: a rehearsal in its scratch folder."""
        self._places.remember(layout)

    # --- one job ------------------------------------------------------------------------------------------------------

    def look(self, key: str) -> JobLook:
        """The job as it stands now."""
        with self._read(key) as (layout, reading):
            workspace = reading.prepared.places.workspace if reading.prepared is not None else layout.workspace
            return JobLook(
                key=key,
                layout=layout,
                workspace=workspace,
                job=reading.state.job.still(),
                progress=reading.progress,
                config=reading.config,
                owner=reading.owner,
                now=reading.now,
                version=reading.version,
                questions=reading.questions,
            )

    def version(self, key: str) -> str:
        """Changes whenever journal, config or liveness do; cheap."""
        with self._read(key) as (_, reading):
            return reading.version

    def status(self, key: str, batches: Sequence[int] = ()) -> dict[str, Any]:
        """The document of `mozart status --json`, with those batches listed. Raises `IndexError`."""
        with self._read(key) as (layout, reading):
            holder = reading.owner
            workspace = reading.prepared.places.workspace if reading.prepared is not None else layout.workspace
            return status_document(
                reading.state,
                reading.config,
                reading.now,
                is_live=holder is not None,
                batches=batches,
                workspace=str(workspace),
                owner=None
                if holder is None
                else {"host": holder.host, "pid": holder.pid, "started_at": holder.started_at},
                hooks=hook_rows(hooks_of(layout, reading.config, reading.state)),
            )

    def plan(self, key: str) -> Plan:
        """What the job was planned from."""
        prepared = self._prepared(key)
        document = masked_data(freeze(prepared.loaded)["config"])
        loaded, texts = prepared.loaded, dict(prepared.frozen.texts)
        return Plan(loaded.config, document, str(loaded.base_dir), str(loaded.path or ""), loaded.source_text, texts)

    def batches(self, key: str, wish: BatchWish = ALL_BATCHES) -> BatchPage:
        """A part of its batches. Raises `MisuseError` for numbers that nobody can read."""
        watched = self._watched(key)
        with watched.reading() as reading:
            order = replace(wish, offset=0, limit=0)
            numbers = watched.kept(order, reading.version, lambda: chosen(reading.state, wish))
            return page(reading.state, numbers, wish, reading.version)

    def statuses(self, key: str) -> bytes:
        """One letter per batch, from batch 1: the map of 100,000 batches is 100 kB. See `STATUS_LETTERS`."""
        watched = self._watched(key)
        with watched.reading() as reading:
            return watched.kept("letters", reading.version, lambda: letters(reading.state))

    def batch(self, key: str, number: int, limits: Limits = USUAL_LIMITS) -> BatchDetails:
        """Everything about one batch. Raises `IndexError` when the plan has no such batch."""
        watched = self._watched(key)
        with watched.reading() as reading:
            facts, prepared = Facts.of(reading.state, number), reading.prepared
        return read_details(prepared or watched.layout, facts, attempts=watched.attempts, limits=limits)

    def output(self, key: str, number: int, attempt: int = 0, *, lines: int = 40) -> LogTail:
        """The end of what an attempt (0: the last) has printed, as people read it. Raises `IndexError`."""
        watched = self._watched(key)
        with watched.reading() as reading:
            record = Facts.of(reading.state, number).record
        tail = read_log_tail(watched.layout, number, attempt or record.attempts, lines=lines)
        is_last = attempt in (0, record.attempts)
        return recorded_tail(record, lines=lines) if tail.source == "none" and is_last else tail

    def questions(self, key: str) -> list[OpenQuestion]:
        """What waits for an answer, the longest waiting first."""
        with self._read(key) as (_, reading):
            return open_questions(reading.state, reading.prepared)

    def answers(self, key: str, *, first_batch: int = 1, limit: int = 100, only_failed: bool = False) -> AnswerPage:
        """Rows of the table of answers, from that batch on."""
        prepared = self._prepared(key)
        with self._read(key) as (layout, reading), reaching(layout):
            return answer_page(layout, reading, prepared, first_batch=first_batch, limit=limit, only_failed=only_failed)

    # --- what happened ------------------------------------------------------------------------------------------------

    def events(self, key: str, *, since: int = 0, limit: int = 100) -> EventPage:
        """Events after `since`, oldest first; no more of the journal is read than that."""
        with self._read(key) as (layout, reading):
            last, record = reading.state.job.seq, reading.record
        with reaching(layout):
            found = tuple(islice(events_since(layout, since), limit)) if since < last else ()
        return EventPage(found, last, record)

    def last_events(self, key: str, limit: int = 100, wanted: LogFilter = EVERYTHING) -> EventPage:
        """The last events that are wanted, oldest first."""
        notices: list[str] = []
        with self._read(key) as (layout, reading):
            record = reading.record
        found = last_events(layout, limit, wanted, notices=notices)
        return EventPage(tuple(found), last_seq(layout), record, tuple(notices))

    def errors(self, key: str, wanted: FailureFilter = ALL_FAILURES, *, with_tails: bool = False) -> list[ErrorRecord]:
        """Every failure of the job, in order of time; what rules saw and the ends of the output only `with_tails`."""
        watched = self._watched(key)
        with watched.reading() as reading:
            version = reading.version_for(5)
        if with_tails:
            return failures_at(watched.layout, wanted, with_tails=True)
        found = watched.kept("failures", version, lambda: failures_at(watched.layout))
        return [error for error in found if wanted.wants(error)]

    def diagnosis(self, key: str) -> Diagnosis:
        """Why it is where it is, what held it up, what to do next."""
        watched = self._watched(key)
        with watched.reading() as reading:
            version = reading.version_for(30)
        return watched.kept("diagnosis", version, lambda: diagnose(watched.layout))

    def moments(self, key: str) -> Moments:
        """How far the time slider reaches, and its marks. Of a large job that runs, marks may be some seconds late."""
        watched = self._watched(key)
        with watched.reading() as reading:
            job = reading.state.job
            seq, first_at, last_at = job.seq, job.created_at, job.at
            version = reading.version_for(5)
        marks = watched.kept("marks", version, lambda: _marks(watched.layout))
        return Moments(seq, first_at, last_at, marks)

    def frame(self, key: str, seq: int) -> Frame:
        """The job as it was after event `seq` (cut to what there is).

        The first look at the past reads the whole journal, which takes about eight seconds for 100,000 batches. Raises
        `StillReadingError` when it takes longer than a request should wait; it goes on, so ask again.
        """
        watched = self._watched(key)
        with watched.reading() as reading:
            config, last, is_live = reading.config, reading.state.job.seq, reading.owner is not None
            state = reading.state.still() if seq >= last else None
        if state is None:
            self._require_past(watched, seq)
            state, is_live = watched.timeline.state_at(max(0, seq)), True
        progress = progress_of(state, config, state.job.at, is_live=is_live)
        return Frame(state.job.seq, state.job.at, last, state, progress)

    def runs(self, key: str | None = None, wish: RunWish = ALL_RUNS, notices: list[str] | None = None) -> list[RunRow]:
        """Runs of a job, or of all jobs and those that are gone, the last one first."""
        if key is None:
            seen = tuple((one.key, one.status, one.updated_at) for one in self._summaries.all())
            return self._past_runs(wish, seen, notices if notices is not None else [])
        watched = self._watched(key)
        with watched.reading() as reading:
            version = reading.version_for(5)
        return watched.kept(("runs", wish), version, lambda: runs_at([watched.layout], wish, notices))

    # --- live ---------------------------------------------------------------------------------------------------------

    async def subscribe(self, key: str, *, since: int | None = None, record: str = "") -> AsyncGenerator[News, None]:
        """How the job stands, then what happens from now on, or after event `since` of that `record`.

        One task reads for all who listen to a job, about twice a second. Whoever is slow gets `reload` instead of what
        was missed. It ends after `gone`. Use it as `async with contextlib.aclosing(board.subscribe(key)) as news: ...`.
        """
        layout = await asyncio.get_running_loop().run_in_executor(self._reading, self.find, key)
        feed = self._feeds.get(layout)
        if feed is None:
            feed = self._feeds[layout] = Feed(self._shelf.take(layout), self._reading)
        try:
            async with contextlib.aclosing(feed.listen(since, record)) as heard:
                async for news in heard:
                    yield news
        finally:
            if not feed.listeners and self._feeds.get(layout) is feed:
                del self._feeds[layout]

    async def close(self) -> None:
        """End all subscriptions and let go of everything."""
        feeds, self._feeds = self._feeds, {}
        for feed in feeds.values():
            await feed.close()
        self._shelf.close()
        self._past.shutdown(wait=False, cancel_futures=True)
        self._reading.shutdown(wait=False, cancel_futures=True)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _watched(self, key: str) -> Watched:
        return self._shelf.take(self._places.find(key))

    def _require_past(self, watched: Watched, seq: int) -> None:
        """Wait a while for the timeline to know the journal up to about event `seq`."""
        known = self._reads.get(watched.timeline)
        if known is None or (known.done() and (known.exception() or known.result().last_seq < seq)):
            self._reads = {timeline: read for timeline, read in self._reads.items() if not read.done()}
            known = self._reads[watched.timeline] = self._past.submit(asyncio.run, watched.timeline.refresh())
        try:
            known.result(PATIENCE_SECONDS)
        except NotYetError:
            job_id, hint = watched.layout.job_id, "ask again in a few seconds"
            raise StillReadingError("the journal is still being read", hint=hint, job_id=job_id) from None

    def _past_runs(self, wish: RunWish, seen: object, notices: list[str]) -> list[RunRow]:
        known, found, said = self._runs
        if known != (wish, seen):
            said = []
            found = find_runs(None, None, wish, said)
            self._runs = ((wish, seen), found, said)
        notices += said
        return found

    @contextlib.contextmanager
    def _read(self, key: str) -> Iterator[tuple[Layout, Reading]]:
        watched = self._watched(key)
        with watched.reading() as reading:
            yield watched.layout, reading

    def _prepared(self, key: str) -> Prepared:
        with self._read(key) as (layout, reading):
            if reading.prepared is not None:
                return reading.prepared
        raise CheckpointCorruptError(
            f"the plan of job `{layout.job_id}` cannot be read",
            hint=f"`mozart diagnose {layout.job_id}` says why",
            job_id=layout.job_id,
            code="E701",
        )


def _marks(layout: Layout) -> tuple[Mark, ...]:
    marks = Marks()
    for event in scan(layout, Marks.KINDS):
        marks.hear(event)
    return tuple(marks.found)
