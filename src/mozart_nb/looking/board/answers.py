"""Pages of a job's answers: so many rows and so many bytes at a time, wherever they begin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.answers import AnswerRecord, answer_records, answer_table
from mozart_nb.engine.state import JobState
from mozart_nb.frames.reading import reading_answers
from mozart_nb.job.answers import schema_of
from mozart_nb.looking.board.shapes import AnswerPage
from mozart_nb.looking.board.watched import Reading
from mozart_nb.looking.details import LARGEST_ANSWER
from mozart_nb.plans.prepared import Prepared

PAGE_BYTES: Final = 1 << 20
"""A page ends behind the batch whose answer reaches this size, however few rows it has then."""

_FAILED: Final = ("failed", "blocked")


def answer_page(
    layout: Layout, reading: Reading, prepared: Prepared, *, first_batch: int, limit: int, only_failed: bool
) -> AnswerPage:
    """Rows from batch `first_batch` on: at most `limit` and at least one batch."""
    state, config, frozen = reading.state, prepared.loaded.config, prepared.frozen
    table = answer_table(config, schema_of(config.answer, frozen.texts))
    records: list[AnswerRecord] = []
    size = following = 0
    with reading_answers(layout, frozen, state.plan) as read:
        for number in _wanted(reading, first_batch, only_failed=only_failed):
            if records and (len(records) >= limit or size >= PAGE_BYTES):
                following = number
                break
            batch = state.batches.get(number)
            bytes_of_answer = batch.answer_size if batch is not None else 0
            if bytes_of_answer > LARGEST_ANSWER:
                records.append(_too_long(state, number, bytes_of_answer))
                continue
            records += answer_records(state, config, read, batches=(number,))
            size += bytes_of_answer
    return AnswerPage(table, tuple(records), following, reading.version)


def _wanted(reading: Reading, first: int, *, only_failed: bool) -> Iterable[int]:
    state = reading.state
    numbers: Iterator[int] = iter(range(max(1, first), state.total + 1))
    return (number for number in numbers if not only_failed or state.status_of(number) in _FAILED)


def _too_long(state: JobState, number: int, size: int) -> AnswerRecord:
    first, last = state.plan.items_of(number)
    message = f"the answer takes {size:,} bytes: too many to be shown here"
    return AnswerRecord(number, first, last, state.status_of(number), message=message)
