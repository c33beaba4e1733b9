"""What failed in a job: every failed attempt, found in a journal of any length by parsing a small part of its lines."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import without_collector
from mozart_nb.checkpoint.scan import events_of, scan
from mozart_nb.codes import Category, lookup
from mozart_nb.consumers.rows import ErrorRecord
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError, MozartError, UnknownJobError
from mozart_nb.looking.finding import find
from mozart_nb.selection import named, parse_past

FAILED_SESSION: Final = rb'"attempt":\d+,"outcome":"[a-z]+","code":"'
"""How the fields of a `session.finished` go on behind its batch when the session failed."""

OVERRULED: Final = b'"exit_code_ignored":true'
"""Stands in a `batch.validation_passed` that overrules the failure of its session."""

FAILURE_KINDS: Final[Mapping[str, bytes | re.Pattern[bytes]]] = {
    ev.kind_of(ev.ValidationFailed): b"",
    ev.kind_of(ev.SessionFinished): events_of((), FAILED_SESSION),
    ev.kind_of(ev.ValidationPassed): OVERRULED,
}

TYPES: Final = {
    **{category.value.lower(): category for category in Category},
    "permanent": Category.FATAL,  # what the earlier tool called them
}
"""What `--type` takes → category of codes."""


class FailedAttempts:
    """Takes the events of a job in order and hands out its failures. `state` says what became of the batches.

    A failed session counts once it was judged, or at the end (`rest`) if it never was.
    """

    def __init__(self, state: JobState, *, with_tails: bool = True) -> None:
        """Without tails what rules saw and the ends of the output are left out."""
        self._state = state
        self._with_tails = with_tails
        self._unjudged: dict[tuple[int, int], ev.SessionFinished] = {}
        self._told: set[int] = set()
        self._codes: set[str] = set()

    def take(self, event: ev.Event) -> ErrorRecord | None:
        """Failed sessions and what rules said of them count, all other events are passed over."""
        if isinstance(event, ev.SessionFinished):
            if event.code:
                self._unjudged[event.batch, event.attempt] = event
        elif isinstance(event, ev.ValidationFailed):
            finished = self._unjudged.pop((event.batch, event.attempt), None)
            return self._judged(event, finished.at if finished is not None else event.at)
        elif isinstance(event, ev.ValidationPassed):
            self._unjudged.pop((event.batch, event.attempt), None)
        return None

    def rest(self) -> Iterator[ErrorRecord]:
        """Sessions that failed and were never judged, batches that failed before any session, and the job itself."""
        for one in self._unjudged.values():
            yield self._record(one.batch, one.attempt, one.at, one.code, one.message)
        self._unjudged.clear()
        for batch in self._state.batches.values():
            if batch.status == "failed" and batch.code and batch.number not in self._told:
                yield self._record(batch.number, batch.attempts, batch.finished_at, batch.code, batch.message)
        job = self._state.job
        if job.code and job.code not in self._codes:
            status, remedies = job.status, job.remedies
            yield ErrorRecord(job.job_id, job.finished_at, job.code, job.reason, batch_status=status, remedies=remedies)

    def _judged(self, event: ev.ValidationFailed, at: float) -> ErrorRecord:
        if not self._with_tails:
            return self._record(event.batch, event.attempt, at, event.code, event.message)
        tails = (event.results, event.stdout_tail, event.stderr_tail)
        return self._record(event.batch, event.attempt, at, event.code, event.message, *tails)

    def _record(
        self,
        batch: int,
        attempt: int,
        at: float,
        code: str,
        message: str,
        results: tuple[ev.RuleResult, ...] = (),
        stdout_tail: str = "",
        stderr_tail: str = "",
    ) -> ErrorRecord:
        self._told.add(batch)
        self._codes.add(code)
        job_id, status = self._state.job.job_id, self._state.status_of(batch)
        known = self._state.batches.get(batch)
        remedies = known.remedies if known is not None else ()
        return ErrorRecord(
            job_id, at, code, message, batch, attempt, status, results, stdout_tail, stderr_tail, remedies
        )


# --- a selection of them ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FailureFilter:
    """Which failures are wanted; empty fields leave nothing out. `since` and `until` are epoch seconds, included."""

    code: str = ""
    batch: int = 0
    category: Category | None = None
    since: float = 0.0
    until: float = float("inf")

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves anything out."""
        return self != FailureFilter()

    def wants(self, error: ErrorRecord) -> bool:
        """Whether `error` is one of those that were asked for."""
        return (
            (not self.code or error.code == self.code)
            and (not self.batch or error.batch == self.batch)
            and (self.category is None or lookup(error.code).category is self.category)
            and self.since <= error.at <= self.until
        )


