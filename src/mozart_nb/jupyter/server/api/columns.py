"""Rows that are declared as columns elsewhere, as types: what the API promises is what `--json` and DataFrames have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from mozart_nb.consumers.rows import Column

_TYPES: Final[Mapping[str, Any]] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "category": str,
    "timestamp": str,
    "datetime": str,
    "duration": float,
    "object": Any,
}


def row_type(name: str, columns: Sequence[Column[Any]], meaning: str) -> Any:
    """A struct with a field per column; every field is there, and null where nothing is known."""
    fields = [(column.name, _type_of(column)) for column in columns]
    return msgspec.defstruct(name, fields, kw_only=True, namespace={"__doc__": meaning}, module=__name__)


def _type_of(column: Column[Any]) -> Any:
    meaning = column.meaning
    if column.dtype in ("timestamp", "datetime"):
        meaning = f"{meaning} (ISO 8601, UTC)"
    elif column.dtype == "duration":
        meaning = f"{meaning} (seconds)"
    kind = _TYPES[column.dtype]
    return Annotated[kind if kind is Any else kind | None, msgspec.Meta(description=meaning)]
