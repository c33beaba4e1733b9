"""Cells that hold up the kernel's loop while a job runs on it."""

from __future__ import annotations

import time

from support.kernel_driver import Kernel
from support.notebook_cells import LOAD, mozart_cell, rehearsed, root_of


def test_a_cell_that_blocks_the_kernel_for_longer_than_a_timeout_makes_no_attempt_time_out(kernel: Kernel) -> None:
    kernel.run(LOAD)
    kernel.run(mozart_cell(rehearsed("blocked", 12, latency=1.0, timeout=2.0)))
    kernel.run("import time; time.sleep(4)")
    ended = kernel.run("await job")
    assert ended.status == "ok", ended.text
    assert kernel.value("[job.status, len(job.attempts()), len(job.errors())]") == ["completed", 12, 0]
    assert kernel.value("job.blocked_seconds") > 3


def test_an_attempt_that_really_takes_too_long_still_times_out(kernel: Kernel) -> None:
    kernel.run(LOAD)
    kernel.run(mozart_cell(rehearsed("slow", 2, latency=30, timeout=1.0)))
    kernel.run("import time; time.sleep(0.5)")
    kernel.run("await job")
    assert kernel.value("[job.status, sorted(set(job.errors()['code'].astype(str)))]") == ["failed", ["E301"]]


def test_with_a_loop_in_a_thread_a_job_goes_on_while_a_cell_blocks_the_kernel(kernel: Kernel) -> None:
    kernel.run(LOAD)
    assert kernel.run("%config MozartMagics.loop = 'thread'").outputs == []
    kernel.run(mozart_cell(rehearsed("threaded", 40, latency=0.2, at_once=2, timeout=1.0)))
    kernel.change(root_of(kernel), _view_count=1)
    began = time.monotonic()
    cell = kernel.run("import time; _before = job.progress().done; time.sleep(2); _after = job.progress().done")
    assert cell.status == "ok", cell.text
    assert kernel.value("_after - _before") > 5
    assert kernel.traffic(began).kinds["comm_msg"] >= 3, "the dashboard stood still"
    kernel.run("await job")
    assert kernel.value("[job.status, len(job.attempts())]") == ["completed", 40]
