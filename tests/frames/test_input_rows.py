"""A DataFrame as items: plain JSON rows, or a refusal that names column and row."""

from __future__ import annotations

import datetime as dt
import enum
import json
import time
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mozart_nb.errors import MisuseError
from mozart_nb.frames import input_rows, rows_of_frame


def kinds(row: dict[str, Any]) -> set[type]:
    return {type(value) for value in row.values()}


def test_every_dtype_becomes_plain_json_data() -> None:
    frame = pd.DataFrame(
        {
            "int": [1, 2],
            "float": np.array([0.5, np.nan], dtype="float32"),
            "bool": [True, False],
            "text": ["a", None],
            "Int": pd.array([1, None], dtype="Int64"),
            "Float": pd.array([0.5, None], dtype="Float64"),
            "boolean": pd.array([True, None], dtype="boolean"),
            "string": pd.array(["a", None], dtype="string"),
            "category": pd.Categorical(["x", None]),
            "numbers": pd.Categorical([3, None]),
            "naive": pd.to_datetime(["2024-05-01 12:00:00.5", None]),
            "aware": pd.to_datetime(["2024-05-01 12:00", None]).tz_localize("Europe/Vienna"),
            "length": pd.to_timedelta([90, None], unit="s"),
            "day": [dt.date(2024, 5, 1), None],
            "list": [[1, np.int64(2)], None],
            "dict": [{"a": np.float64("nan"), 2: pd.NA}, None],
            "array": [np.array([1.5, 2.0]), None],
            "mixed": [np.int8(3), pd.NaT],
        }
    )
    first, second = rows_of_frame(frame)
    assert first == {
        "int": 1,
        "float": 0.5,
        "bool": True,
        "text": "a",
        "Int": 1,
        "Float": 0.5,
        "boolean": True,
        "string": "a",
        "category": "x",
        "numbers": 3,
        "naive": "2024-05-01T12:00:00.500000",
        "aware": "2024-05-01T12:00:00+02:00",
        "length": "P0DT0H1M30S",
        "day": "2024-05-01",
        "list": [1, 2],
        "dict": {"a": None, "2": None},
        "array": [1.5, 2.0],
        "mixed": 3,
    }
    assert {name for name, value in second.items() if value is not None} == {"int", "bool"}
    assert kinds(first) <= {int, float, bool, str, list, dict}
    assert kinds(second) == {int, bool, type(None)}
    assert json.loads(json.dumps([first, second], allow_nan=False)) == [first, second]


@pytest.mark.parametrize("name", ["int64[pyarrow]", "double[pyarrow]", "string[pyarrow]", "timestamp[us][pyarrow]"])
def test_columns_of_arrow_are_read_as_well(name: str) -> None:
    pytest.importorskip("pyarrow")
    value: Any = {"s": "a", "t": pd.Timestamp("2024-05-01")}.get(name[0], 1)
    rows = rows_of_frame(pd.DataFrame({"x": pd.array([value, None], dtype=name)}))
    assert rows == [{"x": "2024-05-01T00:00:00" if name.startswith("time") else value}, {"x": None}]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, Decimal("1.5")], "Decimal"),
        ([None, b"a"], "bytes"),
        (["a", object()], "object"),
        (["a", {"deep": [{1, 2}]}], "set"),
        ([1.0, float("inf")], "infinity"),
        (["a", [float("-inf")]], "infinity"),
        ([1, 2**64], "64 bits"),
        (["a", "\ud800"], "UTF-8"),
        (["a", pd.Period("2024-05")], "Period"),
        (["a", 1j], "complex"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_column_and_row(values: list[Any], said: str) -> None:
    frame = pd.DataFrame({"good": [1, 2], "bad": pd.Series(values, dtype=object)})
    frame.index = pd.Index(["first", "second"])
    with pytest.raises(MisuseError, match="`bad`, row 1") as caught:
        input_rows(frame)
    assert said in caught.value.message
    assert "'second'" in caught.value.message
    assert caught.value.hint


def test_values_of_numpy_pandas_and_enums_among_others_are_plain_as_well() -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    values = [
        np.str_("a"),
        Colour.RED,
        np.bool_(True),
        np.datetime64("2024-05-01T12:00", "ns"),
        np.datetime64("NaT"),
        np.array(["2024-05-01"], dtype="datetime64[D]"),
        pd.Timedelta(seconds=90),
        pd.Series([1, None]),
        pd.date_range("2024-05-01", periods=1),
    ]
    found = [row["x"] for row in rows_of_frame(pd.DataFrame({"x": pd.Series(values, dtype=object)}))]
    assert found == [
        "a",
        "red",
        True,
        "2024-05-01T12:00:00",
        None,
        ["2024-05-01T00:00:00"],
        "P0DT0H1M30S",
        [1.0, None],
        ["2024-05-01T00:00:00"],
    ]
    assert {type(value) for value in found} == {str, bool, type(None), list}


def test_tables_of_other_libraries_are_taken_where_they_know_the_way_to_pandas() -> None:
    arrow = pytest.importorskip("pyarrow")
    found = input_rows(arrow.table({"x": [1, 2]}))
    assert found.rows == [{"x": 1}, {"x": 2}]
    assert found.columns == ("x",)


def test_infinity_in_a_column_of_numbers_is_refused() -> None:
    with pytest.raises(MisuseError, match=r"`x`, row 2.*infinity"):
        input_rows(pd.DataFrame({"x": [1.0, np.nan, np.inf]}))


def test_names_of_columns_become_texts_and_may_occur_once() -> None:
    assert rows_of_frame(pd.DataFrame([[1, 2]], columns=[0, True])) == [{"0": 1, "True": 2}]
    with pytest.raises(MisuseError, match="more than one column `a`"):
        input_rows(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(MisuseError, match="more than one column `1`"):
        input_rows(pd.DataFrame([[1, 2]], columns=[1, "1"]))
    with pytest.raises(MisuseError, match="several levels"):
        input_rows(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])))


