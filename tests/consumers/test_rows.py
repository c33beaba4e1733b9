"""Rows and documents: declared once, checked against the model."""

from __future__ import annotations

import json

import pytest
from support.engine import OK, World, failed, refused

from mozart_nb import events as ev
from mozart_nb.codes import CODES
from mozart_nb.consumers.documents import MAX_BATCHES, error_document, error_groups, status_document
from mozart_nb.consumers.rows import (
    ATTEMPT_COLUMNS,
    BATCH_COLUMNS,
    ERROR_COLUMNS,
    Attempts,
    Column,
    ErrorRecord,
    batch_view,
    errors_of,
    iso,
    row_of,
)
from mozart_nb.engine.state import JobRecord, JobState

TABLES = {"batches": BATCH_COLUMNS, "attempts": ATTEMPT_COLUMNS, "errors": ERROR_COLUMNS}
PYTHON_TYPES = {"int": int, "float": float, "bool": bool, "str": str, "category": str, "timestamp": str, "object": list}


def finished_world() -> World:
    """Batch 1 is retried once, batch 2 waits for a limit, batch 3 fails for good."""
    outcomes = {1: [failed(), OK], 2: [refused(retry_after=5), OK], 3: [failed()] * 9}
    world = World(batches=4, outcomes=outcomes, retry={"max_retries": 1}, parallel={"fail_fast": False})
    world.run()
    return world


@pytest.mark.parametrize("columns", TABLES.values(), ids=TABLES)
def test_every_column_has_a_name_of_its_own_and_says_what_it_means(columns: tuple[Column[object], ...]) -> None:
    names = [column.name for column in columns]
    assert len(names) == len(set(names))
    assert all(column.meaning for column in columns)


def test_every_batch_row_has_the_declared_types_touched_or_not() -> None:
    state = finished_world().state
    for number in range(1, state.total + 1):
        row = row_of(BATCH_COLUMNS, batch_view(state, number))
        for column in BATCH_COLUMNS:
            value, wanted = row[column.name], PYTHON_TYPES.get(column.dtype, float)
            assert value is None or isinstance(value, wanted | int), (column.name, value)


def test_a_batch_that_does_not_exist_has_no_row() -> None:
    with pytest.raises(IndexError):
        batch_view(finished_world().state, 5)


def test_attempts_are_put_together_from_their_events() -> None:
    world = finished_world()
    attempts = Attempts()
    attempts.hear(world.store.durable)
    assert {key: record.passed for key, record in attempts.records.items() if key[0] == 1} == {
        (1, 1): False,
        (1, 2): True,
    }
    first, second = attempts.records[1, 1], attempts.records[1, 2]
    assert (first.mode, first.code, second.mode, second.code) == ("first", "E003", "retry", "")
    assert second.cost_usd == 0.01
    assert len(attempts.records) == sum(batch.attempts for batch in world.state.batches.values())
    assert all(row_of(ATTEMPT_COLUMNS, record)["attempt"] for record in attempts.records.values())


def test_errors_say_whether_a_later_attempt_made_them_good() -> None:
    world = finished_world()
    attempts = Attempts()
    attempts.hear(world.store.durable)
    errors = errors_of(world.state, attempts.records)
    assert [(error.batch, error.is_resolved) for error in errors if error.batch != 3] == [(1, True), (2, True)]
    assert {error.is_resolved for error in errors if error.batch == 3} == {False}
    groups = {group["code"]: group for group in error_groups(errors)}
    assert groups["E003"]["unresolved_batches"] == [3]
    assert groups["E101"]["unresolved"] == 0
    assert [group["code"] for group in error_groups(errors)] == ["E003", "E101"]


def test_a_failure_of_the_job_itself_is_an_error_without_a_batch() -> None:
    job = JobRecord(job_id="j", status="failed", code="E501", reason="Invalid API key", finished_at=5.0)
    (error,) = errors_of(JobState(job), {})
    assert (error.code, error.batch, error.message, error.is_resolved) == ("E501", 0, "Invalid API key", False)


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_group_with_meaning_and_advice(code: str) -> None:
    (group,) = error_groups([ErrorRecord("j", 1.0, code, "it broke", batch=1, attempt=1, batch_status="failed")])
    assert group["meaning"] == CODES[code].meaning
    assert group["advice"]


def test_verbose_errors_hold_what_failed_rules_expected_and_saw() -> None:
    rule = ev.RuleResult(rule=1, type="file_exists", status="failed", path="a.md", expected="a file", actual="nothing")
    good = ev.RuleResult(rule=2, type="file_exists", status="passed", path="b.md")
    error = ErrorRecord("j", 1.0, "E201", "missing", 1, 1, "failed", (rule, good), "out", "err")
    assert "rules" not in error_document(error)
    (shown,) = error_document(error, verbose=True)["rules"]
    assert (shown["path"], shown["expected"], shown["actual"]) == ("a.md", "a file", "nothing")


# --- status -----------------------------------------------------------------------------------------------------------

DOCUMENTED = "job_id job_name status progress timing cost tokens execution circuit_breaker error batches".split()
PROGRESS = "total completed failed skipped blocked running percent eta_seconds".split()
BATCH = "status attempts duration_seconds validation_passed error_code cost".split()


def test_a_status_document_has_what_is_documented_and_is_json() -> None:
    state = finished_world().state
    document = json.loads(json.dumps(status_document(state, None, state.job.at, workspace="/ws")))
    assert set(DOCUMENTED) <= document.keys()
    assert set(PROGRESS) <= document["progress"].keys()
    assert {"retries", "completions", "rate_limit_waits", "current_wait"} <= document["execution"].keys()
    assert list(document["batches"]) == ["1", "2", "3", "4"]
    assert all(set(BATCH) <= batch.keys() for batch in document["batches"].values())
    assert document["workspace"] == "/ws"
    assert document["status"] == "failed"
    assert document["error"]["code"] == "E003"
    assert document["progress"]["completed"] == 3


def test_large_jobs_list_their_batches_only_when_asked() -> None:
    state = JobState(JobRecord(job_id="j", plan=ev.PlanShape(total=MAX_BATCHES + 1, total_items=MAX_BATCHES + 1)))
    document = status_document(state, None, 0.0)
    assert document["batches"] == {}
    assert document["batches_omitted"] == MAX_BATCHES + 1
    assert list(status_document(state, None, 0.0, batches=[7])["batches"]) == ["7"]


def test_times_are_written_in_utc_and_never_is_empty() -> None:
    assert iso(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
    assert iso(0.0) is None
