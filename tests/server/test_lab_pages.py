"""The pages inside a real JupyterLab: tile, command, the link below a cell, and a tab that survives a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FrameLocator, Page, expect
from support.lab import Lab, LabPage, chromium, find_chromium

pytestmark = pytest.mark.browser

JOB = """%%mozart
name: linked
workspace: {workspace}
backend: {{type: rehearsal}}
rehearsal: {{latency_seconds: 30}}
batch: {{size: 1, total_items: 3}}
prompt: {{template: "Say {{{{ batch_num }}}}."}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if find_chromium() is None:
        pytest.skip("no Chromium: install it or set MOZART_NB_CHROMIUM")
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def new_window(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Page]]:
    with chromium(tmp_path_factory.mktemp("chromium")) as window:
        yield window


@pytest.fixture
def window(lab: Lab, new_window: Callable[..., Page], tmp_path: Path) -> Iterator[LabPage]:
    page = new_window()
    yield LabPage(lab, page, tmp_path)
    page.context.close()
    lab.end_sessions()


def pages_in(window: LabPage) -> FrameLocator:
    """What the tab of our pages shows."""
    return window.page.frame_locator(".mozart-pages iframe")


def heading_of(window: LabPage) -> str:
    return pages_in(window).locator("h1").first.inner_text()


def test_the_tile_in_the_launcher_opens_the_pages_in_a_tab_of_their_own(window: LabPage) -> None:
    window.page.locator(".jp-LauncherCard", has_text="Mozart").click()
    expect(pages_in(window).locator("h1").first).to_have_text("Jobs")
    expect(window.page.locator(".lm-TabBar-tab.lm-mod-current", has_text="Jobs")).to_be_visible()
    assert not window.problems


def test_a_tab_comes_back_after_a_reload_with_the_page_that_was_open(window: LabPage) -> None:
    window.command("mozart:open", path="history")
    expect(pages_in(window).locator("h1").first).to_have_text("History")
    window.page.locator(".lm-TabBar-tab.lm-mod-current", has_text="History").wait_for()
    window.script("await app.serviceManager.workspaces.ready; await new Promise(done => setTimeout(done, 1500))")
    window.page.goto(f"{window.lab.url}lab", wait_until="domcontentloaded")
    expect(pages_in(window).locator("h1").first).to_have_text("History")


def test_a_tab_shows_nothing_but_our_pages(window: LabPage) -> None:
    for path in ("https://evil.example/", "//evil.example/", "../lab", "\\\\evil.example", "javascript:0"):
        window.command("mozart:open", path=path)
        frame = window.page.locator(".mozart-pages iframe").last
        frame.wait_for(state="attached")
        assert str(frame.get_attribute("src")).startswith(f"{window.lab.url}mozart")


def test_the_link_below_a_cell_opens_the_run_of_its_job(window: LabPage) -> None:
    workspace = window.lab.folder / "linked"
    window.lab.write_notebook("linked.ipynb", ["%load_ext mozart_nb", JOB.format(workspace=workspace)])
    notebook = window.open("linked.ipynb")
    notebook.run_to_end(0)
    notebook.run(1)
    link = notebook.output(1).locator("a.mozart-pages-link")
    link.click()
    expect(pages_in(window).locator("h1").first).to_have_text("linked")
    assert "/run" in str(window.page.locator(".mozart-pages iframe").get_attribute("src"))
    assert not window.problems
