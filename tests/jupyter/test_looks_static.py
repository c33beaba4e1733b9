"""The output that stays: read without a kernel, without a style sheet, by people who trust nobody, and by `diff`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.html_pages import Page
from support.jobs_to_look_at import ALL, COMPLETED, FAILED, NOW, RUNNING, WAITING, error_group, job_state, progress

from mozart_nb.consumers.progress import Progress
from mozart_nb.engine.state import JobState
from mozart_nb.jupyter.looks.picture import StatusMap
from mozart_nb.jupyter.looks.static import rows_to_keep, static_html, static_text

STATE = job_state(200, {3: "blocked", 7: "failed", 2: "failed", 9: "completed"}, code="E201", message="not there")


def saved(job: Progress, state: JobState = STATE) -> str:
    rows, caption = rows_to_keep(state)
    return static_html(
        job, StatusMap.of(state).picture(), rows, caption, as_of=NOW, errors=[error_group()] if job.failed else ()
    )


@pytest.mark.parametrize("job", ALL, ids=lambda job: job.status)
def test_nothing_that_is_said_is_lost_in_a_notebook_that_is_not_trusted(job: Progress) -> None:
    page = Page(saved(job))
    left = page.sanitised()
    assert left.text == page.text
    assert not left.problems
    assert not left.tags("style")
    for words in (job.status, f"{job.done:,} of {job.total:,}", "as of 2026-09-21", "[Map of 200 batches: 2 failed"):
        assert words in left.text


def test_problems_are_shown_failed_ones_first() -> None:
    text = Page(saved(FAILED)).text.splitlines()
    at = text.index("2 failed and 1 blocked")
    assert [line.split()[0] for line in text[at + 1 : at + 5]] == ["batch", "2", "7", "3"]
    assert text[at + 2] == "2 6–10 ✕ failed E201 not there"


def test_of_many_problems_the_first_are_kept() -> None:
    state = job_state(1000, {n: "failed" if n % 2 else "blocked" for n in range(1, 101)})
    rows, caption = rows_to_keep(state)
    assert [row.number for row in rows] == [*range(1, 40, 2)]
    assert caption == "first 20 of 50 failed and 50 blocked"


def test_a_job_without_problems_keeps_its_first_rows_folded_away() -> None:
    state = job_state(200, {1: "completed"})
    rows, caption = rows_to_keep(state)
    assert [row.number for row in rows] == [*range(1, 21)]
    assert caption == "first 20 of 200 batches"
    folded = Page(saved(COMPLETED, state)).tags("details")
    assert folded == [{}]
    assert rows_to_keep(job_state(1, {1: "completed"}))[1] == "1 batch"
    assert rows_to_keep(JobState()) == ([], "0 batches")


def test_it_says_how_to_go_on() -> None:
    assert "%mozart status review-commits · %mozart pause review-commits · %mozart cancel" in Page(saved(RUNNING)).text
    assert "log in or fix the key, then resume; then: %mozart errors review-commits" in Page(saved(FAILED)).text
    done = Page(saved(COMPLETED)).text.splitlines()[-1]
    assert done.endswith("%mozart status review-commits · %mozart dashboard review-commits")
    assert "%mozart dashboard" not in static_html(RUNNING, as_of=NOW, hint="")


def test_a_running_job_of_a_saved_notebook_lists_no_sessions() -> None:
    assert RUNNING.running_batches
    assert not Page(saved(RUNNING)).tags("li")


def test_a_job_that_settled_is_always_drawn_alike() -> None:
    assert saved(FAILED) == saved(FAILED)
    slower = replace(FAILED, elapsed_seconds=9_999.0)
    assert static_text(FAILED) == static_text(slower)


def test_it_is_small() -> None:
    assert len(saved(WAITING).encode()) < 20_000
    assert len(static_html(RUNNING, as_of=NOW, with_style=False).encode()) < 3_000


def test_an_empty_job_can_be_shown() -> None:
    html = static_html(progress("pending", 0), StatusMap(0).picture(), as_of=0)
    assert "<img" not in html
    assert "as of" not in html


@pytest.mark.parametrize(
    ("job", "lines"),
    [
        (
            COMPLETED,
            [
                "review-commits: completed, 2,000 of 2,000 batches done, 10 skipped, 31 retries, $1.23, 1.54M tokens",
                "  %mozart status review-commits · %mozart dashboard review-commits",
            ],
        ),
        (
            FAILED,
            [
                "review-commits: failed, 30 of 200 batches done, 3 failed, 12 blocked, $1.23, 1.54M tokens",
                "  E501 authentication or permission failure: 401 authentication_error: invalid x-api-key",
                "  log in or fix the key, then resume; then: %mozart errors review-commits · %mozart resume"
                " review-commits · %mozart status review-commits · %mozart dashboard review-commits",
            ],
        ),
        (
            replace(progress("paused", 1, code="E506"), reason=""),
            [
                "review-commits: paused, 0 of 1 batch done, $1.23, 1.54M tokens",
                "  E506 budget exhausted",
                "  %mozart resume review-commits --reload-config · %mozart status review-commits"
                " · %mozart dashboard review-commits",
            ],
        ),
    ],
)
def test_the_text_is_a_few_lines_without_times(job: Progress, lines: list[str]) -> None:
    assert static_text(job).splitlines() == lines


def test_the_text_names_what_failed() -> None:
    rows, _ = rows_to_keep(STATE)
    assert static_text(FAILED, rows).splitlines()[2:5] == [
        "  batch 2 failed E201 not there",
        "  batch 7 failed E201 not there",
        "  batch 3 blocked E201 not there",
    ]
    many, _ = rows_to_keep(job_state(100, dict.fromkeys(range(1, 31), "failed")))
    assert static_text(FAILED, many).splitlines()[-2] == "  and 10 more"
    assert len(static_text(WAITING).splitlines()) == 4


def test_the_text_is_plain() -> None:
    hostile = "\x1b[31mred\x1b[0m \u202eevil <b>"
    text = static_text(replace(FAILED, job_id=hostile, reason=hostile))
    assert text.splitlines()[0].startswith("red evil <b>: failed")
    assert "\x1b" not in text
