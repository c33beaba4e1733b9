"""The fold: how each event changes the state. Nothing else changes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mozart_nb import events as ev
from mozart_nb.codes import Category, Scope, lookup
from mozart_nb.engine.state import BatchState, BatchStatus, BreakerState, JobRecord, JobState, LimitState, Stop
from mozart_nb.job.plan import Plan

TAIL_OF_COMPLETED = 500
"""Characters of output kept in state for a batch that completed."""


def apply(state: JobState, event: ev.Event) -> None:
    """Change `state` by one event; the only mutation there is.

    Raises `ValueError` when the event does not follow the state: a gap in `seq`, a kind that state knows nothing of.
    """
    job = state.job
    if event.seq != job.seq + 1:
        raise ValueError(f"event {event.seq} does not follow {job.seq}")
    handler = _HANDLERS.get(type(event))
    if handler is None:
        raise ValueError(f"{ev.kind_of(event)} is not journaled")
    job.seq = event.seq
    job.at = max(job.at, event.at)
    handler(state, event)


def fold(events: Any, state: JobState | None = None) -> JobState:
    """Apply `events` in order to `state` (a new one by default) and return it."""
    state = state or JobState()
    for event in events:
        apply(state, event)
    return state


# --- the job ----------------------------------------------------------------------------------------------------------


def _planned(state: JobState, event: ev.JobPlanned) -> None:
    job = state.job
    job.job_id, job.name, job.description = event.job_id, event.name, event.description
    job.plan, job.seed, job.config_digest = event.plan, event.seed, event.config_digest
    job.format, job.backend, job.created_at = event.format, event.backend, event.at
    state.plan = Plan(event.plan)
    state.agenda.rebuild()


def _begin_run(state: JobState, event: ev.JobStarted | ev.JobResumed) -> None:
    job = state.job
    job.status = "running"
    job.run_id, job.host, job.pid, job.options = event.run_id, event.host, event.pid, event.options
    job.runs += 1
    job.run_started_at, job.finished_at = event.at, 0.0
    job.run_batches = job.run_completed = job.run_failures = 0
    job.run_waits = job.run_quota_waits = 0
    job.stop, job.reason, job.code = None, "", ""
    job.waiting_reason, job.waiting_until = "", 0.0


def _started(state: JobState, event: ev.JobStarted) -> None:
    _begin_run(state, event)
    state.job.started_at = event.at
    state.agenda.rebuild()


def _resumed(state: JobState, event: ev.JobResumed) -> None:
    _begin_run(state, event)
    job = state.job
    job.started_at = job.started_at or event.at
    job.crashes = job.crashes + 1 if event.crashed else 0
    job.breaker = BreakerState()
    for batch in state.batches.values():
        if batch.status == "cancelled" or (batch.status == "failed" and not event.options.keep_failed):
            _renew(state, batch)
    still_blocked = _behind_failures(state)
    for batch in state.batches.values():
        if batch.status == "blocked" and batch.number not in still_blocked:
            _move(state, batch, "pending")
            batch.blocked_by, batch.reason = 0, ""
    state.agenda.rebuild()


def _renew(state: JobState, batch: BatchState) -> None:
    """A settled batch gets its budgets back."""
    _move(state, batch, "pending")
    batch.retries = batch.completions = batch.heals = 0
    batch.due = batch.finished_at = 0.0
    batch.mode = "first" if not batch.attempts else "retry"
    batch.phase = ""


def _behind_failures(state: JobState) -> set[int]:
    blocked = {n: b for n, b in state.batches.items() if b.status == "blocked"}
    if not blocked:
        return set()
    return {n for n, b in blocked.items() if state.status_of(b.blocked_by) == "failed"}


def _waiting(state: JobState, event: ev.JobWaiting) -> None:
    state.job.status = "waiting"
    state.job.waiting_reason, state.job.waiting_until = event.reason, event.until


def _pausing(state: JobState, event: ev.JobPausing) -> None:
    state.job.status = "pausing"
    state.job.stop = Stop(event.stop, event.reason, event.code, event.by)


def _settle(state: JobState, event: ev.Event, status: Any, reason: str, code: str) -> None:
    job = state.job
    job.status, job.reason, job.code = status, reason, code
    job.finished_at = event.at
    job.waiting_reason, job.waiting_until = "", 0.0
    job.crashes = 0
    for number in (*state.agenda.due_times, *state.agenda.queued):
        batch = state.batches.get(number)
        if batch is not None and batch.status == "waiting":
            _move(state, batch, "pending")


def _paused(state: JobState, event: ev.JobPaused) -> None:
    _settle(state, event, "paused", event.reason, event.code)


def _completed(state: JobState, event: ev.JobCompleted) -> None:
    _settle(state, event, "completed", "", "")


def _failed(state: JobState, event: ev.JobFailed) -> None:
    _settle(state, event, "failed", event.reason, event.code)


def _cancelled(state: JobState, event: ev.JobCancelled) -> None:
    _settle(state, event, "cancelled", "cancelled", "")
    for batch in state.batches.values():
        if batch.status in ("running", "waiting") or (batch.status == "pending" and batch.attempts):
            _move(state, batch, "cancelled")
            batch.finished_at = event.at
            state.agenda.take(batch.number)
            state.agenda.running.discard(batch.number)
            state.agenda.judged.discard(batch.number)


def _reloaded(state: JobState, event: ev.ConfigReloaded) -> None:
    state.job.config_digest = event.config_digest
    state.job.plan = event.plan
    state.plan = Plan(event.plan)
    state.agenda.rebuild()


def _cost_updated(state: JobState, event: ev.CostUpdated) -> None:
    """Told to people; the cost itself is summed from `session.finished`."""


# --- batches ----------------------------------------------------------------------------------------------------------


def _record(state: JobState, number: int) -> BatchState:
    """The record of a batch, made at its first event."""
    batch = state.batches.get(number)
    if batch is None:
        batch = state.batches[number] = BatchState(number)
        state.job.counts["pending"] = state.job.counts.get("pending", 0) + 1
    return batch


def _move(state: JobState, batch: BatchState, status: BatchStatus) -> None:
    counts = state.job.counts
    counts[batch.status] -= 1
    counts[status] = counts.get(status, 0) + 1
    batch.status = status


def _batch_started(state: JobState, event: ev.BatchStarted) -> None:
    job = state.job
    batch = _record(state, event.batch)
    state.agenda.take(event.batch)
    _move(state, batch, "running")
    state.agenda.running.add(event.batch)
    batch.phase, batch.mode, batch.attempts, batch.probe = "started", event.mode, event.attempt, event.probe
    batch.due = 0.0
    batch.attempt_at = event.at
    batch.started_at = batch.started_at or event.at
    if batch.run != job.runs:
        batch.run = job.runs
        job.run_batches += 1
    if event.probe and job.limit is not None:
        job.limit.probe = event.batch
    if job.breaker.status == "half_open" and not job.breaker.trial:
        job.breaker.trial = event.batch
    if job.status == "waiting":
        job.status = "running"
        job.waiting_reason, job.waiting_until = "", 0.0


def _preflight(state: JobState, event: ev.BatchPreflight) -> None:
    batch = _record(state, event.batch)
    batch.findings, batch.prompt_tokens = event.findings, event.prompt_tokens


def _opened(state: JobState, event: ev.SessionOpened) -> None:
    batch = state.batches[event.batch]
    batch.phase = "opened"
    batch.session = event
    batch.session_id = event.session_id
    batch.prompt_tokens = event.prompt_tokens
    if batch.baseline is None:
        batch.baseline = event.files


def _finished(state: JobState, event: ev.SessionFinished) -> None:
    job = state.job
    batch = state.batches[event.batch]
    batch.phase = "finished"
    batch.code, batch.message = event.code, event.message
    batch.retry_after, batch.retry_source = event.retry_after, event.retry_source
    batch.exit_code, batch.model, batch.warnings = event.exit_code, event.model or batch.model, event.warnings
    batch.turns += event.turns
    batch.duration += event.duration
    batch.session_id = event.session_id or batch.session_id
    batch.continuable = bool(event.session_id)
    job.duration += event.duration
    _charge(job, batch, event.cost_usd, known=event.cost_usd is not None)
    batch.usage += event.usage
    job.usage += event.usage
    if event.answer_at >= 0:
        batch.answer_at, batch.answer_size = event.answer_at, event.answer_size
        job.answers_end = max(job.answers_end, event.answer_at + event.answer_size)
    if job.limit is not None and job.limit.probe == event.batch and not event.code:
        job.limit.passed = True
    _count_failures(job, event.batch, event.code)


def _charge(job: JobRecord, batch: BatchState, cost: float | None, *, known: bool) -> None:
    batch.cost_usd += cost or 0.0
    job.cost_usd += cost or 0.0
    if not known:
        batch.cost_known = False
        job.unknown_costs += 1


def _count_failures(job: JobRecord, number: int, code: str) -> None:
    """The breaker counts failed attempts in a row; rate limits and unmet rules say nothing about the service."""
    breaker = job.breaker
    category = lookup(code).category if code else None
    if category is Category.RATE_LIMIT:
        return
    is_failure = category not in (None, Category.VALIDATION)
    breaker.failures = breaker.failures + 1 if is_failure else 0
    if breaker.trial == number:
        breaker.verdict = "failed" if is_failure else "passed"


def _adopted(state: JobState, event: ev.SessionAdopted) -> None:
    state.batches[event.batch].phase = "opened"


def _abandoned(state: JobState, event: ev.SessionAbandoned) -> None:
    batch = state.batches[event.batch]
    if batch.phase == "opened":
        _charge(state.job, batch, event.cost_usd, known=event.cost_usd is not None)
    batch.abandoned += 1
    batch.session = None
    batch.reason = event.reason
    _requeue(state, batch, "pending")


def _requeue(state: JobState, batch: BatchState, status: BatchStatus) -> None:
    """The attempt is over and the batch may start again, now or when it is due."""
    number = batch.number
    state.agenda.running.discard(number)
    state.agenda.judged.discard(number)
    batch.phase = ""
    job = state.job
    if job.limit is not None and job.limit.probe == number:
        job.limit.probe = 0
    if job.breaker.trial == number:
        job.breaker.trial = 0
    _move(state, batch, status)
    if status in ("pending", "waiting"):
        state.agenda.queue(batch)


def _judged(state: JobState, event: ev.ValidationPassed | ev.ValidationFailed) -> None:
    batch = state.batches[event.batch]
    batch.phase = "judged"
    batch.session = None
    batch.validation_details = event.results
    batch.code = event.code
    batch.stdout_tail, batch.stderr_tail = event.stdout_tail, event.stderr_tail
    batch.share = _share(event.results)
    if isinstance(event, ev.ValidationPassed):
        batch.validation_passed, batch.message = True, ""
        batch.exit_code_ignored = event.exit_code_ignored
    else:
        batch.validation_passed = False
        batch.message = event.message
        if lookup(event.code).scope is Scope.JOB and state.job.stop is None:
            state.job.stop = Stop("fail", event.message, event.code)
    state.agenda.judged.add(event.batch)


def _share(results: tuple[ev.RuleResult, ...]) -> float:
    """The part of the executed rules that passed; 0 when none was executed."""
    executed = [result for result in results if result.status != "skipped"]
    return sum(result.status != "failed" for result in executed) / len(executed) if executed else 0.0


def _retrying(state: JobState, event: ev.BatchRetrying) -> None:
    batch = state.batches[event.batch]
    batch.retries += 1
    state.job.retries += 1
    batch.mode, batch.due = "retry", event.due
    _requeue(state, batch, "waiting")


def _completing(state: JobState, event: ev.BatchCompleting) -> None:
    batch = state.batches[event.batch]
    batch.completions += 1
    state.job.completions += 1
    batch.mode, batch.due = "completion", event.due
    _requeue(state, batch, "waiting")


def _held_back(state: JobState, event: ev.BatchWaiting) -> None:
    batch = state.batches[event.batch]
    batch.waits += 1
    batch.due = 0.0
    _requeue(state, batch, "waiting")


def _healed(state: JobState, event: ev.BatchHealed) -> None:
    batch = state.batches[event.batch]
    batch.heals += 1
    batch.retries = 0
    batch.mode, batch.due = "healed", event.due
    _requeue(state, batch, "waiting")


def _settle_batch(state: JobState, batch: BatchState, status: BatchStatus, at: float) -> None:
    state.agenda.take(batch.number)
    _requeue(state, batch, status)
    batch.finished_at = at
    batch.due = 0.0
    batch.session = None
    state.job.last_settled_at = at


def _batch_completed(state: JobState, event: ev.BatchCompleted) -> None:
    batch = _record(state, event.batch)
    was_failed = batch.status == "failed"
    _settle_batch(state, batch, "completed", event.at)
    batch.stdout_tail = batch.stdout_tail[-TAIL_OF_COMPLETED:]
    batch.stderr_tail = batch.stderr_tail[-TAIL_OF_COMPLETED:]
    batch.baseline = None
    batch.message = batch.reason = ""
    batch.validation_passed = True
    if not batch.exit_code_ignored:
        batch.code = ""
    state.job.run_completed += 1
    state.job.crashes = 0
    if was_failed:
        state.agenda.blocking.discard(batch.number)
        _unblock_behind(state, batch.number)
    state.agenda.satisfied(batch.number)


def _unblock_behind(state: JobState, number: int) -> None:
    for other in state.batches.values():
        if other.status == "blocked" and other.blocked_by == number:
            _move(state, other, "pending")
            other.blocked_by, other.reason = 0, ""


def _batch_failed(state: JobState, event: ev.BatchFailed) -> None:
    batch = _record(state, event.batch)
    _settle_batch(state, batch, "failed", event.at)
    batch.code, batch.message = event.code, event.message
    state.job.run_failures += 1
    if state.agenda.has_dependents(event.batch):
        state.agenda.blocking.add(event.batch)


def _blocked(state: JobState, event: ev.BatchBlocked) -> None:
    state.agenda.blocking.discard(event.by)
    for number in event.batches:
        batch = _record(state, number)
        state.agenda.take(number)
        _move(state, batch, "blocked")
        batch.blocked_by = event.by
        batch.reason = f"waits for batch {event.by}, which failed"


def _skipped(state: JobState, event: ev.BatchSkipped) -> None:
    if event.last:
        state.job.skipped.append((event.batch, event.last))
        count = event.last - event.batch + 1
        state.job.counts["skipped"] = state.job.counts.get("skipped", 0) + count
        state.agenda.take_range(event.batch, event.last)
        for number in range(event.batch, event.last + 1) if state.job.plan.dependencies else ():
            state.agenda.satisfied(number)
        return
    batch = _record(state, event.batch)
    _settle_batch(state, batch, "skipped", event.at)
    batch.reason = event.reason
    state.agenda.satisfied(event.batch)


# --- limits -----------------------------------------------------------------------------------------------------------


def _limit_hit(state: JobState, event: ev.LimitHit) -> None:
    job = state.job
    if event.number > job.limit_waits:
        job.limit_waits = event.number
        job.backoffs += event.source == "back-off"
        job.run_quota_waits += event.code == "E102"
        job.run_waits += event.code != "E102"
    job.limit = LimitState(event.code, event.until, event.at, event.wait_seconds, event.source, event.message)


def _limit_cleared(state: JobState, event: ev.LimitCleared) -> None:
    state.job.limit = None
    state.job.backoffs = 0
    state.job.cleared_at = event.at


def _breaker_opened(state: JobState, event: ev.BreakerOpened) -> None:
    state.job.breaker = BreakerState("open", event.failures, event.until)


def _half_open(state: JobState, event: ev.BreakerHalfOpen) -> None:
    state.job.breaker.status = "half_open"
    state.job.breaker.trial = 0
    state.job.breaker.verdict = ""


def _breaker_closed(state: JobState, event: ev.BreakerClosed) -> None:
    state.job.breaker = BreakerState()


_HANDLERS: dict[type[ev.Event], Callable[[JobState, Any], None]] = {
    ev.JobPlanned: _planned,
    ev.JobStarted: _started,
    ev.JobResumed: _resumed,
    ev.JobWaiting: _waiting,
    ev.JobPausing: _pausing,
    ev.JobPaused: _paused,
    ev.JobCompleted: _completed,
    ev.JobFailed: _failed,
    ev.JobCancelled: _cancelled,
    ev.ConfigReloaded: _reloaded,
    ev.CostUpdated: _cost_updated,
    ev.BatchStarted: _batch_started,
    ev.BatchPreflight: _preflight,
    ev.BatchRetrying: _retrying,
    ev.BatchCompleting: _completing,
    ev.BatchWaiting: _held_back,
    ev.BatchHealed: _healed,
    ev.BatchCompleted: _batch_completed,
    ev.BatchFailed: _batch_failed,
    ev.BatchBlocked: _blocked,
    ev.BatchSkipped: _skipped,
    ev.ValidationPassed: _judged,
    ev.ValidationFailed: _judged,
    ev.SessionOpened: _opened,
    ev.SessionFinished: _finished,
    ev.SessionAbandoned: _abandoned,
    ev.SessionAdopted: _adopted,
    ev.LimitHit: _limit_hit,
    ev.LimitCleared: _limit_cleared,
    ev.BreakerOpened: _breaker_opened,
    ev.BreakerHalfOpen: _half_open,
    ev.BreakerClosed: _breaker_closed,
}