def test_the_index_is_kept_beside_the_rows_and_is_no_part_of_them() -> None:
    frame = pd.DataFrame({"x": [1, 2], 5: [3, 4]}, index=pd.Index(["a", "b"], name="id"))
    found = input_rows(frame)
    assert found.index is frame.index
    assert found.columns == ("x", "5")
    assert found.rows == [{"x": 1, "5": 3}, {"x": 2, "5": 4}]


def test_a_series_is_a_row_per_value() -> None:
    series = pd.Series(["a", None], index=[7, 8], name="text")
    found = input_rows(series)
    assert found.rows == ["a", None]
    assert found.index is series.index
    with pytest.raises(MisuseError, match="column `text`, row 0"):
        input_rows(pd.Series([b"x"], name="text"))


def test_lists_of_dicts_texts_and_numbers_are_rows_as_they_are() -> None:
    found = input_rows(({"a": 1, 2: np.float64(0.5)}, "text", 3, None, [1]))
    assert found.rows == [{"a": 1, "2": 0.5}, "text", 3, None, [1]]
    assert found.index is None
    with pytest.raises(MisuseError, match="column `a`, row 1"):
        input_rows([{"a": 1}, {"a": b"x"}])
    with pytest.raises(MisuseError, match="row 0 has two keys"):
        input_rows([{1: 1, "1": 2}])


@pytest.mark.parametrize("source", ["text", b"bytes", {"a": [1]}, 5, None])
def test_anything_else_is_no_items(source: Any) -> None:
    with pytest.raises(MisuseError, match="items cannot be"):
        input_rows(source)


def test_nothing_of_a_frame_without_rows_or_columns_is_lost() -> None:
    assert rows_of_frame(pd.DataFrame({"x": []})) == []
    assert rows_of_frame(pd.DataFrame(index=[1, 2])) == [{}, {}]


def test_nesting_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(MisuseError, match="nested"):
        input_rows([endless])


def test_a_hundred_thousand_rows_take_no_time_to_speak_of() -> None:
    count = 100_000
    frame = pd.DataFrame(
        {
            "id": np.arange(count),
            "text": [f"text {number}" for number in range(count)],
            "score": np.linspace(0, 1, count),
            "group": pd.Categorical(np.array(["a", "b"])[np.arange(count) % 2]),
            "at": pd.date_range("2024", periods=count, freq="s", tz="UTC"),
        }
    )
    started = time.process_time()
    assert len(rows_of_frame(frame)) == count
    assert time.process_time() - started < 3
