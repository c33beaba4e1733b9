"""The rows people ask for (batches, attempts, errors) and their columns, declared once.

The command line's `--json`, REST and DataFrames all read these declarations: a column is a name, a dtype and where the
value comes from (`At` where it can be: a frame of 100,000 batches asks four million times). Values are plain:
epoch seconds for `timestamp`, seconds for `duration`, US dollars for money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final, Generic, Literal, TypeVar, get_args

import msgspec

from mozart_nb import events as ev
from mozart_nb.codes import CODES, Category, lookup
from mozart_nb.engine.state import BatchState, BatchStatus, JobState, JobStatus
from mozart_nb.masking import masked

R = TypeVar("R")
Dtype = Literal["int", "float", "bool", "str", "category", "timestamp", "datetime", "duration", "object"]
"""`timestamp` is a number of epoch seconds, `datetime` a text in ISO 8601 with its offset."""

BATCH_STATUSES: Final[tuple[str, ...]] = get_args(BatchStatus)
MODES: Final[tuple[str, ...]] = get_args(ev.Mode)
OUTCOMES: Final[tuple[str, ...]] = (*get_args(ev.Outcome), "abandoned")
ERROR_CODES: Final[tuple[str, ...]] = tuple(CODES)
CODE_CATEGORIES: Final[tuple[str, ...]] = tuple(category.value for category in Category)
JOB_STATUSES: Final[tuple[str, ...]] = (*get_args(JobStatus), "interrupted", "unreadable")
"""`interrupted`: nobody runs it although its last word says so; `unreadable`: its record cannot be read."""


class At:
    """Reads what stands at a path of attributes. Frames read what several columns share once."""

    __slots__ = ("_read", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._read = attrgetter(path)

    def __call__(self, record: Any) -> Any:
        return self._read(record)


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column. `of` reads the value from a record; None means unknown or not applicable.

    `categories` are all known values of a `category`, in their order; other values may turn up in newer journals.
    """

    name: str
    dtype: Dtype
    of: Callable[[R], Any]
    meaning: str
    categories: tuple[str, ...] = ()

    @property
    def frame_name(self) -> str:
        """Its name in a DataFrame, where a duration has its unit in itself."""
        return self.name.removesuffix("_seconds") if self.dtype == "duration" else self.name


def row_of(columns: Sequence[Column[R]], record: R) -> dict[str, Any]:
    """`record` as JSON data: times as ISO 8601 in UTC, seconds and money rounded to what can be meant."""
    return {column.name: json_value(column.dtype, column.of(record)) for column in columns}


def json_value(dtype: Dtype, value: Any) -> Any:
    """One value as JSON data."""
    if value is None:
        return None
    if dtype == "timestamp":
        return iso(value)
    if dtype in ("float", "duration"):
        return round(value, 6)
    return value


def iso(at: float) -> str | None:
    """Epoch seconds as ISO 8601 in UTC with milliseconds; None for 0, which means never."""
    if not at:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- batches ----------------------------------------------------------------------------------------------------------


class BatchView(msgspec.Struct, frozen=True, gc=False):
    """A batch of the plan, touched or not."""

    number: int
    status: BatchStatus
    record: BatchState
    first_item: int
    last_item: int


def batch_view(state: JobState, number: int) -> BatchView:
    """Raises IndexError when the plan has no such batch."""
    first, last = state.plan.items_of(number)
    return BatchView(number, state.status_of(number), state.batches.get(number) or BatchState(number), first, last)


def _rules(view: BatchView, *statuses: str) -> int:
    return len([1 for result in view.record.validation_details if result.status in statuses])


