"""Kernels that are interrupted, restarted and killed while a job runs in them."""

from __future__ import annotations

import time

import pytest
from support.kernel_driver import Kernel
from support.notebook_cells import LOAD, mozart_cell, rehearsed

BACK_SECONDS = 0.5
"""Within this time an interrupt gives the prompt back."""


def test_an_interrupt_gives_the_prompt_back_at_once_and_the_job_pauses_with_everything_saved(kernel: Kernel) -> None:
    kernel.run(LOAD)
    job = rehearsed("interrupted", 30, latency=2.0, at_once=3)
    cell, queued = kernel.execute(mozart_cell(job, "--wait")), kernel.execute("print('queued')")
    journal = kernel.folder / "interrupted-results/.mozart/interrupted/journal/000001.jsonl"
    kernel.wait_until(lambda: journal.exists() and journal.read_text().count("session.opened") == 3)
    began = time.monotonic()
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.replied_at is not None
    assert cell.replied_at - began < BACK_SECONDS
    assert kernel.value("job.status") == "pausing"
    assert kernel.finish(queued).status == "aborted"
    said = [output for output in cell.outputs if output["kind"] == "error"]
    assert len(said) == 1
    assert "%mozart resume interrupted" in "\n".join(said[0]["traceback"])
    assert "Traceback" not in "\n".join(said[0]["traceback"])

    kernel.run("await job")
    done = kernel.value("job.progress().done")
    assert kernel.value("[job.status, job.progress().running]") == ["paused", 0]
    assert done == 3
    kernel.run("job.resume(batches='4-6'); await job")
    assert kernel.value("[job.progress().done, len(job.attempts())]") == [6, 6]


@pytest.mark.parametrize("wait", ["await job", "job.wait()", "%mozart resume --wait"])
def test_however_a_cell_waits_an_interrupt_pauses_the_job_in_one_line(kernel: Kernel, wait: str) -> None:
    kernel.run(LOAD)
    kernel.run(mozart_cell(rehearsed("stopped", 30, latency=1.0, at_once=3)))
    kernel.wait_until(lambda: kernel.value("job.progress().running") == 3)
    cell = kernel.execute(wait)
    time.sleep(0.4)
    began = time.monotonic()
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.replied_at is not None
    assert cell.replied_at - began < BACK_SECONDS
    [said] = [output for output in cell.outputs if output["kind"] == "error"]
    assert len(said["traceback"]) == 1
    assert "`stopped` pauses" in said["traceback"][0]
    assert kernel.value("job.status") == "pausing"
    kernel.run("await job")
    assert kernel.value("[job.status, job.progress().done]") == ["paused", 3]


def test_after_a_restart_the_same_cells_go_on_and_run_nothing_again_that_was_done(kernel: Kernel) -> None:
    cell = mozart_cell(rehearsed("restarted", 30, latency=0.1, at_once=2))
    for end in (kernel.restart, kernel.kill):
        kernel.run(LOAD)
        kernel.run(cell)
        before = kernel.value("job.progress().done")
        kernel.wait_until(lambda before=before: kernel.value("job.progress().done") >= before + 4)
        end()
    kernel.restart()
    kernel.run(LOAD)
    again = kernel.run(cell.replace("%%mozart", "%%mozart --wait", 1))
    assert again.status == "ok", again.text
    assert kernel.value("job.status") == "completed"
    sent = kernel.value("job.attempts().groupby('batch').size().to_dict()")
    assert len(sent) == 30
    # What was under way when a kernel went is asked again; nothing else is.
    assert sum(sent.values()) <= 30 + 2 * 2
    judged = kernel.value("job.events()['kind'].astype(str).value_counts().to_dict()")
    assert judged["batch.completed"] == 30
