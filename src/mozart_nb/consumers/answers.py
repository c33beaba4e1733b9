"""The answers of a job as rows: one per item, in input order, with columns typed by the schema of the answer.

Where a batch has several items and one answer for all of them (no `per_item`), there is one row per batch: the same
answer at each of its items would say something about them that nobody said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from mozart_nb.consumers.rows import BATCH_STATUSES, ERROR_CODES, Column, Dtype
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.events import Answer
from mozart_nb.job.model import JobConfig

ReadAnswer = Callable[[BatchState], Answer]
"""The last answer of a batch that has one."""

ANSWER: Final = "answer"
"""The column of answers that have no keys of their own: text, or JSON without a schema of an object."""

OF_ROW: Final = "item_"
OF_ANSWER: Final = "answer_"
"""Put before names of input columns and keys that another column has already."""


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One row: an item, or a batch of several. `value` is the data or text, None where there is no good answer.

    `row` is the row that was asked about, None for a job without `items`.
    """

    batch: int
    first_item: int
    last_item: int
    status: str
    stage: int = 0
    instance: int = 0
    value: Any = None
    code: str = ""
    message: str = ""
    reused: bool = False
    row: Any = None


AnswerColumn = Column[AnswerRecord]


@dataclass(frozen=True)
class AnswerTable:
    """The columns of a job's answers. `schemas` has the JSON Schema of those that are keys of the answer."""

    columns: tuple[AnswerColumn, ...]
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    """Keys of the answer that have columns; empty where the answer is one column."""
    answers: tuple[str, ...] = ()
    """Names of the columns that hold the answer."""
    inputs: tuple[str, ...] = ()
    """Names of the columns that come from the input rows."""

    def row_of(self, record: AnswerRecord) -> dict[str, Any]:
        """`record` as plain data."""
        return {column.name: column.of(record) for column in self.columns}

    def unnamed(self, record: AnswerRecord) -> list[str]:
        """Keys of this answer that the schema does not name, so that they have no column."""
        if not self.keys or not isinstance(record.value, dict):
            return []
        return [key for key in record.value if key not in self.keys]


def answer_table(
    config: JobConfig,
    schema: Mapping[str, Any] | None,
    *,
    inputs: Sequence[str] = (),
    beside: Iterable[str] = (),
) -> AnswerTable:
    """The table of a job. `schema` is the one of the job file (of one row with `per_item`), None without one.

    `inputs` are columns of the input rows to show as well; `""` stands for a row that is no object. `beside` are names
    of columns that the table will stand beside: it uses none of them.
    """
    taken = set(beside)
    before, after = _apart(_place(config), taken), _apart(_OUTCOME, taken)
    keys = _properties(schema) if schema is not None else {}
    named: dict[str, str] = {}
    for key in keys or {ANSWER: {}}:
        named[key] = _free(key, taken, OF_ANSWER)
        taken.add(named[key])
    rows: list[AnswerColumn] = []
    for name in inputs:
        rows.append(_input(name, _free(name or "input", taken, OF_ROW)))
        taken.add(rows[-1].name)
    root = schema or {}
    answers = [_key(key, name, _settled(keys[key], root)) for key, name in named.items() if keys] or [
        _whole(config, schema, named[ANSWER])
    ]
    schemas = {named[key]: _settled(keys[key], root) for key in keys}
    columns = (*before, *rows, *answers, *after)
    return AnswerTable(columns, schemas, frozenset(keys), tuple(named.values()), tuple(column.name for column in rows))


def answer_columns(
    config: JobConfig, schema: Mapping[str, Any] | None, *, inputs: Sequence[str] = ()
) -> tuple[AnswerColumn, ...]:
    """The columns alone; see `answer_table`."""
    return answer_table(config, schema, inputs=inputs).columns


# --- records ----------------------------------------------------------------------------------------------------------


