"""The head of a display: how a job stands, in a few lines that a person can watch for hours."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.html_pages import Page
from support.jobs_to_look_at import (
    ALL,
    COMPLETED,
    FAILED,
    INTERRUPTED,
    NOW,
    PAUSED,
    RUNNING,
    WAITING,
    progress,
)

from mozart_nb.codes import CODES
from mozart_nb.consumers.progress import LIVE, Progress, RunningBatch, Wait
from mozart_nb.jupyter.looks.head import announcement, counts, head, reason, running_list
from mozart_nb.jupyter.looks.theme import LOOKS


def read(html: str) -> str:
    return " ".join(Page(html).text.split())


@pytest.mark.parametrize("job", ALL, ids=lambda job: job.status)
def test_a_head_is_small_and_says_the_status_in_a_word(job: Progress) -> None:
    html = head(job)
    assert len(html.encode()) < 2_300
    assert f"{LOOKS[job.status].symbol} {job.status}" in read(html)
    assert f"{job.done:,} of {job.total:,}" in read(html)


def test_a_running_job_shows_what_is_left_what_it_cost_and_what_runs() -> None:
    assert Page(head(RUNNING)).text.splitlines() == [
        "review-commits ▸ running 4 of 12 batches done · 33.3 %",
        "✓ 4 completed · ▸ 3 running · ○ 5 pending",
        "time left 20 min · elapsed 12:34 · cost $1.23 of $5.00 · tokens 1.54M · at once 3",
        "#5 0:45 working · 12.3 kB · Read src/engine/driver.py",
        "#6 5:12 checking · attempt 2, retry · 99.3 kB · silent for 0:45",
        "#7 0:01 preparing",
    ]


def test_a_waiting_job_says_for_what_and_how_long() -> None:
    text = read(head(WAITING))
    assert "◔ E102 usage limit or quota reached: goes on at" in text
    assert "in 1:23:45 (message)" in text
    assert "◔ retry of batch 17 in 0:25: E003 overloaded_error: Overloaded" in text
    assert "at once 4 instead of 10" in text
    assert "saved by cache $0.22" in text
    assert "repeats 12 retries, 3 completion attempts, 2 rate-limit waits" in text
    assert "cost $1.23 + cost of 2 sessions unknown" in text


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (FAILED, "E501 authentication or permission failure: 401 authentication_error: invalid x-api-key log in or"),
        (PAUSED, "E506 budget exhausted: the cost limit of $5.00 for the job is reached raise the budget, then resume"),
        (INTERRUPTED, "Nobody runs this job any more; nothing is lost, it can be resumed."),
        (progress("cancelled", reason="asked by somebody"), "asked by somebody"),
        (progress("pausing", reason="asked by somebody"), "asked by somebody"),
        (progress("failed", code="E003", reason="2 batches failed"), "E003 service temporarily unavailable"),
        (progress("failed", code="E999"), "E999 unclassified failure see the log of the session"),
    ],
)
def test_a_job_that_does_not_go_on_says_why_and_what_helps(job: Progress, words: str) -> None:
    assert read(reason(job)).startswith(words)
    assert words in read(head(job))


def test_what_is_over_is_not_said_to_be_retried_by_itself() -> None:
    assert read(reason(progress("failed", code="E003"))).endswith("a resume tries it again")
    assert read(reason(progress("paused", code="E703"))).endswith(CODES["E703"].advice)


def test_advice_that_the_reason_gives_already_is_not_repeated() -> None:
    advice = CODES["E503"].advice
    missing = replace(progress("failed", code="E503"), reason=f"`claude` is not on PATH; {advice}")
    assert read(reason(missing)).count(advice) == 1


@pytest.mark.parametrize("job", [COMPLETED, RUNNING, WAITING, progress("pending")], ids=lambda job: job.status)
def test_a_job_that_goes_on_gives_no_reason(job: Progress) -> None:
    assert reason(job) == ""


def test_only_a_live_job_has_time_left() -> None:
    for job in ALL:
        assert ("time left" in head(job)) == (job.status in LIVE)


def test_the_bar_is_a_progress_bar_for_screen_readers_too() -> None:
    bars = [one for one in Page(head(WAITING)).tags("div") if one.get("role") == "progressbar"]
    assert len(bars) == 1
    assert bars[0]["aria-valuenow"] == "42"
    assert (bars[0]["aria-valuemin"], bars[0]["aria-valuemax"]) == ("0", "100")
    assert bars[0]["aria-valuetext"] == "80 completed, 4 skipped, 2 failed, 9 waiting, of 200"


def test_the_shares_of_the_bar_are_those_of_the_batches() -> None:
    widths = [one["style"] for one in Page(head(WAITING)).tags("i") if one.get("style")]
    assert widths == ["width:40%", "width:2%", "width:1%", "width:4.5%"]


@pytest.mark.parametrize("total", [0, 1])
def test_a_job_without_anything_done_has_an_empty_bar(total: int) -> None:
    html = head(progress("pending", total))
    assert 'aria-valuetext="nothing done yet, of' in html
    assert not [one for one in Page(html).tags("i") if one.get("style")]


def test_batches_left_running_or_with_the_service_are_called_so() -> None:
    assert "16 left running" in Page(counts(INTERRUPTED)).text
    parked = Page(counts(progress(running=7, parked=5))).text
    assert "2 running" in parked
    assert "5 with the service" in parked
    assert Page(counts(progress(total=0))).text == "no batches yet"


def test_of_many_running_batches_the_longest_running_are_shown() -> None:
    many = tuple(RunningBatch(n, 1, "first", "working", 100.0 - n) for n in range(1, 65))
    html = running_list(progress(running=64, running_batches=many), 3)
    assert Page(html).text.splitlines()[0].startswith("#1 1:39 working")
    assert Page(html).text.splitlines()[-1] == "and 61 more"
    assert len(Page(html).tags("li")) == 4
    assert running_list(RUNNING, 0) == ""


def test_what_stands_below_the_running_batches_does_not_jump() -> None:
    def height(job: Progress, most: int = 4) -> str | None:
        lists = Page(running_list(job, most)).tags("ul")
        return lists[0].get("style") if lists else ""

    between = replace(RUNNING, running_batches=(), running=0)
    assert height(RUNNING) == height(between) == "min-height:60px"
    assert height(replace(RUNNING, concurrency=(2, 64), pending=500)) == "min-height:100px"
    assert height(replace(RUNNING, status="waiting")) is None
    assert height(replace(between, status="waiting")) == height(between, 0) == height(COMPLETED) == ""


def test_a_kernel_that_was_busy_is_named_while_the_job_runs() -> None:
    assert "kernel was busy 5.1 s" in head(RUNNING, busy_seconds=5.1)
    assert "busy" not in head(RUNNING, busy_seconds=0.3)
    assert "busy" not in head(COMPLETED, busy_seconds=5.1)


def test_notes_of_the_host_are_shown() -> None:
    assert "attached to <b>" in read(head(RUNNING, notes=["attached to <b>"]))


def test_a_job_without_a_name_goes_by_its_id() -> None:
    assert "review-commits" in head(progress(name=""))


def test_money_is_no_formula() -> None:
    """Notebooks typeset what stands between two dollar signs of one text."""
    facts = [one for one in head(PAUSED).split("<") if "$" in one and "E506" not in one]
    assert all(one.count("$") == 1 for one in facts)
    assert "mathjax_ignore" in Page(head(PAUSED)).classes()


def test_changes_are_announced_apart_from_what_is_drawn_every_second() -> None:
    assert not [one for _, one in Page(head(RUNNING)).elements if one.get("role") in ("status", "alert")]
    page = Page(announcement(FAILED))
    assert page.tags("span")[0]["role"] == "status"
    assert page.text == "review-commits: failed, 30 of 200 batches done, 3 failed"


def test_every_kind_of_wait_is_said_in_words() -> None:
    waits = (
        Wait("limit", NOW, 0.0, "E101", "retry-after"),
        Wait("limit", NOW, 0.0, "E101", "retry-after", probing=4),
        Wait("breaker", NOW + 5, 5.0, message="5 attempts failed in a row"),
        Wait("pause", NOW + 5, 5.0),
        Wait("healed", NOW + 5, 5.0, batch=3),
    )
    lines = Page(head(progress("waiting", waits=waits))).text.splitlines()[3:]
    assert [line.removeprefix("◔ ") for line in lines] == [
        "E101 API rate limit: the time is up, one batch is about to try",
        "E101 API rate limit: batch 4 tries whether it is over",
        "circuit breaker: 5 attempts failed in a row, one tries again in 0:05",
        "pause between batches: 0:05",
        "healed of batch 3 in 0:05",
    ]
