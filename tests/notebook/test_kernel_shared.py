"""One job, two surfaces: the command line and a notebook run, watch, pause and finish it in turn."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from support.kernel_driver import Kernel
from support.notebook_cells import LOAD, rehearsed

BATCHES = 40
LIMIT_SECONDS = 60

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, environ: dict[str, str]) -> Iterator[Start]:
    """Starts `python -m mozart_nb …` beside the notebook; whatever still runs is killed with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mozart_nb", *arguments]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_job_goes_from_the_command_line_to_a_notebook_and_back(tmp_path: Path, kernel: Kernel, start: Start) -> None:
    job = rehearsed("shared", BATCHES, latency=0.2, at_once=2)
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
    kernel.run(LOAD)

    headless = start("run", "shared.yaml")
    opened = kernel.run("%mozart dashboard shared") if wait_for_job(kernel) else None
    assert opened is not None
    assert opened.status == "ok", opened.text
    kernel.run("from mozart_nb.job_handle import Job\njob = Job.open('shared')")
    seen = kernel.value("job.progress().done")
    kernel.wait_until(lambda: kernel.value("job.progress().done") >= seen + 4)  # watched live
    kernel.run("%mozart pause shared")
    headless.communicate(timeout=LIMIT_SECONDS)
    assert headless.returncode == 3
    kernel.wait_until(lambda: kernel.value("job.status") == "paused")

    killed = start("resume", "shared")
    paused_at = kernel.value("job.progress().done")
    kernel.wait_until(lambda: kernel.value("job.progress().done") >= paused_at + 4)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    kernel.wait_until(lambda: kernel.value("job.status") == "interrupted")

    died_at = kernel.value("job.progress().done")
    resumed = kernel.run("%mozart resume shared")
    assert resumed.status == "ok", resumed.text
    kernel.wait_until(lambda: kernel.value("job.progress().done") >= died_at + 4)
    kernel.run("%mozart pause shared\nawait job")
    assert kernel.value("job.status") == "paused"

    finished = start("resume", "shared")
    output, errors = finished.communicate(timeout=LIMIT_SECONDS)
    assert finished.returncode == 0, output + errors
    kernel.wait_until(lambda: kernel.value("job.status") == "completed")
    completed = kernel.value("job.events()['kind'].astype(str).value_counts().to_dict()")["batch.completed"]
    assert completed == BATCHES
    kernel.wait_until(lambda: str(BATCHES) in opened.text and "completed" in opened.text)


def wait_for_job(kernel: Kernel) -> bool:
    """Until the notebook finds the job that another process has just planned."""
    found = "from mozart_nb.job_handle import Job\nJob.open('shared').progress().done"
    return kernel.wait_until(lambda: kernel.run(found).status == "ok", what="the job to be planned")
