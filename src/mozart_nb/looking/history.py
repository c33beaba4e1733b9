"""The history across jobs: every job that is known from here, and every run of a job, the latest first.

Served from `history.db`; where that cannot be used, or a job runs right now, the job's own record is read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import is_running
from mozart_nb.consumers.documents import status_document
from mozart_nb.consumers.history.rows import RUN_STATUSES, RunRow, counted
from mozart_nb.consumers.job_rows import JobView
from mozart_nb.consumers.progress import Progress, progress_of, shown_status
from mozart_nb.engine.state import JobRecord, JobState
from mozart_nb.errors import MisuseError, MozartError, WorldError
from mozart_nb.job.model import JobConfig
from mozart_nb.job.plan import Plan
from mozart_nb.looking.finding import Found, find, known_layouts
from mozart_nb.looking.recording import (
    CATCH_UP_SECONDS,
    COUNT_SECONDS,
    brought_up_to_date,
    history_file,
    open_history,
    set_aside_damaged,
    unusable,
)
from mozart_nb.plans.frozen import read_frozen
from mozart_nb.selection import parse_past
from mozart_nb.words import one_line

if TYPE_CHECKING:
    import pandas as pd

    from mozart_nb.consumers.history.database import Database
    from mozart_nb.consumers.history.reading import JobEntry

T = TypeVar("T")
Moment = str | float | datetime
"""Epoch seconds, a `datetime`, or what people write: `14:00`, `2h`, `2026-11-21T07:05`."""

SMALL: Final = 5_000
"""A running job with at most so many batches is read as it stands at this moment."""

LIVE_SECONDS: Final = 5.0
"""A running job with more is shown as the history knows it, if it is not further behind than this."""


_LISTED: Final = ("job_name", "status", "reason", "backend", "progress", "timing", "cost")
"""What `mozart list` shows of a job's document."""


@dataclass(frozen=True)
class Listed:
    """One known job. `found` is set where its record was read; otherwise all is from the history."""

    layout: Layout
    view: JobView
    is_live: bool = False
    found: Found | None = None

    @property
    def status(self) -> str:
        return self.view.status

    def document(self) -> dict[str, Any]:
        """The job as JSON data, as `mozart list` shows it."""
        view = self.view
        row: dict[str, Any] = {"job_id": self.layout.job_id, "workspace": view.workspace}
        if view.status == "unreadable":
            return {**row, "status": view.status, "error": view.message}
        state, config, now = self._seen()
        document = status_document(state, config, now, is_live=self.is_live, batches=())
        return {**row, **{key: document[key] for key in _LISTED}, "updated": view.job.at}

    @property
    def progress(self) -> Progress:
        """One look at it; the history knows nothing of single batches, so of those that run it has only the number."""
        state, config, now = self._seen()
        return progress_of(state, config, now, is_live=self.is_live)

    def _seen(self) -> tuple[JobState, JobConfig | None, float]:
        if self.found is not None:
            return self.found.state, self.found.config, self.found.now
        config = None
        with contextlib.suppress(MozartError, OSError):  # a plan that is gone sets no limits
            config = read_frozen(self.layout).loaded.config
        return _state_of(self.view.job), config, time.time()


def _state_of(job: JobRecord) -> JobState:
    """A state that knows nothing of single batches."""
    state = JobState()
    state.job, state.plan = job, Plan(job.plan)
    return state


# --- jobs -------------------------------------------------------------------------------------------------------------


def history(workspace: str | Path | None = None) -> pd.DataFrame:
    """One row per job: status, batches, cost, tokens, times, where it is. Of one workspace, or of all that are known.

    A job whose record cannot be read has the status `unreadable`, and says why. `runs` has a row per run.
    """
    from mozart_nb.frames import history_frame

    return history_frame([job.view for job in known_jobs(Path(workspace) if workspace is not None else None)])


def known_jobs(workspace: Path | None = None, notices: list[str] | None = None) -> Iterator[Listed]:
    """Every job that is known from here, or in a workspace, the one that did something last first.

    `notices` gets what people should know about the history itself.
    """
    return jobs_at(known_layouts(workspace), notices)


def jobs_at(
    layouts: Sequence[Layout], notices: list[str] | None = None, *, seconds: float = CATCH_UP_SECONDS
) -> Iterator[Listed]:
    """The jobs that stand at these places, in this order; otherwise as `known_jobs`.

    `seconds` bounds how long the history is brought up to date first; the records of those left over are read.
    """
    entries = _entries(layouts, notices if notices is not None else [], seconds)
    now = time.time()
    return (_listed(layout, entries.get(layout), now) for layout in layouts)


