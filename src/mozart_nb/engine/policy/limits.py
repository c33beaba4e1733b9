"""Rate limits and the circuit breaker: when nothing, or one attempt only, may start."""

from __future__ import annotations

from mozart_nb import events as ev
from mozart_nb.engine.policy.commands import Command, Record, Rest
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.job.model import JobConfig

FIRST_BACKOFF_SECONDS = 30.0
"""First wait at a request-rate limit that names no time; doubles up to `rate_limit.wait_minutes`."""

RAMP_STEPS = 8
LONGEST_STEP_SECONDS = 1.0
"""After a limit cleared, the number of sessions doubles so often instead of rushing back at once; a step lasts an
eighth of the wait, but a second at most."""


def hold_back(state: JobState, batch: BatchState, config: JobConfig, now: float) -> ev.Event:
    """A refusal closes the gate once; every refused batch then goes back to the queue, with no budget used."""
    job = state.job
    if _is_news(state, batch):
        used, allowed = _waits_used(state, batch.code, config)
        if used >= allowed and job.stop is None:
            name = "max_quota_waits" if batch.code == "E102" else "max_waits"
            reason = f"{used} waits for rate limits are used up (rate_limit.{name})"
            return ev.JobPausing(reason=reason, by="policy", code=batch.code)
        if used < allowed:
            return _limit_hit(state, batch, config, now, number=job.limit_waits + 1)
    elif _names_later_end(state, batch, now):
        return _limit_hit(state, batch, config, now, number=job.limit_waits)
    return ev.BatchWaiting(batch=batch.number, code=batch.code)


def _limit_hit(state: JobState, batch: BatchState, config: JobConfig, now: float, *, number: int) -> ev.Event:
    seconds, source = limit_wait(state, batch, config, now)
    return ev.LimitHit(
        code=batch.code,
        until=now + seconds,
        wait_seconds=seconds,
        source=source,
        number=number,
        message=batch.message,
    )


def _names_later_end(state: JobState, batch: BatchState, now: float) -> bool:
    """A refusal of the same burst may name a later time than the one that was heard first: then that counts."""
    limit = state.job.limit
    named = batch.heard_at + batch.retry_after
    return batch.retry_after > 0 and named > (limit.until if limit is not None else now)


def _is_news(state: JobState, batch: BatchState) -> bool:
    """Whether this refusal says more than the wait that stands already: a burst of refusals is one wait."""
    limit = state.job.limit
    if limit is None:
        return batch.attempt_at >= state.job.cleared_at
    return limit.probe == batch.number or batch.attempt_at > limit.hit_at


def _waits_used(state: JobState, code: str, config: JobConfig) -> tuple[int, int]:
    job = state.job
    if code == "E102":
        return job.run_quota_waits, config.rate_limit.max_quota_waits
    return job.run_waits, config.rate_limit.max_waits


def limit_wait(state: JobState, batch: BatchState, config: JobConfig, now: float) -> tuple[float, str]:
    """How long a rate limit holds the job back (seconds), and where that number comes from.

    A named time comes first, plus a little, because a limit that resets at 2 pm may still refuse at 2:00:00.
    """
    longest = config.rate_limit.wait_minutes * 60
    if batch.retry_after > 0:
        margin = 60.0 if batch.retry_after > 600 else min(5.0, batch.retry_after * 0.1)
        left = max(0.0, batch.heard_at + batch.retry_after - now)  # its host may have died since
        return left + margin, batch.retry_source or "retry-after"
    if batch.code == "E101":
        return min(FIRST_BACKOFF_SECONDS * 2 ** min(state.job.backoffs, 20), longest), "back-off"
    return longest, "rate_limit.wait_minutes"


def is_held(state: JobState, number: int) -> bool:
    """Whether a limit stands that this batch does not probe: what still waits for its turn must not be sent."""
    limit = state.job.limit
    return limit is not None and limit.probe != number and not limit.passed


def clear_limit(state: JobState, config: JobConfig, now: float) -> Command | None:
    limit = state.job.limit
    if limit is not None and limit.passed:
        return Record(ev.LimitCleared(by="probe"))
    return None


# --- the circuit breaker ----------------------------------------------------------------------------------------------


def turn_breaker(state: JobState, config: JobConfig, now: float) -> Command | None:
    policy, breaker = config.circuit_breaker, state.job.breaker
    if not policy.enabled:
        return None
    reopen = breaker.status == "half_open" and breaker.verdict == "failed"
    if reopen or (breaker.status == "closed" and breaker.failures >= policy.failure_threshold):
        return Record(ev.BreakerOpened(until=now + policy.recovery_timeout_seconds, failures=breaker.failures))
    if breaker.status == "half_open" and breaker.verdict == "passed":
        return Record(ev.BreakerClosed())
    return None


# --- starting behind them ------------------------------------------------------------------------------------------


def hold(state: JobState, config: JobConfig, now: float) -> Command | None:
    """A closed gate or an open breaker lets nothing, or one attempt, through."""
    limit, breaker = state.job.limit, state.job.breaker
    if limit is not None:
        if now < limit.until:
            return _wait(state, limit.until, f"{limit.code}: {limit.message}" if limit.message else limit.code)
        if limit.probe:
            return Rest()
    if config.circuit_breaker.enabled and breaker.status == "open":
        if now < breaker.until:
            return _wait(state, breaker.until, f"{breaker.failures} attempts failed in a row")
        return Record(ev.BreakerHalfOpen())
    if breaker.status == "half_open" and breaker.trial:
        return Rest()
    return None


def _wait(state: JobState, until: float, reason: str) -> Command:
    job = state.job
    if not state.agenda.attended and (job.status, job.waiting_until) != ("waiting", until):
        return Record(ev.JobWaiting(until=until, reason=reason))
    return Rest(until)


def ramp(state: JobState, now: float) -> float | None:
    """When the next session may start after a limit cleared; None when it may at once."""
    job = state.job
    step = min(job.cleared_wait / RAMP_STEPS, LONGEST_STEP_SECONDS)
    if not job.cleared_at or step <= 0:
        return None
    steps = max(0, int((now - job.cleared_at) / step + 1e-6))  # whoever wakes on the step counts as past it
    if steps >= RAMP_STEPS or state.agenda.attended < 1 << steps:
        return None
    return job.cleared_at + (steps + 1) * step
