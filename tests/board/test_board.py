"""What the web sees of jobs: lists, pages, batches and the past, read once and shared."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.board import finished, write_events
from support.checkpoints import layout_in
from support.histories import history
from support.trial_jobs import until

from mozart_nb.consumers.rows import BATCH_STATUSES
from mozart_nb.engine.fold import fold
from mozart_nb.engine.state import BatchState
from mozart_nb.errors import AmbiguousJobError, CheckpointCorruptError, MisuseError, UnknownJobError
from mozart_nb.looking.board import (
    BATCH_SORTS,
    JOB_SORTS,
    STATUS_LETTERS,
    BatchWish,
    Board,
    JobWish,
    attempts,
    key_for,
    watched,
)
from mozart_nb.looking.board.batches import chosen, letters
from mozart_nb.looking.failures import FailureFilter
from mozart_nb.looking.logs import LogFilter
from mozart_nb.looking.timeline import Timeline


@pytest.fixture
def board() -> Iterator[Board]:
    found = Board()
    yield found
    asyncio.run(found.close())


# --- which jobs -------------------------------------------------------------------------------------------------------


def test_jobs_are_filtered_sorted_and_paged(tmp_path: Path, board: Board) -> None:
    for number, name in enumerate(("alpha", "beta", "gamma"), start=1):
        finished(tmp_path / name, name, batches=number, failing="batch_num == 3" if number == 3 else "")
    page = board.jobs(JobWish(sort="total", descending=False, limit=2))
    assert [job.key for job in page.jobs] == ["alpha", "beta"]
    assert (page.matching, page.total, dict(page.counts)) == (3, 3, {"completed": 2, "failed": 1})
    assert [job.key for job in board.jobs(JobWish(statuses=("failed",))).jobs] == ["gamma"]
    assert [job.key for job in board.jobs(JobWish(text="BET")).jobs] == ["beta"]
    assert [job.key for job in board.jobs(JobWish(offset=2, sort="name", descending=False)).jobs] == ["gamma"]
    for sort in JOB_SORTS:
        assert len(board.jobs(JobWish(sort=sort)).jobs) == 3  # type: ignore[arg-type]


def test_a_key_is_the_id_unless_two_workspaces_have_it(tmp_path: Path, board: Board) -> None:
    one = finished(tmp_path / "one").layout
    assert board.key_of(one) == "trial"
    other = finished(tmp_path / "other").layout
    again = Board()
    keys = {again.key_of(layout): layout for layout in (one, other)}
    assert all(key.startswith("trial~") and len(key) == len("trial~") + 6 for key in keys)
    assert {key: again.find(key).workspace.resolve() for key in keys} == {
        key: layout.workspace.resolve() for key, layout in keys.items()
    }
    with pytest.raises(AmbiguousJobError) as caught:
        again.look("trial")
    assert all(key in caught.value.hint for key in keys)


def test_a_long_key_goes_on_being_valid_where_the_id_is_unique(tmp_path: Path, board: Board) -> None:
    layout = finished(tmp_path).layout
    assert board.find(key_for(layout)) == board.find("trial")


@pytest.mark.parametrize(
    "key", ["", ".", "..", "../trial", "/etc/passwd", "trial/..", "trial~", "trial~zzzzzz", "~", "a\0b", "x" * 5000]
)
def test_a_key_is_never_a_path(tmp_path: Path, board: Board, key: str) -> None:
    finished(tmp_path)
    with pytest.raises(UnknownJobError):
        board.look(key)


def test_a_job_that_comes_into_being_is_found_at_once(tmp_path: Path, board: Board) -> None:
    assert board.jobs().total == 0
    finished(tmp_path)
    until(lambda: board.jobs().total == 1)
    assert board.look("trial").progress.status == "completed"


def test_a_job_whose_record_is_removed_is_unknown_from_then_on(tmp_path: Path, board: Board) -> None:
    layout = finished(tmp_path).layout
    board.look("trial")
    shutil.rmtree(layout.root)
    layout.snapshot.unlink()
    until(lambda: board.jobs().total == 0)

    def is_gone() -> bool:
        try:
            board.status("trial")
        except UnknownJobError:
            return True
        return False

    until(is_gone)


def test_a_record_that_cannot_be_read_is_listed_and_says_why(tmp_path: Path, board: Board) -> None:
    layout = finished(tmp_path).layout
    layout.segment(1).write_bytes(b"rubbish\n" + layout.segment(1).read_bytes())
    layout.snapshot.unlink()
    [job] = board.jobs().jobs
    assert job.status in ("unreadable", "completed")  # the history may know how it was
    with pytest.raises(CheckpointCorruptError):
        board.look("trial")


# --- one job ----------------------------------------------------------------------------------------------------------


def test_a_job_is_seen_as_its_status_document_has_it(tmp_path: Path, board: Board) -> None:
    finished(tmp_path, failing="batch_num == 2")
    look = board.look("trial")
    assert (look.progress.completed, look.progress.failed, look.is_live) == (3, 1, False)
    document = board.status("trial", [2])
    assert document["status"] == look.progress.status == "failed"
    assert document["batches"]["2"]["error_code"] == "E201"
    assert document["workspace"] == str(look.workspace)
    with pytest.raises(IndexError):
        board.status("trial", [99])


def test_a_version_changes_with_the_record_and_with_nothing_else(tmp_path: Path, board: Board) -> None:
    job = finished(tmp_path, failing="batch_num == 2")
    before = board.version("trial")
    assert board.version("trial") == before == board.look("trial").version == board.batches("trial").version
    job.resume()
    until(lambda: job.status in ("completed", "failed") and board.version("trial") != before)


def test_the_plan_hides_secrets_of_the_job_file(tmp_path: Path, board: Board) -> None:
    key = "sk-ant-api03-" + "a1B2" * 20
    finished(tmp_path, batches=1, description=f"uses {key}")
    plan = board.plan("trial")
    assert key not in str(plan.document)
    assert plan.document["batch"]["total_items"] == 1


def test_one_reading_serves_everybody_who_looks_at_once(tmp_path: Path, board: Board) -> None:
    finished(tmp_path, batches=30)
    found: list[int] = []

    def look() -> None:
        found.extend(board.batches("trial").total + board.look("trial").progress.completed for _ in range(20))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [60] * 160


def test_only_so_many_records_are_kept_in_memory(tmp_path: Path) -> None:
    board = Board(most_batches=10)
    for name in ("one", "two", "three"):
        finished(tmp_path / name, name, batches=8)
    for name in ("one", "two", "three", "one"):
        assert board.look(name).progress.completed == 8
    assert sum(one.weight for one in board._shelf._jobs.values()) <= 16


# --- batches ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    statuses=st.lists(st.sampled_from(BATCH_STATUSES), max_size=3, unique=True),
    sort=st.sampled_from(BATCH_SORTS),
    descending=st.booleans(),
)
def test_any_choice_of_batches_has_what_suits_and_only_that_in_order(
    seed: int, statuses: list[str], sort: str, descending: bool
) -> None:
    state = fold(history(seed, 150))
    wish = BatchWish(statuses=tuple(statuses), sort=sort, descending=descending)  # type: ignore[arg-type]
    found = list(chosen(state, wish))
    wanted = [n for n in range(1, state.total + 1) if not statuses or state.status_of(n) in statuses]
    assert sorted(found) == wanted
    if sort == "batch":
        assert found == (wanted[::-1] if descending else wanted)
    if sort == "attempts":
        known = [state.batches.get(n, BatchState(n)).attempts for n in found]
        assert [a for a in known if a] == sorted((a for a in known if a), reverse=descending)
        assert not any(known[len([a for a in known if a]) :])  # what was never tried comes last either way


@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_map_has_the_status_of_every_batch(seed: int) -> None:
    state = fold(history(seed, 150))
    assert letters(state).decode() == "".join(STATUS_LETTERS[state.status_of(n)] for n in range(1, state.total + 1))


def test_batches_are_found_by_number_code_and_text(tmp_path: Path, board: Board) -> None:
    finished(tmp_path, batches=10, failing="batch_num % 5 == 0")
    failed = board.batches("trial", BatchWish(codes=("E201",)))
    assert [view.number for view in failed.batches] == [5, 10]
    assert dict(failed.counts) == {"completed": 8, "failed": 2}
    some = board.batches("trial", BatchWish(numbers="4-6,9", statuses=("completed",)))
    assert [view.number for view in some.batches] == [4, 6, 9]
    assert board.batches("trial", BatchWish(text="e201")).matching == 2
    assert [v.number for v in board.batches("trial", BatchWish(offset=8, limit=5)).batches] == [9, 10]
    with pytest.raises(MisuseError):
        board.batches("trial", BatchWish(numbers="a-b"))


def test_one_batch_has_prompt_answer_rules_and_attempts(tmp_path: Path, board: Board) -> None:
    finished(tmp_path, failing="batch_num == 2")
    details = board.batch("trial", 2)
    assert details.status == "failed"
    assert details.prompt.text.startswith("say 2")
    assert details.answer.text == "bad"
    assert [attempt.code for attempt in details.attempts] == ["E201"]
    assert [result.status for result in details.validations] == ["failed"]
    with pytest.raises(IndexError):
        board.batch("trial", 99)


def test_the_attempts_of_a_long_journal_are_found_before_its_index_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = finished(tmp_path, batches=8, failing="batch_num == 2").layout
    indexed = attempts.PatientAttempts(layout)
    expected = {number: indexed.attempts(number) for number in range(1, 9)}
    monkeypatch.setattr(attempts, "SMALL_BYTES", 0)
    patient = attempts.PatientAttempts(layout)
    assert {number: patient.attempts(number) for number in range(1, 9)} == expected
    until(lambda: patient._is_made)
    assert {number: patient.attempts(number) for number in range(1, 9)} == expected


def test_answers_are_paged_by_batches(tmp_path: Path, board: Board) -> None:
    finished(tmp_path, batches=7, failing="batch_num == 3")
    rows: list[int] = []
    following = 1
    while following:
        page = board.answers("trial", first_batch=following, limit=3)
        rows += [record.batch for record in page.records]
        following = page.next_batch
    assert rows == list(range(1, 8))
    failed = board.answers("trial", only_failed=True)
    assert [(record.batch, record.value, record.code) for record in failed.records] == [(3, None, "E201")]


# --- what happened ----------------------------------------------------------------------------------------------------


def test_events_are_paged_from_any_number_on(tmp_path: Path, board: Board) -> None:
    finished(tmp_path)
    whole = board.events("trial", limit=1000)
    assert [event.seq for event in whole.events] == list(range(1, whole.last_seq + 1))
    page = board.events("trial", since=5, limit=3)
    assert page.events == whole.events[5:8]
    assert board.events("trial", since=10**9).events == ()
    last = board.last_events("trial", 2, LogFilter(batch=2))
    assert all(getattr(event, "batch", 0) == 2 for event in last.events)


def test_failures_and_the_diagnosis_are_those_of_the_commands(tmp_path: Path, board: Board) -> None:
    finished(tmp_path, failing="batch_num == 2")
    assert [error.batch for error in board.errors("trial")] == [2]
    assert board.errors("trial", FailureFilter(batch=3)) == []
    [told] = board.errors("trial", with_tails=True)
    assert told.results
    assert board.diagnosis("trial").status == "failed"
    assert board.diagnosis("trial") is board.diagnosis("trial")
    assert [run.status for run in board.runs("trial")] == ["failed"]
    assert [run.job_id for run in board.runs()] == ["trial"]


def test_any_moment_of_the_past_can_be_seen(tmp_path: Path, board: Board) -> None:
    finished(tmp_path, failing="batch_num == 2")
    moments = board.moments("trial")
    assert [mark.kind for mark in moments.marks] == ["planned", "run", "failed"]
    last = board.frame("trial", moments.last_seq)
    assert last.progress.failed == 1
    middle = board.frame("trial", moments.last_seq // 2)
    assert middle.seq == moments.last_seq // 2
    assert middle.progress.status == "running"
    assert board.frame("trial", 10**9).seq == moments.last_seq


def test_marks_found_by_a_search_are_those_of_the_whole_reading(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    write_events(layout, history(7, 400))
    board = Board(lambda: [layout])
    assert board.moments(layout.job_id).marks == asyncio.run(Timeline(layout).moments()).marks


def test_a_job_that_nobody_asks_for_is_let_go(tmp_path: Path, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        finished(tmp_path / name, name)
    board.look("one")
    monkeypatch.setattr(watched, "IDLE_SECONDS", 0.0)
    board.look("two")
    assert [layout.job_id for layout in board._shelf._jobs] == ["two"]
    assert board.look("one").progress.completed == 4
