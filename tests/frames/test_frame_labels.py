"""Labels of a DataFrame outlive the notebook: a job opened later joins its answers on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_index_equal

from mozart_nb.frames import index_of, input_rows, labels_of
from mozart_nb.job_handle import Job

INDEXES = {
    "default": pd.RangeIndex(3),
    "range": pd.RangeIndex(10, 16, 2, name="row"),
    "numbers": pd.Index([7, 3, 9], name="id"),
    "small numbers": pd.Index([7, 3, 9], dtype="int8"),
    "texts": pd.Index(["b", "a", "ü"], name="id"),
    "repeated": pd.Index(["a", "a", "b"]),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_labels_come_back_as_they_were(index: pd.Index[Any]) -> None:
    labels = labels_of(input_rows(pd.DataFrame({"text": ["x", "y", "z"]}, index=index)))
    assert labels is not None
    assert_index_equal(index_of(labels), index, exact=True)


@pytest.mark.parametrize(
    "index",
    [
        pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")]),
        pd.date_range("2026-01-01", periods=3),
        pd.CategoricalIndex(["a", "b", "a"]).set_categories(["b", "a"]).astype(object).map(lambda one: (one,)),
        pd.Index([1.5, 2.5, 3.5]),
        pd.Index(["a", 1, None]),
    ],
    ids=["levels", "moments", "tuples", "fractions", "mixed"],
)
def test_labels_that_json_cannot_give_back_are_not_kept(index: pd.Index[Any]) -> None:
    assert labels_of(input_rows(pd.DataFrame({"text": ["x", "y", "z"]}, index=index))) is None


def test_a_list_has_no_labels() -> None:
    assert labels_of(input_rows(["x", "y"])) is None


def test_a_job_opened_later_joins_on_the_labels_of_its_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["x", "y", "z"], "answer": [1, 2, 3]}, index=pd.Index([30, 10, 20], name="id"))
    job = Job.load(
        {
            "name": "labelled",
            "workspace": str(tmp_path / "work"),
            "backend": {"type": "rehearsal"},
            "batch": {"size": 1},
            "prompt": {"template": "{{ item.text }}"},
            "rehearsal": {"answer": "about {{ item.text }}", "latency_seconds": 0},
        },
        items=frame,
    )
    job.start().wait(timeout=60)
    opened = Job.open("labelled", tmp_path / "work")
    assert_frame_equal(opened.answers(), job.answers())
    joined = frame.join(opened.answers())
    assert joined.loc[10, "answer_answer"] == "about y"
