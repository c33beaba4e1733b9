"""The fold: how each event changes the state. Nothing else changes it."""

from __future__ import annotations

from collections.abc import Iterable

from mozart_nb import events as ev
from mozart_nb.engine import _fold_batch, _fold_isolation, _fold_job, _fold_questions, _fold_remote, _fold_session
from mozart_nb.engine._records import Handlers
from mozart_nb.engine.state import JobState

_HANDLERS: Handlers = {
    **_fold_job.HANDLERS,
    **_fold_batch.HANDLERS,
    **_fold_session.HANDLERS,
    **_fold_questions.HANDLERS,
    **_fold_remote.HANDLERS,
    **_fold_isolation.HANDLERS,
}


def apply(state: JobState, event: ev.Event) -> None:
    """Change `state` by one event; the only mutation there is.

    Raises `ValueError` when the event does not follow the state: a gap in `seq`, a kind that state knows nothing of.
    """
    job = state.job
    if event.seq != job.seq + 1:
        raise ValueError(f"event {event.seq} does not follow {job.seq}")
    handler = _HANDLERS.get(type(event))
    if handler is None:
        raise ValueError(f"{ev.kind_of(event)} is not journaled")
    job.seq = event.seq
    job.at = max(job.at, event.at)
    handler(state, event)


def fold(events: Iterable[ev.Event], state: JobState | None = None) -> JobState:
    """Apply `events` in order to `state` (a new one by default) and return it."""
    state = state or JobState()
    for event in events:
        apply(state, event)
    return state
