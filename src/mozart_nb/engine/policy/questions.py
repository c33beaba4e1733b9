"""When a person is asked about a batch that is about to fail, and when nobody needs to answer any more."""

from __future__ import annotations

from mozart_nb import events as ev
from mozart_nb.codes import Scope, lookup
from mozart_nb.engine.asked import Asked
from mozart_nb.engine.policy.commands import Command, Record
from mozart_nb.engine.policy.ending import is_stopping
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.job.model import JobConfig

MOST_QUESTIONS = 500
"""So many open questions let no batch begin that might ask one more: nobody answers more, and each takes memory."""

MOST_ESCALATIONS = 2 * MOST_QUESTIONS
"""Beyond so many open questions a batch fails unasked: what a service answers hours later comes by the thousand."""

WITHDRAWN = "stopped before it was sent"


def withdraw(state: JobState, config: JobConfig, now: float) -> Command | None:
    """A job that stops waits for no answer."""
    if not state.job.questions or not is_stopping(state, config):
        return None
    return Record(withdrawn(state, state.job.questions[0], WITHDRAWN))


def withdrawn(state: JobState, number: int, reason: str) -> ev.BatchQuestionWithdrawn:
    """What is journaled when the open question of a batch needs no answer any more."""
    question = state.batches[number].question
    attempt = question.attempt if question is not None else 0
    return ev.BatchQuestionWithdrawn(batch=number, attempt=attempt, reason=reason)


def ask_again(state: JobState, config: JobConfig, now: float) -> Command | None:
    """A batch whose question was withdrawn is asked about as soon as the job goes on."""
    if not state.agenda.unasked or is_stopping(state, config):
        return None
    batch = state.batches[min(state.agenda.unasked)]
    if escalates(state, config, batch):
        return Record(escalation(batch))
    return Record(ev.BatchFailed(batch=batch.number, code=batch.code, message=batch.message))


def escalates(state: JobState, config: JobConfig, batch: BatchState) -> bool:
    """Whether a person is asked before a batch fails: its budgets are used up, and more of them might help."""
    if not (config.checkpoints.escalation or state.job.options.escalation) or state.job.options.recover:
        return False
    if len(state.job.questions) >= MOST_ESCALATIONS:
        return False
    row = lookup(batch.code)
    return row.retriable and row.scope is not Scope.JOB and not is_stopping(state, config)


def escalation(batch: BatchState) -> ev.BatchAsked:
    """The question what becomes of a batch whose budgets are used up."""
    return ev.BatchAsked(
        batch=batch.number,
        attempt=batch.attempts,
        about="escalation",
        mode=batch.mode,
        code=batch.code,
        message=batch.message,
    )


def skip_reason(question: Asked, text: str) -> str:
    """Why a person's answer skips the batch, for its record."""
    where = "at" if question.kind == "confirmation" else "instead of failing:"
    return f"skipped {where} {question.text}" + (f" ({text})" if text else "")
