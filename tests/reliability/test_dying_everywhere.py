"""A host that dies at its first operation on the disk, at its second, and so on: each time the job can be finished."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faulty_runs import a_job, check_resumed, lives, run, what_was_told
from support.raw_journal import completed, documents, of_kind, read_rows, whole_lines

from mozart_nb import events as ev
from mozart_nb.runtime import Prepared


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["new", "resume"])
def test_wherever_a_host_dies_the_next_one_finishes_the_job_and_repeats_nothing(tmp_path: Path, scenario: str) -> None:
    folders = lives(tmp_path, scenario)
    assert len(folders) > 30
    for folder in folders:
        check_resumed(what_was_told(folder), a_job(folder))


def answers(prepared: Prepared) -> list[str]:
    """Every answer there is, of the job and of what was archived, by the session it came from."""
    layout = prepared.layout
    files = [layout.answers, *layout.archive.rglob("answers.jsonl")]
    return [row["finished"]["session_id"] for path in files for row in documents(whole_lines(path), "answer")]


@pytest.mark.slow
def test_wherever_a_host_dies_that_starts_a_job_over_the_old_results_are_kept_once_and_whole(tmp_path: Path) -> None:
    folders = lives(tmp_path, "fresh")
    before = answers(a_job(tmp_path / "origin"))
    assert len(folders) > 50
    archived = 0
    for folder in folders:
        prepared = a_job(folder)
        told = what_was_told(folder)
        again = run(prepared)
        assert again.status == "completed", again
        kept = answers(prepared)
        assert set(before) <= set(kept), f"answers of the old job are gone from {folder}"
        assert len(kept) == len(set(kept))
        rows = read_rows(prepared.layout)
        assert sorted(completed(rows)) == [1, 2, 3, 4]
        assert {number for number, _ in told.numbers(ev.BatchCompleted)} <= set(completed(rows))
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        assert len(of_kind(rows, "job.planned")) == 1
        archived += prepared.layout.archive.exists()
    assert archived > len(folders) // 2
