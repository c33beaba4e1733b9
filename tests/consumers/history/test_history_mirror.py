"""`state_backend: sqlite`: a mirror with every field of a job's state, from which the state can be made again."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.kept_history import Kept

from mozart_nb.consumers.history.mirror import ATTEMPTS, BATCHES, JOB, PLAN, read_mirror
from mozart_nb.consumers.rows import AttemptRecord, Attempts
from mozart_nb.engine.state import BatchState, JobRecord
from mozart_nb.events import PlanShape


def query(path: Path, text: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


def change(path: Path, text: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(text)


@pytest.mark.parametrize(
    ("table", "kind", "without"),
    [
        (JOB, JobRecord, {"plan"}),
        (PLAN, PlanShape, set()),
        (BATCHES, BatchState, set()),
        (ATTEMPTS, AttemptRecord, set()),
    ],
)
def test_every_field_has_a_column_of_its_name(table: Any, kind: Any, without: set[str]) -> None:
    assert [column.name for column in table.table.columns] == [
        name for name in kind.__struct_fields__ if name not in without
    ]


def test_the_state_can_be_asked_in_plain_sql(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 4).lived(300)
    state = kept.state
    by_status = dict(query(kept.mirror, "SELECT status, count(*) FROM batches GROUP BY status"))
    assert by_status == {status: count for status, count in state.job.counts.items() if count}
    assert query(kept.mirror, "SELECT status, name, cost_usd FROM job") == [
        (state.job.status, state.job.name, state.job.cost_usd)
    ]
    passed = query(
        kept.mirror,
        "SELECT count(*) FROM batches, json_each(validation_details) WHERE json_extract(value, '$.status') = 'passed'",
    )
    assert passed[0][0] == sum(
        result.status == "passed" for batch in state.batches.values() for result in batch.validation_details
    )


@pytest.mark.parametrize("seed", range(3))
def test_every_attempt_is_a_row(seed: int, tmp_path: Path) -> None:
    kept = Kept(tmp_path, seed).lived(150)
    kept.unheard(50)
    kept.lived(50)
    attempts = Attempts()
    attempts.hear(kept.sink.events)
    found = query(kept.mirror, "SELECT batch, attempt, mode, outcome, code, passed FROM attempts")
    assert set(found) == {(a.batch, a.attempt, a.mode, a.outcome, a.code, a.passed) for a in attempts.records.values()}


def test_a_mirror_that_was_deleted_is_made_anew_by_the_next_run(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 6).lived(150)
    kept.mirror.unlink()
    kept.lived(30)
    kept.check()
    assert kept.told == []


def test_a_mirror_of_another_version_is_made_anew(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 6).lived(150)
    change(kept.mirror, "ALTER TABLE batches DROP COLUMN remedies")
    kept.lived(30)
    kept.check_mirror()


def test_a_mirror_alone_serves_a_job_that_is_no_part_of_the_history(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 2).lived(100, database=None)
    kept.check_mirror()
    assert not kept.history.exists()


def test_a_mirror_without_a_state_says_so(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 2).lived(20)
    change(kept.mirror, "DELETE FROM job")
    with pytest.raises(LookupError, match="holds no state"):
        read_mirror(kept.mirror)
