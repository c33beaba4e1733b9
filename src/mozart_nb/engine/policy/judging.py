"""What becomes of a batch whose attempt was just judged."""

from __future__ import annotations

import random

from mozart_nb import events as ev
from mozart_nb.codes import Category, Scope, lookup
from mozart_nb.engine.policy.commands import Command, Record
from mozart_nb.engine.policy.limits import hold_back
from mozart_nb.engine.policy.questions import escalates, escalation, skip_reason
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.job.model import JobConfig

MOST_HEALINGS = 2
"""Remedies per batch; each gives it a new retry budget."""


def judge(state: JobState, config: JobConfig, now: float) -> Command | None:
    if not state.agenda.judged:
        return None
    batch = state.batches[min(state.agenda.judged)]
    said = batch.answered
    if said is not None and said.action == "skip":
        return Record(ev.BatchSkipped(batch=batch.number, reason=skip_reason(said.question, said.text)))
    decision = decide(state, batch, config, now)
    is_given_up = said is not None and said.action == "abort"
    if isinstance(decision, ev.BatchFailed) and not is_given_up:
        if _may_be_healed(state, batch):
            return Record(ev.BatchHealing(batch=batch.number, number=batch.heals + 1))
        if escalates(state, config, batch):
            return Record(escalation(batch))
    return Record(decision)


def _may_be_healed(state: JobState, batch: BatchState) -> bool:
    may = state.job.options.self_healing and state.job.stop is None
    return may and not batch.beyond_help and batch.heals < MOST_HEALINGS


def decide(state: JobState, batch: BatchState, config: JobConfig, now: float) -> ev.Event:
    """What becomes of a batch whose attempt was just judged, first match first."""
    retry = config.retry
    if batch.validation_passed:
        return ev.BatchCompleted(batch=batch.number)
    code = lookup(batch.code)
    if code.category is Category.RATE_LIMIT:
        return hold_back(state, batch, config, now)
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
    """Something is missing that a completion prompt can name, and enough rules pass or only the answer is at fault."""
    missing = any(result.status == "failed" for result in batch.validation_details)
    if missing and batch.code == "E202":
        return True
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
