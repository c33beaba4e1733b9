"""The dashboard in a real JupyterLab, as a person uses it: watched, paused, searched, looked back in time, cancelled.

`MOZART_NB_SCREENSHOTS=docs/images` keeps the pictures that the documentation shows.
"""

from __future__ import annotations

import re

import pytest
import yaml
from playwright.sync_api import Locator, expect
from support.lab import LabPage, Notebook
from support.notebook_cells import LOAD, rehearsed

pytestmark = pytest.mark.browser

BATCHES = 200
FAILING = (7, 12, 19)
REVIEWS = """\
%%mozart
name: reviews
batch: {size: 1, total_items: 200}
parallel: {enabled: true, max_concurrent: 6, fail_fast: false}
retry: {max_retries: 0}
prompt:
  template: "Review number {{ batch_num }}: what does the customer want to be changed?"
validations:
  - {type: answer_matches, pattern: "^Number", description: an answer that names its review}
backend: {type: rehearsal}
rehearsal:
  latency_seconds: 0.5
  answer: "Number {{ batch_num }}: delivery was late, the product itself is praised."
  usage: {input_tokens: 1840, output_tokens: 420, cost_usd: 0.0118}
  script: {7: [crash], 12: [invalid_output], 19: [crash]}"""

COMPUTE = """\
import asyncio, math, time
end = time.monotonic() + 3
while time.monotonic() < end:
    total = sum(math.sqrt(number) for number in range(50_000))
    await asyncio.sleep(0)
print('computed', round(total))"""


def done(notebook: Notebook, index: int) -> int:
    """How many batches are done, as the head of a dashboard says."""
    return int(notebook.wait_for_match(index, r"([\d,]+) of [\d,]+ batches? done")[1].replace(",", ""))


def live(notebook: Notebook, index: int) -> Locator:
    return notebook.output(index).locator(".mozart-live")


def test_a_job_is_watched_paused_searched_looked_back_at_and_cancelled(window: LabPage) -> None:
    window.lab.write_notebook("reviews.ipynb", [LOAD, REVIEWS, COMPUTE, "print(job.status, job.progress().done)"])
    notebook = window.open("reviews.ipynb")
    notebook.run_to_end(0)
    notebook.run_to_end(1)
    notebook.wait_for_text(1, "running")

    # It moves while another cell computes.
    notebook.run(2)
    expect(notebook.cell(2).locator(".jp-InputPrompt")).to_have_text("[*]:")
    first = done(notebook, 1)
    notebook.wait_for_match(1, rf"(?!{first} )\b\d+ of {BATCHES} batches done")
    assert "computed" not in notebook.text(2)
    assert done(notebook, 1) > first
    notebook.wait_for_text(2, "computed")
    notebook.wait_for_match(1, r"3 failed")
    notebook.scroll_to(1)
    window.screenshot("dashboard-running")

    notebook.click(1, "Pause")
    notebook.wait_for_text(1, "paused")
    notebook.run_to_end(3)
    status, _ = notebook.text(3).split()[-2:]
    assert status == "paused"
    at_pause = done(notebook, 1)

    # The failed ones, and what one of them is about.
    shown = live(notebook, 1)
    shown.get_by_label("Show").select_option("failed")
    rows = shown.locator("tr[data-batch]")
    expect(rows).to_have_count(len(FAILING))
    assert [int(row.get_attribute("data-batch") or 0) for row in rows.all()] == list(FAILING)
    rows.nth(1).click()
    notebook.wait_for_text(1, "Review number 12: what does the customer want to be changed?")
    notebook.wait_for_text(1, "the answer has no match of ^Number")
    window.screenshot("dashboard-details", notebook.output(1))

    # By the keyboard alone: another batch.
    number = shown.get_by_label("Batch", exact=True)
    number.fill("3")
    number.press("Enter")
    notebook.wait_for_text(1, "Number 3: delivery was late, the product itself is praised.")

    # Back in time, and to the present again.
    handle = shown.locator(".noUi-handle").first
    box = handle.bounding_box()
    assert box is not None
    window.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    window.page.mouse.down()
    window.page.mouse.move(box["x"] - 250, box["y"] + box["height"] / 2, steps=10)
    window.page.mouse.up()
    notebook.wait_for_match(1, rf"(?!{at_pause} )\b\d+ of {BATCHES} batches done")
    assert done(notebook, 1) < at_pause
    notebook.click(1, "Back to live")
    notebook.wait_for_text(1, f"{at_pause} of {BATCHES} batches done")

    shown.get_by_label("Show").select_option("all")
    notebook.click(1, "Resume")
    notebook.wait_for_text(1, "running")
    window.use_theme(dark=True)
    notebook.wait_for_match(1, rf"(?!{at_pause} )\b\d+ of {BATCHES} batches done")
    notebook.scroll_to(1)
    window.screenshot("dashboard-dark")
    window.use_theme(dark=False)

    notebook.click(1, "Cancel …")
    notebook.click(1, "Yes, cancel the job")
    # Not in the list of statuses that can be filtered for, but as the status of the job.
    expect(notebook.output(1).locator(".mozart-badge:visible").first).to_contain_text("cancelled")
    notebook.run_to_end(3)
    notebook.wait_for_match(3, r"cancelled \d+")
    assert not window.problems