BATCH_COLUMNS: tuple[Column[BatchView], ...] = (
    Column("batch", "int", At("number"), "number of the batch, from 1"),
    Column("status", "category", At("status"), "status of the batch", BATCH_STATUSES),
    Column("first_item", "int", At("first_item"), "first item it covers"),
    Column("last_item", "int", At("last_item"), "last item it covers"),
    Column("attempts", "int", At("record.attempts"), "attempts so far, abandoned ones included"),
    Column("retries", "int", At("record.retries"), "retry budget used"),
    Column("completions", "int", At("record.completions"), "completion budget used"),
    Column("heals", "int", At("record.heals"), "times a remedy was looked for"),
    Column("waits", "int", At("record.waits"), "times a rate limit sent it back to the queue"),
    Column("abandoned", "int", At("record.abandoned"), "attempts lost with their host"),
    Column("started_at", "timestamp", lambda v: v.record.started_at or None, "start of the first attempt"),
    Column("finished_at", "timestamp", lambda v: v.record.finished_at or None, "when it settled"),
    Column("duration_seconds", "duration", At("record.duration"), "time of all its sessions"),
    Column("validation_passed", "bool", At("record.validation_passed"), "whether every rule passed last time"),
    Column("rules_passed", "int", lambda v: _rules(v, "passed", "rehearsed"), "rules that passed last time"),
    Column("rules_failed", "int", lambda v: _rules(v, "failed"), "rules that failed last time"),
    Column(
        "error_code",
        "category",
        lambda v: v.record.code or None,
        "why the last attempt was not good enough",
        ERROR_CODES,
    ),
    Column("error_message", "str", lambda v: v.record.message or None, "the same in words"),
    Column("exit_code", "int", At("record.exit_code"), "exit code of the last session"),
    Column("exit_code_ignored", "bool", At("record.exit_code_ignored"), "files outweighed a failed session"),
    Column("cost", "float", At("record.cost_usd"), "US dollars, as far as known"),
    Column("cost_known", "bool", At("record.cost_known"), "whether that is all of it"),
    Column("input_tokens", "int", At("record.usage.input_tokens"), "tokens"),
    Column("output_tokens", "int", At("record.usage.output_tokens"), "tokens"),
    Column("cache_read_tokens", "int", At("record.usage.cache_read_tokens"), "tokens read from the prompt cache"),
    Column("cache_write_tokens", "int", At("record.usage.cache_write_tokens"), "tokens written to it"),
    Column("prompt_tokens", "int", lambda v: v.record.prompt_tokens or None, "size of the last prompt, estimated"),
    Column("turns", "int", At("record.turns"), "turns of all its sessions"),
    Column("model", "str", lambda v: v.record.model or None, "model of the last session"),
    Column("session_id", "str", lambda v: v.record.session_id or None, "the last session"),
    Column("blocked_by", "int", lambda v: v.record.blocked_by or None, "the failed batch it waits for"),
    Column("reason", "str", lambda v: v.record.reason or None, "why it is skipped or blocked"),
    Column("remedies", "object", lambda v: list(v.record.remedies), "what self-healing did, or advises"),
    Column("warnings", "object", lambda v: _warnings(v.record), "what preflight and session warned about"),
)


def _warnings(batch: BatchState) -> list[str]:
    if not batch.findings and not batch.warnings:
        return []
    return [*(finding.message for finding in batch.findings), *batch.warnings]


# --- attempts ---------------------------------------------------------------------------------------------------------


