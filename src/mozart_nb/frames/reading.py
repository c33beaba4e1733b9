"""Reads the answers of a job from its folder, for frames and exports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from mozart_nb.checkpoint.follow import answer_reader
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.answers import ReadAnswer
from mozart_nb.engine.state import BatchState
from mozart_nb.events import Answer
from mozart_nb.job.plan import Plan
from mozart_nb.plans.frozen import FrozenPlan
from mozart_nb.validation.answer import JsonContract


@contextlib.contextmanager
def reading_answers(layout: Layout, frozen: FrozenPlan, plan: Plan) -> Iterator[ReadAnswer]:
    """A function that reads the last answer of a batch. It raises `CheckpointCorruptError` where there is none.

    The file of the answers stays open meanwhile.
    """
    answer = frozen.loaded.config.answer
    contract = JsonContract.of(answer, frozen.texts) if answer.wants_json else None
    with answer_reader(layout) as read_at:

        def read(batch: BatchState) -> Answer:
            found = read_at(batch.answer_at, batch.answer_size)
            if contract is None or found.data is not None:
                return found
            # Given before its form was asked for, or counted later by `recover`: only its text was kept.
            first, last = plan.items_of(batch.number)
            return msgspec.structs.replace(found, data=contract.read_now(found.text, last - first + 1).data)

        yield read
