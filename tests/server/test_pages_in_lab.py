"""The pages in a tab of a real JupyterLab: the whole way of a job, from its description to its history."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import FrameLocator, expect
from support.conductor import Conductor
from support.lab import PATIENCE_SECONDS, Lab, LabPage, chromium, find_chromium

pytestmark = pytest.mark.browser

PATIENCE = PATIENCE_SECONDS * 1000

JOB = {
    "name": "in-lab",
    "workspace": "./in-lab",
    "backend": {"type": "rehearsal"},
    "batch": {"size": 1, "total_items": 40},
    "parallel": {"enabled": True, "max_concurrent": 2, "fail_fast": False},
    "prompt": {"template": "Write one sentence about {{ batch_num }}."},
    "retry": {"max_retries": 0},
    "rehearsal": {"latency_seconds": 0.4, "script": {3: ["crash", "crash"]}},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if find_chromium() is None:
        pytest.skip("no Chromium: install it or set MOZART_NB_CHROMIUM")
    lab = Lab(tmp_path_factory.mktemp("lab"))
    conductor = Conductor({**os.environ, **lab.environ})
    yield lab
    conductor.close()
    lab.close()


@pytest.fixture
def window(lab: Lab, tmp_path: Path) -> Iterator[LabPage]:
    with chromium(tmp_path / "chromium") as new:
        yield LabPage(lab, new(), tmp_path)


def is_now(pages: FrameLocator, status: str) -> None:
    expect(pages.locator("#status")).to_contain_text(status, timeout=PATIENCE)


def test_a_job_goes_its_whole_way_in_a_tab_of_jupyterlab(window: LabPage) -> None:
    window.page.wait_for_function("() => window.jupyterapp.commands.hasCommand('mozart:open')", timeout=PATIENCE)
    window.command("mozart:open")
    pages = window.page.frame_locator(".mozart-pages iframe")
    expect(pages.locator("h1").first).to_have_text("Jobs", timeout=PATIENCE)
    pages.get_by_role("link", name="New job").first.click()
    pages.locator("#yaml").fill(yaml.safe_dump(JOB, sort_keys=False))
    expect(pages.locator("#verdict")).to_contain_text("Ready to run, 40 batches")
    pages.get_by_role("button", name="Start", exact=True).click()

    is_now(pages, "running")
    expect(pages.locator("#link-state")).to_have_text("live", timeout=PATIENCE)
    pages.get_by_role("button", name="Pause").click()
    is_now(pages, "paused")
    pages.get_by_role("button", name="Resume").click()
    is_now(pages, "failed")

    window.use_theme(dark=True)
    expect(pages.locator("body")).to_have_css("background-color", "rgb(22, 24, 28)")
    window.screenshot("pages-in-lab")
    window.use_theme(dark=False)
    expect(pages.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")

    pages.get_by_role("link", name="batch 3", exact=True).first.click()
    expect(pages.locator("h1")).to_have_text("Batch 3")
    pages.get_by_role("button", name="Retry this batch").click()
    expect(pages.locator("#said")).to_contain_text("in-lab", timeout=PATIENCE)
    is_now(pages, "completed")
    pages.get_by_role("link", name="in-lab").first.click()
    is_now(pages, "completed")
    pages.get_by_role("link", name="All runs and trends").click()
    expect(pages.locator("h1")).to_have_text("Runs of in-lab")
    expect(pages.locator("tbody tr")).to_have_count(3)
    expect(pages.locator("tbody")).to_contain_text(re.compile("paused"))
    assert not window.problems
