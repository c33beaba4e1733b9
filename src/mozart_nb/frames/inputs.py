"""A DataFrame as the items of a job: plain JSON rows, and what is needed to join the answers back.

What JSON cannot hold is refused with its column and row; nothing is turned into text behind anybody's back.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeGuard

import msgspec

from mozart_nb.errors import MisuseError

if TYPE_CHECKING:
    import pandas as pd

_LARGEST: Final = 2**64
_LEAST: Final = -(2**63)
_DEEPEST: Final = 32
_PLAIN: Final = frozenset({str, bool, int, type(None)})
_WIDEST_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class InputRows:
    """Items of a job. `index` and `columns` are those of the DataFrame they came from; None and () for a list."""

    rows: list[Any]
    index: pd.Index[Any] | None = None
    columns: tuple[str, ...] = ()


def input_rows(source: Any) -> InputRows:
    """`source` as items: a DataFrame, a Series, or a list of dicts, texts or numbers; tables of others by `to_pandas`.

    A row of a DataFrame becomes a dict, a value of a Series stands for itself. NaN, NaT and NA become null, numbers of
    numpy become numbers, times become texts in ISO 8601. Raises `MisuseError` for what JSON cannot hold (bytes,
    `Decimal`, infinity, other objects), naming column and row, and for column names that occur twice.
    """
    pandas = sys.modules.get("pandas")  # whoever has a DataFrame has imported it
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return _of_frame(source)
    if pandas is not None and isinstance(source, pandas.Series):
        values = _values(source, _Place("" if source.name is None else str(source.name), source.index))
        return InputRows(values, source.index)
    if callable(to_pandas := getattr(source, "to_pandas", None)):
        return input_rows(to_pandas())
    if isinstance(source, str | bytes | dict) or not isinstance(source, Iterable):
        raise MisuseError(
            f"items cannot be of the type {type(source).__name__}", hint="give a DataFrame, a Series or a list of rows"
        )
    return InputRows([_row(row, number) for number, row in enumerate(source)])


def labels_of(inputs: InputRows) -> dict[str, Any] | None:
    """The labels of the rows as JSON data, so that a job which is opened later joins on them; see `index_of`.

    None for a list, and for labels that JSON cannot give back as they were (moments, several levels, categories).
    """
    import pandas as pd

    index = inputs.index
    if index is None or isinstance(index, pd.MultiIndex) or not (index.name is None or isinstance(index.name, str)):
        return None
    labels: dict[str, Any] = {"name": index.name, "columns": list(inputs.columns)}
    if isinstance(index, pd.RangeIndex):
        return {**labels, "range": [index.start, index.stop, index.step]}
    values = index.tolist()
    if set(map(type, values)) not in ({int}, {str}):
        return None
    return {**labels, "values": values, "dtype": str(index.dtype)}


def index_of(labels: Mapping[str, Any]) -> pd.Index[Any]:
    """The index that `labels_of` described."""
    import pandas as pd

    if "range" in labels:
        start, stop, step = labels["range"]
        return pd.RangeIndex(start, stop, step, name=labels["name"])
    index: pd.Index[Any] = pd.Index(labels["values"], dtype=labels["dtype"], name=labels["name"])
    return index


def rows_of_frame(source: Any) -> list[Any]:
    """The items alone; see `input_rows`."""
    return input_rows(source).rows


def _of_frame(frame: pd.DataFrame) -> InputRows:
    names = _names(frame)
    columns = [_values(frame.iloc[:, place], _Place(name, frame.index)) for place, name in enumerate(names)]
    if not columns:
        return InputRows([{} for _ in range(len(frame))], frame.index)
    rows: list[Any] = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return InputRows(rows, frame.index, names)


def _names(frame: pd.DataFrame) -> tuple[str, ...]:
    if frame.columns.nlevels > 1:
        raise MisuseError(
            "the columns of the DataFrame have several levels",
            hint="""df.columns = ["_".join(map(str, name)) for name in df.columns]""",
        )
    names = tuple(str(name) for name in frame.columns)
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise MisuseError(f"the DataFrame has more than one column `{twice[0]}`", hint="rename one of them")
    return names


# --- columns ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands, for messages. `labels` is the index of the frame, None for a list."""

    column: str
    labels: Sequence[Hashable] | pd.Index[Any] | None = None

    def refuse(self, number: int, value: Any, why: str = "", hint: str = "") -> NoReturn:
        where = f"row {number}" if self.labels is None else f"row {number} (index {self.labels[number]!r})"
        if self.column:
            where = f"column `{self.column}`, {where}"
        what = why or f"a value of the type {type(value).__name__} cannot be an item"
        shown = repr(value)[:_WIDEST_SHOWN]
        raise MisuseError(f"{where}: {what}: {shown}", hint=hint or _HINTS.get(type(value).__name__, _AS_TEXT))


