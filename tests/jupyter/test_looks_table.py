"""A window into the table of batches: small, whatever the size of the job."""

from __future__ import annotations

import pytest
from support.html_pages import Page
from support.jobs_to_look_at import job_state

from mozart_nb.engine.state import BatchState
from mozart_nb.events import Usage
from mozart_nb.jupyter.looks.table import MOST_ROWS, BatchRow, table, window_caption

FAILED = BatchRow(
    12, 56, 60, "failed", 3, 145.0, 0.1234, False, 15_400, "E201", "2 of 3 rules failed: reports/0012.md does not exist"
)


def lines(html: str) -> list[str]:
    return Page(html).text.splitlines()


def test_a_row_says_what_a_batch_did_and_cost() -> None:
    shown = lines(
        table([FAILED, BatchRow(13, 61, 61), BatchRow(14, 62, 66, "blocked", message="batch 12 failed")], "3")
    )
    assert shown == [
        "3",
        "batch items status attempts time cost tokens code message",
        "12 56–60 ✕ failed 3 2:25 $0.12 + unknown 15.4k E201 2 of 3 rules failed: reports/0012.md does not exist",
        "13 61 ○ pending",
        "14 62–66 ⊘ blocked batch 12 failed",
    ]


def test_a_row_is_made_from_the_state_of_the_job() -> None:
    state = job_state(3, {2: "failed"})
    state.batches[2] = BatchState(
        2,
        status="failed",
        attempts=3,
        duration=145.0,
        cost_usd=0.12,
        cost_known=False,
        usage=Usage(15_000, 400),
        code="E201",
        message="no",
    )
    assert BatchRow.of(state, 2) == BatchRow(2, 6, 10, "failed", 3, 145.0, 0.12, False, 15_400, "E201", "no")
    assert BatchRow.of(state, 3) == BatchRow(3, 11, 13)


def test_a_blocked_batch_says_why() -> None:
    state = job_state(2, {1: "blocked"}, reason="batch 2 failed", message="of before")
    assert BatchRow.of(state, 1).message == "batch 2 failed"


def test_a_page_of_rows_is_small_and_a_whole_job_never_shown() -> None:
    rows = [FAILED if n % 5 == 0 else BatchRow(n, n, n, "completed", 1, 45.0, 0.01, True, 12_345) for n in range(1, 26)]
    assert len(table(rows, window_caption(26, 25, 1234, "failed")).encode()) < 4_500
    many = table([BatchRow(n, n, n) for n in range(1, 10_001)])
    assert len(Page(many).tags("tr")) == MOST_ROWS + 1
    assert len(many) < 10_000


def test_a_long_message_is_cut_in_its_row() -> None:
    shown = lines(table([BatchRow(1, 1, 1, "failed", 1, message="x\n" * 5_000)]))
    assert shown[-1].endswith("…")
    assert len(shown[-1]) < 120


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ((26, 25, 1234, "failed"), "26–50 of 1,234 failed"),
        ((1, 25, 1234), "1–25 of 1,234 batches"),
        ((1, 3, 3, "failed"), "3 failed"),
        ((51, 1, 51, ""), "51 of 51 batches"),
        ((1, 1, 1), "1 batch"),
        ((1, 0, 0, "failed"), "no failed batches"),
        ((1, 0, 0), "no batches"),
        ((51, 0, 12, "failed"), "none of 12 failed"),
    ],
)
def test_the_caption_says_which_rows_of_how_many(window: tuple[int, int, int, str], words: str) -> None:
    assert window_caption(*window) == words


def test_a_table_without_rows_says_so() -> None:
    assert lines(table([], window_caption(1, 0, 0, "failed"))) == [
        "no failed batches",
        "batch items status attempts time cost tokens code message",
        "nothing to show",
    ]


def test_rows_carry_their_batch_and_what_the_caller_adds() -> None:
    page = Page(table([FAILED], on_row=lambda number: f'tabindex="0" onclick="show({number})"', selected=12))
    row = page.tags("tr")[1]
    assert row == {"data-batch": "12", "aria-selected": "true", "tabindex": "0", "onclick": "show(12)"}
    assert "aria-selected" not in Page(table([FAILED], selected=13)).tags("tr")[1]


def test_heads_belong_to_columns_and_rows_and_tell_the_order() -> None:
    page = Page(table([FAILED], sorted_by="-cost"))
    heads = page.tags("th")
    assert [head["scope"] for head in heads] == ["col"] * 9 + ["row"]
    assert [head.get("aria-sort") for head in heads[:9]] == [None] * 5 + ["descending"] + [None] * 3
    assert "aria-sort=ascending>batch" in table([], sorted_by="batch")
    assert not page.problems
