"""Answers written to a file: CSV, JSON Lines, JSON, Parquet. Rows are streamed; none of them is kept.

CSV and JSON are UTF-8. Text is written as it is. What a model answered may begin with `=`, which spreadsheets take for
a formula; `escape_formulas` puts an apostrophe before such cells for whoever opens the file in one.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any, Final, Literal, get_args

import msgspec

from mozart_nb.consumers.answers import AnswerTable
from mozart_nb.errors import MisuseError

AnswerFormat = Literal["csv", "jsonl", "json", "parquet"]
FORMATS: Final[tuple[str, ...]] = get_args(AnswerFormat)

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_PARQUET_ROWS: Final = 10_000

Rows = Iterable[Mapping[str, Any]]


def write_answers(
    table: AnswerTable, rows: Rows, form: AnswerFormat, file: IO[bytes], *, escape_formulas: bool = False
) -> None:
    """Write `rows` (of `AnswerTable.row_of`) to a binary file.

    Raises `MisuseError` when Parquet is asked for and pyarrow is missing, or a value does not fit its column.
    """
    match form:
        case "csv":
            _csv(table, rows, file, escape_formulas=escape_formulas)
        case "jsonl":
            file.writelines(_encode(row) + b"\n" for row in rows)
        case "json":
            _json(rows, file)
        case "parquet":
            _parquet(table, rows, file)


# --- text -------------------------------------------------------------------------------------------------------------


def _csv(table: AnswerTable, rows: Rows, file: IO[bytes], *, escape_formulas: bool) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    for row in rows:
        cells = [_cell(row[column.name]) for column in table.columns]
        if escape_formulas:
            cells = [_harmless(cell, row[column.name]) for cell, column in zip(cells, table.columns, strict=True)]
        writer.writerow(cells)
        file.write(_taken(buffer))
    file.write(_taken(buffer))


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode(errors="replace")


def _cell(value: Any) -> str:
    """Text as it is, nothing for null, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _dumped(value)


def _harmless(cell: str, value: Any) -> str:
    return f"'{cell}" if isinstance(value, str) and cell.startswith(_FORMULA) else cell


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_encode: Final = msgspec.json.Encoder().encode


def _json(rows: Rows, file: IO[bytes]) -> None:
    between = b"[\n"
    for row in rows:
        file.write(between + _encode(row))
        between = b",\n"
    file.write(b"[]\n" if between == b"[\n" else b"\n]\n")


# --- Parquet ----------------------------------------------------------------------------------------------------------


def _parquet(table: AnswerTable, rows: Rows, file: IO[bytes]) -> None:
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MisuseError("writing Parquet needs more packages", hint="pip install 'mozart-nb[parquet]'") from None
    kinds = {column.name: _arrow_type(arrow, column.dtype, table.schemas.get(column.name)) for column in table.columns}
    schema = arrow.schema(list(kinds.items()))
    with parquet.ParquetWriter(file, schema) as writer:
        for chunk in _chunks(iter(rows)):
            arrays = [_array(arrow, name, kind, [row[name] for row in chunk]) for name, kind in kinds.items()]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _chunks(rows: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    while chunk := list(islice(rows, _PARQUET_ROWS)):
        yield chunk


def _array(arrow: Any, name: str, kind: Any, values: list[Any]) -> Any:
    if kind == arrow.string():
        values = [value if value is None or isinstance(value, str) else _dumped(value) for value in values]
    try:
        return arrow.array(values, type=kind)
    except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise MisuseError(
            f"a value of the column `{name}` is no {kind}: {error}", hint="`--format jsonl` takes every value"
        ) from error


def _arrow_type(arrow: Any, dtype: str, schema: Mapping[str, Any] | None) -> Any:
    """Lists and objects whose schema says enough keep their structure; others become JSON text."""
    flat: dict[str, Callable[[], Any]] = {
        "int": arrow.int64,
        "float": arrow.float64,
        "bool": arrow.bool_,
        "str": arrow.string,
        "category": arrow.string,
    }
    if dtype in flat:
        return flat[dtype]()
    return _nested_type(arrow, schema or {}) or arrow.string()


def _nested_type(arrow: Any, schema: Mapping[str, Any]) -> Any:
    """The type of a list or object, or of a value inside one; None where the schema leaves it open."""
    kind, properties, items = schema.get("type"), schema.get("properties"), schema.get("items")
    flat = {"string": arrow.string, "integer": arrow.int64, "number": arrow.float64, "boolean": arrow.bool_}
    if isinstance(kind, str) and kind in flat:
        return flat[kind]()
    if kind == "array" and isinstance(items, Mapping) and "prefixItems" not in schema:
        inner = _nested_type(arrow, items)
        return arrow.list_(inner) if inner is not None else None
    if kind == "object" and isinstance(properties, Mapping) and properties:
        is_closed = schema.get("additionalProperties") is False
        fields = {name: _nested_type(arrow, one) for name, one in properties.items() if isinstance(one, Mapping)}
        is_known = is_closed and len(fields) == len(properties) and all(one is not None for one in fields.values())
        return arrow.struct(list(fields.items())) if is_known else None
    return None
