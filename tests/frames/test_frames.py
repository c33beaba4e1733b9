"""What happened in a job as DataFrames: their columns, dtypes and indexes, with rows and without."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pandas as pd
import pytest
from support.engine import OK, Rules, World, failed, refused

from mozart_nb import events as ev
from mozart_nb.codes import CODES
from mozart_nb.consumers.job_rows import EVENT_COLUMNS, JOB_COLUMNS, VALIDATION_COLUMNS, JobView
from mozart_nb.consumers.rows import ATTEMPT_COLUMNS, BATCH_COLUMNS, BATCH_STATUSES, ERROR_COLUMNS
from mozart_nb.engine.fold import fold
from mozart_nb.engine.state import JobRecord, JobState
from mozart_nb.errors import MisuseError
from mozart_nb.frames import (
    attempts_frame,
    batches_frame,
    errors_frame,
    events_frame,
    history_frame,
    validations_frame,
)
from mozart_nb.frames.tables import INDEXES
from mozart_nb.frames.typed import array_of, text_dtype

COLUMNS = {
    "batches": BATCH_COLUMNS,
    "attempts": ATTEMPT_COLUMNS,
    "errors": ERROR_COLUMNS,
    "validations": VALIDATION_COLUMNS,
    "events": EVENT_COLUMNS,
    "history": JOB_COLUMNS,
}
DTYPES = {
    "int": "Int64",
    "float": "float64",
    "bool": "boolean",
    "str": text_dtype(),
    "category": "category",
    "timestamp": "datetime64[us, UTC]",
    "duration": "timedelta64[us]",
    "object": "object",
}


@pytest.fixture(scope="module")
def world() -> World:
    """Batch 1 is retried, 2 waits for a limit, 3 is completed, 4 fails for good, 5 was never begun."""
    timed = msgspec.structs.replace(OK, duration=2.5)
    outcomes = {
        1: [failed(), timed],
        2: [(timed, Rules(1, 1)), refused(retry_after=5), (timed, Rules(2))],
        3: [timed],
        4: [failed()] * 9,
    }
    sections: dict[str, Any] = {"retry": {"max_retries": 1}, "parallel": {"fail_fast": False}}
    world = World(batches=5, outcomes=outcomes, validations=[{"type": "file_exists", "path": "a"}], **sections)
    world.run(limit=4)
    return world


def frames_of(state: JobState, events: list[ev.Event], views: list[JobView]) -> dict[str, pd.DataFrame]:
    return {
        "batches": batches_frame(state),
        "attempts": attempts_frame(events),
        "errors": errors_frame(state, events),
        "validations": validations_frame(events),
        "events": events_frame(events),
        "history": history_frame(views),
    }


@pytest.fixture(scope="module")
def full(world: World) -> dict[str, pd.DataFrame]:
    view = JobView("job", world.state.status, "/work", world.state.job)
    return frames_of(world.state, world.store.durable, [view, JobView("lost", "unreadable", "/x", message="torn")])


@pytest.fixture(scope="module")
def empty() -> dict[str, pd.DataFrame]:
    return frames_of(JobState(), [], [])


each_frame = pytest.mark.parametrize("name", COLUMNS)


# --- columns and dtypes -----------------------------------------------------------------------------------------------


@each_frame
def test_every_declared_column_is_there_in_order_or_in_the_index(name: str, full: dict[str, pd.DataFrame]) -> None:
    frame, index = full[name], INDEXES[name]
    assert list(frame.columns) == [column.frame_name for column in COLUMNS[name] if column.name not in index]
    assert tuple(frame.index.names) == (index or (None,))
    assert len(frame) > 0


@each_frame
def test_every_column_has_the_dtype_of_its_declaration(name: str, full: dict[str, pd.DataFrame]) -> None:
    for column in COLUMNS[name]:
        if column.name not in INDEXES[name]:
            assert full[name][column.frame_name].dtype == DTYPES[column.dtype], column.name


@each_frame
def test_a_frame_without_rows_has_the_very_same_columns_and_dtypes(
    name: str, full: dict[str, pd.DataFrame], empty: dict[str, pd.DataFrame]
) -> None:
    assert len(empty[name]) == 0
    pd.testing.assert_series_equal(empty[name].dtypes, full[name].dtypes)
    assert empty[name].index.names == full[name].index.names
    levels = [frame.index.to_frame().dtypes.tolist() for frame in (empty[name], full[name])]
    assert levels[0] == levels[1]


@each_frame
def test_frames_of_two_jobs_can_be_put_together_without_losing_dtypes(name: str, full: dict[str, pd.DataFrame]) -> None:
    both = pd.concat([full[name], full[name]])
    pd.testing.assert_series_equal(both.dtypes, full[name].dtypes)


@each_frame
def test_categories_declare_all_values_that_are_known(name: str) -> None:
    assert all(column.categories for column in COLUMNS[name] if column.dtype == "category")
    assert not any(column.categories for column in COLUMNS[name] if column.dtype != "category")


def test_a_duration_carries_its_unit_itself() -> None:
    assert {column.frame_name for column in ATTEMPT_COLUMNS} >= {"duration", "started_at"}
    assert not [
        column.frame_name for columns in COLUMNS.values() for column in columns if "seconds" in column.frame_name
    ]


# --- rows -------------------------------------------------------------------------------------------------------------


def test_every_batch_of_the_plan_has_a_row(full: dict[str, pd.DataFrame]) -> None:
    batches = full["batches"]
    assert batches.index.tolist() == [1, 2, 3, 4, 5]
    assert batches["status"].tolist() == ["completed", "completed", "completed", "failed", "pending"]
    assert list(batches["status"].cat.categories) == list(BATCH_STATUSES)
    assert batches.loc[3, "duration"] == pd.Timedelta(seconds=2.5)
    assert pd.isna(batches.loc[5, "started_at"])
    assert batches["cost"].sum() == pytest.approx(0.04)


def test_batches_of_one_status_or_several_can_be_asked_for(world: World) -> None:
    assert batches_frame(world.state, status="failed").index.tolist() == [4]
    assert batches_frame(world.state, status=("failed", "pending")).index.tolist() == [4, 5]
    with pytest.raises(MisuseError, match="no status `done`"):
        batches_frame(world.state, status="done")


def test_times_are_those_of_the_events_to_the_microsecond(world: World) -> None:
    first = next(event for event in world.store.durable if isinstance(event, ev.BatchStarted))
    started = attempts_frame(world.store.durable)["started_at"].iloc[0]
    assert started.timestamp() == pytest.approx(first.at, abs=1e-6)
    assert array_of("timestamp", [1_700_000_000.1])[0].microsecond == 100_000


def test_attempts_are_in_order_and_found_by_batch_and_number(full: dict[str, pd.DataFrame]) -> None:
    attempts = full["attempts"]
    assert attempts.loc[(2, 2), "error_code"] == "E101"
    assert attempts.loc[1, "passed"].tolist() == [False, True]
    assert attempts["mode"].loc[(2, 3)] == "completion"
    assert attempts.groupby("batch", observed=True).size().to_dict() == {1: 2, 2: 3, 3: 1, 4: 2}


def test_errors_say_what_became_of_them(full: dict[str, pd.DataFrame]) -> None:
    errors = full["errors"]
    assert errors["at"].is_monotonic_increasing
    assert set(errors.loc[~errors["resolved"], "batch"]) == {4}
    assert errors["code"].value_counts()["E003"] == 3
    assert list(errors["code"].cat.categories) == list(CODES)


def test_a_failure_of_the_job_itself_has_no_batch() -> None:
    state = JobState(JobRecord(job_id="j", seq=1, status="paused", code="E506", reason="budget", finished_at=5.0))
    errors = errors_frame(state, [])
    assert errors["batch"].isna().all()
    assert errors["batch_status"].tolist() == ["paused"]
    assert errors["batch_status"].dtype == errors_frame(JobState(), [])["batch_status"].dtype


def test_rules_of_the_last_judgement_have_a_row_each_and_all_of_them_on_request(world: World) -> None:
    last = validations_frame(world.store.durable)
    assert last.loc[2]["status"].tolist() == ["passed", "passed"]
    every = validations_frame(world.store.durable, every=True)
    assert every.loc[(2, 1)]["status"].tolist() == ["passed", "failed"]
    assert len(every) > len(last)


def test_a_refused_attempt_leaves_the_judgement_before_it_standing() -> None:
    rule = ev.RuleResult(rule=1, type="file_exists", status="failed", message="missing")
    events = [
        ev.ValidationFailed(batch=1, attempt=1, code="E201", message="m", results=(rule,)),
        ev.ValidationFailed(batch=1, attempt=2, code="E101", message="later"),
    ]
    frame = validations_frame(events)
    assert frame.index.tolist() == [(1, 1, 1)]
    assert frame["message"].tolist() == ["missing"]
    silent = [*events, ev.ValidationFailed(batch=1, attempt=3, code="E301", message="too long")]
    assert validations_frame(silent).empty


def test_rules_have_the_stage_of_the_job_file(world: World) -> None:
    config = world.config.model_copy(
        update={"validations": tuple(rule.model_copy(update={"stage": 3}) for rule in world.config.validations)}
    )
    frame = validations_frame(world.store.durable, config)
    assert set(frame.xs(1, level="rule")["stage"]) == {3}
    assert frame.xs(0, level="rule")["stage"].isna().all()


def test_events_keep_everything_they_say(world: World, full: dict[str, pd.DataFrame]) -> None:
    events = full["events"]
    assert events.index.tolist() == list(range(1, len(world.store.durable) + 1))
    assert events["kind"].iloc[0] == "job.planned"
    assert events["data"].iloc[0]["plan"]["total"] == 5
    for row, event in zip(events.itertuples(), world.store.durable, strict=True):
        document = msgspec.to_builtins(event)
        shown = {"kind": row.kind, **row.data}
        assert document.keys() <= {*shown, "seq", "at", "batch", "attempt", "code", "message"}
        assert all(shown[key] == value for key, value in document.items() if key in shown)
    paused = events[events["kind"] == "job.paused"]
    assert paused["message"].notna().all()


def test_the_history_has_a_row_for_every_job_readable_or_not(full: dict[str, pd.DataFrame]) -> None:
    history = full["history"]
    assert history["job_id"].tolist() == ["job", "lost"]
    assert history["done"].tolist() == [3, 0]
    assert history["duration"].iloc[0] > pd.Timedelta(0)
    assert pd.isna(history["duration"].iloc[1])
    assert history["reason"].iloc[1] == "torn"


def test_a_code_of_a_newer_version_is_shown_all_the_same() -> None:
    events = [
        ev.BatchStarted(batch=1, attempt=1, at=1.0),
        ev.ValidationFailed(batch=1, attempt=1, code="E888", message=""),
    ]
    assert attempts_frame(events)["error_code"].tolist() == ["E888"]


# --- values that do not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int", [1, True]),
        ("int", [2**70]),
        ("int", [1.5]),
        ("float", ["1.5"]),
        ("bool", [1]),
        ("str", [5]),
        ("category", ["a", 1]),
        ("datetime", ["2024-01-01T00:00:00"]),
        ("datetime", ["soon"]),
        ("object", [[1], [2]]),
    ],
)
def test_a_value_of_another_kind_makes_the_column_plain_objects_and_stays_as_it_is(
    dtype: Any, values: list[Any]
) -> None:
    array = array_of(dtype, values)
    assert array.dtype == object
    assert [(type(one), one) for one in array.tolist()] == [(type(one), one) for one in values]


def test_moments_of_any_offset_are_told_in_utc() -> None:
    array = array_of("datetime", ["2024-05-01T12:00:00+02:00", None, "2024-05-01T10:00:00.5Z"])
    assert [None if pd.isna(one) else one.isoformat() for one in array] == [
        "2024-05-01T10:00:00+00:00",
        None,
        "2024-05-01T10:00:00.500000+00:00",
    ]


# --- cost -------------------------------------------------------------------------------------------------------------


def journal(batches: int) -> Iterator[ev.Event]:
    """Every batch is completed by its first attempt."""
    plan = ev.PlanShape(batches, 1, 1, batches)
    numbers = itertools.count(2)
    yield ev.JobPlanned(seq=1, at=1.0, job_id="j", name="j", plan=plan, seed=1, config_digest="")
    for batch in range(1, batches + 1):
        for kind, more in (
            (ev.BatchStarted, {"attempt": 1}),
            (ev.SessionFinished, {"attempt": 1, "outcome": "ok", "duration": 1.0, "cost_usd": 0.01}),
            (ev.ValidationPassed, {"attempt": 1}),
            (ev.BatchCompleted, {}),
        ):
            yield kind(seq=next(numbers), at=float(batch), batch=batch, **more)


def test_ten_thousand_batches_are_a_frame_within_half_a_second() -> None:
    events = list(journal(10_000))
    state = fold(events)
    batches_frame(state)
    best = min(_seconds(lambda: batches_frame(state)) for _ in range(3))
    assert best < 0.5
    assert _seconds(lambda: attempts_frame(events)) < 1.0
    assert _seconds(lambda: events_frame(events)) < 2.0


def _seconds(make: Any) -> float:
    started = time.process_time()
    make()
    return time.process_time() - started


def test_importing_the_package_imports_neither_pandas_nor_matplotlib() -> None:
    code = "import sys, mozart_nb.frames; print([m for m in ('pandas', 'numpy', 'matplotlib') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
