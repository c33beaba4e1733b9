"""What a request does to a job: the events that answer it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mozart_nb import events as ev
from mozart_nb.engine.asked import Asked, objection, pause_reason
from mozart_nb.engine.ports import Request
from mozart_nb.engine.state import JobState

ASKED_TO_PAUSE: Final = "asked to pause"
"""Why a job is paused of which somebody asked that, and gave no reason."""


def events_for(state: JobState, request: Request) -> Iterator[ev.Event]:
    """The events of a request, each to be applied before the next is asked for; `job.notice` is only told.

    What a job as it is cannot do changes nothing. Letting go of sessions that go on by themselves (`detach`, and
    `handover` where they do) is the driver's; a `handover` that gets here waits for those that run.
    """
    job = state.job
    match request.kind:
        case "cancel":
            yield ev.JobPausing(reason="cancelled", by=request.by, stop="cancel")
        case "pause" if job.stop is None:
            yield ev.JobPausing(reason=request.reason or ASKED_TO_PAUSE, by=request.by)
        case "handover" if job.stop is None:
            yield ev.JobPausing(reason=leaving_reason(request), by=request.by)
        case "resume" if job.stop is not None and job.stop.is_asked:
            yield ev.JobPauseWithdrawn(by=request.by)
        case "retry" if job.stop is None and (failed := _failed(state, request.batches)):
            yield ev.BatchRenewed(batches=failed, by=request.by)
        case "clear_limit" if job.limit is not None:
            yield ev.LimitCleared(by=request.by or "request")
        case "answer":
            for number in dict.fromkeys(request.batches):
                yield from _answer(state, request, number)


def leaving_reason(request: Request) -> str:
    """Why the host lets go of the job."""
    if request.kind != "handover":
        return ""
    return request.reason or f"handed over to {request.by or 'another process'}"


def _failed(state: JobState, wanted: Sequence[int]) -> tuple[int, ...]:
    batches = state.batches
    numbers = dict.fromkeys(wanted) or batches
    return tuple(n for n in numbers if n in batches and batches[n].status == "failed")


def _answer(state: JobState, request: Request, number: int) -> Iterator[ev.Event]:
    """The first answer counts; one that comes too late, or fits no open question, is only told."""
    batch = state.batches.get(number)
    question = batch.question if batch is not None else None
    by = f" by {request.by}" if request.by else ""
    head = f"the answer `{request.action}`{by} for batch {number} changes nothing"
    if question is None:
        yield ev.JobNotice(message=f"{head}: nothing is asked about it")
    elif request.attempt not in (0, question.attempt):
        yield ev.JobNotice(message=f"{head}: what was asked about attempt {request.attempt} is answered already")
    elif why := objection(question, request.action, request.text):
        yield ev.JobNotice(message=f"{head}: {why}")
    else:
        yield from _counted(state, request, number, question)


def _counted(state: JobState, request: Request, number: int, question: Asked) -> Iterator[ev.Event]:
    action, text = request.action, request.text.strip()
    if action == "add" and not text:
        action = "proceed"
    if action == "abort" and question.kind == "confirmation" and state.job.stop is None:
        # First, so that the batch goes back to the queue of a job that starts nothing any more.
        reason = pause_reason(state.job.job_id, number, question.text, text)
        yield ev.JobPausing(reason=reason, by=request.by or "confirmation")
    assert action  # an empty one fits no question
    yield ev.BatchAnswered(batch=number, attempt=question.attempt, action=action, text=text, by=request.by)
