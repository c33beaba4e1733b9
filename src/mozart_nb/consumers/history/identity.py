"""Which journal a history row comes from, and which batches an event may have changed. Imports no database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mozart_nb import events as ev
from mozart_nb.engine.state import JobRecord

SETTLING: Final = (ev.JobPaused, ev.JobCompleted, ev.JobFailed, ev.JobCancelled)
"""Events with which a run ends."""

SWEEPING: Final = (ev.JobResumed, ev.BatchRenewed, *SETTLING)
"""Events that change batches which they do not name."""


def journal_of(job: JobRecord) -> str:
    """What tells this journal from every other one: its seed and when it was begun. "" for a job without events."""
    return identity_text(job.seed, job.created_at) if job.seq else ""


def identity_text(seed: int, planned_at: float) -> str:
    """The same from the first event of a journal."""
    return f"{seed:08x}@{planned_at:.3f}"


def named_by(event: ev.Event) -> Iterable[int]:
    """The batches that an event names."""
    if isinstance(event, ev.BatchBlocked | ev.BatchRenewed):
        return event.batches
    if isinstance(event, ev.BatchSkipped) and event.last:
        return ()  # untouched batches, which have no record
    number: int = getattr(event, "batch", 0)
    return (number,) if number else ()


SWEPT: Final = frozenset({"pending", "running", "cancelled"})
"""What batches have become that such an event may have changed."""


def sweeps(event: ev.Event) -> bool:
    """Whether an event may also change batches that it does not name: those behind a batch, or waiting ones."""
    return isinstance(event, SWEEPING) or (isinstance(event, ev.BatchCompleted) and event.recovered)