HOSTILE = (
    "<img src=x onerror=\"window.harmed='image'\"> <script>window.harmed='script'</script>"
    " <a href=\"javascript:window.harmed='link'\">anchor</a> [link](javascript:window.harmed='md') </pre></div>"
    " \x1b[31mcoloured\x1b[0m \u202egnisrever\u202c \u2066isolated\u2069 $\\href{javascript:1}{math}$ &lt;kept&gt;"
)


def test_what_a_model_says_is_shown_as_text_however_it_is_meant(window: LabPage) -> None:
    job = rehearsed(
        "hostile",
        3,
        at_once=1,
        description=HOSTILE,
        prompt={"template": "Repeat {{ batch_num }}: {% raw %}" + HOSTILE + "{% endraw %}"},
        rehearsal={
            "answer": "{% raw %}" + HOSTILE + "{% endraw %}",
            "script": {2: [{"crash": {"message": HOSTILE}}], 3: [{"transient": {"message": "x" * 1_000_000}}]},
        },
    )
    show = (
        "from IPython.display import display; display(job, job.batches(), job.errors(), job.answers(), job.diagnose())"
    )
    (window.lab.folder / "hostile.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
    cells = [LOAD, "%mozart run hostile.yaml --wait --no-raise -o job", "job.dashboard()", show]
    window.lab.write_notebook("hostile.ipynb", cells)
    notebook = window.open("hostile.ipynb")
    notebook.run_to_end(0)
    notebook.run_to_end(1)
    notebook.run_to_end(2)
    shown = live(notebook, 2)
    for batch in (1, 2, 3):
        shown.locator(f"tr[data-batch='{batch}']").click()
        notebook.wait_for_text(2, f"Repeat {batch}: <img src=x onerror=")
    notebook.run_to_end(3)
    notebook.wait_for_text(3, "<img src=x onerror=")
    notebook.save()
    harmless(window, notebook)

    notebook.close()
    window.lab.end_sessions()
    again = window.open("hostile.ipynb", with_kernel=False)
    again.wait_for_text(3, "<img src=x onerror=")
    harmless(window, again)


def harmless(window: LabPage, notebook: Notebook) -> None:
    """Nothing of the hostile text was taken for more than text."""
    assert window.page.evaluate("window.harmed") is None
    outputs = window.page.locator(".jp-OutputArea-output")
    for selector in ("img[src='x']", "script", "a[href^='javascript:']", "[onerror]", "mjx-container"):
        expect(outputs.locator(selector)).to_have_count(0)
    assert "\u202e" not in "".join(outputs.all_inner_texts())
    assert re.search(r"<script>window\.harmed='script'</script>", "".join(outputs.all_inner_texts()))
