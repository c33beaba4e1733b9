"""Kernels and the conductor: jobs that outlive the kernel that began them, and notebooks that go on watching them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from support.conductor import Conductor
from support.kernel_driver import Kernel
from support.notebook_cells import LOAD, mozart_cell, rehearsed

BATCHES = 40

OPEN = "from mozart_nb.job_handle import Job\njob = Job.open('lasting')"


@pytest.fixture
def conductor(environ: Mapping[str, str]) -> Iterator[Conductor]:
    """That of the user to whom the kernels belong, which has not been started yet."""
    conductor = Conductor(environ)
    yield conductor
    conductor.close()


def lasting(options: str = "", **sections: Any) -> str:
    return mozart_cell(rehearsed("lasting", BATCHES, latency=0.2, at_once=2, **sections), options)


def begun(kernel: Kernel, cell: str) -> Any:
    """The job of a cell, once some of it is done."""
    kernel.run(LOAD)
    shown = kernel.run(cell)
    assert shown.status == "ok", shown.text
    kernel.wait_until(lambda: kernel.value("job.progress().done") >= 3)
    return shown


def completed_once(kernel: Kernel) -> bool:
    """Whether every batch was completed once, and none was done twice that had been completed."""
    kinds = kernel.value("job.events()['kind'].astype(str).value_counts().to_dict()")
    return bool(kinds["batch.completed"] == BATCHES)


def test_a_job_whose_kernel_is_killed_is_finished_by_the_conductor_and_opened_in_a_new_notebook(
    start_kernel: Callable[..., Kernel], conductor: Conductor
) -> None:
    first = start_kernel()
    begun(first, lasting())
    conductor.start()
    first.kill()

    adopted = conductor.call("adopt")
    assert [(one["job_id"], one["decision"]) for one in adopted] == [("lasting", "run")]
    second = start_kernel()
    second.run(LOAD)
    watched = second.run("%mozart dashboard lasting")
    second.run(OPEN)
    assert second.value("job.runs_here") is False
    second.wait_until(lambda: second.value("job.status") == "completed")
    assert completed_once(second)
    assert second.value("len(job.attempts())") <= BATCHES + 2, "two sessions died with the kernel"
    second.wait_until(lambda: "completed" in watched.text)


def test_a_living_kernel_hands_a_job_over_and_its_dashboard_goes_on(kernel: Kernel, conductor: Conductor) -> None:
    shown = begun(kernel, lasting())
    assert kernel.value("job.runs_here") is True
    given = kernel.run("%mozart resume lasting --handover --no-dashboard")
    assert given.status == "ok", given.text
    assert "the conductor is started in the background" in given.text
    kernel.wait_until(lambda: kernel.value("job.is_live and not job.runs_here"))
    awaited = kernel.run("await job", timeout=60)
    assert awaited.status == "ok", awaited.text
    assert kernel.value("[job.status, len(job.attempts())]") == ["completed", BATCHES]
    assert completed_once(kernel)
    kernel.wait_until(lambda: "completed" in shown.text)


def test_a_notebook_goes_on_watching_over_a_crash_of_the_conductor_and_a_restart_of_its_kernel(
    kernel: Kernel, conductor: Conductor
) -> None:
    conductor.start()
    shown = begun(kernel, lasting("--conductor"))
    assert "the conductor runs job `lasting`" in shown.text
    conductor.kill()
    conductor.start()
    done = kernel.value("job.progress().done")
    kernel.wait_until(lambda: kernel.value("job.progress().done") >= done + 3)
    kernel.restart()
    kernel.run(LOAD)
    watched = kernel.run("%mozart dashboard lasting")
    kernel.run(OPEN)
    awaited = kernel.run("await job", timeout=60)
    assert awaited.status == "ok", awaited.text
    assert kernel.value("job.status") == "completed"
    assert completed_once(kernel)
    kernel.wait_until(lambda: "completed" in watched.text)


def test_a_setting_sends_every_job_there_but_what_only_the_kernel_can_do(kernel: Kernel, conductor: Conductor) -> None:
    conductor.start()
    kernel.run(
        f"{LOAD}\n%config MozartMagics.conductor = True\nimport pandas as pd\ndf = pd.DataFrame({{'n': [4, 5]}})"
    )
    job = rehearsed("rows", 2, rehearsal={"answer": "{{ item.n }}"}, prompt={"template": "{{ item.n }}"})
    del job["batch"]
    sent = kernel.run(mozart_cell(job, "--items df --wait --no-dashboard"), timeout=60)
    assert sent.status == "ok", sent.text
    assert "the conductor runs job `rows`" in sent.text
    assert kernel.value("df.join(job.answers())['answer'].tolist()") == ["4", "5"]

    kernel.run("def short(answer):\n    return len(answer) < 9999")
    checked = rehearsed("checked", 2, validations=[{"type": "python", "function": "short"}])
    here = kernel.run(mozart_cell(checked, "--wait --no-dashboard"), timeout=60)
    assert here.status == "ok", here.text
    assert (
        "it runs here: job `checked` cannot go to the conductor: its rules call `short` of this notebook" in here.text
    )
    refused = kernel.run(mozart_cell(checked, "--conductor --fresh"))
    assert (refused.status, "its rules call `short`" in refused.text) == ("error", True), refused.text
