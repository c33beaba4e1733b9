"""How events of batches change the state."""

from __future__ import annotations

from mozart_nb import events as ev
from mozart_nb.codes import Category, Scope, lookup
from mozart_nb.engine._records import Handlers, begin, drop_question, move, record, renew, requeue
from mozart_nb.engine.state import BatchState, BatchStatus, JobState, Stop

TAIL_OF_COMPLETED = 500
"""Characters of output kept in state for a batch that completed."""


def _batch_started(state: JobState, event: ev.BatchStarted) -> None:
    batch = record(state, event.batch)
    batch.mode, batch.attempts, batch.probe = event.mode, event.attempt, event.probe
    begin(state, batch, event.at)
    batch.started_at = batch.started_at or event.at


def _preflight(state: JobState, event: ev.BatchPreflight) -> None:
    batch = record(state, event.batch)
    batch.findings, batch.prompt_tokens = event.findings, event.prompt_tokens


def _judged(state: JobState, event: ev.ValidationPassed | ev.ValidationFailed) -> None:
    batch = state.batches[event.batch]
    batch.phase = "judged"
    batch.session = None
    state.agenda.parked.discard(event.batch)
    state.agenda.concluding.add(event.batch)
    batch.code = event.code
    batch.stdout_tail, batch.stderr_tail = event.stdout_tail, event.stderr_tail
    if event.results or not _says_nothing_about_work(event.code):
        batch.validation_details, batch.share = event.results, _share(event.results)
    if isinstance(event, ev.ValidationPassed):
        batch.validation_passed, batch.message = True, ""
        batch.exit_code_ignored = event.exit_code_ignored
    else:
        batch.validation_passed = False
        batch.message = event.message
        batch.beyond_help = False
        if not state.job.options.self_healing or lookup(event.code).pauses:
            _stop_job_for(state, event.code, event.message)
    state.agenda.judged.add(event.batch)


def _stop_job_for(state: JobState, code: str, message: str) -> None:
    """A failure that concerns the whole job lets nothing more begin."""
    if lookup(code).scope is Scope.JOB and state.job.stop is None:
        state.job.stop = Stop("fail", message, code)


def _says_nothing_about_work(code: str) -> bool:
    """A refused session did nothing: what the rules found before still stands, and the next prompt names it."""
    row = lookup(code) if code else None
    return row is not None and (row.category is Category.RATE_LIMIT or row.pauses)


def _share(results: tuple[ev.RuleResult, ...]) -> float:
    """The part of the executed rules that passed; 0 when none was executed."""
    executed = [result for result in results if result.status != "skipped"]
    return sum(result.status != "failed" for result in executed) / len(executed) if executed else 0.0


def _retrying(state: JobState, event: ev.BatchRetrying) -> None:
    batch = state.batches[event.batch]
    batch.retries += 1
    state.job.retries += 1
    batch.mode, batch.due, batch.answered = "retry", event.due, None
    requeue(state, batch, "waiting")


def _completing(state: JobState, event: ev.BatchCompleting) -> None:
    batch = state.batches[event.batch]
    batch.completions += 1
    state.job.completions += 1
    batch.mode, batch.due, batch.answered = "completion", event.due, None
    requeue(state, batch, "waiting")


def _held_back(state: JobState, event: ev.BatchWaiting) -> None:
    batch = state.batches[event.batch]
    batch.waits += 1
    batch.due = 0.0
    requeue(state, batch, "waiting")


def _healing(state: JobState, event: ev.BatchHealing) -> None:
    batch = state.batches[event.batch]
    batch.heals = event.number
    batch.phase = "healing"
    state.agenda.judged.discard(event.batch)
    state.agenda.healing.add(event.batch)


