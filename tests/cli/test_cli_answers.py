"""`answers`, and whole jobs whose answers have a form: rows in, typed answers out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from support.commands import Started, mozart, wait_for, write_job

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["good", "bad"]},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "why": {"type": "string", "minLength": 5},
    },
    "required": ["label", "stars", "why"],
    "additionalProperties": False,
}


def review_job(folder: Path, *, rows: int = 20, size: int = 4, **sections: Any) -> Path:
    text = "id,text\n" + "".join(f"r{number},review number {number}\n" for number in range(1, rows + 1))
    (folder / "reviews.csv").write_text(text)
    defaults: dict[str, Any] = {
        "items": {"file": "reviews.csv"},
        "batch": {"size": size},
        "prompt": {"template": "Classify: {{ items | tojson }}"},
        "answer": {"schema": SCHEMA, "per_item": True},
        "validations": [],
        "parallel": {"enabled": True, "max_concurrent": 4},
    }
    return write_job(folder, **{**defaults, **sections})


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def reviewed(tmp_path: Path) -> Path:
    assert mozart("run", review_job(tmp_path)).exit_code == 0
    return tmp_path


# --- whole jobs -------------------------------------------------------------------------------------------------------


def test_invalid_answers_are_repaired_by_completion_attempts(tmp_path: Path):
    script = {number: ["invalid_output"] for number in range(1, 6)}
    job = review_job(tmp_path, rehearsal={"latency_seconds": 0, "seed": 1, "script": script})
    ended = mozart("run", job, "--json")
    assert ended.exit_code == 0
    assert ended.document["execution"]["completions"] == 5
    assert ended.document["execution"]["retries"] == 0
    rows = lines(mozart("answers", "demo").stdout)
    assert [row["item"] for row in rows] == list(range(1, 21))
    assert all(row["label"] in ("good", "bad") and 1 <= row["stars"] <= 5 for row in rows)
    faults = mozart("errors", "demo", "--json").document["errors"]
    assert [error["code"] for error in faults] == ["E202"] * 5
    assert len({error["message"] for error in faults}) >= 4


def test_an_answer_that_stays_invalid_fails_its_batch(tmp_path: Path):
    job = review_job(
        tmp_path,
        rehearsal={"latency_seconds": 0, "script": {2: ["invalid_output"] * 20}},
        parallel={"enabled": True, "fail_fast": False},
        retry={
            "max_retries": 1,
            "base_delay_seconds": 0.01,
            "max_completion_attempts": 1,
            "completion_delay_seconds": 0,
        },
    )
    assert mozart("run", job).exit_code == 1
    failed = lines(mozart("answers", "demo", "--failed").stdout)
    assert [(row["item"], row["status"], row["error_code"]) for row in failed] == [
        (number, "failed", "E202") for number in range(5, 9)
    ]
    assert all(row["error_message"] and row["label"] is None for row in failed)
    assert len(lines(mozart("answers", "demo").stdout)) == 20


@pytest.mark.parametrize("answer", [{"format": "json"}, {"per_item": True}, {"schema": {"enum": ["yes", "no"]}}])
def test_other_forms_can_be_rehearsed_as_well(tmp_path: Path, answer: dict[str, Any]):
    assert mozart("run", review_job(tmp_path, answer=answer)).exit_code == 0
    assert all(row["answer"] for row in lines(mozart("answers", "demo").stdout))


def test_a_job_without_rows_counts_its_items(tmp_path: Path):
    job = review_job(tmp_path, batch={"size": 3, "total_items": 7}, items=None)
    data = job.read_text().replace("items: null\n", "")
    job.write_text(data)
    assert mozart("run", job).exit_code == 0
    assert [row["item"] for row in lines(mozart("answers", "demo").stdout)] == list(range(1, 8))


def test_a_schema_in_a_file_is_frozen_and_a_changed_one_changes_the_job(tmp_path: Path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    job = review_job(tmp_path, answer={"schema": "schema.json", "per_item": True})
    assert mozart("run", job, "--limit", "2").exit_code == 3
    (tmp_path / "schema.json").unlink()
    assert mozart("resume", "demo").exit_code == 0
    assert lines(mozart("answers", "demo").stdout)[19]["label"] in ("good", "bad")
    (tmp_path / "schema.json").write_text(json.dumps({**SCHEMA, "title": "changed"}))
    assert "changed" in mozart("run", job).stderr


def test_a_job_whose_schema_cannot_be_used_does_not_run(tmp_path: Path):
    ended = mozart("run", review_job(tmp_path, answer={"schema": {"type": "objekt"}}))
    assert ended.exit_code == 2
    assert "V125" in ended.stderr


STRICT = {**SCHEMA, "properties": {**SCHEMA["properties"], "stars": {"type": "integer", "maximum": 2}}}


def test_recover_completes_a_batch_only_when_its_answer_is_of_the_form(tmp_path: Path):
    given = '{"label": "good", "stars": 3, "why": "because of it"}'
    retry = {"max_retries": 0, "max_completion_attempts": 0}
    options: dict[str, Any] = {"rehearsal": {"answer": given, "latency_seconds": 0}, "retry": retry, "size": 1}
    job = review_job(tmp_path, rows=2, answer={"schema": STRICT}, parallel={"fail_fast": False}, **options)
    assert mozart("run", job).exit_code == 1
    assert mozart("recover", "demo").exit_code == 1
    assert {row["status"] for row in lines(mozart("answers", "demo").stdout)} == {"failed"}
    review_job(tmp_path, rows=2, answer={"schema": SCHEMA}, parallel={"fail_fast": False}, **options)
    assert mozart("modify", "demo", "-c", job).exit_code == 0
    recovered = mozart("recover", "demo")
    assert recovered.exit_code == 0, recovered
    assert [(row["status"], row["stars"]) for row in lines(mozart("answers", "demo").stdout)] == [("completed", 3)] * 2


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_json_lines(reviewed: Path):
    ended = mozart("answers", "demo")
    assert (ended.exit_code, ended.stderr) == (0, "")
    first = lines(ended.stdout)[0]
    assert list(first) == [
        *("item", "batch", "status", "label", "stars", "why", "error_code", "error_message", "reused"),
    ]


def test_json_is_one_document(reviewed: Path):
    assert mozart("answers", "demo", "--json").document == mozart("answers", "demo", "--format", "json").document
    assert len(mozart("answers", "demo", "-j").document) == 20


def test_csv_with_the_columns_of_the_input(reviewed: Path):
    ended = mozart("answers", "demo", "--format", "csv", "--with-items")
    rows = list(csv.DictReader(io.StringIO(ended.stdout)))
    assert [row["id"] for row in rows] == [f"r{number}" for number in range(1, 21)]
    assert rows[0]["text"] == "review number 1"


@pytest.mark.parametrize(
    ("name", "option"), [("a.csv", []), ("a.json", []), ("a.jsonl", []), ("a", ["--format", "CSV"])]
)
def test_a_file_is_written_as_its_name_says(reviewed: Path, name: str, option: list[str]):
    ended = mozart("answers", "demo", "-o", reviewed / name, *option)
    assert ended.exit_code == 0
    assert ended.stdout == ""
    assert "20 rows written" in ended.stderr
    assert "20 completed" in ended.stderr
    start = (reviewed / name).read_bytes()[:1]
    assert start == {"a.json": b"[", "a.jsonl": b"{"}.get(name, b"i")
    assert [path.name for path in reviewed.iterdir() if path.name.endswith(".part")] == []


def test_a_parquet_file_keeps_the_types(reviewed: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert mozart("answers", "demo", "-o", reviewed / "a.parquet").exit_code == 0
    table = parquet.read_table(reviewed / "a.parquet")
    assert table.num_rows == 20
    assert str(table.schema.field("stars").type) == "int64"


def test_a_file_that_cannot_be_written_is_said_and_what_was_there_stays(reviewed: Path):
    ended = mozart("answers", "demo", "-o", reviewed / "nowhere" / "a.csv")
    assert ended.exit_code == 2
    assert "cannot be written" in ended.stderr


def test_unknown_formats_and_jobs_are_refused(reviewed: Path):
    ended = mozart("answers", "demo", "--format", "xlsx")
    assert ended.exit_code == 2
    assert "csv, jsonl, json, parquet" in ended.stderr
    assert mozart("answers", "nobody").exit_code == 2


def test_text_answers_are_one_column(tmp_path: Path):
    job = review_job(tmp_path, answer={}, size=1, rehearsal={"answer": "=1+1 {{ item.id }}", "latency_seconds": 0})
    assert mozart("run", job).exit_code == 0
    rows = lines(mozart("answers", "demo").stdout)
    assert rows[2]["answer"] == "=1+1 r3"
    escaped = mozart("answers", "demo", "--format", "csv", "--escape-formulas").stdout.splitlines()
    assert escaped[1].split(",")[3] == "'=1+1 r1"


def test_keys_without_a_column_are_warned_of(tmp_path: Path):
    open_schema = {key: value for key, value in SCHEMA.items() if key != "additionalProperties"}
    given = '{"label": "good", "stars": 3, "why": "because", "mood": "x"}'
    job = review_job(
        tmp_path, answer={"schema": open_schema}, size=1, rehearsal={"answer": given, "latency_seconds": 0}
    )
    assert mozart("run", job).exit_code == 0
    ended = mozart("answers", "demo")
    assert "`mood`" in ended.stderr
    assert lines(ended.stdout)[0]["stars"] == 3


def test_answers_of_a_running_job(tmp_path: Path):
    job = review_job(
        tmp_path, rows=200, size=1, rehearsal={"latency_seconds": 0.1}, parallel={"enabled": True, "max_concurrent": 2}
    )
    with Started("run", job, cwd=tmp_path):

        def some() -> list[dict[str, Any]]:
            ended = mozart("answers", "demo", "-w", tmp_path / "ws")
            rows = lines(ended.stdout) if ended.exit_code == 0 else []
            return [row for row in rows if row["status"] == "completed"]

        wait_for(lambda: len(some()) >= 3)
        rows = lines(mozart("answers", "demo", "-w", tmp_path / "ws").stdout)
        assert len(rows) == 200
        assert {row["status"] for row in rows} >= {"completed", "pending"}
        assert all(row["label"] for row in rows if row["status"] == "completed")
