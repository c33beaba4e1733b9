"""Python values as plain JSON data: what can stand in a job's frozen plan, and look the same when it is read again.

As in Parquet files, times become ISO 8601, missing values and floats that are no number null, decimals text. What has
no obvious form in JSON is refused rather than guessed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

MAX_DEPTH: Final = 64
"""Levels of nesting a value may have."""

_ADVICE: Final[Mapping[str, str]] = {
    "DataFrame": "pass its rows with `--items`, or `.to_dict('records')`",
    "Series": "pass `.tolist()` or `.to_dict()`",
    "Index": "pass `.tolist()`",
    "bytes": "pass text: `.decode()`",
    "generator": "pass a list of it",
    "type": "pass an instance, or plain data",
    "function": "pass what it returns",
    "module": "pass a value of it",
}
_PLAIN_ADVICE: Final = "text, numbers, true or false, None, dates, lists and dicts of those"


class NotPlainError(ValueError):
    """A value, or a part of it at `at` (`.scores[3]`, empty for all of it), has no form in JSON."""

    def __init__(self, message: str, at: str = "", advice: str = _PLAIN_ADVICE) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.advice = advice


def plain(value: Any) -> Any:
    """`value` as JSON data. Numbers and times of numpy and pandas, pydantic models and dataclasses are understood.

    Raises `NotPlainError`.
    """
    return _plain(value, "", 0)


def _plain(value: Any, at: str, depth: int) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return _number(value, at)
    if depth > MAX_DEPTH:
        raise NotPlainError(f"it is nested more than {MAX_DEPTH} levels deep, or holds itself", at)
    if isinstance(value, Mapping):
        return {_key(key, at): _plain(inner, f"{at}.{key}", depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{at}[{index}]", depth + 1) for index, inner in enumerate(value)]
    converted = _converted(value, at)
    return _plain(converted, at, depth + 1)


def _number(value: float, at: str) -> float | None:
    if math.isinf(value):
        raise NotPlainError("an infinite number is no JSON", at, "a finite number, or None")
    return None if math.isnan(value) else value


def _key(key: Any, at: str) -> str:
    if isinstance(key, str):
        return str(key)
    if isinstance(key, Enum):
        return _key(key.value, at)
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float | date | UUID) or _is_of(key, "numpy"):
        return str(key)
    raise NotPlainError(f"a key of type {type(key).__name__} is no JSON", at, "text or numbers as keys")


def _converted(value: Any, at: str) -> Any:
    """One step towards plain data."""
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    if _is_missing(value):
        return None
    if isinstance(value, set | frozenset):
        # Their order differs from process to process, and a prompt must not.
        return sorted((_plain(one, at, 1) for one in value), key=lambda one: (type(one).__name__, str(one)))
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if _is_of(value, "numpy") and hasattr(value, "tolist"):
        return _from_numpy(value)
    name = "type" if isinstance(value, type) else type(value).__name__
    raise NotPlainError(f"a value of type {name} is no JSON", at, _ADVICE.get(name, _PLAIN_ADVICE))


_CONVERSIONS: Final[tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...]] = (
    (Enum, lambda value: value.value),
    (BaseModel, lambda value: value.model_dump(mode="json")),
    (bool, bool),
    (int, int),
    (float, float),
    (str, str),
    # pandas' "not a time" is a datetime, and equals nothing.
    ((datetime, date, time), lambda value: value.isoformat() if value == value else None),
    (timedelta, lambda value: str(value) if value == value else None),
    ((Decimal, UUID, PurePath), str),
)


def _from_numpy(value: Any) -> Any:
    kind = value.dtype.kind
    if kind in "mM":  # in nanoseconds they would become bare numbers
        value = value.astype(f"{kind}8[us]")
    found = value.tolist()
    return float(found) if kind == "f" and type(found) is type(value) else found


def _is_of(value: Any, package: str) -> bool:
    return type(value).__module__.partition(".")[0] == package


def _is_missing(value: Any) -> bool:
    """Whether it is the missing value of pandas, which is not imported for that."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)
