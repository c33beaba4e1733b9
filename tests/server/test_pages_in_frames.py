"""Pages in frames that come and go, as tabs of JupyterLab do: only what can be seen holds a connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page
from support.lab import PATIENCE_SECONDS, chromium, find_chromium
from support.notebook_environment import notebook_environment
from support.web import Web, running_web
from support.web_jobs import start_job

pytestmark = pytest.mark.browser

PATIENCE = PATIENCE_SECONDS * 1000

TABS = 8
"""More than the six connections that a browser opens to one server."""

OPEN_TAB = """(src) => new Promise((resolve) => {
    for (const other of document.querySelectorAll("iframe")) other.style.display = "none";
    const frame = document.createElement("iframe");
    frame.onload = resolve;
    frame.src = src;
    document.body.append(frame);
})"""

LISTENING = """() => [...document.querySelectorAll("iframe")].filter(
    (frame) => frame.contentDocument.getElementById("link-state").dataset.state === "live"
        && frame.style.display !== "none").length"""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    if find_chromium() is None:
        pytest.skip("no Chromium: install it or set MOZART_NB_CHROMIUM")
    with running_web(tmp_path, "extension") as running:
        yield running


def test_tabs_that_are_behind_others_leave_the_connections_of_the_browser_free(web: Web, tmp_path: Path) -> None:
    job = start_job(web.folder, {**os.environ, **notebook_environment(web.root)}, batches=8, latency=60.0)
    try:
        with chromium(tmp_path / "chromium") as window:
            page = _outside(window, web)
            address = f"{web.address}/mozart/jobs/review/run"
            page.wait_for_function("(a) => fetch(a).then((found) => found.ok)", arg=address, timeout=PATIENCE)
            for _ in range(TABS):
                page.evaluate(OPEN_TAB, address)
                page.wait_for_function(f"{LISTENING[6:]} === 1", timeout=PATIENCE)
            page.evaluate("document.querySelector('iframe').style.display = ''")  # the first comes to the front
            page.wait_for_function(f"{LISTENING[6:]} === 2", timeout=PATIENCE)
    finally:
        job.terminate()
        job.wait(PATIENCE_SECONDS)


def _outside(window: Callable[..., Page], web: Web) -> Page:
    """A page of the same server that may hold frames, as that of JupyterLab."""
    page = window()
    page.goto(f"{web.address}/mozart/?token={web.token}")
    page.goto(f"{web.address}/nothing")
    return page
