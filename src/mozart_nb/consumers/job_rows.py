"""Further rows, declared as in `consumers.rows`: what rules found, what happened, and one row per job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import msgspec

from mozart_nb import events as ev
from mozart_nb.codes import Category, lookup
from mozart_nb.consumers.rows import ERROR_CODES, JOB_STATUSES, AttemptRecord, Column
from mozart_nb.engine.state import JobRecord
from mozart_nb.masking import masked

RULE_STATUSES: Final[tuple[str, ...]] = get_args(ev.RuleStatus)
EVENT_KINDS: Final[tuple[str, ...]] = tuple(ev.kind_of(kind) for kind in ev.event_types())

# --- validations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ValidationRecord:
    """What one rule found after one attempt."""

    batch: int
    attempt: int
    mode: str
    result: ev.RuleResult
    stage: int | None = None
    """The stage of the job file's rule, where the rules are known."""


VALIDATION_COLUMNS: tuple[Column[ValidationRecord], ...] = (
    Column("batch", "int", lambda v: v.batch, "number of the batch, from 1"),
    Column("attempt", "int", lambda v: v.attempt, "the attempt that was judged"),
    Column("rule", "int", lambda v: v.result.rule, "which rule of the job file, from 1; 0: the form of the answer"),
    Column("type", "str", lambda v: v.result.type, "kind of rule"),
    Column("stage", "int", lambda v: v.stage, "its stage"),
    Column("status", "category", lambda v: v.result.status, "what it found", RULE_STATUSES),
    Column("path", "str", lambda v: v.result.path or None, "the file it looked at"),
    Column("description", "str", lambda v: v.result.description or None, "what it is for"),
    Column("message", "str", lambda v: v.result.message or None, "what it found, in words"),
    Column("expected", "str", lambda v: v.result.expected or None, "what should have been"),
    Column("actual", "str", lambda v: v.result.actual or None, "what was"),
    Column("evidence", "bool", lambda v: v.result.evidence, "the attempt itself wrote the file"),
    Column("could_not_run", "bool", lambda v: v.result.could_not_run, "the rule itself broke down"),
    Column("duration_seconds", "duration", lambda v: v.result.duration, "time the rule took"),
)


def validations_of(
    attempts: Mapping[tuple[int, int], AttemptRecord], *, every: bool = False, stages: Mapping[int, int] | None = None
) -> Iterator[ValidationRecord]:
    """What the rules found in the last judgement of each batch, by batch; with `every`, after every attempt.

    `stages` maps the number of a rule to its stage.
    """
    found = attempts if every else _last_judged(attempts)
    for batch, number in sorted(found):
        attempt = attempts[batch, number]
        for result in attempt.results:
            yield ValidationRecord(batch, number, attempt.mode, result, (stages or {}).get(result.rule))


def _last_judged(attempts: Mapping[tuple[int, int], AttemptRecord]) -> list[tuple[int, int]]:
    """The newest attempt of each batch that says something about its work: one that was refused does not."""
    last: dict[int, int] = {}
    for (batch, number), attempt in attempts.items():
        if attempt.passed is not None and (attempt.results or not _was_refused(attempt.code)):
            last[batch] = max(number, last.get(batch, 0))
    return list(last.items())


def _was_refused(code: str) -> bool:
    row = lookup(code) if code else None
    return row is not None and (row.category is Category.RATE_LIMIT or row.pauses)


# --- events -----------------------------------------------------------------------------------------------------------

_ELSEWHERE: Final = frozenset({"kind", "seq", "at", "batch", "attempt", "code", "message"})

EVENT_COLUMNS: tuple[Column[ev.Event], ...] = (
    Column("seq", "int", lambda e: e.seq, "number of the event in the job, from 1"),
    Column("at", "timestamp", lambda e: e.at or None, "when"),
    Column("kind", "category", ev.kind_of, "what happened", EVENT_KINDS),
    Column("batch", "int", lambda e: getattr(e, "batch", None) or None, "batch, where it is about one"),
    Column("attempt", "int", lambda e: getattr(e, "attempt", None) or None, "attempt within the batch"),
    Column("code", "category", lambda e: getattr(e, "code", None) or None, "error code", ERROR_CODES),
    Column("message", "str", lambda e: getattr(e, "message", "") or getattr(e, "reason", "") or None, "in words"),
    Column("data", "object", lambda e: event_data(e), "everything else about it, as a dict"),
)


def event_data(event: ev.Event) -> dict[str, Any]:
    """What an event says beyond the columns all events share, as JSON data; what has its default is left out."""
    document = msgspec.to_builtins(event)
    assert isinstance(document, dict)
    return {key: value for key, value in document.items() if key not in _ELSEWHERE}


# --- jobs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as a row of the history. `status` as it is shown, which `job` alone does not know.

    `job` is empty for one whose record cannot be read; `message` then says why.
    """

    job_id: str
    status: str
    workspace: str
    job: JobRecord = field(default_factory=JobRecord)
    message: str = ""

    def count(self, *statuses: str) -> int:
        return sum(self.job.counts.get(status, 0) for status in statuses)

    @property
    def duration(self) -> float | None:
        """Seconds from its first start to its last event."""
        job = self.job
        return max(0.0, (job.finished_at or job.at) - job.started_at) if job.started_at else None


JOB_COLUMNS: tuple[Column[JobView], ...] = (
    Column("job_id", "str", lambda j: j.job_id, "job"),
    Column("name", "str", lambda j: j.job.name or None, "its name in the job file"),
    Column("status", "category", lambda j: j.status, "status of the job", JOB_STATUSES),
    Column("backend", "str", lambda j: j.job.backend or None, "who answered"),
    Column("batches", "int", lambda j: j.job.plan.total, "batches of its plan"),
    Column("done", "int", lambda j: j.count("completed", "skipped"), "batches that need nothing more"),
    Column("failed", "int", lambda j: j.count("failed"), "batches that failed"),
    Column("blocked", "int", lambda j: j.count("blocked"), "batches that wait for a failed one"),
    Column("runs", "int", lambda j: j.job.runs, "how often it was started or resumed"),
    Column("retries", "int", lambda j: j.job.retries, "retries of all batches"),
    Column("cost", "float", lambda j: j.job.cost_usd, "US dollars, as far as known"),
    Column("cost_known", "bool", lambda j: not j.job.unknown_costs, "whether that is all of it"),
    Column("saved", "float", lambda j: j.job.saved_usd, "US dollars that the prompt cache saved"),
    Column("input_tokens", "int", lambda j: j.job.usage.input_tokens, "tokens"),
    Column("output_tokens", "int", lambda j: j.job.usage.output_tokens, "tokens"),
    Column("cache_read_tokens", "int", lambda j: j.job.usage.cache_read_tokens, "tokens read from the prompt cache"),
    Column("cache_write_tokens", "int", lambda j: j.job.usage.cache_write_tokens, "tokens written to it"),
    Column("started_at", "timestamp", lambda j: j.job.started_at or None, "first start"),
    Column("updated_at", "timestamp", lambda j: j.job.at or None, "last event"),
    Column("finished_at", "timestamp", lambda j: j.job.finished_at or None, "when it settled"),
    Column("duration_seconds", "duration", lambda j: j.duration, "from its first start to its end, pauses included"),
    Column("session_seconds", "duration", lambda j: j.job.duration, "time of all its sessions"),
    Column("error_code", "category", lambda j: j.job.code or None, "why the job as a whole stopped", ERROR_CODES),
    Column("reason", "str", lambda j: masked(j.message or j.job.reason) or None, "the same in words"),
    Column("workspace", "str", lambda j: j.workspace, "folder it works in"),
)