class AttemptRecord(msgspec.Struct):
    """One attempt, put together from its events. `code` is empty when it was good enough, `passed` None before that."""

    batch: int
    attempt: int
    mode: ev.Mode = "first"
    started_at: float = 0.0
    finished_at: float = 0.0
    session_id: str = ""
    log: str = ""
    outcome: str = ""
    passed: bool | None = None
    code: str = ""
    message: str = ""
    exit_code: int | None = None
    duration: float = 0.0
    cost_usd: float | None = None
    usage: ev.Usage = ev.Usage()
    model: str = ""
    turns: int = 0
    results: tuple[ev.RuleResult, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""

    @property
    def is_over(self) -> bool:
        """Whether its session ended, or rules or a look beforehand judged it."""
        return bool(self.outcome) or self.passed is not None


ATTEMPT_COLUMNS: tuple[Column[AttemptRecord], ...] = (
    Column("batch", "int", lambda a: a.batch, "number of the batch, from 1"),
    Column("attempt", "int", lambda a: a.attempt, "number of the attempt within the batch, from 1"),
    Column("mode", "category", lambda a: a.mode, "first, retry, completion or healed", MODES),
    Column("outcome", "category", lambda a: a.outcome or None, "how the session ended", OUTCOMES),
    Column("passed", "bool", lambda a: a.passed, "whether it was good enough"),
    Column("error_code", "category", lambda a: a.code or None, "why it was not", ERROR_CODES),
    Column("error_message", "str", lambda a: a.message or None, "the same in words"),
    Column("started_at", "timestamp", lambda a: a.started_at or None, "start"),
    Column("finished_at", "timestamp", lambda a: a.finished_at or None, "end of its session"),
    Column("duration_seconds", "duration", lambda a: a.duration, "time the session took"),
    Column("exit_code", "int", lambda a: a.exit_code, "exit code of the session"),
    Column("cost", "float", lambda a: a.cost_usd, "US dollars; empty: unknown"),
    Column("input_tokens", "int", lambda a: a.usage.input_tokens, "tokens"),
    Column("output_tokens", "int", lambda a: a.usage.output_tokens, "tokens"),
    Column("cache_read_tokens", "int", lambda a: a.usage.cache_read_tokens, "tokens read from the prompt cache"),
    Column("cache_write_tokens", "int", lambda a: a.usage.cache_write_tokens, "tokens written to it"),
    Column("turns", "int", lambda a: a.turns, "turns of the session"),
    Column("model", "str", lambda a: a.model or None, "model"),
    Column("session_id", "str", lambda a: a.session_id or None, "session"),
    Column("log", "str", lambda a: a.log or None, "its raw output below the job's folder, without suffix"),
)


class Attempts:
    """Puts attempts together from events, in the order in which they began; O(1) per event."""

    def __init__(self) -> None:
        self.records: dict[tuple[int, int], AttemptRecord] = {}

    def hear(self, events: Iterable[ev.Event]) -> None:
        for event in events:
            number = getattr(event, "attempt", 0)
            if number:
                self._take(event, event.batch, number)  # type: ignore[attr-defined]  # attempts belong to batches

    def _take(self, event: ev.Event, batch: int, number: int) -> None:
        record = self.records.get((batch, number))
        if record is None:
            record = self.records[batch, number] = AttemptRecord(batch, number)
        match event:
            case ev.BatchStarted():
                record.mode, record.started_at = event.mode, event.at
            case ev.SessionOpened():
                record.session_id, record.log = event.session_id, event.log
            case ev.SessionFinished():
                _finish(record, event)
            case ev.SessionAbandoned():
                record.outcome, record.message, record.cost_usd = "abandoned", event.reason, event.cost_usd
                record.finished_at = event.at
            case ev.BatchQuestionWithdrawn() if not record.is_over:
                _give_back(record, event.at, event.reason)
            case ev.BatchAnswered(action="abort" | "skip") if not record.is_over:
                _give_back(record, event.at, "not confirmed" if event.action == "abort" else "skipped by a person")
            case ev.ValidationPassed() | ev.ValidationFailed():
                record.passed, record.results = isinstance(event, ev.ValidationPassed), event.results
                record.code = "" if record.passed else event.code
                record.message = "" if isinstance(event, ev.ValidationPassed) else event.message
                record.stdout_tail, record.stderr_tail = event.stdout_tail, event.stderr_tail
            case _:
                pass


def _give_back(record: AttemptRecord, at: float, reason: str) -> None:
    """The attempt ended at the question whether it may begin its session: it cost nothing."""
    record.outcome, record.message, record.cost_usd, record.finished_at = "abandoned", reason, 0.0, at


def _finish(record: AttemptRecord, event: ev.SessionFinished) -> None:
    record.finished_at, record.outcome, record.duration = event.at, event.outcome, event.duration
    record.code, record.message, record.exit_code = event.code, event.message, event.exit_code
    record.cost_usd, record.usage, record.model, record.turns = event.cost_usd, event.usage, event.model, event.turns
    record.session_id = event.session_id or record.session_id


# --- errors -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """A failure: of an attempt, or (batch 0) of the job. `batch_status` says what became of the batch since."""

    job_id: str
    at: float
    code: str
    message: str
    batch: int = 0
    attempt: int = 0
    batch_status: str = ""
    results: tuple[ev.RuleResult, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""
    remedies: tuple[str, ...] = ()

    @property
    def is_resolved(self) -> bool:
        """A later attempt was good enough."""
        return self.batch_status in ("completed", "skipped")


ERROR_COLUMNS: tuple[Column[ErrorRecord], ...] = (
    Column("job_id", "str", lambda e: e.job_id, "job"),
    Column("batch", "int", lambda e: e.batch or None, "batch; empty: the job itself"),
    Column("attempt", "int", lambda e: e.attempt or None, "attempt within the batch"),
    Column("at", "timestamp", lambda e: e.at or None, "when"),
    Column("code", "category", lambda e: e.code, "error code", ERROR_CODES),
    Column("category", "category", lambda e: lookup(e.code).category.value, "kind of failure", CODE_CATEGORIES),
    Column("meaning", "str", lambda e: lookup(e.code).meaning, "what the code means"),
    Column("message", "str", lambda e: masked(e.message), "what happened"),
    Column("resolved", "bool", lambda e: e.is_resolved, "whether a later attempt was good enough"),
    Column(
        "batch_status",
        "category",
        lambda e: e.batch_status or None,
        "status of the batch now, or of the job where it failed itself",
        tuple(dict.fromkeys((*BATCH_STATUSES, *JOB_STATUSES))),
    ),
    Column("remedies", "object", lambda e: [*map(masked, e.remedies)], "what self-healing did for it, or advises"),
)


def errors_of(state: JobState, attempts: Mapping[tuple[int, int], AttemptRecord]) -> list[ErrorRecord]:
    """Every failed attempt, in order of time, and the failure of the job if it has one of its own."""
    job = state.job
    errors = [
        ErrorRecord(
            job_id=job.job_id,
            at=attempt.finished_at or attempt.started_at,
            code=attempt.code,
            message=attempt.message,
            batch=attempt.batch,
            attempt=attempt.attempt,
            batch_status=state.status_of(attempt.batch),
            remedies=_remedies(state, attempt.batch),
            results=attempt.results,
            stdout_tail=attempt.stdout_tail,
            stderr_tail=attempt.stderr_tail,
        )
        for attempt in attempts.values()
        if attempt.code and not attempt.passed
    ]
    if job.code and job.code not in {error.code for error in errors}:
        errors.append(
            ErrorRecord(
                job.job_id, job.finished_at, job.code, job.reason, batch_status=job.status, remedies=job.remedies
            )
        )
    return sorted(errors, key=lambda error: error.at)


def _remedies(state: JobState, number: int) -> tuple[str, ...]:
    batch = state.batches.get(number)
    return batch.remedies if batch is not None else ()
