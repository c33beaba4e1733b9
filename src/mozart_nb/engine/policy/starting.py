"""Which batch starts next, and how many may run at once."""

from __future__ import annotations

from mozart_nb import events as ev
from mozart_nb.codes import Scope, lookup
from mozart_nb.engine.policy.commands import Command, Record, Rest, StartAttempt
from mozart_nb.engine.policy.limits import hold, ramp
from mozart_nb.engine.policy.money import over_budget
from mozart_nb.engine.policy.questions import MOST_QUESTIONS
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig

PREPARING_AT_ONCE = 64
"""Attempts that render their prompts at once where answers come hours later; how many wait for those is not limited."""


def skip_before_start(state: JobState, config: JobConfig, now: float) -> Command | None:
    first = state.job.options.start_batch
    number = state.agenda.next_ready() if first > 1 else None
    if number is None or number >= first or number in state.batches:
        return None
    reason = f"before --start-batch {first}"
    if state.agenda.fresh and state.agenda.fresh[-1][0] == number:
        last = min(state.agenda.fresh[-1][1], first - 1)
        return Record(ev.BatchSkipped(batch=number, reason=reason, last=last))
    return Record(ev.BatchSkipped(batch=number, reason=reason))


def start(state: JobState, config: JobConfig, now: float) -> Command | None:
    number, at = _candidate(state, config, now)
    if number is None:
        return Rest(at)
    held = over_budget(state, config, number) or hold(state, config, now)
    if held is not None:
        return held
    batch = state.batches.get(number)
    is_agreed = batch is not None and batch.phase == "agreed"
    if _is_full(state, config) or _may_be_mended(state) or not (is_agreed or _may_ask(state)):
        return Rest()
    later = ramp(state, now)
    if later is not None:
        return Rest(later)
    attempt, mode = (batch.attempts + (not is_agreed), batch.mode) if batch else (1, "first")
    return StartAttempt(number, attempt, mode, probe=state.job.limit is not None, continues=is_agreed)


def _candidate(state: JobState, config: JobConfig, now: float) -> tuple[int | None, float | None]:
    """The batch to start now; if there is none, when there will be one."""
    due = _next_due(state)
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


def _next_due(state: JobState) -> tuple[float, int] | None:
    """The batch that is due first; retries of earlier runs are none of a pilot that has all its batches."""
    while (due := state.agenda.next_due()) is not None and _is_pilot_full(state, due[1]):
        state.agenda.pass_over_due()
    return due


def _is_pilot_full(state: JobState, number: int) -> bool:
    job = state.job
    if not job.options.limit or job.run_batches < job.options.limit:
        return False
    batch = state.batches.get(number)
    return batch is None or batch.run != job.runs


def _is_full(state: JobState, config: JobConfig) -> bool:
    """As many sessions are open as may be. Batches whose rules are still being checked have none any more and hold up
    nobody, but for as many again; where one batch is to follow the other, each waits for the end of the last."""
    most, agenda = concurrency(state, config), state.agenda
    if most == 1 or config.pause_between_batches_seconds:
        return agenda.attended >= most
    return agenda.in_session >= most or agenda.attended >= 2 * most


def _may_ask(state: JobState) -> bool:
    return len(state.job.questions) < MOST_QUESTIONS


def _may_be_mended(state: JobState) -> bool:
    """What ails the whole job is being looked after: another attempt would fail of the same."""
    return any(lookup(state.batches[number].code).scope is Scope.JOB for number in state.agenda.healing)


def concurrency(state: JobState, config: JobConfig) -> int:
    """The most attempts at once, those that wait for an answer from afar not counted."""
    if state.job.backend == "anthropic_batches":
        return PREPARING_AT_ONCE
    most = most_at_once(state, config)
    return state.job.window.within(most) if config.parallel.adaptive else most


def most_at_once(state: JobState, config: JobConfig) -> int:
    """As many as the job file or whoever started the run allows."""
    if state.job.options.max_concurrent:
        return state.job.options.max_concurrent
    return config.parallel.max_concurrent if config.parallel.enabled else 1
