"""The pages in a real Chromium, with a real server and a real conductor: what a person does with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect
from support.conductor import Conductor
from support.lab import PATIENCE_SECONDS, SCREENSHOTS, chromium, find_chromium
from support.notebook_environment import notebook_environment
from support.web import Web, running_web

pytestmark = pytest.mark.browser

PATIENCE = PATIENCE_SECONDS * 1000


class Site:
    """A server and its conductor; `open` gives a browser window that is signed in."""

    def __init__(self, web: Web, window: Callable[..., Page]) -> None:
        self.web = web
        self._window = window
        self.problems: list[str] = []

    def open(self, address: str = "/", **options: Any) -> Page:
        page = self._window(**options)
        page.on("pageerror", lambda error: self.problems.append(error.stack or error.message))
        page.on("console", lambda told: self._hear(told.type, told.text))
        page.goto(f"{self.web.address}/mozart/?token={self.web.token}")
        if address != "/":
            page.goto(f"{self.web.address}/mozart{address}")
        return page

    def _hear(self, kind: str, text: str) -> None:
        """Whatever the policy of the page forbids is an error on the console."""
        if kind == "error" and "status of 404" not in text:
            self.problems.append(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if find_chromium() is None:
        pytest.skip("no Chromium: install it or set MOZART_NB_CHROMIUM")
    root = tmp_path_factory.mktemp("site")
    conductor = Conductor(notebook_environment(root))
    try:
        with running_web(root, "standalone") as web, chromium(tmp_path_factory.mktemp("chromium")) as window:
            yield Site(web, window)
    finally:
        conductor.close()


@pytest.fixture(autouse=True)
def no_problems(site: Site) -> Iterator[None]:
    """Scripts break nothing and ask for nothing that the page forbids."""
    site.problems.clear()
    yield
    assert not site.problems


def described(name: str, batches: int = 8, latency: float = 0.3, **sections: Any) -> str:
    """A job file; sections as in one."""
    rehearsal = {"latency_seconds": latency, **sections.pop("rehearsal", {})}
    job = {
        "name": name,
        "workspace": f"./{name}",
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": batches},
        "parallel": {"enabled": True, "max_concurrent": 2, "fail_fast": False},
        "prompt": {"template": "Write one sentence about {{ batch_num }}."},
        "retry": {"max_retries": 0},
        "rehearsal": rehearsal,
        **sections,
    }
    return yaml.safe_dump(job, sort_keys=False)


def create(page: Page, text: str) -> None:
    """Write a job on its page, and start it; ends on the page of its run."""
    page.get_by_role("link", name="New job").first.click()
    page.locator("#yaml").fill(text)
    expect(page.locator("#verdict")).to_contain_text("Ready to run")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/run", timeout=PATIENCE)


def is_now(page: Page, status: str) -> None:
    """Wait until the page says so."""
    expect(page.locator("#status")).to_contain_text(status, timeout=PATIENCE)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def keep(page: Page, name: str) -> None:
    """A picture for people, where they asked for some."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


CRASHES_TWICE = {"script": {3: ["crash", "crash"]}}


def test_a_job_is_created_watched_paused_resumed_and_mended_from_its_pages(site: Site) -> None:
    page = site.open()
    expect(page.locator(".empty")).to_contain_text("No jobs yet")
    create(page, described("journey", 40, rehearsal=CRASHES_TWICE))

    is_now(page, "running")
    expect(page.locator("#link-state")).to_have_text("live", timeout=PATIENCE)
    expect(page.locator("main")).to_contain_text(re.compile(r"[1-9] completed"), timeout=PATIENCE)
    press(page, "Pause")
    is_now(page, "paused")
    keep(page, "pages-paused")
    press(page, "Resume")
    is_now(page, "failed")  # batch 3 crashed before the pause and after it
    expect(page.locator("main")).to_contain_text("39 completed")

    page.get_by_role("link", name="batch 3", exact=True).first.click()
    expect(page.locator("h1")).to_have_text("Batch 3")
    expect(page.locator("main")).to_contain_text("E402")
    press(page, "Retry this batch")
    is_now(page, "completed")
    expect(page.locator("#attempts")).to_contain_text("good")

    page.get_by_role("link", name="journey").first.click()
    is_now(page, "completed")
    page.get_by_role("link", name="All runs and trends").click()
    expect(page.locator("h1")).to_have_text("Runs of journey")
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.locator(".trend")).to_have_count(4)


def test_mistakes_in_a_job_file_are_shown_with_their_line_while_it_is_written(site: Site) -> None:
    page = site.open("/new")
    expect(page.locator("#verdict")).to_contain_text("Ready to run")
    field = page.locator("#yaml")
    field.fill(described("mistaken").replace("size: 1", "size: none"))
    expect(page.locator("#verdict")).to_contain_text("error")
    expect(field).to_have_attribute("aria-invalid", "true")
    page.locator("#findings").get_by_role("button", name=re.compile("line")).first.click()
    selected = field.evaluate("field => field.value.slice(field.selectionStart, field.selectionEnd)")
    assert selected == "  size: none"
    field.fill(described("mistaken"))
    expect(page.locator("#verdict")).to_contain_text("8 batches")
    press(page, "Rehearse")
    expect(page.locator("#rehearsal")).to_contain_text("Write one sentence about 1.")
    field.press("End")
    page.reload()
    expect(page.locator("#yaml")).to_have_value(re.compile("name: mistaken"))  # nothing written is lost


