"""A diagnosis as a page of a notebook."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.diagnoses_to_look_at import HEALTHY, ailing
from support.html_pages import Page

from mozart_nb.jupyter.looks.attempt_bars import bar
from mozart_nb.jupyter.looks.diagnosis import diagnosis_html
from mozart_nb.looking.details import AttemptDetails
from mozart_nb.looking.diagnosis.findings import BatchTimeline, Diagnosis

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`<b onmouseover=alert(1)>` \x1b[31m\u202egnp $x$"


def page(found: Diagnosis) -> Page:
    return Page(diagnosis_html(found))


def test_the_first_lines_say_how_it_stands_why_and_what_to_type() -> None:
    first = "\n".join(page(ailing()).text.split("\n")[:10])
    assert "review-commits failed: 30 of 42 batches done, 7 failed" in first
    assert "likely cause: the model leaves the number out" in first
    assert "%mozart resume review-commits --reload-config" in first
    assert "%mozart errors review-commits" in first


def test_commands_are_written_as_a_notebook_types_them_and_one_click_selects_one() -> None:
    lines = page(ailing()).tags("code")
    assert len(lines) >= 4
    assert all("user-select:all" in (one["style"] or "") for one in lines)
    assert "`mozart" not in page(ailing()).text


@pytest.mark.parametrize(
    "said",
    [
        "E201 an expected result is missing 9 times · batches 7, 12",
        "could not be checked",
        "batches 13-17: behind batch 12",
        "1 earlier → first E201 → completion E003 → retry E201",
        "rate limits 1 h 30 min of waiting",
        "$4.20 + unknown of $5.00, $0.40 saved by cache, $1.00 before it was started over",
        "crashes 1 run ended without settling, 2 sessions lost",
        "61 sent, about 10k tokens each, at most 21k (batch 12)",
        "process 4242 on here, which is dead",
        "processes 71-72",
        "Output of batch 12, attempt 3",
        "and 4 other failed batches",
    ],
)
def test_everything_that_was_found_is_there(said: str) -> None:
    assert said in page(ailing()).text


def test_a_healthy_job_has_a_short_page() -> None:
    text = page(HEALTHY).text
    assert "What to do next" not in text
    assert "Failures" not in text
    assert len(text.splitlines()) < 8


@pytest.mark.parametrize("found", [HEALTHY, ailing(), ailing(HOSTILE), ailing(groups=6)])
def test_it_is_well_formed_and_nothing_in_it_runs(found: Diagnosis) -> None:
    shown = page(found)
    assert not shown.problems
    assert not {tag for tag, _ in shown.elements} & {"script", "a", "img", "iframe", "svg", "form"}
    assert not [name for _, given in shown.elements for name in given if name.startswith("on")]
    assert "\x1b" not in shown.text
    assert "\u202e" not in shown.text


def test_a_notebook_that_nobody_trusts_shows_the_same_words() -> None:
    assert page(ailing()).sanitised().text == page(ailing()).text


def test_a_page_stays_small_however_much_has_failed() -> None:
    found = ailing("&<" * 20_000, groups=6)
    many = replace(
        found,
        groups=found.groups * 20,
        blocked=found.blocked * 50,
        timelines=found.timelines * 50,
        warnings=found.warnings * 500,
        remedies=found.remedies * 100,
    )
    assert len(diagnosis_html(many).encode()) < 300_000
    assert page(many).problems == []


def test_a_bar_has_a_box_per_attempt_and_per_wait_and_fills_its_width() -> None:
    drawn = Page(bar(ailing().timelines[0]))
    widths = [float((one["style"] or "").split("width:")[1].split("%")[0]) for one in drawn.tags("i")]
    assert len(widths) == 5
    assert abs(sum(widths) - 100) < 1
    assert "4 attempts in 6 min" in drawn.text


@pytest.mark.parametrize("attempts", [(), (AttemptDetails(1, "first", 5.0),), (AttemptDetails(1, "first", 5.0),) * 500])
def test_a_bar_is_drawn_for_no_attempt_an_unfinished_one_and_hundreds(attempts: tuple[AttemptDetails, ...]) -> None:
    html = bar(BatchTimeline(1, "failed", attempts=attempts))
    assert len(html) < 20_000
    assert not Page(html).problems
