"""The answers of a job as a DataFrame that joins on what was asked about."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from mozart_nb.consumers.answers import (
    AnswerRecord,
    AnswerTable,
    ReadAnswer,
    answer_records,
    answer_table,
    has_row_per_item,
)
from mozart_nb.consumers.rows import Dtype
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError
from mozart_nb.frames.typed import frame_of
from mozart_nb.job.model import JobConfig

if TYPE_CHECKING:
    import pandas as pd

_OF_KINDS: Final[Mapping[frozenset[type], Dtype]] = {
    frozenset({int}): "int",
    frozenset({float}): "float",
    frozenset({int, float}): "float",
    frozenset({bool}): "bool",
    frozenset({str}): "str",
}


def answers_frame(
    state: JobState,
    config: JobConfig,
    read: ReadAnswer,
    *,
    schema: Mapping[str, Any] | None = None,
    rows: Sequence[Any] | None = None,
    index: pd.Index[Any] | None = None,
    beside: Iterable[str] = (),
    inputs: Sequence[str] = (),
) -> pd.DataFrame:
    """One row per item in input order, answered or not; columns typed by the schema (`consumers.answers`).

    `index` is that of the DataFrame the items came from, and `beside` are its columns: the frame has that index (name,
    dtype and all) and no column of a name that is taken, so `df.join(answers)` is one line and never adds a row.
    Without `index` items count from 0, as rows do in a file that pandas reads. A job whose batches have several items
    and one answer for all of them has one row per batch, and so has one with a fan-out: then the index is `batch`.

    `inputs` are columns of `rows` to show as well (`consumers.answers.input_columns`); they are typed by their values.
    Raises `MisuseError` when `index` is of something else than the items. Warns of labels that occur twice.
    """
    taken = [*beside, *(str(name) for name in (index.names if index is not None else ()))]
    table = answer_table(config, schema, inputs=inputs, beside=taken)
    records = list(answer_records(state, config, read, rows=rows if inputs else None))
    if inputs:
        table = _with_input_dtypes(table, records)
    frame = frame_of(table.columns, records)
    indexed = _indexed(frame, records, config, index, state.plan.shape.total_items)
    from mozart_nb.frames.shown import Answers  # pandas has been imported by now

    return Answers(indexed)


def _with_input_dtypes(table: AnswerTable, records: Sequence[AnswerRecord]) -> AnswerTable:
    def typed(name: str, of: Any) -> Dtype:
        kinds = frozenset(type(of(record)) for record in records) - {type(None)}
        return _OF_KINDS.get(kinds, "object")

    columns = (
        replace(column, dtype=typed(column.name, column.of)) if column.name in table.inputs else column
        for column in table.columns
    )
    return replace(table, columns=tuple(columns))


def _indexed(
    frame: pd.DataFrame, records: Sequence[AnswerRecord], config: JobConfig, index: pd.Index[Any] | None, items: int
) -> pd.DataFrame:
    import pandas as pd

    if not has_row_per_item(config):
        batches = pd.Index([record.batch for record in records], dtype="int64", name="batch")
        return frame.drop(columns=frame.columns[0]).set_index(batches)  # that is where their numbers stand
    places = [record.first_item - 1 for record in records]
    if index is None:
        return frame.set_index(pd.Index(places, dtype="int64"))
    if records and len(index) < max(items, places[-1] + 1):
        raise MisuseError(
            f"the index has {len(index):,} labels, but the job has {items:,} items",
            hint="join on the DataFrame that the items came from",
        )
    if not index.is_unique:
        warnings.warn(
            "labels of the index occur more than once: `df.join` would multiply rows; use "
            "`pd.concat([df, job.answers()], axis=1)`, or give the items a unique index with `df.reset_index()`",
            stacklevel=3,
        )
    return frame.set_index(index.take(places))