def test_a_question_is_answered_on_the_page_and_cancelling_asks_first(site: Site) -> None:
    asks = {"enabled": True, "triggers": [{"name": "money", "batch_nums": [2], "message": "Spend it?"}]}
    page = site.open()
    create(page, described("asking", 6, 0.2, checkpoints=asks))
    question = page.locator("#question-2")
    expect(question).to_contain_text("Spend it?", timeout=PATIENCE)
    keep(page, "pages-question")
    question.get_by_role("textbox").fill("Mind the budget.")
    expect(page.locator("main")).to_contain_text("5 completed", timeout=PATIENCE)  # nobody else waits
    expect(question.get_by_role("textbox")).to_have_value("Mind the budget.")  # the page changed around it
    question.get_by_role("button", name="Add text").click()
    is_now(page, "completed")
    expect(page.locator("#log")).to_contain_text("batch.answered")
    expect(page.locator("#log")).to_contain_text("Mind the budget.")

    create(page, described("cancelled", 40, 0.5))
    is_now(page, "running")
    press(page, "Cancel …")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("end at once")
    expect(dialog.get_by_role("button", name="No")).to_be_focused()
    page.keyboard.press("Escape")
    is_now(page, "running")
    press(page, "Cancel …")
    dialog.get_by_role("button", name="Cancel the job").click()
    is_now(page, "cancelled")


def test_a_batch_that_is_about_to_fail_is_tried_again_with_a_prompt_edited_on_its_page(site: Site) -> None:
    page = site.open()
    sections: dict[str, Any] = {
        "checkpoints": {"escalation": True},
        "retry": {"max_retries": 0, "max_completion_attempts": 0},
        "validations": [{"type": "file_exists", "path": "{workspace}/{batch_num}.md"}],
        "rehearsal": {"script": {2: ["invalid_output"]}},
    }
    create(page, described("escalating", 4, 0.1, **sections))
    question = page.locator("#question-2")
    question.get_by_role("link", name="batch 2").click(timeout=PATIENCE)
    expect(page.locator("h1")).to_have_text("Batch 2")
    expect(question).to_contain_text("E201")
    press(page, "Edit the prompt")
    words = question.get_by_role("textbox")
    expect(words).to_have_value("Write one sentence about 2.")
    expect(words).to_be_focused()
    words.fill("Write two sentences about 2.")
    question.get_by_role("button", name="Retry").click()
    is_now(page, "completed")
    expect(page.locator("#prompt-text")).to_contain_text("Write two sentences about 2.")


def test_a_page_that_changes_keeps_focus_scrolling_and_what_is_typed(site: Site) -> None:
    page = site.open()
    create(page, described("steady", 60, 0.15))
    is_now(page, "running")
    page.evaluate(
        "document.querySelector('#map').dataset.untouched = 'yes'; window.stays = document.querySelector('h1')"
    )
    words = page.locator("#find")
    words.fill("half a wor")
    words.focus()
    top = page.evaluate("window.scrollTo(0, 300); window.scrollY")
    done = page.locator(".page-head .push").first
    before = done.inner_text()
    expect(done).not_to_have_text(before, timeout=PATIENCE)
    assert page.evaluate("document.activeElement.id") == "find"
    assert words.input_value() == "half a wor"
    assert page.evaluate("window.scrollY") == top
    assert page.evaluate("window.stays === document.querySelector('h1')")
    press(page, "Cancel …")
    press(page, "Cancel the job")
    is_now(page, "cancelled")


def test_filters_pages_and_the_past_have_addresses_that_the_back_button_knows(site: Site) -> None:
    page = site.open()
    create(page, described("travelled", 60, 0.0, rehearsal={"failures": {"crash": 0.2}}))
    expect(page.locator("#status")).to_contain_text(re.compile("failed|completed"), timeout=PATIENCE)
    page.locator("#batches").get_by_role("link", name=re.compile("failed")).click()
    page.wait_for_url("**status=failed*")
    expect(page.locator("#batches tbody tr").first).to_contain_text("failed")
    page.go_back()
    expect(page.locator("#batches tbody tr")).to_have_count(25)
    slider = page.get_by_label("See the job as it was")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator("#then")).to_contain_text("This is how it was", timeout=PATIENCE)
    assert "at=1" in page.url
    expect(page.locator("#verbs button")).to_have_count(0)
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator("#then")).to_have_count(0)
    is_now(page, "")
    page.locator("#map").click(position={"x": 5, "y": 5})
    expect(page.locator("h1")).to_have_text("Batch 1")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()


def test_pages_can_be_read_without_scripts_and_on_a_phone(site: Site) -> None:
    page = site.open()
    create(page, described("plain", 6, 0.0, rehearsal=CRASHES_TWICE))
    is_now(page, "failed")
    key = page.url.rsplit("/", 2)[1]
    silent = site.open(java_script_enabled=False)
    narrow = site.open(is_mobile=True, color_scheme="dark")
    narrow.set_viewport_size({"width": 390, "height": 844})
    for address in ("/", f"/jobs/{key}", f"/jobs/{key}/run", f"/jobs/{key}/batches/3", "/history", "/new"):
        silent.goto(f"{site.web.address}/mozart{address}")
        expect(silent.locator("h1")).to_be_visible()
        assert silent.locator("button[data-action]:visible").count() == 0
        narrow.goto(f"{site.web.address}/mozart{address}")
        over = narrow.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over == 0, f"{address} is {over} pixels too wide for a phone"
    silent.goto(f"{site.web.address}/mozart/jobs/{key}/run?status=failed")
    expect(silent.locator("#batches tbody tr")).to_have_count(1)


def test_light_and_dark_are_as_the_system_or_as_chosen(site: Site) -> None:
    page = site.open(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(22, 24, 28)"
    page.get_by_role("button", name="Colours: as the system").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.reload()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Colours: light").click()
    page.get_by_role("button", name="Colours: dark").click()
    assert page.evaluate(ground) == "rgb(22, 24, 28)"
