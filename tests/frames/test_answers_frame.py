"""The answers of a job as a DataFrame: typed by the schema, and joined in one line on what was asked about."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import pytest

from mozart_nb import events as ev
from mozart_nb.codes import CODES
from mozart_nb.consumers.rows import BATCH_STATUSES
from mozart_nb.engine.state import BatchState, JobRecord, JobState
from mozart_nb.errors import MisuseError
from mozart_nb.frames import answers_frame
from mozart_nb.frames.typed import text_dtype
from mozart_nb.job.model import JobConfig
from mozart_nb.job.plan import plan_job

REVIEW = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["good", "mixed", "bad", None]},
        "stars": {"type": "integer"},
        "score": {"type": "number"},
        "spam": {"type": "boolean"},
        "words": {"type": "string"},
        "seen": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "more": {"type": "object"},
    },
}
GOOD = {
    "mood": "good",
    "stars": 5,
    "score": 1,
    "spam": False,
    "words": "fine",
    "seen": "2024-05-01T12:00:00+02:00",
    "tags": ["a"],
    "more": {"b": 1},
}
DTYPES = {
    "mood": "category",
    "stars": "Int64",
    "score": "float64",
    "spam": "boolean",
    "words": text_dtype(),
    "seen": "datetime64[us, UTC]",
    "tags": "object",
    "more": "object",
}


class Answered:
    """A job with a schema, of which some batches have been answered: number of the batch to its answer."""

    def __init__(
        self,
        items: int,
        answers: dict[int, Any],
        *,
        schema: Any = REVIEW,
        size: int = 1,
        per_item: bool = False,
        **batch: Any,
    ) -> None:
        form = {"schema": schema, "per_item": per_item} if schema is not None else {}
        cut = {"size": size, "total_items": items, **batch}
        self.config = JobConfig.model_validate({"name": "demo", "batch": cut, "answer": form})
        self.schema = schema
        self.answers = answers
        batches = {
            number: BatchState(number, status="completed", answer_at=number, answer_size=1) for number in answers
        }
        plan = plan_job(self.config) if items else None
        shape = plan.shape if plan is not None else ev.PlanShape(0)
        self.state = JobState(JobRecord(job_id="demo", seq=1, plan=shape), batches)

    def read(self, batch: BatchState) -> ev.Answer:
        answer = self.answers[batch.number]
        finished = ev.SessionFinished(batch=batch.number, attempt=1, outcome="ok")
        return ev.Answer(finished, text=answer) if isinstance(answer, str) else ev.Answer(finished, data=answer)

    def frame(self, **options: Any) -> pd.DataFrame:
        return answers_frame(self.state, self.config, self.read, schema=self.schema, **options)

    def joined(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.join(self.frame(index=frame.index, beside=tuple(frame.columns)))


def stars(*numbers: int) -> dict[int, Any]:
    return {place: {"stars": number} for place, number in enumerate(numbers, 1)}


# --- dtypes -----------------------------------------------------------------------------------------------------------


def test_columns_are_typed_by_the_schema() -> None:
    frame = Answered(2, {1: GOOD}).frame()
    assert {name: str(frame[name].dtype) for name in DTYPES} == DTYPES
    assert list(frame["mood"].cat.categories) == ["good", "mixed", "bad"]
    assert frame.loc[0, "seen"] == pd.Timestamp("2024-05-01T10:00:00Z")
    assert frame.loc[0, "tags"] == ["a"]
    assert frame.loc[1, list(DTYPES)].isna().tolist() == [True] * len(DTYPES)


def test_the_columns_around_the_answer_say_how_it_stands() -> None:
    frame = Answered(2, {1: GOOD}).frame()
    assert frame["status"].tolist() == ["completed", "pending"]
    assert list(frame["status"].cat.categories) == list(BATCH_STATUSES)
    assert list(frame["error_code"].cat.categories) == list(CODES)
    assert (frame["item"].tolist(), frame["batch"].tolist()) == ([1, 2], [1, 2])


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("per_item", [False, True])
@pytest.mark.parametrize("schema", [REVIEW, None, {"type": "integer"}])
def test_a_job_without_items_has_the_same_columns_and_dtypes(size: int, per_item: bool, schema: Any) -> None:
    if per_item and schema != REVIEW:
        return
    one = [GOOD] * 3 if per_item else 7 if schema == {"type": "integer"} else "text" if schema is None else GOOD
    full = Answered(6, {1: one if size == 3 or not per_item else [GOOD]}, schema=schema, size=size, per_item=per_item)
    empty = Answered(6, {}, schema=schema, size=size, per_item=per_item)
    empty.state = JobState()
    pd.testing.assert_series_equal(empty.frame().dtypes, full.frame().dtypes)
    assert len(empty.frame()) == 0
    assert empty.frame().index.dtype == full.frame().index.dtype
    assert empty.frame().index.name == full.frame().index.name


def test_an_answer_of_an_earlier_schema_stays_as_it_is() -> None:
    frame = Answered(2, {1: {"stars": "many"}, 2: {"stars": 3}}).frame()
    assert frame["stars"].tolist() == ["many", 3]
    assert frame["stars"].dtype == object


def test_a_choice_that_the_schema_does_not_know_comes_after_those_it_knows() -> None:
    frame = Answered(1, {1: {"mood": "odd"}}).frame()
    assert list(frame["mood"].cat.categories) == ["good", "mixed", "bad", "odd"]


def test_texts_are_one_column() -> None:
    frame = Answered(2, {1: "yes", 2: "no"}, schema=None).frame()
    assert frame["answer"].tolist() == ["yes", "no"]
    assert frame["answer"].dtype == text_dtype()


# --- joining ----------------------------------------------------------------------------------------------------------

INDEXES = {
    "default": pd.RangeIndex(3),
    "range with a name": pd.RangeIndex(10, 40, 10, name="n"),
    "texts": pd.Index(["x", "y", "z"], name="id"),
    "unordered": pd.Index([7, 3, 5]),
    "moments": pd.date_range("2024", periods=3, tz="UTC", name="at"),
    "categories": pd.CategoricalIndex(["b", "a", "c"], name="kind"),
    "levels": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["group", "n"]),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_answers_join_on_the_index_of_the_input_whatever_it_is(index: pd.Index[Any]) -> None:
    frame = pd.DataFrame({"text": ["a", "b", "c"]}, index=index)
    job = Answered(3, stars(1, 2, 3))
    answers = job.frame(index=index, beside=frame.columns)
    pd.testing.assert_index_equal(answers.index, index, exact="equiv")
    joined = frame.join(answers)
    assert joined["stars"].tolist() == [1, 2, 3]
    assert joined["text"].tolist() == ["a", "b", "c"]
    pd.testing.assert_index_equal(joined.index, index, exact="equiv")


def test_answers_of_several_items_per_batch_join_item_by_item() -> None:
    frame = pd.DataFrame({"text": list("abc")}, index=["p", "q", "r"])
    job = Answered(3, {2: [{"stars": 3}]}, size=2, per_item=True)
    assert job.joined(frame)["stars"].fillna(0).tolist() == [0, 0, 3]
    assert job.joined(frame)["batch"].tolist() == [1, 1, 2]


def test_columns_that_the_input_has_already_get_another_name() -> None:
    frame = pd.DataFrame({"stars": [0, 0], "status": ["new", "old"], "item": [8, 9]})
    joined = Answered(2, stars(4, 5)).joined(frame)
    assert joined["answer_stars"].tolist() == [4, 5]
    assert joined["answer_status"].tolist() == ["completed", "completed"]
    assert joined["answer_item"].tolist() == [1, 2]
    assert joined["stars"].tolist() == [0, 0]


def test_a_name_of_the_index_is_taken_as_well_so_that_it_can_be_reset() -> None:
    frame = pd.DataFrame({"text": ["a", "b"]}, index=pd.Index(["x", "y"], name="item"))
    joined = Answered(2, stars(4, 5)).joined(frame).reset_index()
    assert joined[["item", "answer_item", "stars"]].to_numpy().tolist() == [["x", 1, 4], ["y", 2, 5]]


def test_without_an_index_items_count_from_0_as_rows_do_in_a_file_that_pandas_reads() -> None:
    frame = pd.DataFrame({"text": list("abc")})
    joined = frame.join(Answered(3, stars(1, 2, 3)).frame())
    assert joined["stars"].tolist() == [1, 2, 3]


def test_a_job_that_begins_later_leaves_the_rows_before_it_empty() -> None:
    frame = pd.DataFrame({"text": list("abc")}, index=list("xyz"))
    joined = Answered(3, stars(2, 3), start_item=2).joined(frame)
    assert joined["stars"].fillna(0).tolist() == [0, 2, 3]


def test_labels_that_occur_twice_are_kept_and_warned_of() -> None:
    frame = pd.DataFrame({"text": list("abc")}, index=["x", "x", "y"])
    job = Answered(3, stars(1, 2, 3))
    with pytest.warns(UserWarning, match="multiply rows"):
        answers = job.frame(index=frame.index)
    assert pd.concat([frame, answers], axis=1)["stars"].tolist() == [1, 2, 3]


def test_an_index_of_something_else_is_refused() -> None:
    with pytest.raises(MisuseError, match="2 labels, but the job has 3 items"):
        Answered(3, {}).frame(index=pd.Index([1, 2]))


def test_one_answer_for_several_items_is_one_row_by_its_batch() -> None:
    frame = Answered(5, {2: GOOD}, size=2).frame(index=pd.Index(list("abcde")))
    assert frame.index.tolist() == [1, 2, 3]
    assert frame.index.name == "batch"
    assert frame[["first_item", "last_item"]].to_numpy().tolist() == [[1, 2], [3, 4], [5, 5]]


def test_copies_of_a_stage_are_rows_by_their_batch() -> None:
    frame = Answered(2, {3: GOOD}, fan_out={2: 2}, dependencies={2: [1]}).frame()
    assert frame.index.tolist() == [1, 2, 3]
    assert frame[["stage", "instance"]].to_numpy().tolist() == [[1, 1], [2, 1], [2, 2]]


def test_columns_of_the_input_can_stand_beside_the_answers_typed_by_their_values() -> None:
    rows = [{"id": 1, "text": "a", "part": 0.5, "any": [1]}, {"id": None, "text": "b", "part": 1, "any": "x"}]
    frame = Answered(2, stars(1, 2)).frame(rows=rows, inputs=("id", "text", "part", "any"))
    assert frame[["id", "text", "part", "any"]].dtypes.tolist() == ["Int64", text_dtype(), "float64", "object"]
    assert frame["text"].tolist() == ["a", "b"]


def test_two_thousand_answers_are_a_frame_within_three_tenths_of_a_second() -> None:
    job = Answered(2000, dict.fromkeys(range(1, 2001), GOOD))
    job.frame()
    assert min(seconds(job) for _ in range(3)) < 0.3


def seconds(job: Answered) -> float:
    started = time.process_time()
    job.frame(index=pd.RangeIndex(2000))
    return time.process_time() - started
