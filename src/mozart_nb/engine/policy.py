"""What must happen next: a pure function of state, config and time.

`step` returns one command at a time; the driver carries it out (which changes the state) and asks again until it is
told to rest. It depends on nothing but its arguments, so a resumed job needs no special case, and it looks only at the
next few batches of the agenda, so its cost does not grow with the job.

Bounded by construction: every decision that leads to another attempt uses one unit of a budget, waits for a limit or
refunds an attempt that its host's death took away.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from mozart_nb import events as ev
from mozart_nb.codes import Category, Scope, lookup
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.job.model import JobConfig

CRASHES_IN_A_ROW = 5
"""So many runs that ended without settling, and without one completed batch between them, pause the job."""

FIRST_BACKOFF_SECONDS = 30.0
"""First wait at a request-rate limit that names no time; doubles up to `rate_limit.wait_minutes`."""

RAMP_SECONDS = 8.0
"""After a limit cleared, the number of sessions doubles every second for so long instead of rushing back at once."""


@dataclass(frozen=True, slots=True)
class Record:
    """Journal this event."""

    event: ev.Event


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Journal `batch.started`, then begin the attempt. `probe`: it tries whether the account's limit is over."""

    batch: int
    attempt: int
    mode: ev.Mode
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before `until` (epoch seconds), or before something arrives if None."""

    until: float | None = None


Command = Record | StartAttempt | Rest
Question = Callable[[JobState, JobConfig, float], Command | None]


def step(state: JobState, config: JobConfig, now: float) -> Command:
    """The next command. `now` is the journal's clock in epoch seconds."""
    for question in _QUESTIONS:
        command = question(state, config, now)
        if command is not None:
            return command
    return Rest()


def _is_over(state: JobState, config: JobConfig, now: float) -> Command | None:
    return Rest() if state.is_settled else None


# --- batches that were judged -----------------------------------------------------------------------------------------


def _judge(state: JobState, config: JobConfig, now: float) -> Command | None:
    if not state.agenda.judged:
        return None
    batch = state.batches[min(state.agenda.judged)]
    return Record(decide(state, batch, config, now))


def decide(state: JobState, batch: BatchState, config: JobConfig, now: float) -> ev.Event:
    """What becomes of a batch whose attempt was just judged, first match first."""
    retry = config.retry
    if batch.validation_passed:
        return ev.BatchCompleted(batch=batch.number)
    code = lookup(batch.code)
    if code.category is Category.RATE_LIMIT:
        return _hold_back(state, batch, config, now)
    if code.pauses:
        return ev.BatchWaiting(batch=batch.number, code=batch.code)
    if code.scope is Scope.JOB or not code.retriable:
        return ev.BatchFailed(batch=batch.number, code=batch.code, message=batch.message)
    if _is_worth_completing(batch, config) and batch.completions < retry.max_completion_attempts:
        delay = retry.completion_delay_seconds
        return ev.BatchCompleting(batch=batch.number, due=now + delay, delay=delay, number=batch.completions + 1)
    if batch.retries < retry.max_retries:
        delay = max(backoff(config, state.job.seed, batch), batch.retry_after)
        return ev.BatchRetrying(
            batch=batch.number, due=now + delay, delay=delay, number=batch.retries + 1, code=batch.code
        )
    return ev.BatchFailed(batch=batch.number, code=batch.code, message=batch.message)


def _is_worth_completing(batch: BatchState, config: JobConfig) -> bool:
    """Some rules pass, enough of them, and something is missing that a completion prompt can name."""
    missing = any(result.status == "failed" for result in batch.validation_details)
    return missing and batch.share > 0 and batch.share * 100 >= config.retry.completion_threshold_percent


def backoff(config: JobConfig, seed: int, batch: BatchState) -> float:
    """Seconds before the next retry of `batch`; the same for the same seed, batch and attempt."""
    retry = config.retry
    exponent = min(batch.retries, 1000)  # beyond that a float overflows, and every maximum is long reached
    try:
        delay = min(retry.base_delay_seconds * retry.exponential_base**exponent, retry.max_delay_seconds)
    except OverflowError:
        delay = retry.max_delay_seconds
    if retry.jitter:
        delay *= 0.5 + random.Random(f"{seed}:{batch.number}:{batch.attempts}").random()
    return delay


# --- rate limits ------------------------------------------------------------------------------------------------------