def _entries(layouts: Sequence[Layout], notices: list[str], seconds: float) -> dict[Layout, JobEntry]:
    """What the history knows of these jobs; nothing where it cannot be used."""
    if not layouts:
        return {}
    try:
        return _with_history(partial(brought_up_to_date, layouts=layouts, seconds=seconds), notices)
    except WorldError as error:
        notices.append(f"{error.message}; records are read one by one")
        return {}


def _with_history(use: Callable[[Database], T], notices: list[str]) -> T:
    """What `use` makes of the open history. One that turns out to be damaged is begun anew. Raises `WorldError`."""
    from sqlalchemy.exc import DBAPIError

    from mozart_nb.consumers.history.database import is_damage

    for is_last in (False, True):
        try:
            with open_history(notices.append) as database:
                return use(database)
        except (DBAPIError, OSError) as error:
            if is_last or not is_damage(error):
                raise unusable(error) from error
            set_aside_damaged(history_file(), error, notices.append)
    raise AssertionError("the second time ends it")


def _listed(layout: Layout, entry: JobEntry | None, now: float) -> Listed:
    is_live = is_running(layout)
    if entry is not None and (_is_recent(entry, now) if is_live else not entry.is_stale):
        job = entry.record
        status = shown_status(_state_of(job), is_live=is_live)
        workspace = entry.workspace or str(layout.workspace)
        return Listed(layout, JobView(layout.job_id, status, workspace, job), is_live)
    try:
        found = find(layout)
    except (MozartError, OSError) as error:
        message = error.message if isinstance(error, MozartError) else str(error)
        return Listed(layout, JobView(layout.job_id, "unreadable", str(layout.workspace), message=message))
    view = JobView(layout.job_id, found.progress.status, str(found.workspace), found.state.job)
    return Listed(layout, view, found.is_live, found)


def _is_recent(entry: JobEntry, now: float) -> bool:
    is_known = not entry.is_stale or now - entry.record.at < LIVE_SECONDS
    return is_known and entry.record.plan.total > SMALL


# --- runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunWish:
    """Which runs are asked for. `since` and `until` bound when they began (epoch seconds, 0: not at all).

    `limit` 0 is no limit.
    """

    status: str = ""
    since: float = 0.0
    until: float = 0.0
    limit: int = 0

    def suits(self, run: RunRow) -> bool:
        began = run.tally.started_at
        in_time = began >= self.since and (not self.until or began < self.until)
        return in_time and self.status in ("", run.status)

    def first(self, runs: Iterable[RunRow]) -> list[RunRow]:
        """Those that suit, the last one first."""
        found = sorted(filter(self.suits, runs), key=lambda run: (-run.tally.started_at, -run.tally.number))
        return found[: self.limit] if self.limit else found


def runs(
    job_id: str | None = None, workspace: str | Path | None = None, *, since: Moment = "", until: Moment = ""
) -> pd.DataFrame:
    """One row per run of a job, or of every job known from here, the last one first.

    Success rate, share of first attempts that were good enough, duration, cost, retries and more. `since` and `until`
    bound when runs began: epoch seconds, a `datetime`, or text as for `selection.parse_past`. Raises `MisuseError`, and
    as `checkpoint.index.resolve`.
    """
    from mozart_nb.frames import runs_frame

    place = Path(workspace) if workspace is not None else None
    return runs_frame(find_runs(job_id, place, run_wish(since=since, until=until)))


def run_wish(*, status: str = "", since: Moment = "", until: Moment = "", limit: int = 0) -> RunWish:
    """What people write to choose runs. Raises `MisuseError` for what is no status and no time."""
    if status and status not in RUN_STATUSES:
        raise MisuseError(f"there is no status `{status}` of a run", hint=f"one of {', '.join(RUN_STATUSES)}")
    begin = moment_of(since, "--since")
    return RunWish(status, begin, moment_of(until, "--until", after=begin), limit)


def moment_of(given: Moment, option: str, *, after: float = 0.0) -> float:
    """Epoch seconds; 0 for an empty text. Raises `MisuseError`."""
    if isinstance(given, str):
        return parse_past(given, time.time(), option, after=after) if given else 0.0
    return given.timestamp() if isinstance(given, datetime) else float(given)


def find_runs(
    job_id: str | None, workspace: Path | None, wish: RunWish = RunWish(), notices: list[str] | None = None
) -> list[RunRow]:
    """The runs of a job, or of all known jobs, the last one first. Raises as `checkpoint.index.resolve`.

    Without an id, jobs whose record is gone are among them, as the history last knew them (`RunRow.is_gone`): what they
    cost was paid.
    """
    if job_id is not None:
        return runs_at([resolve(job_id, workspace)], wish, notices)
    found = runs_at(known_layouts(workspace), wish, notices)
    return wish.first([*found, *_gone(found, workspace, wish)])