def failure_filter(
    *,
    code: str = "",
    batch: int = 0,
    kind: str = "",
    since: str | float | datetime = "",
    until: str | float | datetime = "",
    now: float | None = None,
    dashes: str = "--",
) -> FailureFilter:
    """What people write to choose failures. `kind` is one of `TYPES`, times are as for `selection.parse_past`.

    Raises `MisuseError` for what is no type and no time; `dashes` is what names begin with there, nothing in Python.
    """
    now = time.time() if now is None else now
    category = TYPES.get(kind.strip().lower().replace("-", "_")) if kind else None
    if kind and category is None:
        raise MisuseError(f"{named(f'{dashes}type', kind)}: there is no such type", hint=f"one of {', '.join(TYPES)}")
    begin = _moment(since, now, f"{dashes}since") if since != "" else 0.0
    end = _moment(until, now, f"{dashes}until", after=begin) if until != "" else float("inf")
    return FailureFilter(code.strip().upper(), batch, category, begin, end)


def _moment(given: str | float | datetime, now: float, option: str, *, after: float = 0.0) -> float:
    if isinstance(given, str):
        return parse_past(given, now, option, after=after)
    return given.timestamp() if isinstance(given, datetime) else float(given)


def failures_at(
    layout: Layout, wanted: FailureFilter = FailureFilter(), *, state: JobState | None = None, with_tails: bool = False
) -> list[ErrorRecord]:
    """The failures of a job, in order of time; what rules saw and the ends of the output only `with_tails`.

    `state` is the job's if it is known already. Raises as `checkpoint.follow.read_state` does.
    """
    state = find(layout).state if state is None else state
    attempts = FailedAttempts(state, with_tails=with_tails)
    found: list[ErrorRecord] = []
    with without_collector():
        for event in scan(layout, FAILURE_KINDS) if layout.exists else ():
            if event.seq > state.job.seq:
                break  # of a job that runs: what happened since its state was read
            error = attempts.take(event)
            if error is not None and wanted.wants(error):
                found.append(error)
    found += (error for error in attempts.rest() if wanted.wants(error))
    return sorted(found, key=lambda error: error.at)


@dataclass(frozen=True, slots=True)
class Unread:
    """A job whose record could not be read, and why."""

    job_id: str
    message: str


def failures_of_all(
    layouts: Iterable[Layout], wanted: FailureFilter = FailureFilter(), *, with_tails: bool = False
) -> tuple[list[ErrorRecord], list[Unread]]:
    """The failures of several jobs in order of time; one that cannot be read does not hide the others."""
    found: list[ErrorRecord] = []
    unread: list[Unread] = []
    for layout in layouts:
        try:
            if _may_have(layout, wanted):
                found += failures_at(layout, wanted, with_tails=with_tails)
        except UnknownJobError:
            continue  # removed in this moment
        except (MozartError, OSError) as error:
            unread.append(Unread(layout.job_id, error.message if isinstance(error, MozartError) else str(error)))
    return sorted(found, key=lambda error: error.at), unread


def _may_have(layout: Layout, wanted: FailureFilter) -> bool:
    """Whether anything was written since the moment that is asked for: old jobs need not be read."""
    return not wanted.since or _last_written(layout.journal) >= wanted.since


def _last_written(folder: Path) -> float:
    try:
        return max((path.stat().st_mtime for path in folder.iterdir()), default=float("inf"))
    except OSError:
        return float("inf")
