"""What the page about DataFrames shows can be run, from its first line to its last."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "dataframes.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is defined when all examples have run."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        patch.setenv("MOZART_NB_HOME", str(tmp_path_factory.mktemp("home")))
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S), 1):
            exec(compile(block, f"dataframes.md, example {number}", "exec"), found)
    return found


def test_answers_join_as_the_page_says(names: dict[str, Any]) -> None:
    judged = names["judged"]
    assert judged.index.tolist() == ["r17", "r18", "r19"]
    assert judged.index.name == "review"
    assert judged["sentiment"].notna().all()
    assert list(judged["sentiment"].cat.categories) == ["negative", "mixed", "positive"]
    assert judged["confidence"].between(0, 1).all()


def test_the_summary_of_two_runs_has_what_the_page_says(names: dict[str, Any]) -> None:
    summary = names["both"].attrs["summary"]
    assert summary["answered_by_both"] == 3
    assert summary["agreement"].keys() == {"sentiment", "confidence"}
    assert {"sentiment_same", "same", "cost_diff", "duration_diff"} <= {*names["both"].columns}


def test_jobs_of_the_page_are_in_the_history(names: dict[str, Any], tmp_path: Path) -> None:
    frames = {name: names[name].batches() for name in ("job", "terse")}
    assert pd.concat(frames)["status"].dtype == "category"


def test_a_file_of_the_input_joins_on_the_rows_that_pandas_reads(names: dict[str, Any], tmp_path: Path) -> None:
    reviews = names["reviews"]
    reviews.to_csv(tmp_path / "reviews.csv", index=False)
    definition = {**names["definition"], "name": "from-a-file", "items": {"file": str(tmp_path / "reviews.csv")}}
    job = names["mozart_nb"].Job.load(definition, rehearse=True, base_dir=tmp_path).start().wait()
    joined = pd.read_csv(tmp_path / "reviews.csv").join(job.answers())
    assert joined["sentiment"].tolist() == names["terse"].answers()["sentiment"].tolist()
    assert job.answers(inputs=True)["text"].tolist() == reviews["text"].tolist()


def test_every_frame_has_its_columns_on_the_page() -> None:
    spec = importlib.util.spec_from_file_location("generate_frames", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.with_columns("dataframes.md") == PAGE, "run `make docs`"
    shown = re.findall(r"<!-- columns of (\w+) -->", PAGE)
    assert shown == ["batches", "attempts", "errors", "validations", "events", "history", "answers"]