_AS_TEXT: Final = "turn it into text or numbers first, for example with `.astype(str)`"
_HINTS: Final = {
    "Decimal": "`df[column].astype(float)`, or `.astype(str)` to keep every digit",
    "bytes": "decode it first: `df[column].str.decode('utf-8')`",
    "Interval": "`.astype(str)`, or `.map(lambda interval: interval.mid)`",
}


def _values(series: pd.Series[Any], place: _Place) -> list[Any]:
    """The values of a column as JSON data: by the column where its dtype says enough, else one by one."""
    values = series.astype(object).tolist()
    missing = series.isna().to_numpy()
    if missing.any():
        values = [None if is_missing else value for value, is_missing in zip(values, missing, strict=True)]
    match getattr(series.dtype, "kind", "O"):
        case "b" | "i" | "u":
            return values
        case "f":
            return _finite(values, place)
        case "m" | "M":
            return [None if value is None else value.isoformat() for value in values]
        case _:
            return _one_by_one(values, place)


def _finite(values: list[Any], place: _Place) -> list[Any]:
    if all(value is None or math.isfinite(value) for value in values):
        return values
    return [None if value is None else _plain_float(value, place, number) for number, value in enumerate(values)]


def _one_by_one(values: list[Any], place: _Place) -> list[Any]:
    if not set(map(type, values)) <= _PLAIN or any(type(value) is int and not _fits(value) for value in values):
        values = [_plain(value, place, number) for number, value in enumerate(values)]
    try:
        msgspec.json.encode(values)
    except (UnicodeEncodeError, RecursionError):
        _refuse_unwritable(values, place)
    return values


def _refuse_unwritable(values: list[Any], place: _Place) -> NoReturn:
    for number, value in enumerate(values):
        try:
            msgspec.json.encode(value)
        except (UnicodeEncodeError, RecursionError) as error:
            place.refuse(number, value, f"it cannot be written as UTF-8 ({error.__class__.__name__})", "clean the text")
    raise MisuseError(f"column `{place.column}` cannot be written as JSON")


# --- values -----------------------------------------------------------------------------------------------------------


def _row(row: Any, number: int) -> Any:
    """One row of a list."""
    if isinstance(row, dict):
        found = {str(key): _one_by_one_value(value, str(key), number) for key, value in row.items()}
        if len(found) < len(row):
            raise MisuseError(f"row {number} has two keys that are the same as text", hint="rename one of them")
        return found
    return _one_by_one_value(row, "", number)


def _one_by_one_value(value: Any, column: str, number: int) -> Any:
    place = _Place(column)
    plain = _plain(value, place, number)
    if isinstance(plain, str | list | dict):
        try:
            msgspec.json.encode(plain)
        except UnicodeEncodeError:
            place.refuse(number, value, "it cannot be written as UTF-8", "clean the text")
    return plain


def _fits(number: int) -> bool:
    return _LEAST <= number < _LARGEST


def _plain(value: Any, place: _Place, number: int, depth: int = 0) -> Any:
    """`value` as JSON data, or a refusal."""
    if depth > _DEEPEST:
        place.refuse(number, value, f"it is nested more than {_DEEPEST} levels deep")
    kind = type(value)
    if kind is int and not _fits(value):
        place.refuse(number, value, "a whole number of more than 64 bits cannot be an item", "turn it into text")
    if kind in _PLAIN:
        return value
    if kind is float:
        return _plain_float(value, place, number)
    if isinstance(value, dict):
        return {str(key): _plain(one, place, number, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, place, number, depth + 1) for one in value]
    return _unwrapped(value, place, number, depth)


def _plain_float(value: float, place: _Place, number: int) -> float | None:
    if math.isinf(value):
        place.refuse(number, value, "JSON has no infinity", "replace it, for example with `df.replace`")
    return None if math.isnan(value) else value


def _unwrapped(value: Any, place: _Place, number: int, depth: int) -> Any:
    """Values of numpy and pandas, times, and subclasses of plain types."""
    if _is_missing(value):
        return None
    if isinstance(value, dt.datetime | dt.date | dt.time | dt.timedelta) and hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | float):
        return _plain(_number(value), place, number, depth)
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas") and hasattr(value, "tolist"):
        inner = _of_numpy(value)
        if type(inner) is not type(value):
            return _plain(inner, place, number, depth + 1)
    return place.refuse(number, value)


def _of_numpy(value: Any) -> Any:
    """A scalar or an array as Python has it; a moment never as a number of nanoseconds."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in ("m", "M"):
        value = value.astype(f"{kind}8[us]") if type(value).__module__ == "numpy" else value.to_series().astype(object)
    return value.tolist()


def _number(value: int | float) -> int | float:
    return int(value) if isinstance(value, int) else float(value)


def _is_missing(value: Any) -> TypeGuard[None]:
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)
