"""One batch on one page: everything a person asks about it, and never too much."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from support.html_pages import Page
from support.jobs_to_look_at import NOW, details, error_group

from mozart_nb.codes import CODES
from mozart_nb.engine.state import BatchState
from mozart_nb.events import RuleResult
from mozart_nb.jupyter.looks.details import batch_html, log_html
from mozart_nb.jupyter.looks.errors import errors_html
from mozart_nb.looking.details import BatchDetails, Excerpt, LogLine, LogTail

ALL_SECTIONS = {"prompt", "answer", "rows", "checks", "attempts", "log"}

ADVICE = CODES["E201"].advice.replace("`mozart ", "`%mozart ")
"""As the notebook says it."""


def read(batch: BatchDetails, **options: object) -> str:
    return Page(batch_html(batch, now=NOW, is_open=ALL_SECTIONS, **options)).text  # type: ignore[arg-type]


def test_a_failed_batch_says_what_went_wrong_and_what_helps() -> None:
    text = read(details())
    assert text.startswith("Batch 12 ✕ failed items 56–60 · 3 attempts · 2 min · $0.12 · 0 tokens · claude-x")
    assert f"E201 output validation failed: reports/0012.md does not exist {ADVICE}" in text
    assert "self-healing: reports/0012.md does not exist" in text
    assert "warning: reports/0012.md does not exist" in text


def test_prompt_items_and_answer_are_shown_with_their_size() -> None:
    text = read(details())
    assert "Prompt as it was sent, 21 characters\nReview commit abc123." in text
    assert 'Items 1 of 3\n{"id": 1, "text": "reports/0012.md does not exist"}' in text
    assert "Answer 14 characters\nI reviewed it." in text


def test_a_prompt_that_was_not_sent_yet_is_called_so() -> None:
    assert "as it would be sent now" in read(details(prompt_source="composed"))
    guess = details(prompt_source="composed", prompt_note="without what was missing")
    assert "Prompt as it would be sent now, without what was missing, 21 characters" in read(guess)
    assert "Prompt as attempt 3 sent it, 21 characters" in read(details(prompt_note="as attempt 3 sent it"))
    assert "Prompt 5 characters" in read(details(prompt=Excerpt("asked", 5), prompt_source="unknown"))


def test_data_of_an_answer_is_shown_instead_of_its_text() -> None:
    text = read(details(data=Excerpt('{\n  "grade": 1\n}', 16)))
    assert '"grade": 1' in text
    assert "I reviewed it." not in text


def test_what_is_cut_says_how_much_and_where_all_of_it_is() -> None:
    cut = details(prompt=Excerpt("x" * 100, 50_100), answer=Excerpt("y" * 100, 70_100))
    text = read(cut)
    assert "50,100 characters, about 50,000 of them are left out in the middle: --dry-run --show 12 shows" in text
    assert "70,100 characters, about 70,000 of them are left out in the middle: job.answers() has all of it" in text


def test_failed_checks_come_first_with_what_was_expected_and_seen() -> None:
    text = read(details())
    assert "Checks 1 failed, 1 passed, 1 skipped" in text
    rows = text[text.index("rule result") : text.index("Attempts")].splitlines()
    assert [row.split()[0] for row in rows] == ["rule", "2", "1", "3"]
    assert rows[2] == "1 ✓ passed file_exists reports/0012.json a file 4.1 kB"


def test_a_check_of_the_answers_form_has_no_number() -> None:
    form = details(validations=(RuleResult(0, "schema", "failed", message="grade: not a number"),))
    assert "form ✕ failed schema grade: not a number" in read(form)


def test_attempts_are_listed_the_newest_first() -> None:
    text = read(details(attempts_omitted=4))
    rows = text[text.index("no. kind") : text.index("Log")].splitlines()
    assert rows[0] == "no. kind began ended as waited time cost tokens code message"
    assert [row.split()[:2] for row in rows[1:4]] == [["3", "retry"], ["2", "completion"], ["1", "first"]]
    assert "◔ running 1:00 reports/0012.md" in rows[1]
    assert "✕ error 0:05 0:40 unknown 0 E003" in rows[2]
    assert "✕ not good enough 0:50 $0.04 0 E201" in rows[3]
    assert rows[4] == "and 4 earlier ones"


def test_the_log_tells_who_said_what_and_where_all_of_it_is() -> None:
    text = read(details(), job_id="review-commits")
    log = text[text.index("Log") :].splitlines()
    assert log[0] == "Log attempt 3, 12.4 kB, only its end: %mozart logs review-commits --raw --batch 12 shows all"
    said = "reports/0012.md does not exist"
    assert log[1:] == [f"{sign}{said}" for sign in ("· ", "", "→ ", "← ", "✕ ", "", "stderr: ")]


def test_a_log_stands_alone_where_it_is_followed() -> None:
    tail = details().log
    assert "Log" not in read(details(), with_log=False)
    assert Page(log_html(tail, number=12)).text.splitlines()[0] == "Log attempt 3, 12.4 kB"
    assert log_html(LogTail(), number=12) == ""
    record = LogTail(1, (LogLine("text", "x"),), source="record")
    assert "as the record of the job keeps it" in log_html(record, number=1)
    assert "open" not in Page(log_html(tail, number=12, is_open=False)).tags("details")[0]


def test_an_untouched_batch_is_short() -> None:
    text = read(BatchDetails(3, "pending", 11, 15, BatchState(3)))
    assert text == "Batch 3 ○ pending items 11–15"


def test_a_blocked_batch_says_by_what() -> None:
    text = read(BatchDetails(3, "blocked", 11, 11, BatchState(3, status="blocked"), reasons=("batch 2 failed",)))
    assert text == "Batch 3 ⊘ blocked item 11\nbatch 2 failed"


def test_a_completed_batch_no_longer_speaks_of_its_failures() -> None:
    done = BatchState(3, status="completed", code="E201", message="old", attempts=2, reused=True, cost_known=False)
    text = read(BatchDetails(3, "completed", 11, 11, done))
    assert "E201" not in text
    assert "answer kept from an earlier run" in text
    assert "cost unknown" in text


def test_sections_are_open_as_asked() -> None:
    page = Page(batch_html(details(), now=NOW, is_open={"answer"}))
    assert [("open" in one) for one in page.tags("details")] == [False, False, True, False, False, False]


@pytest.mark.parametrize("piece", ["x", "<&\"'", "語", "\U0001f600"])
def test_a_page_is_bounded_whatever_is_in_it(piece: str) -> None:
    long = piece * 20_000
    rule = RuleResult(1, "python", "failed", long, long, long, long, long)
    attempt = replace(details().attempts[0], message=long, wait_reason=long, wait_seconds=9.0)
    many = details(
        long,
        validations=(rule,) * 500,
        attempts=(attempt,) * 500,
        remedies=(long,) * 50,
        reasons=(long,) * 50,
        warnings=(long,) * 50,
        rows=({"text": long},) * 50,
        log=LogTail(3, (LogLine("text", long),) * 500, source="file"),
    )
    html = batch_html(many, now=NOW, is_open=ALL_SECTIONS)
    assert len(html.encode()) < 70_000
    text = Page(html).text
    for words in (
        r"and 4\d\d more",
        r"and 4\d\d earlier ones",
        r"self-healing: and \d+ more",
        r"\d characters left out",
    ):
        assert re.search(words, text)


def test_texts_can_be_reached_and_scrolled_by_keyboard() -> None:
    assert {one["tabindex"] for one in Page(batch_html(details(), now=NOW)).tags("pre")} == {"0"}


def test_errors_are_grouped_with_what_helps() -> None:
    mended = {**error_group(unresolved=0), "code": "E003", "meaning": "overloaded"}
    standing = {**mended, "unresolved": 1}
    assert "it is retried by itself" in errors_html([standing])
    assert "a resume tries it again" in errors_html([standing], is_over=True)
    text = Page(errors_html([error_group(), mended])).text.splitlines()
    assert text == [
        "code what it means times not mended what helps last message",
        f"E201 output validation failed 7 ✕ 2: batches 1-2 {ADVICE.replace('`', '')} it does not exist",
        "E003 overloaded 7 ✓ all mended it does not exist",
    ]
    of_the_job = {**error_group(unresolved=1), "unresolved_batches": []}
    assert "✕ 1 see what" in Page(errors_html([of_the_job])).text
    assert Page(errors_html([])).text == "✓ no errors"
    assert "and 10 more codes" in Page(errors_html([error_group()] * 40)).text