def _gone(known: Sequence[RunRow], workspace: Path | None, wish: RunWish) -> list[RunRow]:
    """Runs of jobs that are no longer where they were. A job that was moved is counted once, at its new place."""
    place = str(workspace.resolve()) if workspace is not None else ""
    journals = {(run.job_id, run.tally.journal) for run in known}

    def read(database: Database) -> list[RunRow]:
        from mozart_nb.consumers.history.reading import read_entries, read_runs

        with database.reading() as connection:
            entries = [one for one in read_entries(connection) if place in ("", one.workspace, one.state_workspace)]
            keys = [one.key for one in entries if not Layout(Path(one.state_workspace), one.job_id).exists]
            found = read_runs(connection, jobs=keys, since=wish.since, until=wish.until) if keys else ()
            return [replace(run, is_gone=True) for run in found if (run.job_id, run.tally.journal) not in journals]

    with contextlib.suppress(WorldError):  # it was told when the others were read
        return _with_history(read, []) if history_file().is_file() else []
    return []


def runs_at(layouts: Sequence[Layout], wish: RunWish = RunWish(), notices: list[str] | None = None) -> list[RunRow]:
    """The runs of the jobs that stand at these places, the last one first."""
    notices = notices if notices is not None else []

    def read(database: Database) -> list[RunRow]:
        return list(_read_runs(database, layouts, wish))

    try:
        found = _with_history(read, notices) if layouts else []
    except WorldError as error:
        notices.append(f"{error.message}; records are read one by one")
        found = [run for layout in layouts for run in counted_runs(layout)]
    return wish.first(found)


def _read_runs(database: Database, layouts: Sequence[Layout], wish: RunWish) -> Iterator[RunRow]:
    from mozart_nb.consumers.history.reading import read_runs

    entries = brought_up_to_date(database, layouts, seconds=COUNT_SECONDS)
    unknown = [layout for layout in layouts if layout not in entries]
    live = {entry.key for layout, entry in entries.items() if is_running(layout)}
    keys = [entry.key for entry in entries.values()]
    with database.reading() as connection:
        for run in read_runs(connection, jobs=keys, since=wish.since, until=wish.until):
            yield replace(run, is_live=run.key in live and run.is_present and run.tally.status == "running")
    for layout in unknown:
        yield from counted_runs(layout) or _as_last_known(database, layout, wish)


def _as_last_known(database: Database, layout: Layout, wish: RunWish) -> list[RunRow]:
    """The runs of a job whose record cannot be read now, as the history has them."""
    from mozart_nb.consumers.history.reading import read_entries, read_runs

    with database.reading() as connection:
        entries = read_entries(connection, [layout.job_id])
        keys = [entry.key for entry in entries if entry.state_workspace == str(layout.workspace.resolve())]
        return list(read_runs(connection, jobs=keys, since=wish.since, until=wish.until))


def counted_runs(layout: Layout) -> list[RunRow]:
    """The runs of a job's present record, counted from its journal; none where it cannot be read."""
    with contextlib.suppress(MozartError, OSError):
        found = find(layout)
        return counted(found.state, read_events(layout), str(found.workspace), is_live=found.is_live)
    return []


def last_places(job_id: str) -> list[Layout]:
    """Where the history saw jobs with this id, also those that nothing else remembers any more."""

    def read(database: Database) -> list[Layout]:
        from mozart_nb.consumers.history.reading import read_entries

        with database.reading() as connection:
            entries = read_entries(connection, [job_id])
        return [Layout(Path(entry.state_workspace), job_id) for entry in entries]

    with contextlib.suppress(WorldError):
        return _with_history(read, []) if history_file().is_file() else []
    return []


def describe(run: RunRow) -> str:
    """Why a run ended as it did, on one line."""
    code = f"{run.tally.code}: " if run.tally.code else ""
    return one_line(f"{code}{run.tally.reason}", 200) if run.tally.reason or code else ""


def find_notifications(job_id: str, workspace: Path | None, limit: int = 0) -> list[dict[str, Any]]:
    """The notifications of a job, the last one first, as far as the history knows; times are epoch seconds."""
    layout = resolve(job_id, workspace)

    def read(database: Database) -> list[dict[str, Any]]:
        from mozart_nb.consumers.history.reading import read_notifications

        entry = brought_up_to_date(database, [layout]).get(layout)
        with database.reading() as connection:
            return read_notifications(connection, entry.key, limit) if entry is not None else []

    with contextlib.suppress(WorldError):
        return _with_history(read, [])
    return []
