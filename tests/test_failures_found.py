"""Every failure of a job is found without reading all of its journal, and chosen by code, batch, type and time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import layout_in
from support.histories import BEGINNING, history

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events, read_state
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.codes import Category
from mozart_nb.consumers.rows import Attempts, ErrorRecord, errors_of
from mozart_nb.errors import MisuseError
from mozart_nb.looking.failures import failure_filter, failures_at, failures_of_all

NOW = 1_790_000_000.0


def write(layout: Layout, events: list[ev.Event]) -> Layout:
    layout.journal.mkdir(parents=True, exist_ok=True)
    lines = (EVENTS.wrap(ev.encode_event(event)) for event in events)
    layout.segment(1).write_bytes(b"".join(lines))
    return layout


def troubled(folder: Path, name: str = "job") -> Layout:
    """Three failures an hour apart: a limit, a rule, a time-out; the first is mended."""
    layout = layout_in(folder, name)
    life: list[ev.Event] = [
        ev.JobPlanned(job_id=name, name=name, plan=ev.PlanShape(3, 1, 1, 3), seed=1, config_digest="d"),
        ev.JobStarted(run_id="one"),
    ]
    for batch, code in ((1, "E101"), (2, "E201"), (3, "E301")):
        where = {"batch": batch, "attempt": 1}
        secret = f"key sk-ant-{'a' * 40} of {batch}"
        life += [ev.BatchStarted(**where), ev.SessionOpened(**where)]
        life += [ev.SessionFinished(**where, outcome="ok" if code == "E201" else "error", code=code.strip("E201"))]
        rule = ev.RuleResult(rule=1, type="file_exists", status="failed", expected="a file", actual=secret)
        life += [ev.ValidationFailed(**where, code=code, message=secret, results=(rule,), stdout_tail=secret)]
        life += [ev.BatchFailed(batch=batch, code=code, message=secret)] if batch > 1 else []
    again = {"batch": 1, "attempt": 2}
    life += [ev.BatchRetrying(batch=1, due=1.0, delay=1.0, number=1), ev.BatchStarted(**again, mode="retry")]
    life += [ev.SessionOpened(**again), ev.SessionFinished(**again, outcome="ok"), ev.ValidationPassed(**again)]
    life += [ev.BatchCompleted(batch=1), ev.JobFailed(reason="two batches failed", code="E201")]
    return write(
        layout, [msgspec.structs.replace(one, seq=n, at=NOW - 36_000 + n * 600) for n, one in enumerate(life, 1)]
    )


def codes(errors: list[ErrorRecord]) -> list[str]:
    return [error.code for error in errors]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 5000), count=st.integers(1, 200))
def test_a_search_finds_the_failures_that_a_whole_reading_finds(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int
) -> None:
    layout = write(layout_in(tmp_path_factory.mktemp("life")), history(seed, count))
    attempts, state = Attempts(), read_state(layout)
    attempts.hear(read_events(layout))
    whole = errors_of(state, attempts.records)
    found = failures_at(layout, with_tails=True)

    def facts(errors: list[ErrorRecord]) -> Counter[tuple[object, ...]]:
        return Counter((e.batch, e.attempt, e.code, e.message, e.batch_status, e.results) for e in errors if e.batch)

    told = {error.batch for error in whole}
    untold = {n for n, batch in state.batches.items() if batch.status == "failed" and batch.code and n not in told}
    assert facts([error for error in found if error.batch not in untold]) == facts(whole)
    assert {error.batch for error in found} >= untold
    assert [error.at for error in found] == sorted(error.at for error in found)


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        ({}, ["E101", "E201", "E301"]),
        ({"code": "e201"}, ["E201"]),
        ({"batch": 3}, ["E301"]),
        ({"kind": "rate_limit"}, ["E101"]),
        ({"kind": "Rate-Limit"}, ["E101"]),
        ({"kind": "timeout", "batch": 2}, []),
        ({"kind": "permanent"}, []),
        ({"since": "8h"}, ["E301"]),
        ({"until": datetime.fromtimestamp(NOW - 32_000, UTC)}, ["E101"]),
        ({"since": NOW - 32_000, "until": "8h"}, ["E201"]),
    ],
)
def test_failures_are_chosen(tmp_path: Path, wish: dict[str, object], wanted: list[str]) -> None:
    assert codes(failures_at(troubled(tmp_path), failure_filter(now=NOW, **wish))) == wanted  # type: ignore[arg-type]


def test_the_types_are_the_categories_and_the_word_of_the_earlier_tool() -> None:
    for category in Category:
        assert failure_filter(kind=category.value).category is category
    assert failure_filter(kind="permanent").category is Category.FATAL
    with pytest.raises(MisuseError, match="there is no such type") as refused:
        failure_filter(kind="odd")
    assert "rate_limit" in refused.value.hint


def test_bulk_is_kept_only_where_it_is_asked_for(tmp_path: Path) -> None:
    layout = troubled(tmp_path)
    assert not any(error.results or error.stdout_tail for error in failures_at(layout))
    assert all(error.results and error.stdout_tail for error in failures_at(layout, with_tails=True))


def test_a_job_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    good, bad = troubled(tmp_path / "a"), troubled(tmp_path / "b", "bad")
    lines = bad.segment(1).read_bytes().splitlines(keepends=True)
    bad.segment(1).write_bytes(b"".join([*lines[:3], b"{}\n", *lines[4:]]))
    found, unread = failures_of_all([bad, good])
    assert codes(found) == ["E101", "E201", "E301"]
    (one,) = unread
    assert (one.job_id, "is damaged" in one.message) == ("bad", True)


def test_old_jobs_are_not_even_read(tmp_path: Path) -> None:
    bad = troubled(tmp_path)
    bad.segment(1).write_bytes(b"{}\n{}\n")
    wanted = failure_filter(since=BEGINNING + 10**9)
    assert failures_of_all([bad], wanted) == ([], [])