def _hold_back(state: JobState, batch: BatchState, config: JobConfig, now: float) -> ev.Event:
    """A refusal closes the gate once; every refused batch then goes back to the queue, with no budget used."""
    job = state.job
    if _is_news(state, batch):
        used, allowed = _waits_used(state, batch.code, config)
        if used >= allowed and job.stop is None:
            name = "max_quota_waits" if batch.code == "E102" else "max_waits"
            reason = f"{used} waits for rate limits are used up (rate_limit.{name})"
            return ev.JobPausing(reason=reason, by="policy", code=batch.code)
        if used < allowed:
            seconds, source = limit_wait(state, batch, config)
            return ev.LimitHit(
                code=batch.code,
                until=now + seconds,
                wait_seconds=seconds,
                source=source,
                number=job.limit_waits + 1,
                message=batch.message,
            )
    return ev.BatchWaiting(batch=batch.number, code=batch.code)


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


def limit_wait(state: JobState, batch: BatchState, config: JobConfig) -> tuple[float, str]:
    """How long a rate limit holds the job back (seconds), and where that number comes from.

    A named time comes first, plus a little, because a limit that resets at 2 pm may still refuse at 2:00:00.
    """
    longest = config.rate_limit.wait_minutes * 60
    if batch.retry_after > 0:
        margin = 60.0 if batch.retry_after > 600 else min(5.0, batch.retry_after * 0.1)
        return batch.retry_after + margin, batch.retry_source or "retry-after"
    if batch.code == "E101":
        return min(FIRST_BACKOFF_SECONDS * 2 ** min(state.job.backoffs, 20), longest), "back-off"
    return longest, "rate_limit.wait_minutes"


def _clear_limit(state: JobState, config: JobConfig, now: float) -> Command | None:
    limit = state.job.limit
    if limit is not None and limit.passed:
        return Record(ev.LimitCleared(by="probe"))
    return None


# --- the circuit breaker ----------------------------------------------------------------------------------------------


def _turn_breaker(state: JobState, config: JobConfig, now: float) -> Command | None:
    policy, breaker = config.circuit_breaker, state.job.breaker
    if not policy.enabled:
        return None
    reopen = breaker.status == "half_open" and breaker.verdict == "failed"
    if reopen or (breaker.status == "closed" and breaker.failures >= policy.failure_threshold):
        return Record(ev.BreakerOpened(until=now + policy.recovery_timeout_seconds, failures=breaker.failures))
    if breaker.status == "half_open" and breaker.verdict == "passed":
        return Record(ev.BreakerClosed())
    return None


# --- the end of a run -------------------------------------------------------------------------------------------------


def _tell_dependents(state: JobState, config: JobConfig, now: float) -> Command | None:
    if not state.agenda.blocking:
        return None
    failed = min(state.agenda.blocking)
    return Record(ev.BatchBlocked(batches=tuple(state.agenda.downstream(failed)), by=failed))


def _stop(state: JobState, config: JobConfig, now: float) -> Command | None:
    """No new attempts once somebody asked or the job as a whole has failed; settle when the last one is over."""
    job = state.job
    if job.stop is None and job.crashes >= CRASHES_IN_A_ROW:
        reason = f"the host died {job.crashes} times in a row without completing a batch"
        return Record(ev.JobPausing(reason=reason, by="policy"))
    if not is_stopping(state, config):
        return None
    if state.agenda.running:
        return Rest()
    if job.stop is None:
        return Record(ev.JobFailed(reason=_failures_text(state), code=_first_failure(state)))
    if job.stop.kind == "cancel":
        return Record(ev.JobCancelled(by=job.stop.by))
    if job.stop.kind == "pause" and not _left(state):
        return None  # it came too late: everything is done
    if job.stop.kind == "pause" or lookup(job.stop.code).pauses:
        return Record(ev.JobPaused(reason=job.stop.reason, code=job.stop.code))
    return Record(ev.JobFailed(reason=job.stop.reason, code=job.stop.code))


def is_stopping(state: JobState, config: JobConfig) -> bool:
    """Whether no new attempts are to begin."""
    return state.job.stop is not None or bool(config.parallel.fail_fast and state.job.run_failures)


def _failures_text(state: JobState) -> str:
    failed = [batch for batch in state.batches.values() if batch.status == "failed"]
    named = ", ".join(f"{batch.number} ({batch.code})" for batch in failed[:5])
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    word = "batch" if len(failed) == 1 else "batches"
    text = f"{len(failed)} {word} failed: {named}{more}"
    blocked = state.count("blocked")
    return f"{text}; {blocked} blocked behind them" if blocked else text


