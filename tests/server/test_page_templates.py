"""Every page, made from view-models without a server: every status, hostile texts, what browsers are asked to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from support.html_pages import Page
from support.jobs_to_look_at import ALL, INTERRUPTED, NOW, PAUSED, RUNNING, details, job_state, progress

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.consumers.history.tally import RunTally
from mozart_nb.consumers.progress import Progress
from mozart_nb.job.load import load_text
from mozart_nb.jupyter.looks.picture import StatusMap
from mozart_nb.jupyter.looks.theme import LOOKS
from mozart_nb.jupyter.server import app
from mozart_nb.jupyter.server.pages import words
from mozart_nb.jupyter.server.pages.addresses import Query, To
from mozart_nb.jupyter.server.pages.batch import batch_view
from mozart_nb.jupyter.server.pages.charts import Settled, activity_of, attempt_boxes, trends_of
from mozart_nb.jupyter.server.pages.history import HistoryRow, HistoryView
from mozart_nb.jupyter.server.pages.maps import Maps, changed, map_view
from mozart_nb.jupyter.server.pages.new import EXAMPLE, NewView
from mozart_nb.jupyter.server.pages.overview import PlanView, as_yaml
from mozart_nb.jupyter.server.pages.run import EventLine, Failure, LogView, Travel
from mozart_nb.jupyter.server.pages.shared import Live
from mozart_nb.jupyter.server.pages.views import (
    JobView,
    Pager,
    batch_table,
    batch_wish,
    home_view,
    job_wish,
    pager_of,
    verbs_of,
)
from mozart_nb.looking.board import JobPage, Summary
from mozart_nb.looking.board.batches import STATUS_LETTERS, chosen, letters, page
from mozart_nb.looking.diagnosis import Diagnosis
from mozart_nb.looking.questions import OpenQuestion
from mozart_nb.looking.timeline import Mark, Moments

TO = To("/hub/user/ann/mozart")
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b[31m\" onmouseover='x' sk-ant-api03-" + "a" * 80
)
SHOWN = "<script>alert(1)</script>"
"""What of it can be read on a page."""

TEMPLATES = app.HERE / "templates"
STATIC = app.HERE / "static"

ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
"""As the extension makes it."""


def render(template: str, *, frame: str = "layout.html", live: Live | None = None, **values: Any) -> str:
    """A page as `Page.show` renders it."""
    known: dict[str, Any] = {
        "base_url": "/hub/user/ann/", "mozart_url": TO.root, "csp_nonce": "n0nce", "is_standalone": True,
        "static_url": lambda path: f"/hub/user/ann/static/mozart_nb/{path}", "w": words, "to": TO, "place": "jobs",
        "frame": frame, "live": live, "now": NOW,
    }  # fmt: skip
    return ENVIRONMENT.get_template(template).render({**known, **values})


# --- the pages, filled ------------------------------------------------------------------------------------------------


def question(text: str = "really?", kind: Any = "confirmation") -> OpenQuestion:
    choices: Any = ("retry", "skip", "abort") if kind == "escalation" else ("proceed", "skip", "abort", "add")
    return OpenQuestion(
        batch=12 if kind == "confirmation" else 13,
        attempt=1, mode="first", kind=kind, triggers=(text,), message=text, code="E201", asked_at=NOW,
        choices=choices, prompt=text,
    )  # fmt: skip


def job(shown: Progress, text: str = "") -> JobView:
    return JobView(
        "review-commits~abc123", "review-commits", text or shown.name, text, text or "/home/ann/ws", shown,
        verbs_of(shown), [question(text or "really?"), question(text or "again?", "escalation")],
        [("backend", text or "rehearsal")],
    )  # fmt: skip


def summary(shown: Progress | None, text: str = "") -> Summary:
    status = shown.status if shown is not None else "unreadable"
    return Summary(
        f"review-commits~{status}", Layout(Path("/ws"), "review-commits"), text or "/ws", status, True, shown, None, 1,
        text or "damaged",
    )  # fmt: skip


def home(shown: Sequence[Progress] = ALL, text: str = "") -> str:
    jobs = (*(summary(one, text) for one in shown), summary(None, text))
    found = JobPage(jobs, len(jobs), 90, {one.status: 1 for one in shown}, (text or "the history is old",))
    return render("home.html", page=home_view(found, job_wish(Query({"q": ("ann",)})), TO))


def overview(shown: Progress, text: str = "") -> str:
    diagnosis = Diagnosis(
        "review-commits", text or "review-commits", "failed", text or "it failed", cause=text, first=text, advice=text
    )
    plan = PlanView("Job file as it was read", text or "name: review-commits", text)
    return render(
        "job.html", tab="job", then=None, job=job(shown, text), diagnosis=diagnosis, runs=runs(2, text), plan=plan
    )


def run_page(shown: Progress, text: str = "", **values: Any) -> str:
    state = job_state(40, {1: "completed", 2: "failed", 3: "running"}, message=text or "no such file", code="E201")
    wish = batch_wish(Query({}))
    moments = Moments(90, NOW - 100, NOW, (Mark(1, NOW - 100, "planned", text or "planned"),))
    settled = Settled.of([("completed", NOW - 50), ("failed", NOW - 20)], NOW - 100, NOW)
    filled: dict[str, Any] = {
        "tab": "run",
        "job": job(shown, text),
        "then": None,
        "map": map_view(StatusMap.of(state).picture()),
        "activity": activity_of(settled, moments, lambda seq: f"?at={seq}", at=None, now=NOW),
        "is_reading": False,
        "travel": Travel(90, 90, "now", "?", "?at=89", "", [("q", text)]),
        "failures": [Failure("E201", "output validation failed", text or "no file", text or "look", [2, 7])],
        "batches": batch_table(page(state, chosen(state, wish), wish, "1"), wish, "review-commits", TO, problem=text),
        "log": LogView(text or "what happened last", events=[EventLine("error", "12:00:00", text or "batch.failed")]),
    }
    return render("run.html", **{**filled, **values})


def batch_page(shown: Progress, text: str = "", **facts: Any) -> str:
    about = job(shown, text)
    found = batch_view(details(text, **facts), about, TO, NOW)
    return render("batch.html", job=about, batch=found, questions=[question(text or "really?")])


def runs(number: int, text: str = "") -> list[RunRow]:
    return [
        RunRow(
            text or "review-commits", text or "review-commits", text or "/home/ann/ws",
            RunTally(
                number=place, journal="j", started_at=NOW - 100 * place, finished_at=NOW - 90 * place, status="failed",
                total=10, completed=5 + place, failed=2, attempts=9, cost_usd=0.1 * place, reason=text or "2 failed",
            ),
        )
        for place in range(1, number + 1)
    ]  # fmt: skip


def history(_: Progress = RUNNING, text: str = "") -> str:
    found = runs(5, text)
    view = HistoryView(
        text or "review-commits", "/there", [text or "review-commits"], "failed", text, text,
        [HistoryRow(run, "/there") for run in found], pager_of("Pages", 50, 50, 200, "/h", {"job": "ann"}),
        trends_of(found), text or "success 50 % → 80 %", "5 runs", True, text,
    )  # fmt: skip
    return render("history.html", page=view)


def new(_: Progress = RUNNING, text: str = "") -> str:
    return render("new.html", page=NewView(text or EXAMPLE, text or "/home/ann"))


def error(_: Progress = RUNNING, text: str = "") -> str:
    problem = {"title": "Not Found", "status": 404, "detail": text or "no such job", "hint": text}
    return render("error.html", problem=problem)


PAGES: dict[str, Callable[[Progress, str], str]] = {
    "home.html": lambda shown, text: home((shown,), text),
    "job.html": overview,
    "run.html": run_page,
    "batch.html": batch_page,
    "history.html": history,
    "new.html": new,
    "error.html": error,
}


def test_every_template_is_a_page_of_these_tests_or_a_part_of_one() -> None:
    parts = {"layout.html", "fragment.html", "_pieces.html", "_job_head.html"}
    ours = {path.name for path in TEMPLATES.glob("*.html")}
    assert ours - parts >= set(PAGES)
    assert parts <= ours


# --- what holds for all of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("shown", ALL, ids=lambda one: one.status)
def test_a_page_of_a_job_in_any_state_is_well_formed(name: str, shown: Progress) -> None:
    found = Page(PAGES[name](shown, ""))
    assert not found.problems
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "an id stands for one thing: parts of a page are replaced by it"
    labels = {attributes["for"] for attributes in found.tags("label") if "for" in attributes}
    assert labels <= set(ids)
    assert len(found.tags("h1")) == 1


@pytest.mark.parametrize("name", PAGES)
def test_nothing_that_others_wrote_is_more_than_text(name: str) -> None:
    found = Page(PAGES[name](RUNNING, HOSTILE))
    assert SHOWN in found.text or name == "home.html"
    assert {attributes.get("src", "") for attributes in found.tags("script")} == {
        "/hub/user/ann/static/mozart_nb/theme.js",
        "/hub/user/ann/static/mozart_nb/page.js",
    }
    assert all((attributes.get("src") or "").startswith("data:image/png") for attributes in found.tags("img"))
    for tag, attributes in found.elements:
        assert not [one for one in attributes if one.startswith("on")], tag
    if name != "error.html":  # its texts are cleaned where they are made
        assert "\u202e" not in found.source
        assert "\x1b" not in found.source
        assert "sk-ant-api03-" + "a" * 80 not in found.source


@pytest.mark.parametrize("name", PAGES)
def test_pages_keep_to_the_content_security_policy(name: str) -> None:
    found = Page(PAGES[name](RUNNING, ""))
    assert not found.tags("style")
    for _, attributes in found.elements:
        assert "style" not in attributes
    assert all(attributes.get("nonce") == "n0nce" for attributes in found.tags("script"))
    for tag, attributes in found.elements:
        for name_ in ("href", "src", "action", "data-live", "data-events"):
            address = attributes.get(name_) or ""
            assert not re.match(r"(?i)(?:[a-z]+:)?//|javascript:", address), (tag, address)


@pytest.mark.parametrize("name", [name for name in PAGES if name != "error.html"])
def test_every_control_has_a_name_and_no_colour_stands_without_a_word(name: str) -> None:
    found = Page(PAGES[name](RUNNING, ""))
    named = {attributes["for"] for attributes in found.tags("label") if "for" in attributes}
    for tag in ("input", "select", "textarea"):
        for one in found.tags(tag):
            is_named = one.get("aria-label") or one.get("id") in named or one.get("type") in ("hidden", "checkbox")
            assert is_named, one
    for attributes in [*found.tags("svg"), *found.tags("img")]:
        assert attributes.get("aria-label") or attributes.get("alt") or attributes.get("aria-hidden"), attributes


def test_what_changes_of_a_page_comes_without_its_frame() -> None:
    live = Live("/mozart/?fragment=1", 4, "/mozart/api/jobs/x/events")
    view = home_view(JobPage((), 0, 0), job_wish(Query({})), TO)
    part = Page(render("home.html", frame="fragment.html", live=live, page=view))
    assert not part.tags("script")
    assert not part.tags("header")
    assert not part.problems
    [main] = part.tags("main")
    assert main["data-live"] == live.page
    assert main["data-events"] == live.events
    assert "No jobs yet" in part.text
    assert "mozart run job.yaml" in part.text


# --- what is on them --------------------------------------------------------------------------------------------------


def test_the_home_page_says_how_each_job_stands_in_words() -> None:
    text = Page(home()).text
    for shown in ALL:
        assert shown.status in text
    assert "Authentication" not in text
    assert "401 authentication_error" in text
    assert "1 question for you" in text
    assert "unreadable" in text
    assert "damaged" in text


def test_a_failure_stands_with_its_reason_and_what_helps() -> None:
    failed = progress("failed", completed=3, failed=2, code="E501", reason="401 authentication_error")
    for made in (overview(failed), run_page(failed)):
        text = Page(made).text
        assert "E501" in text
        assert "401 authentication_error" in text
        assert "What helps:" in text
    text = Page(batch_page(failed)).text
    assert "E201" in text
    assert "reports/0012.md does not exist" in text
    assert "What helps:" in text
    assert "Nobody runs this job any more" in Page(run_page(INTERRUPTED)).text


@pytest.mark.parametrize(
    ("status", "actions"),
    [
        ("pending", ["resume"]),
        ("running", ["pause", "cancel"]),
        ("waiting", ["pause", "cancel"]),
        ("pausing", ["resume", "cancel"]),
        ("paused", ["resume", "cancel"]),
        ("interrupted", ["resume", "cancel"]),
        ("failed", ["resume"]),
        ("cancelled", ["resume"]),
        ("completed", []),
    ],
)
def test_only_what_can_be_done_has_a_button(status: Any, actions: list[str]) -> None:
    assert [verb.action for verb in verbs_of(progress(status, 5))] == actions
    assert verbs_of(progress(status, 5), then=True) == []
    with_failures = [verb.action for verb in verbs_of(progress(status, 5, failed=1))]
    assert "retry" in with_failures
    assert set(actions) <= set(with_failures)


def test_cancelling_asks_first() -> None:
    found = Page(run_page(PAUSED))
    [cancel] = [one for one in found.tags("button") if one.get("data-action") == "cancel"]
    assert "end at once" in (cancel["data-asks"] or "")
    assert cancel["data-yes"] == "Cancel the job"
    assert not [one for one in found.tags("button") if one.get("data-action") == "resume" and one.get("data-asks")]


def test_an_open_question_has_a_button_for_each_answer() -> None:
    found = Page(run_page(RUNNING))
    replies = [one["value"] for one in found.tags("button") if one.get("name") == "reply"]
    assert replies == ["proceed", "skip", "abort", "add", "retry", "skip", "abort"]
    assert "Waits for you" in found.text
    assert "really?" in found.text


def test_the_past_of_a_job_can_be_read_but_not_steered() -> None:
    from mozart_nb.looking.board import Frame

    then = Frame(7, NOW - 50, 90, job_state(4, {}), RUNNING)
    past = JobView("k", "k", "k", "", "/ws", RUNNING, verbs_of(RUNNING, then=True))
    found = Page(run_page(RUNNING, then=then, job=past))
    assert "This is how it was at" in found.text
    assert "Back to live" in found.text
    assert not [one for one in found.tags("button") if "data-action" in one]


# --- addresses --------------------------------------------------------------------------------------------------------


def test_an_address_with_nonsense_in_it_asks_for_what_can_be_understood() -> None:
    query = Query.of({
        "status": [b"failed", b"nonsense", b"failed"], "page": [b"-3"], "sort": [b"-cost"], "q": [b"\xff\xfe words "],
        "numbers": [b"3,7-9"], "at": [b"9" * 40],
    })  # fmt: skip
    wish = batch_wish(query)
    assert wish.statuses == ("failed",)
    assert (wish.sort, wish.descending, wish.offset) == ("cost", True, 0)
    assert wish.numbers == "3,7-9"
    assert wish.text.endswith("words")
    assert query.number("at") == 0
    assert batch_wish(Query.of({"sort": [b"__class__"]})).sort == "batch"
    assert len(Query.of({"q": [b"x" * 100_000]}).text("q")) == 200


def test_links_keep_the_filters_and_go_to_the_first_page_when_one_changes() -> None:
    state = job_state(100, dict.fromkeys(range(1, 61), "failed"), code="E201")
    query = Query({"status": ("failed",), "q": ("E2",), "page": ("2",), "sort": ("-cost",)})
    wish = batch_wish(query)
    table = batch_table(page(state, chosen(state, wish), wish, "1"), wish, "a~b12345", TO, at=7)
    assert table.pager.page == 2
    assert table.pager.pages == 3
    assert table.pager.on == f"{TO.root}/jobs/a~b12345/run?at=7&q=E2&sort=-cost&status=failed&page=3"
    assert "page=" not in table.pager.back
    assert all("page=" not in chip.href and "q=E2" in chip.href for chip in table.chips)
    [cost] = [column for column in table.columns if column.label == "cost"]
    assert cost.order == "descending"
    assert "sort=cost" in cost.href
    assert table.caption == "26–50 of 60 failed that fit"


def test_keys_of_jobs_cannot_break_out_of_an_address() -> None:
    assert TO.job("a b/../c?d#e") == f"{TO.root}/jobs/a%20b%2F..%2Fc%3Fd%23e"
    assert TO.batch("job~1a2b3c", 7).endswith("/jobs/job~1a2b3c/batches/7")


def test_the_pager_ends_where_the_list_does() -> None:
    assert pager_of("p", 0, 25, 0, "/x", {}) == Pager("p", 1, 1)
    assert pager_of("p", 25, 25, 50, "/x", {"q": ""}) == Pager("p", 2, 2, "/x", "")


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_the_map_of_a_job_costs_what_has_changed() -> None:
    maps = Maps(STATUS_LETTERS)
    state = job_state(3_000, {1: "completed", 1500: "failed"})
    first = maps.view("job", letters(state))
    assert "1 failed" in first.alt
    assert first.total == 3_000
    assert maps.view("job", letters(state)) == first
    assert [*changed(b"ppp" * 1000, b"ppp" * 500 + b"f" + b"ppp" * 499 + b"pp")] == [1500]
    assert [*changed(b"", b"pf")] == [0, 1]
    grown = maps.view("job", letters(job_state(3_001, {1: "completed"})))
    assert grown.total == 3_001
    assert "failed" not in grown.alt


def test_the_chart_of_a_run_shows_every_batch_that_ended() -> None:
    ends = [("completed", NOW + place) for place in range(100)] + [
        ("failed", NOW + 50),
        ("running", NOW),
        ("failed", 0.0),
    ]
    settled = Settled.of(ends, NOW, NOW + 99)
    assert sum(settled.completed) == 100
    assert sum(settled.failed) == 1
    moments = Moments(9, NOW, NOW + 99, (Mark(1, NOW, "planned", "planned"), Mark(9, NOW + 99, "failed", "1 failed")))
    chart = activity_of(settled, moments, str, at=NOW + 50, now=NOW + 99)
    assert [tick.x for tick in chart.ticks] == [0, 1000]
    assert 490 < (chart.cursor or 0) < 520
    assert all(0 <= box.y <= 92 and box.y + box.height <= 92.1 for box in chart.boxes)
    empty = activity_of(Settled.of([], NOW, NOW), Moments(2, NOW, NOW), str, at=None, now=NOW)
    assert not empty.boxes
    assert empty.scale_words == ""


def test_attempts_fill_their_bar() -> None:
    boxes = attempt_boxes(details().attempts, NOW)
    assert [box.status for box in boxes] == ["failed", "skipped", "failed", "skipped", "running"]
    assert 990 < sum(box.width + 1 for box in boxes) < 1010
    assert attempt_boxes((), NOW) == []


def test_trends_need_two_runs_and_tell_them_in_words() -> None:
    assert trends_of(runs(1)) == []
    told = [trend.words for trend in trends_of(runs(4))]
    assert len(told) == 4
    assert all("of 4 runs" in words for words in told)


# --- what belongs together --------------------------------------------------------------------------------------------


def test_the_style_sheet_has_the_colours_of_every_status() -> None:
    sheet = (STATIC / "mozart.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", sheet))
    for status, look in LOOKS.items():
        assert colours[status] == look.colour
        assert f".is-{status} {{ --hue: var(--{status}); }}" in sheet


def test_classes_on_pages_are_dressed() -> None:
    """A class that no rule knows is a misspelled one."""
    sheet = (STATIC / "mozart.css").read_text(encoding="utf-8")
    known = set(re.findall(r"\.([a-z][\w-]*)", sheet))
    used = {name for make in PAGES.values() for name in Page(make(RUNNING, "")).classes()}
    bare = {"travel", "mathjax_ignore", "tex2jax_ignore", "line-text", "who", "how", "stroke-planned"}
    assert used - known - bare == set()


def test_the_example_of_the_editor_is_a_job_that_passes_its_checks(tmp_path: Path) -> None:
    loaded = load_text(EXAMPLE, base_dir=tmp_path)
    assert loaded.config.name == "first-job"
    assert loaded.config.backend.type == "rehearsal"
    assert as_yaml({"prompt": {"template": "a\nb"}, "n": 1}) == "prompt:\n  template: |-\n    a\n    b\nn: 1\n"
