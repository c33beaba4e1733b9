"""Questions in a real JupyterLab, of a job that runs in a terminal: seen, edited and answered with clicks."""

from __future__ import annotations

import sys

import pytest
import yaml
from playwright.sync_api import expect
from support.at_work import AtWork
from support.lab import LabPage
from support.notebook_cells import LOAD

pytestmark = [pytest.mark.browser, pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")]

NOTES = {
    "name": "notes",
    "batch": {"size": 1, "total_items": 4},
    "prompt": {"template": "Write the release note of service {{ batch_num }}, then deploy it."},
    "backend": {"type": "rehearsal"},
    "retry": {"max_retries": 0, "max_completion_attempts": 0},
    "rehearsal": {"latency_seconds": 0.05, "script": {3: ["transient"]}},
    "checkpoints": {
        "enabled": True,
        "triggers": [{"name": "production", "batch_nums": [2], "message": "Is the window open?"}],
        "escalation": True,
    },
}
WATCH = "from mozart_nb import Job\njob = Job.open('notes')\njob.dashboard()"


def test_a_dashboard_answers_what_a_job_in_a_terminal_asks(window: LabPage) -> None:
    file = window.lab.folder / "notes.yaml"
    file.write_text(yaml.safe_dump(NOTES))
    with AtWork("run", file, environ=window.lab.environ) as host:
        host.until("your answer:")
        window.lab.write_notebook("watch.ipynb", [LOAD, WATCH])
        notebook = window.open("watch.ipynb")
        notebook.run_to_end(0)
        notebook.run_to_end(1)
        notebook.wait_for_text(1, "waits for you: trigger `production`: Is the window open?")
        notebook.scroll_to(1)
        window.screenshot("dashboard-asks-to-confirm")
        notebook.click(1, "Proceed")
        notebook.wait_for_text(1, "its budgets are used up")
        window.screenshot("dashboard-asks")
        notebook.click(1, "Edit prompt")
        field = notebook.output(1).locator("textarea")
        expect(field).to_have_value("Write the release note of service 3, then deploy it.")
        field.fill("Write the release note of service 3. Do not deploy it.")
        notebook.click(1, "Retry with this prompt")
        assert host.end() == 0, host.screen
        notebook.wait_for_text(1, "completed")
