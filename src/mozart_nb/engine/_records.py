"""Finding and moving batch records; shared by the parts of the fold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mozart_nb.engine.adaptive import after_start
from mozart_nb.engine.state import BatchState, BatchStatus, JobState
from mozart_nb.events import Event

Handlers = dict[type[Event], Callable[[JobState, Any], None]]
"""Kind of event → what it does to the state."""


def record(state: JobState, number: int) -> BatchState:
    """The record of a batch, made at its first event."""
    batch = state.batches.get(number)
    if batch is None:
        batch = state.batches[number] = BatchState(number)
        state.job.counts["pending"] = state.job.counts.get("pending", 0) + 1
    return batch


def move(state: JobState, batch: BatchState, status: BatchStatus) -> None:
    counts = state.job.counts
    counts[batch.status] -= 1
    counts[status] = counts.get(status, 0) + 1
    batch.status = status


def requeue(state: JobState, batch: BatchState, status: BatchStatus, *, is_queued: bool = True) -> None:
    """The attempt is over, or rests, and the batch may start again, now or when it is due, if it `is_queued`."""
    number = batch.number
    state.agenda.running.discard(number)
    state.agenda.judged.discard(number)
    state.agenda.parked.discard(number)
    state.agenda.concluding.discard(number)
    state.agenda.healing.discard(number)
    batch.phase = ""
    job = state.job
    if job.limit is not None and job.limit.probe == number:
        job.limit.probe = 0
    if job.breaker.trial == number:
        job.breaker.trial = 0
    move(state, batch, status)
    if is_queued and status in ("pending", "waiting"):
        state.agenda.queue(batch)


def renew(state: JobState, batch: BatchState) -> None:
    """A settled batch gets its budgets back."""
    move(state, batch, "pending")
    batch.retries = batch.completions = batch.heals = 0
    batch.beyond_help = False
    batch.answered = None
    batch.due = batch.finished_at = 0.0
    batch.mode = "first" if not batch.attempts else "retry"
    batch.phase = ""


def begin(state: JobState, batch: BatchState, at: float) -> None:
    """An attempt goes to work: the window of sessions grows with it, and it may be the one that tries for all."""
    state.agenda.take(batch.number)
    move(state, batch, "running")
    state.agenda.running.add(batch.number)
    job = state.job
    job.window = after_start(job.window, state.agenda.attended)
    batch.phase, batch.due, batch.attempt_at = "started", 0.0, at
    if batch.run != job.runs:
        batch.run = job.runs
        job.run_batches += 1
    if batch.probe and job.limit is not None:
        job.limit.probe = batch.number
    if job.breaker.status == "half_open" and not job.breaker.trial:
        job.breaker.trial = batch.number
    if job.status == "waiting":
        job.status = "running"
        job.waiting_reason, job.waiting_until = "", 0.0


def drop_question(state: JobState, batch: BatchState) -> None:
    """The batch's question is open no longer."""
    batch.question = None
    if batch.number in state.job.questions:
        state.job.questions.remove(batch.number)
