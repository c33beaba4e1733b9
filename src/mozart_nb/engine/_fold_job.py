"""How events of the job as a whole change the state."""

from __future__ import annotations

from typing import Any

from mozart_nb import events as ev
from mozart_nb.engine._fold_questions import withdraw
from mozart_nb.engine._records import Handlers, move, renew
from mozart_nb.engine.adaptive import Window
from mozart_nb.engine.state import BatchState, BreakerState, JobState, Stop
from mozart_nb.job.plan import Plan


def _planned(state: JobState, event: ev.JobPlanned) -> None:
    job = state.job
    job.job_id, job.name, job.description = event.job_id, event.name, event.description
    job.plan, job.seed, job.config_digest = event.plan, event.seed, event.config_digest
    job.format, job.backend, job.created_at = event.format, event.backend, event.at
    job.replaces, job.earlier_usd, job.wording = event.replaces, event.earlier_usd, event.wording
    state.plan = Plan(event.plan)
    state.agenda.rebuild()


def _begin_run(state: JobState, event: ev.JobStarted | ev.JobResumed) -> None:
    job = state.job
    job.status = "running"
    job.run_id, job.host, job.pid, job.options = event.run_id, event.host, event.pid, event.options
    job.runs += 1
    job.asks_anew = job.asks_anew or event.options.fresh
    job.run_started_at, job.finished_at = event.at, 0.0
    job.run_batches = job.run_completed = job.run_failures = 0
    job.run_waits = job.run_quota_waits = 0
    job.window = Window()
    job.remedies = ()
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
        if batch.status == "cancelled" and _is_parked(batch):
            move(state, batch, "running")  # it may have been answered before the cancellation reached the service
            batch.finished_at = 0.0
        elif batch.status == "cancelled" or (batch.status == "failed" and _is_wanted_again(batch, event.options)):
            renew(state, batch)
    for number in tuple(job.questions):
        withdraw(state, state.batches[number], "its host died while a person was asked")
    still_blocked = _behind_failures(state)
    for batch in state.batches.values():
        if batch.status == "blocked" and batch.number not in still_blocked:
            move(state, batch, "pending")
            batch.blocked_by, batch.reason = 0, ""
    state.agenda.rebuild()


def _is_wanted_again(batch: BatchState, options: ev.RunOptions) -> bool:
    if options.keep_failed:
        return False
    return not options.only or any(low <= batch.number <= high for low, high in options.only)


def _is_parked(batch: BatchState) -> bool:
    return batch.phase == "opened" and batch.session is not None and batch.session.parked


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


def _pause_withdrawn(state: JobState, event: ev.JobPauseWithdrawn) -> None:
    state.job.status, state.job.stop = "running", None


def _settle(state: JobState, event: ev.Event, status: Any, reason: str, code: str) -> None:
    job = state.job
    job.status, job.reason, job.code = status, reason, code
    job.finished_at = event.at
    job.waiting_reason, job.waiting_until = "", 0.0
    job.crashes = 0
    for number in tuple(job.questions):
        withdraw(state, state.batches[number], "the job settled")
    if not state.agenda.running:
        job.remotes.clear()  # nobody waits for a result that is in one of them
    for number in (*state.agenda.due_times, *state.agenda.queued):
        batch = state.batches.get(number)
        if batch is not None and batch.status == "waiting":
            move(state, batch, "pending")


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
            move(state, batch, "cancelled")
            batch.finished_at = event.at
            state.agenda.take(batch.number)
            state.agenda.running.discard(batch.number)
            state.agenda.judged.discard(batch.number)
            state.agenda.healing.discard(batch.number)
            state.agenda.parked.discard(batch.number)
            state.agenda.concluding.discard(batch.number)


def _reloaded(state: JobState, event: ev.ConfigReloaded) -> None:
    state.job.config_digest = event.config_digest
    for batch in state.batches.values():
        batch.edited = ""  # what a person wrote instead of a prompt was about the old one
    state.job.plan, state.job.wording = event.plan, event.wording
    state.plan = Plan(event.plan)
    state.agenda.rebuild()


def _cost_updated(state: JobState, event: ev.CostUpdated) -> None:
    """Told to people, once per limit; the cost itself is summed from `session.finished`."""
    state.job.warned_limit = event.limit_usd or 0.0


HANDLERS: Handlers = {
    ev.JobPlanned: _planned,
    ev.JobStarted: _started,
    ev.JobResumed: _resumed,
    ev.JobWaiting: _waiting,
    ev.JobPausing: _pausing,
    ev.JobPauseWithdrawn: _pause_withdrawn,
    ev.JobPaused: _paused,
    ev.JobCompleted: _completed,
    ev.JobFailed: _failed,
    ev.JobCancelled: _cancelled,
    ev.ConfigReloaded: _reloaded,
    ev.CostUpdated: _cost_updated,
}
