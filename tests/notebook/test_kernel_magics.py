"""The magics in a real kernel: what is awaited, what is shown, and what an interrupt does wherever a cell waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.kernel_driver import Cell, Kernel
from support.notebook_cells import LOAD, mozart_cell, rehearsed

BACK_SECONDS = 0.5
"""Within this time an interrupt gives the prompt back."""


def write(folder: Path, name: str, batches: int, *, latency: float = 0.02, at_once: int = 4) -> str:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(rehearsed(name, batches, latency=latency, at_once=at_once)), encoding="utf-8")
    return file.name


def interrupted(kernel: Kernel, code: str) -> Cell:
    """The cell, interrupted when its job has begun, and how long that took checked."""
    cell = kernel.execute(code)
    kernel.wait_until(lambda: cell.outputs)
    time.sleep(0.3)
    began = time.monotonic()
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.replied_at is not None
    assert cell.replied_at - began < BACK_SECONDS
    return cell


def errors(cell: Cell) -> list[str]:
    return [line for output in cell.outputs if output["kind"] == "error" for line in output["traceback"]]


def results(cell: Cell) -> list[str]:
    return [output["data"]["text/plain"] for output in cell.outputs if output["kind"] == "execute_result"]


def test_a_line_that_waits_is_awaited_and_its_job_shown_once(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run(LOAD)
    first = kernel.run(f"%mozart run {write(tmp_path, 'lined', 3)} --wait")
    assert (first.status, results(first)) == ("ok", [])
    assert "lined: completed, 3 of 3 batches done" in first.text
    second = kernel.run(f"for _ in range(2):\n    r = %mozart run {write(tmp_path, 'assigned', 2)} --wait\nr.status")
    assert results(second) == ["'completed'"], second.text
    third = kernel.run("%mozart run lined.yaml --wait --no-dashboard")
    assert results(third) == ["<Job lined: completed, 3 of 3 batches done>"]


def test_clicks_and_other_tasks_go_on_while_a_cell_waits(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run(LOAD)
    kernel.run(
        "import asyncio\nbeats = []\nasync def beat():\n    while True:\n"
        "        beats.append(1)\n        await asyncio.sleep(0.02)\nbeating = asyncio.create_task(beat())"
    )
    kernel.run(mozart_cell(rehearsed("waiting", 3, latency=0.2, at_once=1), "--wait"))
    assert kernel.value("len(beats)") > 10


@pytest.mark.parametrize("around", ["%%capture out", "%%time"])
def test_inside_another_magic_the_wait_is_synchronous(kernel: Kernel, around: str) -> None:
    kernel.run(LOAD)
    cell = kernel.run(f"{around}\n{mozart_cell(rehearsed('nested', 3), '--wait')}")
    assert cell.status == "ok", cell.text
    assert kernel.value("job.status") == "completed"


@pytest.mark.parametrize(("batches", "latency"), [(30, 0.3), (20_000, 0.0)], ids=["idle loop", "busy loop"])
def test_a_wait_inside_another_magic_can_be_interrupted_too(
    kernel: Kernel, tmp_path: Path, batches: int, latency: float
) -> None:
    """Wherever the interrupt strikes: it must not be raised in the engine, which runs in the same thread."""
    kernel.run(LOAD)
    job = rehearsed("captured", batches, latency=latency, at_once=1)
    cell = kernel.execute(f"%%capture out\n{mozart_cell(job, '--wait')}")
    kernel.wait_until(lambda: list(tmp_path.glob("captured-results/.mozart/captured/answers.jsonl")))
    time.sleep(0.3)
    kernel.interrupt()
    kernel.finish(cell, BACK_SECONDS * 4)
    assert "`%mozart resume captured` goes on with it" in "\n".join(errors(cell))
    kernel.run("await job")
    assert kernel.value("job.status") == "paused"
    # Waiting like that patches asyncio; cells that await must stay as they were.
    again = interrupted(kernel, mozart_cell(rehearsed("plain", 30, latency=0.3, at_once=1), "--wait"))
    assert errors(again)[0].startswith("MozartInterrupted: job `plain` pauses: ")


def test_an_interrupt_leaves_the_job_of_another_process_alone(start_kernel: Callable[..., Kernel]) -> None:
    mine, other = start_kernel(), start_kernel()
    job = rehearsed("foreign", 60, latency=0.2, at_once=1)
    other.run(LOAD)
    other.run(mozart_cell(job))
    other.run("import asyncio\nwhile job.read(lambda state: state.job.runs) == 0: await asyncio.sleep(0.05)")
    mine.run(LOAD)
    cell = interrupted(mine, mozart_cell(job, "--wait"))
    assert "job `foreign` is already running" in cell.text
    assert "job `foreign` goes on in another process" in errors(cell)[0]
    assert other.value("job.status") == "running"
    mine.run("%mozart pause")
    other.run("await job")
    assert other.value("job.status") == "paused"


def test_an_interrupted_line_pauses_its_job_and_stops_the_cells_behind(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run(LOAD)
    file = write(tmp_path, "stopped", 30, latency=0.3, at_once=2)
    cell = interrupted(kernel, f"r = %mozart run {file} --wait")
    [line] = errors(cell)
    assert line.startswith("MozartInterrupted: job `stopped` pauses: ")
    kernel.run("await job")
    assert kernel.value("job.status") == "paused"
    cell = interrupted(kernel, "%mozart resume --wait")
    assert "`%mozart resume stopped` goes on with it" in errors(cell)[0]


def test_an_interrupt_with_the_loop_in_a_thread_pauses_the_job_too(kernel: Kernel) -> None:
    kernel.run(LOAD)
    kernel.run("%config MozartMagics.loop = 'thread'")
    cell = interrupted(kernel, mozart_cell(rehearsed("threaded", 30, latency=0.3), "--wait"))
    assert "job `threaded` pauses" in errors(cell)[0]
    kernel.run("await job")
    assert kernel.value("job.status") == "paused"


def test_a_failure_that_was_waited_for_stops_the_cells_behind_it(kernel: Kernel) -> None:
    kernel.run(LOAD)
    job = rehearsed("failing", 2, rehearsal={"failures": {"crash": 1.0}})
    cell, behind = kernel.execute(mozart_cell(job, "--wait")), kernel.execute("print('behind')")
    assert kernel.finish(cell).status == "error"
    assert kernel.finish(behind).status == "aborted"
    assert "job `failing` failed" in "\n".join(errors(cell))
    assert "Traceback" not in cell.text
    assert "failing: failed, 0 of 2 batches done" in cell.text  # the static output, with the last word of the job
    assert kernel.run(mozart_cell(job, "--wait --no-raise")).status == "ok"


def test_two_jobs_share_the_kernels_loop(kernel: Kernel) -> None:
    kernel.run(LOAD)
    kernel.run(mozart_cell(rehearsed("left", 30, latency=0.1, at_once=1), "-o left"))
    kernel.run(mozart_cell(rehearsed("right", 3, latency=0.1, at_once=1), "-o right --wait"))
    assert kernel.value("[left.is_live, right.status]") == [True, "completed"]
    kernel.run("await left")
    assert kernel.value("left.status") == "completed"


def test_a_job_that_runs_is_given_a_new_config(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run(LOAD)
    kernel.run(f"%mozart run {write(tmp_path, 'modified', 12, latency=0.1, at_once=1)}")
    job = rehearsed("modified", 12, latency=0.0, at_once=1, prompt={"template": "Say two words."})
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
    cell = kernel.run("%mozart modify -c new.yaml -r")
    assert cell.status == "ok", cell.text
    assert "goes on with new.yaml" in cell.text
    kernel.run("await job")
    assert kernel.value("[job.status, len(job.attempts())]") == ["completed", 12]


def test_old_kernels_are_reported_when_the_extension_is_loaded(kernel: Kernel) -> None:
    kernel.run(LOAD)
    for version, said in (("7.0.1", "loses updates of dashboards"), ("6.31.0", "handles clicks only when no cell")):
        kernel.run(f"import ipykernel; ipykernel.__version__ = {version!r}")
        text = kernel.run("%reload_ext mozart_nb").text
        assert text.startswith(f"mozart_nb: ipykernel {version} {said}")
        assert text.count("\n") == 1
    kernel.run("ipykernel.__version__ = '7.4.0'")
    assert kernel.run("%reload_ext mozart_nb").text == ""