def _healed(state: JobState, event: ev.BatchHealed) -> None:
    said = ": ".join(part for part in (event.remedy, event.guidance) if part)
    if not event.batch:
        state.job.remedies = (*state.job.remedies, said)
        return
    batch = state.batches[event.batch]
    state.agenda.healing.discard(event.batch)
    batch.remedies = (*batch.remedies, said) if said else batch.remedies
    if not event.remedy:
        batch.phase, batch.beyond_help = "judged", True
        state.agenda.judged.add(event.batch)
        return
    batch.retries = 0
    batch.mode, batch.due, batch.answered = "healed", event.due, None
    requeue(state, batch, "waiting")


def _settle_batch(state: JobState, batch: BatchState, status: BatchStatus, at: float) -> None:
    state.agenda.take(batch.number)
    drop_question(state, batch)
    batch.answered = None
    requeue(state, batch, status)
    batch.finished_at = at
    batch.due = 0.0
    batch.session = None
    state.job.last_settled_at = at


def _batch_completed(state: JobState, event: ev.BatchCompleted) -> None:
    batch = record(state, event.batch)
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
    if was_failed and state.agenda.has_dependents(batch.number):
        state.agenda.blocking.discard(batch.number)
        _unblock_behind(state, batch.number)
    state.agenda.satisfied(batch.number)


def _unblock_behind(state: JobState, number: int) -> None:
    for other in state.batches.values():
        if other.status == "blocked" and other.blocked_by == number:
            move(state, other, "pending")
            other.blocked_by, other.reason = 0, ""
    # Some of them may wait for another failed batch as well.
    for other in state.batches.values():
        if other.status == "failed" and state.agenda.downstream(other.number):
            state.agenda.blocking.add(other.number)


def _batch_failed(state: JobState, event: ev.BatchFailed) -> None:
    batch = record(state, event.batch)
    _settle_batch(state, batch, "failed", event.at)
    batch.code, batch.message = event.code, event.message
    _stop_job_for(state, event.code, event.message)
    state.job.run_failures += 1
    if state.agenda.downstream(event.batch):
        state.agenda.blocking.add(event.batch)


def _blocked(state: JobState, event: ev.BatchBlocked) -> None:
    state.agenda.blocking.discard(event.by)
    for number in event.batches:
        batch = record(state, number)
        state.agenda.take(number)
        move(state, batch, "blocked")
        batch.blocked_by = event.by
        batch.reason = f"waits for batch {event.by}, which failed"


def _renewed(state: JobState, event: ev.BatchRenewed) -> None:
    for number in event.batches:
        batch = state.batches[number]
        if batch.finished_at >= state.job.run_started_at:  # it failed in this run, whenever its session began
            state.job.run_failures -= 1
        renew(state, batch)
    freed = set(event.batches)
    for batch in state.batches.values():
        if batch.status == "blocked" and batch.blocked_by in freed:
            move(state, batch, "pending")
            batch.blocked_by, batch.reason = 0, ""
    state.agenda.rebuild()  # a person's doing: it may look at every batch


def _skipped(state: JobState, event: ev.BatchSkipped) -> None:
    if event.last:
        state.job.skipped.append((event.batch, event.last))
        count = event.last - event.batch + 1
        state.job.counts["skipped"] = state.job.counts.get("skipped", 0) + count
        state.agenda.take_range(event.batch, event.last)
        for number in range(event.batch, event.last + 1) if state.job.plan.dependencies else ():
            state.agenda.satisfied(number)
        return
    batch = record(state, event.batch)
    _settle_batch(state, batch, "skipped", event.at)
    batch.reason = event.reason
    state.agenda.satisfied(event.batch)


HANDLERS: Handlers = {
    ev.BatchStarted: _batch_started,
    ev.BatchPreflight: _preflight,
    ev.BatchRetrying: _retrying,
    ev.BatchCompleting: _completing,
    ev.BatchWaiting: _held_back,
    ev.BatchHealing: _healing,
    ev.BatchHealed: _healed,
    ev.BatchCompleted: _batch_completed,
    ev.BatchFailed: _batch_failed,
    ev.BatchBlocked: _blocked,
    ev.BatchRenewed: _renewed,
    ev.BatchSkipped: _skipped,
    ev.ValidationPassed: _judged,
    ev.ValidationFailed: _judged,
}