def answer_records(
    state: JobState,
    config: JobConfig,
    read: ReadAnswer,
    *,
    rows: Sequence[Any] | None = None,
    only_failed: bool = False,
    batches: Iterable[int] | None = None,
) -> Iterator[AnswerRecord]:
    """A record for every item of the plan in input order, one batch in memory at a time.

    `rows` are the input rows, where they shall be in the records; `only_failed` leaves out what has an answer or may
    still get one. `batches` are those that are asked about, by default all.
    """
    for number in range(1, state.total + 1) if batches is None else batches:
        status = state.status_of(number)
        if not only_failed or status in ("failed", "blocked"):
            yield from _of_batch(state, config, number, read, rows)


def _of_batch(
    state: JobState, config: JobConfig, number: int, read: ReadAnswer, rows: Sequence[Any] | None
) -> Iterator[AnswerRecord]:
    plan, status = state.plan, state.status_of(number)
    batch = state.batches.get(number) or BatchState(number)
    first, last = plan.items_of(number)
    value = _value_of(config, batch, read) if status == "completed" else None
    is_told = status != "completed"
    record = partial(
        AnswerRecord,
        batch=number,
        status=status,
        stage=plan.stage_of(number),
        instance=plan.instance_of(number),
        code=batch.code if is_told and status != "skipped" else "",
        message=_message(status, batch) if is_told else "",
        reused=batch.reused and not is_told,
    )
    if not config.answer.per_item:
        row = _row(rows, plan.rows_of(number)[0]) if first == last or plan.has_fan_out else None
        yield record(first_item=first, last_item=last, value=value, row=row)
        return
    values = value if isinstance(value, list) else []
    for index, item in enumerate(range(first, last + 1)):
        one = values[index] if index < len(values) else None
        yield record(first_item=item, last_item=item, value=one, row=_row(rows, item))


def _message(status: str, batch: BatchState) -> str:
    return batch.reason if status in ("skipped", "blocked") else batch.message


def _value_of(config: JobConfig, batch: BatchState, read: ReadAnswer) -> Any:
    if batch.answer_at < 0:
        return None
    answer = read(batch)
    return answer.data if config.answer.wants_json else answer.text


def _row(rows: Sequence[Any] | None, item: int) -> Any:
    return rows[item - 1] if rows is not None and 0 < item <= len(rows) else None


