"""Buttons of the dashboard, pressed from the side of the browser: in whatever thread their clicks arrive."""

from __future__ import annotations

import pytest
from support.kernel_driver import Kernel
from support.notebook_cells import LOAD, mozart_cell, rehearsed, root_of


@pytest.mark.parametrize("comms_over_subshells", [False, True])
def test_buttons_work_while_a_cell_waits_and_while_the_kernel_is_idle(
    kernel: Kernel, comms_over_subshells: bool
) -> None:
    kernel.run(LOAD)
    subshell = kernel.new_subshell() if comms_over_subshells else None
    waiting = kernel.execute(mozart_cell(rehearsed("pressed", 40, latency=0.2), "--wait --no-raise"))
    pause = kernel.model(description="Pause")
    kernel.change(root_of(kernel), subshell, _view_count=1)
    kernel.click(pause, subshell)
    kernel.finish(waiting)  # a job that pauses has settled
    assert waiting.status == "ok", waiting.text
    assert kernel.value("job.status") == "paused"

    kernel.click(kernel.model(description="Resume"), subshell)
    kernel.wait_until(lambda: kernel.value("job.status") == "running")
    kernel.click(kernel.model(description="Cancel …"), subshell)
    kernel.click(kernel.model(description="Yes, cancel the job"), subshell)
    kernel.wait_until(lambda: kernel.value("job.status") == "cancelled")
    assert kernel.value("job.error") is None


def test_two_dashboards_of_a_job_agree_and_a_click_in_one_is_seen_in_the_other(kernel: Kernel) -> None:
    kernel.run(LOAD)
    first = kernel.run(mozart_cell(rehearsed("twice", 40, latency=0.2)))
    pause = kernel.model(description="Pause")
    second = kernel.run("job.dashboard()")
    kernel.click(pause)
    kernel.wait_until(lambda: "paused" in first.html and "paused" in second.html)
