"""What earlier jobs came to, as `%mozart insights` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from support.html_pages import Page
from support.notebook_shell import Shell, notebook_shell

from mozart_nb.consumers.learning.columns import RuleRow, SuggestionRow, TemplateRow, TimeRow
from mozart_nb.jupyter.looks.insights import NOTHING, insights_html, insights_text
from mozart_nb.jupyter.magics.insights import InsightsView
from mozart_nb.looking.learning import Insights

HOSTILE = "<script>alert(1)</script>`\u202e"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with notebook_shell(tmp_path) as shell:
        yield shell


def found(text: str = "review.j2", rows: int = 1) -> Insights:
    return Insights(
        [TemplateRow(text, "ab12", False, False, 3, 60, 50, 0.72, 0.91, 75, 12, 3, 0, 1, 0, 0, 1.25, True, 9.0)] * rows,
        [RuleRow(text, "ab12", False, False, text, 60, 10, 0.1, 0.28, 11, 7, 2, 0, 0, 0)] * rows,
        [TimeRow(text, "ab12", False, text, "duration_seconds", 50, 30.0, 28.0, 61.0, 120.0, 180.0)] * rows,
        [SuggestionRow(text, "ab12", "backend.timeout_seconds", 1800.0, 360.0, 50, 0, text)] * rows,
        4,
    )


def test_the_page_begins_with_suggestions_and_their_evidence() -> None:
    page = Page(insights_html(found()))
    assert not page.problems
    lines = page.text.split("\n")
    assert lines[0].startswith("Suggestions")
    assert any("backend.timeout_seconds" in line and "360" in line and "review.j2" in line for line in lines)
    assert "83 % 72 % to 91 %" in page.text
    assert "10 of 60" in page.text
    assert "completion 7, retry 2, nothing yet 2" in page.text
    assert "4 templates more" in page.text
    assert page.sanitised().text == page.text


def test_one_table_may_be_asked_for_and_nothing_foreign_runs_however_much_there_is() -> None:
    assert "Per session" not in Page(insights_html(found(), ["rules"])).text
    page = Page(insights_html(found(HOSTILE, 500)))
    assert not page.problems
    assert not page.tags("script")
    assert "\u202e" not in page.text
    assert "and 470 more rows in the frame" in page.text
    assert Page(insights_html(Insights([], [], [], []))).text == NOTHING


def test_the_view_gives_frames() -> None:
    view = InsightsView(found(), "rules")
    assert isinstance(view.frame, pd.DataFrame)
    assert list(view.frame["failed_first"]) == [10]
    assert list(view.suggestions["suggested"]) == [360.0]
    assert "timeout" in str(InsightsView(found()))


def test_in_a_terminal_it_is_text_that_fits_and_leaves_nothing_out() -> None:
    lines = [*insights_text(found(), width=100)]
    assert max(map(len, lines)) <= 100
    assert lines[:4] == [
        "Suggestions:",
        "template   setting                  now   suggested",
        "review.j2  backend.timeout_seconds  1800  360",
        "  review.j2",
    ]
    assert "review.j2  83 % (72 % to 91 %)      3     60       75        12       $1.25" in lines
    assert lines[-1] == "4 templates more: --limit 0 shows all"
    assert "..." not in str(InsightsView(found()))
    assert "\u202e" not in "".join(insights_text(found(HOSTILE)))


def test_the_verb_says_when_nothing_is_known_and_what_it_does_not_know(shell: Shell) -> None:
    assert str(shell.fine("%mozart insights").value) == NOTHING
    assert "nothing is known of a template or job `nobody`" in shell.fails("%mozart insights nobody")
    assert "invalid choice" in shell.fails("%mozart insights --what weather")