def _first_failure(state: JobState) -> str:
    return next((batch.code for batch in state.batches.values() if batch.status == "failed"), "")


def _settle(state: JobState, config: JobConfig, now: float) -> Command | None:
    agenda = state.agenda
    if agenda.running:
        return None
    if not _pilot_is_over(state) and (agenda.next_ready() is not None or agenda.next_due() is not None):
        return None
    if state.count("failed"):
        return Record(ev.JobFailed(reason=_failures_text(state), code=_first_failure(state)))
    left = _left(state)
    if not left:
        return Record(ev.JobCompleted())
    word = "batch is" if left == 1 else "batches are"
    return Record(ev.JobPaused(reason=f"what was asked for is done; {left} {word} left"))


def _left(state: JobState) -> int:
    """Batches that are neither completed nor skipped."""
    return state.total - state.count("completed") - state.count("skipped")


def _pilot_is_over(state: JobState) -> bool:
    """The run was asked for so many batches only, and no batch it began is still to be finished."""
    job, agenda = state.job, state.agenda
    if not job.options.limit or job.run_batches < job.options.limit:
        return False
    return not any(
        state.batches[number].run == job.runs
        for number in (*agenda.queued, *agenda.due_times)
        if number in state.batches
    )


# --- starting ---------------------------------------------------------------------------------------------------------


def _skip_before_start(state: JobState, config: JobConfig, now: float) -> Command | None:
    first = state.job.options.start_batch
    number = state.agenda.next_ready() if first > 1 else None
    if number is None or number >= first or number in state.batches:
        return None
    reason = f"before --start-batch {first}"
    if state.agenda.fresh and state.agenda.fresh[-1][0] == number:
        last = min(state.agenda.fresh[-1][1], first - 1)
        return Record(ev.BatchSkipped(batch=number, reason=reason, last=last))
    return Record(ev.BatchSkipped(batch=number, reason=reason))


def _start(state: JobState, config: JobConfig, now: float) -> Command | None:
    number, at = _candidate(state, config, now)
    if number is None:
        return Rest(at)
    held = _hold(state, config, now)
    if held is not None:
        return held
    if len(state.agenda.running) >= concurrency(state, config):
        return Rest()
    ramp = _ramp(state, now)
    if ramp is not None:
        return Rest(ramp)
    batch = state.batches.get(number)
    attempt, mode = (batch.attempts + 1, batch.mode) if batch else (1, "first")
    return StartAttempt(number, attempt, mode, probe=state.job.limit is not None)


def _candidate(state: JobState, config: JobConfig, now: float) -> tuple[int | None, float | None]:
    """The batch to start now; if there is none, when there will be one."""
    due = state.agenda.next_due()
    if due is not None and due[0] <= now:
        return due[1], None
    wake = due[0] if due else None
    number = state.agenda.next_ready()
    if number is None or (_is_pilot_full(state, number)):
        return None, wake
    rest_over = state.job.last_settled_at + config.pause_between_batches_seconds
    if config.pause_between_batches_seconds and state.job.last_settled_at and now < rest_over:
        return None, rest_over if wake is None else min(wake, rest_over)
    return number, None


def _is_pilot_full(state: JobState, number: int) -> bool:
    job = state.job
    if not job.options.limit or job.run_batches < job.options.limit:
        return False
    batch = state.batches.get(number)
    return batch is None or batch.run != job.runs


def concurrency(state: JobState, config: JobConfig) -> int:
    """The most attempts at once."""
    if state.job.options.max_concurrent:
        return state.job.options.max_concurrent
    return config.parallel.max_concurrent if config.parallel.enabled else 1


def _hold(state: JobState, config: JobConfig, now: float) -> Command | None:
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
    if not state.agenda.running and (job.status, job.waiting_until) != ("waiting", until):
        return Record(ev.JobWaiting(until=until, reason=reason))
    return Rest(until)


def _ramp(state: JobState, now: float) -> float | None:
    """When the next session may start after a limit cleared; None when it may at once."""
    elapsed = now - state.job.cleared_at
    if not state.job.cleared_at or elapsed >= RAMP_SECONDS:
        return None
    allowed = 1 << max(0, int(elapsed))
    if len(state.agenda.running) < allowed:
        return None
    return state.job.cleared_at + int(elapsed) + 1


_QUESTIONS: tuple[Question, ...] = (
    _is_over,
    _judge,
    _clear_limit,
    _turn_breaker,
    _tell_dependents,
    _stop,
    _skip_before_start,
    _settle,
    _start,
)
"""Asked in this order; the first that has an answer decides."""
