"""How questions to a person and their answers change the state."""

from __future__ import annotations

from mozart_nb import events as ev
from mozart_nb.engine._records import Handlers, begin, drop_question, move, requeue
from mozart_nb.engine.asked import Answered, Asked
from mozart_nb.engine.state import BatchState, JobState


def _asked(state: JobState, event: ev.BatchAsked) -> None:
    batch = state.batches[event.batch]
    requeue(state, batch, "waiting", is_queued=False)
    state.agenda.unasked.discard(event.batch)
    batch.phase, batch.due = "asked", 0.0
    batch.question = Asked(
        attempt=event.attempt,
        kind=event.about,
        mode=event.mode,
        triggers=event.triggers,
        message=event.message,
        code=event.code,
        prompt=event.prompt,
        prompt_hash=event.prompt_hash,
        asked_at=event.at,
    )
    state.job.questions.append(event.batch)


def _answered(state: JobState, event: ev.BatchAnswered) -> None:
    batch = state.batches[event.batch]
    question = batch.question
    if question is None:
        return  # a journal of a newer version may know of answers to other questions
    drop_question(state, batch)
    batch.answered = Answered(event.action, question, event.text, event.by)
    if event.action == "retry":
        _give_budgets(state, batch, event.text)
    elif event.action == "skip" or question.kind == "escalation":
        _decide(state, batch)
    elif event.action == "abort":
        _send_back(state, batch, "not confirmed")
    else:
        batch.phase = "agreed"
        state.agenda.queue(batch)


def _give_budgets(state: JobState, batch: BatchState, edited: str) -> None:
    batch.retries = batch.completions = batch.heals = 0
    batch.beyond_help = False
    batch.escalations += 1
    batch.edited = edited or batch.edited
    batch.mode, batch.phase = "retry", ""
    batch.answered = None
    state.agenda.queue(batch)


def _decide(state: JobState, batch: BatchState) -> None:
    """What was said settles the batch: the policy says how."""
    move(state, batch, "running")
    batch.phase = "judged"
    for those in (state.agenda.running, state.agenda.concluding, state.agenda.judged):
        those.add(batch.number)


def _send_back(state: JobState, batch: BatchState, reason: str) -> None:
    """The attempt never began its session: it used no budget, and the batch starts again as a new one."""
    batch.abandoned += 1
    batch.reason = reason
    batch.answered = None
    requeue(state, batch, "pending")


def _continued(state: JobState, event: ev.BatchContinued) -> None:
    batch = state.batches[event.batch]
    batch.probe = event.probe
    begin(state, batch, event.at)


def _withdrawn(state: JobState, event: ev.BatchQuestionWithdrawn) -> None:
    withdraw(state, state.batches[event.batch], event.reason)


def withdraw(state: JobState, batch: BatchState, reason: str) -> None:
    """Nobody answers any more. What was to be confirmed starts again, what was to fail is asked about again."""
    question = batch.question
    if question is None:
        return
    drop_question(state, batch)
    if question.kind == "confirmation":
        _send_back(state, batch, reason)
    else:
        move(state, batch, "pending")
        batch.phase = "asked"
        state.agenda.queue(batch)


HANDLERS: Handlers = {
    ev.BatchAsked: _asked,
    ev.BatchAnswered: _answered,
    ev.BatchContinued: _continued,
    ev.BatchQuestionWithdrawn: _withdrawn,
}
