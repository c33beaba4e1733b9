"""File formats that rows come in: bytes to plain JSON data.

Reading is deterministic. Blank lines are no items. Whatever cannot be read as it should is a `ConfigError` that names
file and line.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import importlib
import io
import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final, NoReturn

import msgspec

from mozart_nb.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from, for messages. `key` is the key below `items` in the job file, `file` what it names."""

    key: str
    file: str = ""

    def refuse(
        self, message: str, *, line: int = 0, column: int = 0, value: str = "", allowed: str = "", hint: str = ""
    ) -> NoReturn:
        """Raise a `ConfigError` about a place in it."""
        raise ConfigError(
            [
                Problem(
                    message,
                    path=f"items.{self.key}",
                    line=line,
                    column=column,
                    value=value,
                    allowed=allowed,
                    file=self.file,
                )
            ],
            hint=hint,
        )


def _decoded(data: bytes, source: Source) -> str:
    """UTF-8 with or without a byte order mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        source.refuse("it is UTF-16", allowed="UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        where = error.start
    else:
        where = data.find(b"\0")
        if where < 0:
            return text
    line, column = data.count(b"\n", 0, where) + 1, where - data.rfind(b"\n", 0, where)
    return source.refuse("it is not text", line=line, column=column, value=f"byte 0x{data[where]:02x}", allowed="UTF-8")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank. Only newlines end a line, none of Unicode's other separators."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")


def read_lines(data: bytes, source: Source) -> list[Any]:
    """Every line that is not blank, as it stands."""
    return [line for _, line in _lines(_decoded(data, source))]


def _read_json_lines(data: bytes, source: Source) -> list[Any]:
    return [_json(line, source, number) for number, line in _lines(_decoded(data, source))]


def _read_json(data: bytes, source: Source) -> list[Any]:
    rows = _json(_decoded(data, source), source)
    if not isinstance(rows, list):
        source.refuse("the file must hold a list of items", value=type(rows).__name__, allowed="[…]")
    return rows


def _json(text: str, source: Source, line: int = 0) -> Any:
    """`line` is where `text` stands in a file of lines."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
        if "\\ud" in text.lower():
            msgspec.json.encode(value)  # half a surrogate pair is no character
    except json.JSONDecodeError as error:
        hint = "" if line or error.msg != "Extra data" else "a file with one object per line ends in .jsonl"
        source.refuse(f"it is not JSON: {error.msg}", line=line or error.lineno, column=error.colno, hint=hint)
    except (ValueError, RecursionError) as error:
        source.refuse(f"it is not JSON: {error}", line=line)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON, write null")


def _read_csv(data: bytes, source: Source) -> list[Any]:
    return _csv(_decoded(data, source), source, None)


def _read_tsv(data: bytes, source: Source) -> list[Any]:
    return _csv(_decoded(data, source), source, "\t")


def _csv(text: str, source: Source, delimiter: str | None) -> list[Any]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter or _delimiter(text))
    header: list[str] = []
    rows: list[Any] = []
    ended = 0
    try:
        with _long_fields():
            for fields in reader:
                line, ended = ended + 1, reader.line_num
                if not fields:
                    continue
                if not header:
                    header = _header(fields, source, line)
                elif len(fields) != len(header):
                    source.refuse(
                        f"a row of {_fields(len(fields))} under a header of {_fields(len(header))}",
                        line=line,
                        hint="quote values with commas or newlines in them",
                    )
                else:
                    rows.append(dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        source.refuse(f"it is not CSV: {error}", line=reader.line_num)
    return rows


def _delimiter(text: str) -> str:
    """A comma, unless the header has none and something else that spreadsheets write."""
    header = text.lstrip("\r\n").partition("\n")[0]
    return next((mark for mark in (",", ";", "\t") if mark in header), ",")


def _header(fields: list[str], source: Source, line: int) -> list[str]:
    names = [field.strip() for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        source.refuse("two columns have the same name", line=line, value=", ".join(twice) or "an empty name")
    return names


def _fields(count: int) -> str:
    return f"{count} field{'s' if count != 1 else ''}"


_csv_limit = threading.Lock()


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    # The module's limit of 128 KiB per field belongs to the whole process.
    with _csv_limit:
        before = csv.field_size_limit(2**31 - 1)
        try:
            yield
        finally:
            csv.field_size_limit(before)


# --- parquet ----------------------------------------------------------------------------------------------------------


def _read_parquet(data: bytes, source: Source) -> list[Any]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        source.refuse("reading parquet needs more packages", hint="pip install 'mozart-nb[parquet]'")
    try:
        rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    except (OSError, ValueError) as error:
        source.refuse(f"it is not parquet: {error}")
    return [_plain_row(row, source, number) for number, row in enumerate(rows, start=1)]


def _plain_row(row: Mapping[str, Any], source: Source, number: int) -> dict[str, Any]:
    plain = {}
    for name, value in row.items():
        # An index without a name that pandas wrote along.
        if re.fullmatch(r"__index_level_\d+__", name):
            continue
        try:
            plain[name] = _plain(value)
        except ValueError as error:
            source.refuse(f"row {number}, column `{name}`: {error}")
    return plain


def _plain(value: Any) -> Any:
    """JSON data: times in ISO 8601, a float that is no number as null, decimals and whatever else there is as text."""
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError("an infinite number is no JSON")
        return None if math.isnan(value) else value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError("bytes that are no UTF-8 text") from None
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value)


READERS: Final[Mapping[str, Callable[[bytes, Source], list[Any]]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".txt": read_lines,
}
"""How a file is read, by the end of its name in lower case."""