def input_columns(rows: Iterable[Any]) -> tuple[str, ...]:
    """Names of the columns of these rows, in order of their first appearance; `""` where a row is no object."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row if isinstance(row, dict) else ("",)))
    return tuple(names)


# --- columns ----------------------------------------------------------------------------------------------------------


def _column(
    name: str, dtype: Dtype, of: Callable[[AnswerRecord], Any], meaning: str, categories: tuple[str, ...] = ()
) -> AnswerColumn:
    return Column(name, dtype, of, meaning, categories)  # a class with slots cannot be called through its alias


def _apart(columns: Iterable[AnswerColumn], taken: set[str]) -> tuple[AnswerColumn, ...]:
    """`columns` with names that are not taken; they are from now on."""
    apart = []
    for column in columns:
        apart.append(replace(column, name=_free(column.name, taken, OF_ANSWER)))
        taken.add(apart[-1].name)
    return tuple(apart)


def has_row_per_item(config: JobConfig) -> bool:
    """Whether every row of the table is one item, not a batch of several or a copy of a stage."""
    return not config.batch.fan_out and (config.answer.per_item or config.batch.size == 1)


def _place(config: JobConfig) -> tuple[AnswerColumn, ...]:
    """Which item, or which batch of several."""
    status = _column("status", "category", lambda r: r.status, "status of its batch", BATCH_STATUSES)
    batch = _column("batch", "int", lambda r: r.batch, "number of its batch, from 1")
    if config.batch.fan_out:
        return (
            batch,
            _column("stage", "int", lambda r: r.stage, "stage of the fan-out, from 1"),
            _column("instance", "int", lambda r: r.instance, "which copy of its stage"),
            status,
        )
    if has_row_per_item(config):
        return (_column("item", "int", lambda r: r.first_item, "number of the item"), batch, status)
    return (
        batch,
        _column("first_item", "int", lambda r: r.first_item, "first item of the batch"),
        _column("last_item", "int", lambda r: r.last_item, "last item of the batch"),
        status,
    )


_OUTCOME: Final = (
    _column("error_code", "category", lambda r: r.code or None, "why there is no answer", ERROR_CODES),
    _column("error_message", "str", lambda r: r.message or None, "the same in words"),
    _column("reused", "bool", lambda r: r.reused, "an answer kept from an earlier run"),
)


def _input(key: str, name: str) -> AnswerColumn:
    def of(record: AnswerRecord) -> Any:
        row = record.row
        if not key:
            return None if isinstance(row, dict) else row
        return row.get(key) if isinstance(row, dict) else None

    return _column(name, "object", of, "from the input row")


def _key(key: str, name: str, schema: Mapping[str, Any]) -> AnswerColumn:
    dtype = dtype_of(schema)

    def of(record: AnswerRecord) -> Any:
        return _typed(dtype, record.value.get(key)) if isinstance(record.value, dict) else None

    meaning = str(schema.get("description") or f"`{key}` of the answer")
    return _column(name, dtype, of, meaning, _choices(dtype, schema))


def _whole(config: JobConfig, schema: Mapping[str, Any] | None, name: str) -> AnswerColumn:
    if not config.answer.wants_json:
        return _column(name, "str", lambda r: r.value, "text of the answer")
    found = _settled(schema, schema) if schema is not None else {}
    dtype = dtype_of(found)
    return _column(name, dtype, lambda r: _typed(dtype, r.value), "the answer", _choices(dtype, found))


def _free(name: str, taken: set[str], prefix: str) -> str:
    name = name if name not in taken else prefix + name
    while name in taken:
        name += "_"
    return name


# --- types ------------------------------------------------------------------------------------------------------------

_DTYPES: Final[Mapping[str, Dtype]] = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_DEEPEST: Final = 20


def dtype_of(schema: Mapping[str, Any]) -> Dtype:
    """The dtype of values of a schema; `object` for lists, objects and mixtures. null fits every dtype.

    An `enum` of texts is a category, a text of the format `date-time` a moment.
    """
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(choices, list):
        kinds = {type(choice) for choice in choices if choice is not None}
        if kinds == {str}:
            return "category"
        return {frozenset({int}): "int", frozenset({bool}): "bool", frozenset({float}): "float"}.get(
            frozenset(kinds), "object"
        )  # type: ignore[return-value]  # literals of the table above
    given = schema.get("type")
    kind_names = [given] if isinstance(given, str) else [kind for kind in given or () if kind != "null"]
    dtypes = {_DTYPES.get(str(kind), "object") for kind in kind_names}
    if dtypes == {"int", "float"}:
        return "float"
    if dtypes == {"str"} and schema.get("format") == "date-time":
        return "datetime"
    return dtypes.pop() if len(dtypes) == 1 else "object"


def _choices(dtype: Dtype, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """What a category may be, in the order of the schema."""
    if dtype != "category":
        return ()
    choices = [schema["const"]] if "const" in schema else schema.get("enum", ())
    return tuple(choice for choice in choices if choice is not None)


def _typed(dtype: Dtype, value: Any) -> Any:
    """A value as its dtype; one that does not fit (of an earlier schema) stays as it is."""
    if dtype == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if dtype == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keys of the answer and their schemas; none for an answer that is no object, or one that names no keys."""
    found = _settled(schema, schema)
    is_object = found.get("type", "object") == "object"
    properties = found.get("properties")
    return properties if is_object and isinstance(properties, dict) else {}


def _settled(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema behind local references and `anyOf` with null; of other combinations nothing is known."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        options = schema.get("anyOf", schema.get("oneOf"))
        if isinstance(reference, str):
            schema = _resolved(reference, root)
        elif isinstance(options, list):
            something = [one for one in options if not (isinstance(one, Mapping) and one.get("type") == "null")]
            if len(something) != 1:
                return {}
            [schema] = something
        else:
            return schema
    return {}


def _resolved(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found if reference.startswith("#") else None
