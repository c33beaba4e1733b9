"""Answers as rows: columns from the schema, one row per item, and files that hold them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from mozart_nb import events as ev
from mozart_nb.consumers.answer_files import AnswerFormat, write_answers
from mozart_nb.consumers.answers import (
    AnswerTable,
    answer_columns,
    answer_records,
    answer_table,
    dtype_of,
    input_columns,
)
from mozart_nb.engine.state import BatchState, JobRecord, JobState
from mozart_nb.errors import MisuseError
from mozart_nb.job.model import JobConfig

REVIEW = {
    "type": "object",
    "properties": {
        "label": {"enum": ["good", "bad"], "description": "what it is"},
        "stars": {"type": "integer"},
        "score": {"type": ["number", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "status": {"type": "string"},
    },
}


def config(*, size: int = 1, schema: Any = None, per_item: bool = False, form: str = "text", **batch: Any) -> JobConfig:
    answer = {"format": form, "schema": schema, "per_item": per_item}
    whole = {"name": "demo", "batch": {"size": size, "total_items": 4, **batch}, "answer": answer}
    return JobConfig.model_validate(whole)


class Answers:
    """A job of which some batches have been answered: number of the batch to its answer."""

    def __init__(self, job: JobConfig, answers: dict[int, Any], **states: BatchState) -> None:
        self.job = job
        self.answers = answers
        size, total = job.batch.size, job.batch.total_items or 0
        shape = ev.PlanShape(
            total=-(-(total - job.batch.start_item + 1) // size),
            size=size,
            start_item=job.batch.start_item,
            total_items=total,
        )
        batches = {
            number: BatchState(number, status="completed", answer_at=number, answer_size=1, reused=number == 2)
            for number in answers
        }
        batches |= {batch.number: batch for batch in states.values()}
        self.state = JobState(JobRecord(job_id="demo", seq=1, plan=shape), batches)

    def read(self, batch: BatchState) -> ev.Answer:
        answer = self.answers[batch.number]
        finished = ev.SessionFinished(batch=batch.number, attempt=1, outcome="ok")
        return ev.Answer(finished, text=answer) if isinstance(answer, str) else ev.Answer(finished, data=answer)

    def table(self, **options: Any) -> AnswerTable:
        given = self.job.answer.json_schema
        assert not isinstance(given, str)
        return answer_table(self.job, given, **options)

    def rows(self, rows: list[Any] | None = None, *, only_failed: bool = False) -> list[dict[str, Any]]:
        table = self.table(inputs=input_columns(rows or ()))
        records = answer_records(self.state, self.job, self.read, rows=rows, only_failed=only_failed)
        return [table.row_of(record) for record in records]


def names(job: JobConfig, **options: Any) -> list[str]:
    given = job.answer.json_schema
    assert not isinstance(given, str)
    return [column.name for column in answer_columns(job, given, **options)]


# --- columns ----------------------------------------------------------------------------------------------------------


def test_keys_of_the_schema_are_columns_of_their_type():
    columns = {column.name: column for column in answer_columns(config(schema=REVIEW, per_item=True), REVIEW)}
    dtypes = {name: column.dtype for name, column in columns.items()}
    assert dtypes == {
        "item": "int",
        "batch": "int",
        "status": "category",
        "label": "category",
        "stars": "int",
        "score": "float",
        "tags": "object",
        "answer_status": "str",
        "error_code": "category",
        "error_message": "str",
        "reused": "bool",
    }
    assert columns["label"].meaning == "what it is"
    assert all(column.meaning for column in columns.values())


@pytest.mark.parametrize(
    ("job", "place", "answer"),
    [
        (config(), ["item", "batch", "status"], ["answer"]),
        (config(size=2), ["batch", "first_item", "last_item", "status"], ["answer"]),
        (config(size=2, per_item=True), ["item", "batch", "status"], ["answer"]),
        (config(form="json"), ["item", "batch", "status"], ["answer"]),
        (config(schema={"type": "integer"}), ["item", "batch", "status"], ["answer"]),
        (config(schema={"type": "object"}), ["item", "batch", "status"], ["answer"]),
    ],
)
def test_what_a_row_is_and_which_column_holds_an_answer_without_keys(job: JobConfig, place: list[str], answer: Any):
    assert names(job) == [*place, *answer, "error_code", "error_message", "reused"]


def test_names_that_are_taken_get_something_before_them():
    schema = {"type": "object", "properties": {"item": {}, "answer_item": {}, "text": {}}}
    job = config(schema=schema)
    found = names(job, inputs=["text", "batch", "new", ""])
    assert found == [
        *("item", "batch", "status", "item_text", "item_batch", "new", "input"),
        *("answer_item", "answer_answer_item", "text"),
        *("error_code", "error_message", "reused"),
    ]


@pytest.mark.parametrize(
    ("schema", "dtype"),
    [
        ({"type": "string"}, "str"),
        ({"type": ["string", "null"], "format": "date-time"}, "datetime"),
        ({"type": "string", "format": "date"}, "str"),
        ({"type": ["null", "boolean"]}, "bool"),
        ({"type": ["integer", "number"]}, "float"),
        ({"type": ["integer", "string"]}, "object"),
        ({"enum": [1, 2, None]}, "int"),
        ({"enum": [1, "a"]}, "object"),
        ({"const": "x"}, "category"),
        ({"enum": [True]}, "bool"),
        ({}, "object"),
    ],
)
def test_dtypes_of_schemas(schema: dict[str, Any], dtype: str):
    assert dtype_of(schema) == dtype


def test_references_and_nullable_choices_are_looked_through():
    schema = {
        "$ref": "#/$defs/Row",
        "$defs": {
            "Row": {"type": "object", "properties": {"n": {"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]}}},
            "N": {"type": "integer"},
        },
    }
    columns = {column.name: column.dtype for column in answer_columns(config(schema=schema), schema)}
    assert columns["n"] == "int"


# --- rows -------------------------------------------------------------------------------------------------------------


def test_every_item_has_a_row_in_input_order_answered_or_not():
    job = config(size=2, schema=REVIEW, per_item=True)
    rows = Answers(job, {2: [{"stars": 3.0, "score": 1}, {"stars": 4}]}).rows()
    assert [row["item"] for row in rows] == [1, 2, 3, 4]
    assert [row["status"] for row in rows] == ["pending", "pending", "completed", "completed"]
    assert [row["stars"] for row in rows] == [None, None, 3, 4]
    assert [type(row["stars"]) for row in rows[2:]] == [int, int]
    assert isinstance(rows[2]["score"], float)
    assert [row["reused"] for row in rows] == [False, False, True, True]


def test_a_batch_of_several_items_with_one_answer_is_one_row():
    rows = Answers(config(size=3), {1: "all three", 2: "the last"}).rows([{"id": 7}] * 4)
    assert [(row["first_item"], row["last_item"], row["answer"], row["id"]) for row in rows] == [
        (1, 3, "all three", None),
        (4, 4, "the last", 7),
    ]


def test_failed_items_say_why_and_can_be_asked_for_alone():
    failed = BatchState(1, status="failed", code="E202", message="not JSON", answer_at=3, answer_size=1)
    blocked = BatchState(3, status="blocked", reason="waits for batch 1")
    job = Answers(config(form="json"), {2: {"a": 1}}, failed=failed, blocked=blocked)
    rows = job.rows(only_failed=True)
    assert [(row["item"], row["answer"], row["error_code"], row["error_message"]) for row in rows] == [
        (1, None, "E202", "not JSON"),
        (3, None, None, "waits for batch 1"),
    ]
    assert len(job.rows()) == 4


def test_rows_of_the_input_stand_beside_their_answers():
    rows = Answers(config(size=2, per_item=True, start_item=2), {1: [{"a": 1}, {"a": 2}]}).rows(
        ["x", {"id": 2}, "z", 4]
    )
    assert [(row["item"], row["id"], row["input"]) for row in rows] == [(2, 2, None), (3, None, "z"), (4, None, 4)]
    assert [row["answer"] for row in rows] == [{"a": 1}, {"a": 2}, None]


def test_keys_that_the_schema_does_not_name_are_told():
    job = Answers(config(schema=REVIEW), {1: {"stars": 1, "mood": "x"}})
    [record, *_] = answer_records(job.state, job.job, job.read)
    assert job.table().unnamed(record) == ["mood"]
    plain = Answers(config(form="json"), {1: {"mood": "x"}})
    [record, *_] = answer_records(plain.state, plain.job, plain.read)
    assert plain.table().unnamed(record) == []


# --- files ------------------------------------------------------------------------------------------------------------

HOSTILE = [
    {"label": "good", "stars": 1, "score": 0.1, "tags": ["a,b", 'c"d'], "status": '=HYPERLINK("http://x","y")'},
    {"label": "bad", "stars": -2, "score": None, "tags": [], "status": "two\nlines, ä 🎉 \x00"},
    {"label": None, "status": ""},
    {"label": "bad", "stars": 2**62, "score": 1e300, "tags": None, "status": "-5"},
]


def written(form: AnswerFormat, *, answers: list[Any] | None = None, **options: Any) -> bytes:
    schema = {**REVIEW, "properties": {**REVIEW["properties"], "deep": {"type": "object"}}}  # type: ignore[dict-item]
    job = Answers(config(size=4, schema=schema, per_item=True), {1: HOSTILE if answers is None else answers})
    file = io.BytesIO()
    table = job.table()
    rows = (table.row_of(record) for record in answer_records(job.state, job.job, job.read))
    write_answers(table, rows, form, file, **options)
    return file.getvalue()


def test_csv_holds_texts_as_they_are():
    rows = list(csv.DictReader(io.StringIO(written("csv").decode(), newline="")))
    assert [row["answer_status"] for row in rows] == [one["status"] for one in HOSTILE]
    assert [row["stars"] for row in rows] == ["1", "-2", "", str(2**62)]
    assert [row["score"] for row in rows] == ["0.1", "", "", "1e+300"]
    assert json.loads(rows[0]["tags"]) == ["a,b", 'c"d']
    assert {row["reused"] for row in rows} == {"false"}


def test_csv_for_spreadsheets_has_no_formulas_and_numbers_stay_numbers():
    rows = list(csv.DictReader(io.StringIO(written("csv", escape_formulas=True).decode(), newline="")))
    assert rows[0]["answer_status"].startswith("'=HYPERLINK")
    assert rows[3]["answer_status"] == "'-5"
    assert rows[1]["stars"] == "-2"


def test_json_lines_and_json_hold_the_same_data():
    lines = [json.loads(line) for line in written("jsonl").splitlines()]
    assert json.loads(written("json")) == lines
    assert [line["tags"] for line in lines] == [["a,b", 'c"d'], [], None, None]
    assert [line["stars"] for line in lines] == [1, -2, None, 2**62]


def test_nothing_to_write_is_valid_in_every_format():
    table = answer_table(config(), None)
    for form in ("csv", "jsonl", "json", "parquet"):
        file = io.BytesIO()
        write_answers(table, (), form, file)
        text = file.getvalue()
        assert form == "jsonl" or text
        assert form != "json" or json.loads(text) == []


def test_parquet_has_types_and_structure():
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(written("parquet")))
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["stars"], types["score"], types["label"], types["reused"]) == ("int64", "double", "string", "bool")
    assert types["tags"] == "list<element: string>"
    assert types["deep"] == "string"
    assert table.column("tags").to_pylist() == [["a,b", 'c"d'], [], None, None]
    assert table.column("answer_status").to_pylist() == [one["status"] for one in HOSTILE]


def test_a_value_that_does_not_fit_its_parquet_column_is_named():
    with pytest.raises(MisuseError, match="`stars`"):
        written("parquet", answers=[{"stars": "of an earlier schema"}])


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MisuseError) as caught:
        written("parquet")
    assert "mozart-nb[parquet]" in caught.value.hint


def test_rows_are_not_gathered_before_they_are_written(tmp_path: Path):
    seen: list[int] = []

    def rows() -> Any:
        for number in range(1, 1001):
            seen.append(number)
            yield dict.fromkeys((column.name for column in answer_table(config(), None).columns), number)

    class File(io.BytesIO):
        most = 0

        def write(self, data: Any) -> int:
            File.most = max(File.most, len(data))
            return super().write(data)

        def writelines(self, lines: Any) -> None:
            for line in lines:
                self.write(line)

    for form in ("csv", "jsonl", "json"):
        write_answers(answer_table(config(), None), rows(), form, File())
    assert File.most < 300
    assert len(seen) == 3000
