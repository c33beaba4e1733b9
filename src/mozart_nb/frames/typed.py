"""DataFrames from declared columns: every column gets the dtype of its declaration, with rows or without.

| declared | dtype |
|---|---|
| `int` | `Int64`, with `<NA>` where there is no value |
| `float` | `float64`, with NaN |
| `bool` | `boolean`, with `<NA>` |
| `str` | the text dtype of the installed pandas: `str` from version 3 on, `string` before |
| `category` | `category` with all known values in their order, so that frames of several jobs fit together |
| `timestamp`, `datetime` | `datetime64[us, UTC]` |
| `duration` | `timedelta64[us]` |
| `object` | `object` |

A column that holds a value of another kind (an answer of an earlier schema) becomes `object`; no value is changed to
make it fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mozart_nb.checkpoint.load import without_collector
from mozart_nb.consumers.rows import At, Column, Dtype

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R")

_KINDS: Final[Mapping[Dtype, frozenset[type]]] = {
    "int": frozenset({int}),
    "float": frozenset({int, float}),
    "bool": frozenset({bool}),
    "str": frozenset({str}),
    "category": frozenset({str}),
    "timestamp": frozenset({int, float}),
    "datetime": frozenset({str}),
    "duration": frozenset({int, float}),
}
"""Dtype → types of the values that it takes besides None."""

DTYPE_NAMES: Final[Mapping[Dtype, str]] = {
    "int": "Int64",
    "float": "float64",
    "bool": "boolean",
    "str": "text",
    "category": "category",
    "timestamp": "UTC timestamp",
    "datetime": "UTC timestamp",
    "duration": "timedelta",
    "object": "object",
}
"""Dtype → what documentation calls it."""

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND: Final = timedelta(microseconds=1)
_SINCE_PANDAS_3: Final = 3


def frame_of(columns: Sequence[Column[R]], records: Iterable[R], *, index: Sequence[str] = ()) -> pd.DataFrame:
    """One row per record. `index` names `int` columns without gaps that become the index; by default rows count from 0.

    The dtypes are the same for no records as for many.
    """
    import pandas as pd

    with without_collector():
        records = list(records)
        values = _values(columns, records)
    arrays = {
        column.frame_name: array_of(column.dtype, values[column.name], column.categories)
        for column in columns
        if column.name not in index
    }
    return pd.DataFrame(arrays, index=_index_of(index, values, len(records)))


def _values(columns: Sequence[Column[R]], records: list[R]) -> dict[str, list[Any]]:
    """Column → its values. What stands at `record.usage` is read once for all columns below it."""
    held: dict[str, list[Any]] = {"": records}

    def at(path: str) -> list[Any]:
        if path not in held:
            owner, _, name = path.rpartition(".")
            held[path] = list(map(attrgetter(name), at(owner)))
        return held[path]

    return {
        column.name: at(column.of.path) if isinstance(column.of, At) else list(map(column.of, records))
        for column in columns
    }


def _index_of(names: Sequence[str], values: Mapping[str, list[Any]], length: int) -> pd.Index[Any]:
    import pandas as pd

    levels = [pd.Index(values[name], dtype="int64", name=name) for name in names]
    if not levels:
        return pd.RangeIndex(length)
    return levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)


def array_of(dtype: Dtype, values: list[Any], categories: Sequence[str] = ()) -> Any:
    """`values` as an array of pandas. `categories` are the known ones; others that occur come after them."""
    kinds = set(map(type, values)) - {type(None)}
    if dtype == "object" or not kinds <= _KINDS[dtype]:
        return _objects(values)
    try:
        return _category(values, categories) if dtype == "category" else _MAKERS[dtype](values)
    except (TypeError, ValueError, OverflowError):  # a number over 64 bits, a text that is no time
        return _objects(values)


def text_dtype() -> Any:
    """The dtype of text in the installed pandas, by its name."""
    import pandas as pd

    return "str" if int(pd.__version__.partition(".")[0]) >= _SINCE_PANDAS_3 else "string"


def _nullable(dtype: Any) -> Callable[[list[Any]], Any]:
    def array(values: list[Any]) -> Any:
        import pandas as pd

        return pd.array(values, dtype=dtype)

    return array


def _floats(values: list[Any]) -> Any:
    import numpy as np

    return np.array([math.nan if value is None else value for value in values], dtype="float64")


def _texts(values: list[Any]) -> Any:
    import pandas as pd

    return pd.array(values, dtype=text_dtype())


def _category(values: list[Any], categories: Sequence[str]) -> Any:
    import pandas as pd

    known = dict.fromkeys(categories)
    known.update(dict.fromkeys(value for value in values if value is not None))
    return pd.Categorical(values, dtype=pd.CategoricalDtype(pd.Index(list(known), dtype="str")))


def _timestamps(values: list[Any]) -> Any:
    import pandas as pd

    return pd.DatetimeIndex(_microseconds(values, "datetime64[us]")).tz_localize("UTC")


def _durations(values: list[Any]) -> Any:
    return _microseconds(values, "timedelta64[us]")


def _microseconds(values: list[Any], dtype: str) -> Any:
    """Seconds as whole microseconds: pandas itself would cut off what a float holds a hair short."""
    import numpy as np

    seconds = _floats(values)
    is_missing = np.isnan(seconds)
    whole = np.where(is_missing, 0, np.rint(seconds * 1e6)).astype("int64").astype(dtype)
    whole[is_missing] = np.array("NaT", dtype=dtype)
    return whole


def _datetimes(values: list[Any]) -> Any:
    import numpy as np
    import pandas as pd

    # A time without an offset could be anybody's: subtracting one raises TypeError.
    whole = [None if value is None else (datetime.fromisoformat(value) - _EPOCH) // _MICROSECOND for value in values]
    moments = np.array(["NaT" if value is None else value for value in whole], dtype="datetime64[us]")
    return pd.DatetimeIndex(moments).tz_localize("UTC")


def _objects(values: list[Any]) -> Any:
    import numpy as np

    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):  # numpy would make a matrix of lists of one length
        array[place] = value
    return array


_MAKERS: Final[Mapping[Dtype, Callable[[list[Any]], Any]]] = {
    "int": _nullable("Int64"),
    "float": _floats,
    "bool": _nullable("boolean"),
    "str": _texts,
    "timestamp": _timestamps,
    "datetime": _datetimes,
    "duration": _durations,
}
