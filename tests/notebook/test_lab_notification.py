"""A page tells of a job that settles while nobody looks at its cell, and keeps nothing of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from support.lab import LabPage
from support.notebook_cells import LOAD, mozart_cell, rehearsed

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=document.title='hacked'> & \"quoted\""
EVERY_RUN = "from mozart_nb.jupyter.dashboard import toast; toast.LEAST_SECONDS = 0.0"
SPACE = "print('\\n' * 80)"

LOOKS_AWAY = """() => {
    document.hasFocus = () => false;
    window.Notification = class {
        static permission = 'granted';
        constructor(title, options) { window.noted = `${title}: ${options.body}`; }
    };
}"""
COMES_BACK = "() => { document.hasFocus = () => true; window.dispatchEvent(new Event('focus')); }"


def test_a_job_that_settles_out_of_sight_is_told_of_and_nothing_of_it_is_saved(window: LabPage) -> None:
    seen = rehearsed("seen", 2, latency=1.0, at_once=2)
    unseen = rehearsed("review-commits", 4, latency=0.8, at_once=2)
    failing = {**rehearsed("failing", 1, latency=0.8, rehearsal={"script": {1: ["crash"]}}), "name": HOSTILE}
    cells = [f"{LOAD}\n{EVERY_RUN}", mozart_cell(seen, "-o a"), SPACE, mozart_cell(unseen), SPACE, mozart_cell(failing)]
    window.lab.write_notebook("told/told.ipynb", [*cells, SPACE, "await job"])
    notebook, page = window.open("told/told.ipynb"), window.page
    for index in (0, 2, 4, 6):
        notebook.run_to_end(index)
    toasts = page.locator(".mozart-toast")

    notebook.run(1)
    notebook.wait_for_text(1, "running")
    notebook.scroll_to(1)
    notebook.wait_for_text(1, "2 of 2 batches done")  # before everybody's eyes: nobody is told
    notebook.run(3)
    notebook.wait_for_text(3, "running")
    notebook.scroll_to(6)
    expect(toasts).to_have_count(1)
    expect(toasts).to_contain_text("review-commits completed")
    expect(toasts).to_contain_text("4 of 4 batches done")
    window.screenshot("notification", toasts)
    toasts.get_by_role("button", name="Show").click()
    expect(toasts).to_have_count(0)
    expect(notebook.output(3)).to_be_in_viewport()

    usual = page.title()
    notebook.run(5)
    notebook.wait_for_text(5, "running")
    page.evaluate(LOOKS_AWAY)
    page.wait_for_function("title => document.title.includes(title)", arg=f"{HOSTILE} failed")
    assert "E402" in page.evaluate("() => window.noted")
    expect(toasts).to_contain_text(f"{HOSTILE} failed")
    page.evaluate(COMES_BACK)
    page.wait_for_function("title => !document.title.includes(title)", arg=HOSTILE)
    toasts.get_by_role("button", name="Dismiss").click()
    assert page.title().removeprefix("*") in (usual, usual.removeprefix("*"))
    assert page.locator("#mozart-toasts img").count() == 0

    notebook.save()
    saved = notebook.file.read_text(encoding="utf-8")
    assert "mozartHeard" not in saved
    assert "application/javascript" not in saved
    notebook.close()
    window.lab.end_sessions()
    again = window.open("told/told.ipynb", with_kernel=False)
    again.wait_for_text(3, "4 of 4 batches done")
    expect(toasts).to_have_count(0)
    assert not window.problems
