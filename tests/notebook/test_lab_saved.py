"""What a notebook shows after stops: interrupts, restarts, closed browsers; and when it is opened again or exported."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect
from support.lab import LabPage, wait_until
from support.notebook_cells import LOAD, mozart_cell, rehearsed

from mozart_nb.job_handle import Job

pytestmark = pytest.mark.browser

BACK_SECONDS = 0.5
"""Within this time an interrupt gives the prompt back; pages of busy machines get three times as long."""

REVIEWS = """\
%%mozart
name: reviews
batch: {size: 1, total_items: 60}
parallel: {enabled: true, max_concurrent: 4}
prompt:
  template: "Review number {{ batch_num }}: what does the customer want to be changed?"
backend: {type: rehearsal}
rehearsal:
  latency_seconds: 0.5
  usage: {input_tokens: 1840, output_tokens: 420, cost_usd: 0.0118}"""

COUNT_ATTEMPTS = "print(len(job.attempts()), 'attempts', (job.events().kind == 'batch.completed').sum(), 'completed')"


def test_an_interrupted_and_a_restarted_job_go_on_and_are_seen_wherever_the_notebook_is_opened_again(
    window: LabPage, new_window: Callable[..., Page], tmp_path: Path
) -> None:
    waited = mozart_cell(rehearsed("waited", 60, latency=4.0, at_once=3), "--wait -o slow")
    cells = [
        LOAD,
        waited,
        "print(slow.status)",
        "await slow\nprint(slow.status)",
        REVIEWS,
        "await job",
        COUNT_ATTEMPTS,
    ]
    window.lab.write_notebook("stops/stops.ipynb", cells)
    notebook = window.open("stops/stops.ipynb")
    notebook.run_to_end(0)
    notebook.run(1)
    notebook.wait_for_text(1, "3 running")
    began = time.monotonic()
    notebook.interrupt()
    notebook.wait_for_end(1)
    assert time.monotonic() - began < 3 * BACK_SECONDS
    notebook.wait_for_text(1, "pauses: 0 of 60 batches done and saved, 3 running batches finish first")
    notebook.wait_for_text(1, "%mozart resume waited")
    notebook.run_to_end(2)
    notebook.wait_for_match(2, "pausing|paused")  # busy machines are slow to ask
    notebook.run_to_end(3)
    notebook.wait_for_text(3, "paused")
    notebook.wait_for_text(1, "paused")

    notebook.run_to_end(4)
    notebook.wait_for_match(4, r"\b([5-9]|[1-4]\d) of 60 batches done")
    notebook.restart_kernel()
    notebook.wait_for_text(4, "as of")  # the static output, in place of a widget that nothing moves any more
    notebook.run_to_end(0)
    notebook.run_to_end(4)
    notebook.run_to_end(5)
    notebook.wait_for_text(4, "60 of 60 batches done")
    notebook.run_to_end(6)
    attempts, _, completed, _ = notebook.text(6).split()[-4:]
    assert int(completed) == 60
    assert int(attempts) <= 64  # those that ran when the kernel went

    assert not window.problems
    notebook.save()
    notebook.close()
    window.lab.end_sessions()
    again = window.open("stops/stops.ipynb", with_kernel=False)
    assert again.is_trusted()
    for text in ("60 of 60 batches done", "completed"):
        again.wait_for_text(4, text)
    again.wait_for_text(1, "paused")
    again.scroll_to(4)
    window.screenshot("reopened")

    copied = window.lab.folder / "stops" / "copied.ipynb"
    foreign = nbformat.read(again.file, 4)
    foreign.cells[2].outputs[0]["text"] = "from somewhere else"
    nbformat.write(foreign, copied)
    untrusted = window.open("stops/copied.ipynb", with_kernel=False)
    untrusted.wait_for_text(2, "from somewhere else")
    assert not untrusted.is_trusted()
    for text in ("60 of 60 batches done", "completed"):
        untrusted.wait_for_text(4, text)
    picture = untrusted.output(4).locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 0

    exported = export(again.file, tmp_path, window.lab.environ)
    page = new_window()
    page.goto(exported.as_uri(), wait_until="domcontentloaded")  # what it would load from elsewhere cannot be had
    expect(page.locator("body")).to_contain_text("60 of 60 batches done", use_inner_text=True)
    expect(page.locator("body")).not_to_contain_text("model not found", use_inner_text=True)
    page.context.close()


def export(notebook: Path, folder: Path, environ: dict[str, str]) -> Path:
    """The notebook as a page, made by nbconvert."""
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(folder), str(notebook)]
    subprocess.run(command, env=environ, check=True, capture_output=True, timeout=60)
    return folder / f"{notebook.stem}.html"


def test_a_browser_that_is_closed_before_the_job_settles_leaves_the_last_state_it_saw(
    window: LabPage, new_window: Callable[..., Page], tmp_path: Path
) -> None:
    lab = window.lab
    cells = [LOAD, mozart_cell(rehearsed("left", 60, latency=0.5, at_once=3)), "job"]
    lab.write_notebook("left/left.ipynb", cells)
    notebook = window.open("left/left.ipynb")
    notebook.run_to_end(0)
    notebook.run_to_end(1)
    notebook.wait_for_match(1, r"\b([3-9]|[1-4]\d) of 60 batches done")
    notebook.save()
    window.page.context.close()

    folder = lab.folder / "left" / "left-results"
    wait_until(lambda: Job.open("left", folder).status == "completed", lambda: "the job to end without a browser")
    later = LabPage(lab, new_window(), tmp_path)
    again = later.open("left/left.ipynb")  # its kernel is still there, and knows more
    again.wait_for_match(1, r"\d+ of 60 batches done")
    again.run_to_end(2)
    again.wait_for_text(2, "60 of 60 batches done")
    again.close()
    lab.end_sessions()
    offline = later.open("left/left.ipynb", with_kernel=False)
    offline.wait_for_match(1, r"\d+ of 60 batches done")
    later.page.context.close()
