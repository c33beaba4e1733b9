"""What happened in a job, and in all jobs, as DataFrames. Columns: `consumers.rows` and `consumers.job_rows`.

A job without batches, attempts or errors gives frames without rows, with the very same columns and dtypes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mozart_nb.consumers.history.rows import RUN_COLUMNS, RunRow
from mozart_nb.consumers.job_rows import EVENT_COLUMNS, JOB_COLUMNS, VALIDATION_COLUMNS, JobView, validations_of
from mozart_nb.consumers.rows import (
    ATTEMPT_COLUMNS,
    BATCH_COLUMNS,
    BATCH_STATUSES,
    ERROR_COLUMNS,
    Attempts,
    ErrorRecord,
    batch_view,
    errors_of,
)
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError
from mozart_nb.events import Event
from mozart_nb.frames.typed import frame_of
from mozart_nb.job.model import JobConfig

if TYPE_CHECKING:
    import pandas as pd

INDEXES: Final[dict[str, tuple[str, ...]]] = {
    "batches": ("batch",),
    "attempts": ("batch", "attempt"),
    "errors": (),
    "validations": ("batch", "attempt", "rule"),
    "events": ("seq",),
    "history": (),
    "runs": (),
}
"""Frame → the columns that are its index; rows count from 0 where there are none."""


def batches_frame(state: JobState, *, status: str | Iterable[str] | None = None) -> pd.DataFrame:
    """One row per batch of the plan, touched or not; index `batch`.

    `status` keeps batches of that status, or of one of several. Raises `MisuseError` for one that does not exist.
    """
    wanted = _statuses(status)
    numbers = range(1, state.total + 1)
    views = (batch_view(state, number) for number in numbers if not wanted or state.status_of(number) in wanted)
    return frame_of(BATCH_COLUMNS, views, index=INDEXES["batches"])


def _statuses(status: str | Iterable[str] | None) -> frozenset[str]:
    wanted = frozenset([status] if isinstance(status, str) else status or ())
    unknown = sorted(wanted - set(BATCH_STATUSES))
    if unknown:
        raise MisuseError(f"there is no status `{unknown[0]}`", hint=f"one of {', '.join(BATCH_STATUSES)}")
    return wanted


def attempts_frame(events: Iterable[Event]) -> pd.DataFrame:
    """One row per attempt, in the order in which they began; index `batch`, `attempt`. `events`: the whole journal."""
    return frame_of(ATTEMPT_COLUMNS, _attempts(events).records.values(), index=INDEXES["attempts"])


def errors_frame(state: JobState, events: Iterable[Event]) -> pd.DataFrame:
    """One row per failure in order of time: of an attempt, or of the job itself (no batch)."""
    return frame_of(ERROR_COLUMNS, errors_of(state, _attempts(events).records), index=INDEXES["errors"])


def failures_frame(errors: Iterable[ErrorRecord]) -> pd.DataFrame:
    """One row per failure, in the order given; columns and dtypes of `errors_frame`."""
    return frame_of(ERROR_COLUMNS, errors, index=INDEXES["errors"])


def validations_frame(events: Iterable[Event], config: JobConfig | None = None, *, every: bool = False) -> pd.DataFrame:
    """One row per rule, for the last judgement of each batch; with `every`, for every judgement.

    Index `batch`, `attempt`, `rule`; rule 0 is the form of the answer. `config` tells the stages of the rules. An
    attempt that was refused by a rate limit judges nothing: what was found before it still stands.
    """
    stages = {number: rule.stage for number, rule in enumerate(config.validations, 1)} if config is not None else None
    found = validations_of(_attempts(events).records, every=every, stages=stages)
    return frame_of(VALIDATION_COLUMNS, found, index=INDEXES["validations"])


def events_frame(events: Iterable[Event]) -> pd.DataFrame:
    """One row per event of the journal; index `seq`. `data` holds what only some kinds of events have."""
    return frame_of(EVENT_COLUMNS, events, index=INDEXES["events"])


def history_frame(views: Iterable[JobView]) -> pd.DataFrame:
    """One row per job, in the order given."""
    return frame_of(JOB_COLUMNS, views, index=INDEXES["history"])


def runs_frame(rows: Iterable[RunRow]) -> pd.DataFrame:
    """One row per run, in the order given."""
    return frame_of(RUN_COLUMNS, rows, index=INDEXES["runs"])


def _attempts(events: Iterable[Event]) -> Attempts:
    attempts = Attempts()
    attempts.hear(events)
    return attempts
