"""What the state knows about one batch, copied, and why the batch does not run."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mozart_nb.codes import lookup
from mozart_nb.engine.state import SATISFIED, BatchState, BatchStatus, JobState
from mozart_nb.words import spans, time_of_day

MOST_EARLIER: Final = 200
"""Answers of earlier batches that are remembered, because a prompt may quote them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a batch without reading a file; nothing in it changes when the state does.

    `seq` is the last event that the state knows; `items` are first and last; `earlier` says where answers before it
    stand: batch, offset and size in bytes; `hints` stand at the end of the job's prompts.
    """

    number: int
    seq: int
    status: BatchStatus
    items: tuple[int, int]
    record: BatchState
    reasons: tuple[str, ...]
    earlier: tuple[tuple[int, int, int], ...] = ()
    hints: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: JobState, number: int) -> Facts:
        items = state.plan.items_of(number)
        record = state.batches.get(number)
        record = copy.copy(record) if record is not None else BatchState(number)
        reasons = tuple(_reasons(state, number, record))
        return cls(
            number,
            state.job.seq,
            state.status_of(number),
            items,
            record,
            reasons,
            tuple(_earlier(state, number)),
            state.job.wording.hints,
        )


def _reasons(state: JobState, number: int, record: BatchState) -> Iterator[str]:
    """Why a batch does not run."""
    match state.status_of(number):
        case "skipped":
            yield record.reason or "left out of the run on purpose"
        case "blocked":
            yield record.reason
            first = state.batches.get(record.blocked_by)
            if first is not None and first.code:
                yield f"batch {first.number}: {first.code} {first.message or lookup(first.code).meaning}"
        case "waiting" if record.question is not None:
            yield f"waits for a person's answer: {record.question.text}"
        case "waiting" if record.due:
            yield f"{record.mode} at {time_of_day(record.due)}"
        case "pending" | "waiting":
            yield from _held_back(state, number)


def _held_back(state: JobState, number: int) -> Iterator[str]:
    unmet = [
        other
        for edge in state.plan.upstream(number)
        for other in edge.batches
        if state.status_of(other) not in SATISFIED
    ]
    if unmet:
        yield f"waits for batch{'es' if len(unmet) > 1 else ''} {spans(unmet)}"
    limit = state.job.limit
    if limit is not None:
        yield f"{limit.code} {lookup(limit.code).meaning}: goes on at {time_of_day(limit.until)}"


def _earlier(state: JobState, number: int) -> Iterator[tuple[int, int, int]]:
    """Where the last answers before a batch stand, which its prompt may quote."""
    for other in range(max(1, number - MOST_EARLIER), number):
        batch = state.batches.get(other)
        if batch is not None and batch.status == "completed" and batch.answer_at >= 0:
            yield other, batch.answer_at, batch.answer_size
