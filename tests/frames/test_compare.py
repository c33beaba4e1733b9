"""Two runs side by side."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from mozart_nb import events as ev
from mozart_nb.engine.state import BatchState, JobRecord, JobState
from mozart_nb.errors import MisuseError
from mozart_nb.frames import Run, compare, run_of
from mozart_nb.job.model import JobConfig
from mozart_nb.job.plan import plan_job

SCHEMA = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}, "tags": {"type": "array"}}}


def run(
    name: str,
    answers: list[Any],
    *,
    schema: Any = SCHEMA,
    size: int = 1,
    per_item: bool = False,
    items: int = 0,
    cost: float = 0.5,
    seconds: float = 2.0,
    **options: Any,
) -> Run:
    """A job in which batch after batch gets an answer; None stands for a batch that failed."""
    cut = {"size": size, "total_items": items or len(answers) * size}
    config = JobConfig.model_validate({"name": name, "batch": cut, "answer": {"schema": schema, "per_item": per_item}})
    batches = {
        number: BatchState(
            number,
            status="failed" if answer is None else "completed",
            answer_at=number,
            answer_size=1,
            cost_usd=cost,
            duration=seconds,
        )
        for number, answer in enumerate(answers, 1)
    }
    state = JobState(JobRecord(job_id=name, seq=1, plan=plan_job(config).shape), batches)

    def read(batch: BatchState) -> ev.Answer:
        finished = ev.SessionFinished(batch=batch.number, attempt=1, outcome="ok")
        return ev.Answer(finished, data=answers[batch.number - 1])

    return run_of(name, state, config, read, schema=schema, **options)


GOOD, BAD = {"mood": "good", "tags": ["a"]}, {"mood": "bad", "tags": ["a"]}


def test_answers_stand_side_by_side_with_flags_that_say_whether_they_agree() -> None:
    frame = compare(run("short", [GOOD, GOOD, None]), run("long", [GOOD, BAD, BAD], cost=0.75, seconds=5))
    assert list(frame.columns) == [
        *("mood_short", "mood_long", "mood_same"),
        *("tags_short", "tags_long", "tags_same"),
        "same",
        *("status_short", "status_long"),
        *("cost_short", "cost_long", "cost_diff"),
        *("duration_short", "duration_long", "duration_diff"),
    ]
    assert frame["mood_same"].tolist()[:2] == [True, False]
    assert frame["mood_same"].isna().tolist() == [False, False, True]
    assert frame["tags_same"].tolist()[:2] == [True, True]
    assert frame["same"].tolist()[:2] == [True, False]
    assert frame["same"].dtype == "boolean"
    assert frame["cost_diff"].tolist() == [0.25] * 3
    assert frame["duration_diff"].tolist() == [pd.Timedelta(seconds=3)] * 3
    assert frame["mood_long"].dtype == "category"
    assert frame.index.name == "item"


def test_the_summary_has_shares_and_totals_as_plain_data() -> None:
    frame = compare(run("short", [GOOD, GOOD, None]), run("long", [GOOD, BAD, BAD], cost=0.75))
    assert frame.attrs["summary"] == {
        "rows": 3,
        "in_both": 3,
        "answered_by_both": 2,
        "agreement": {"mood": 0.5, "tags": 1.0},
        "same": 0.5,
        "completed": {"short": 2, "long": 3},
        "cost": {"short": 1.5, "long": 2.25},
        "cost_known": {"short": True, "long": True},
        "cost_diff": 0.75,
        "duration_seconds": {"short": 6.0, "long": 6.0},
    }


def test_rows_are_put_side_by_side_by_the_index_they_came_from() -> None:
    left = run("one", [GOOD, BAD], index=pd.Index(["x", "y"], name="id"))
    right = run("two", [GOOD, BAD, BAD], index=pd.Index(["z", "y", "x"], name="id"))
    frame = compare(left, right)
    assert frame.index.tolist() == ["x", "y", "z"]
    assert frame.index.name == "id"
    assert frame["mood_same"].tolist()[:2] == [False, True]
    assert pd.isna(frame.loc["z", "mood_same"])
    assert compare(left, right, how="inner").index.tolist() == ["x", "y"]
    assert compare(left, right, on="item").index.tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", ["batch", "item", "mood", "status"])
def test_an_index_may_be_called_like_a_column(name: str) -> None:
    index = pd.Index(["x", "y"], name=name)
    frame = compare(run("a", [GOOD, BAD], index=index), run("b", [GOOD, GOOD], index=index))
    assert frame["mood_same"].tolist() == [True, False]
    pd.testing.assert_index_equal(frame.index, index)


def test_runs_of_one_name_are_left_and_right() -> None:
    frame = compare(run("job", [GOOD]), run("job", [BAD]))
    assert [name for name in frame.columns if name.startswith("mood")] == ["mood_left", "mood_right", "mood_same"]
    assert "mood_left" in compare(run("same", [GOOD]), run("other", [BAD]))


def test_items_that_share_a_batch_share_its_cost_so_that_sums_stay_true() -> None:
    several = run("several", [[GOOD, BAD, GOOD], [BAD]], size=3, per_item=True, items=4, cost=0.6)
    single = run("single", [GOOD, GOOD, GOOD, BAD], cost=0.5)
    frame = compare(several, single)
    assert frame["cost_several"].tolist() == pytest.approx([0.2, 0.2, 0.2, 0.6])
    assert frame["cost_several"].sum() == pytest.approx(frame.attrs["summary"]["cost"]["several"])
    assert frame["mood_same"].tolist() == [True, False, True, True]


def test_one_answer_for_several_items_is_compared_by_batch() -> None:
    frame = compare(run("one", [GOOD, BAD], size=2), run("two", [GOOD, GOOD], size=2))
    assert frame.index.tolist() == [1, 2]
    assert frame.index.name == "batch"
    assert frame["mood_same"].tolist() == [True, False]


def test_batches_of_other_items_are_not_compared() -> None:
    with pytest.raises(MisuseError, match="different items"):
        compare(run("one", [GOOD, BAD], size=2), run("two", [GOOD, GOOD, BAD, BAD]))


def test_keys_that_one_run_has_alone_are_shown_without_a_flag() -> None:
    other = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}, "why": {"type": "string"}}}
    frame = compare(run("old", [GOOD]), run("new", [{"mood": "good", "why": "it is"}], schema=other))
    assert frame["why_new"].tolist() == ["it is"]
    assert not {"why_old", "why_same", "tags_same"} & set(frame.columns)
    assert frame["same"].tolist() == [True]


def test_null_equals_null_and_a_key_called_like_a_column_has_another_name() -> None:
    schema = {"type": "object", "properties": {"cost": {"type": ["number", "null"]}, "same": {"type": "boolean"}}}
    frame = compare(
        run("a", [{"cost": None, "same": True}], schema=schema),
        run("b", [{"cost": None, "same": False}], schema=schema),
    )
    assert frame[["answer_cost_same", "same_same", "same"]].iloc[0].tolist() == [True, False, False]
    assert frame["cost_a"].tolist() == [0.5]


def test_rows_can_be_put_side_by_side_by_a_column_of_the_input() -> None:
    left = run("a", [GOOD, BAD], rows=[{"id": "p"}, {"id": "q"}], inputs=("id",))
    right = run("b", [BAD, GOOD], rows=[{"id": "q"}, {"id": "p"}], inputs=("id",))
    frame = compare(left, right, on="id")
    assert frame["same"].tolist() == [True, True]
    assert frame.index.tolist() == ["p", "q"]
    with pytest.raises(MisuseError, match="no column `uid`"):
        compare(left, right, on="uid")
    twice = run("b", [BAD, GOOD], rows=[{"id": "q"}, {"id": "q"}], inputs=("id",))
    with pytest.raises(MisuseError, match="the same `id`"):
        compare(left, twice, on="id")


def test_runs_without_answers_compare_to_nothing() -> None:
    frame = compare(run("a", [None, None]), run("b", [None, None]))
    assert frame.attrs["summary"]["agreement"] == {"mood": None, "tags": None}
    assert frame.attrs["summary"]["same"] is None
    assert len(frame) == 2
