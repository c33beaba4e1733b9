"""How events of sessions and of limits change the state."""

from __future__ import annotations

from mozart_nb import events as ev
from mozart_nb.codes import Category, lookup
from mozart_nb.engine import adaptive
from mozart_nb.engine._records import Handlers, requeue
from mozart_nb.engine.state import BatchState, BreakerState, JobRecord, JobState, LimitState
from mozart_nb.events import Usage
from mozart_nb.job.prices import add


def _opened(state: JobState, event: ev.SessionOpened) -> None:
    batch = state.batches[event.batch]
    batch.phase = "opened"
    batch.session = event
    batch.session_id = event.session_id
    batch.prompt_tokens = event.prompt_tokens
    state.job.opened_sessions += 1
    state.job.prompt_tokens += event.prompt_tokens
    if event.parked:
        state.agenda.parked.add(event.batch)
    if batch.baseline is None:
        batch.baseline = event.files


def _finished(state: JobState, event: ev.SessionFinished) -> None:
    job = state.job
    batch = state.batches[event.batch]
    batch.phase = "finished"
    state.agenda.concluding.add(event.batch)
    state.agenda.parked.discard(event.batch)
    batch.code, batch.message = event.code, event.message
    batch.retry_after, batch.retry_source = event.retry_after, event.retry_source
    batch.heard_at = event.at if event.retry_after else 0.0
    batch.exit_code, batch.model, batch.warnings = event.exit_code, event.model or batch.model, event.warnings
    batch.turns += event.turns
    batch.duration += event.duration
    batch.session_id = event.session_id or batch.session_id
    batch.continuable = bool(event.session_id)
    job.duration += event.duration
    _charge(job, batch, event.cost_usd, known=event.cost_usd is not None)
    if event.cost_usd is None and event.usage.total:
        sessions, usage = job.unpriced.get(event.model, (0, Usage()))
        job.unpriced = {**job.unpriced, event.model: (sessions + 1, usage + event.usage)}
    batch.usage += event.usage
    job.usage += event.usage
    job.saved_usd = add(job.saved_usd, event.saved_usd)
    batch.reused = event.reused
    job.reused += event.reused
    batch.is_silent = not event.characters and bool(event.code)
    if event.answer_at >= 0:
        if not batch.is_silent or batch.answer_at < 0:
            batch.answer_at, batch.answer_size = event.answer_at, event.answer_size
        job.answers_end = max(job.answers_end, event.answer_at + event.answer_size)
    if event.reused:
        return  # nothing was asked, so nothing is known of the service
    if job.limit is not None and job.limit.probe == event.batch and not event.code:
        job.limit.passed = True
    if not (event.code and _was_answered_long_ago(job, batch)):
        _count_failures(job, event.batch, event.code)
        _adapt(job, batch, event)


def _adapt(job: JobRecord, batch: BatchState, event: ev.SessionFinished) -> None:
    """A probe that is refused tells only that the wait is not over."""
    if batch.probe and event.code:
        return
    job.window = adaptive.after_session(job.window, event.code, event.message, began_at=batch.attempt_at, now=event.at)


def _was_answered_long_ago(job: JobRecord, batch: BatchState) -> bool:
    """What a remote batch held says nothing about how the service is now; that it took the batch did."""
    if batch.session is None or not batch.session.parked:
        return False
    return any(remote.remote_id and remote.holds(batch.number) for remote in job.remotes.values())


def _charge(job: JobRecord, batch: BatchState, cost: float | None, *, known: bool) -> None:
    batch.cost_usd = add(batch.cost_usd, cost or 0.0)
    job.cost_usd = add(job.cost_usd, cost or 0.0)
    job.paid_sessions += bool(cost)
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
    if batch.phase in ("started", "opened"):
        _charge(state.job, batch, event.cost_usd, known=event.cost_usd is not None)
    batch.abandoned += 1
    batch.session = None
    batch.reason = event.reason
    requeue(state, batch, "pending")


def _limit_hit(state: JobState, event: ev.LimitHit) -> None:
    job = state.job
    if event.number > job.limit_waits:
        job.limit_waits = event.number
        job.backoffs += event.source == "back-off"
        job.run_quota_waits += event.code == "E102"
        job.run_waits += event.code != "E102"
    job.limit = LimitState(event.code, event.until, event.at, event.wait_seconds, event.source, event.message)


def _limit_cleared(state: JobState, event: ev.LimitCleared) -> None:
    job = state.job
    job.cleared_wait = job.limit.wait_seconds if job.limit is not None else 0.0
    job.limit = None
    job.backoffs = 0
    job.cleared_at = event.at


def _breaker_opened(state: JobState, event: ev.BreakerOpened) -> None:
    state.job.breaker = BreakerState("open", event.failures, event.until)


def _half_open(state: JobState, event: ev.BreakerHalfOpen) -> None:
    state.job.breaker.status = "half_open"
    state.job.breaker.trial = 0
    state.job.breaker.verdict = ""


def _breaker_closed(state: JobState, event: ev.BreakerClosed) -> None:
    state.job.breaker = BreakerState()


HANDLERS: Handlers = {
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
