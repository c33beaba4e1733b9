"""`%mozart logs` with its filters, and following what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.notebook_cells import mozart_cell, rehearsed
from support.notebook_shell import Shell, notebook_shell

from mozart_nb import Job
from mozart_nb.jupyter.magics.logs import Following
from mozart_nb.looking.logs import log_filter


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with notebook_shell(tmp_path) as shell:
        yield shell


@pytest.fixture
def logged(shell: Shell) -> Shell:
    shell.fine(mozart_cell(rehearsed("logged", 4, latency=0.0), "--wait"))
    return shell


def lines(shell: Shell, options: str) -> list[str]:
    return str(shell.fine(f"%mozart logs logged {options}").value).splitlines()


def test_lines_are_filtered_by_event_batch_level_and_time(logged: Shell) -> None:
    every = lines(logged, "-n 0 --level DEBUG")
    assert len(lines(logged, "--event batch.completed")) == 4
    assert len(lines(logged, "--event 'job.*' --event batch.completed --level DEBUG -n 0")) > 4
    assert 0 < len(lines(logged, "--batch 2 --level DEBUG")) < len(every)
    assert lines(logged, "--level ERROR") == ["no events"]
    assert len(lines(logged, "--since 1h --level DEBUG -n 0")) == len(every)
    assert lines(logged, "--until 1h") == ["no events"]


def test_what_does_not_exist_is_said_with_what_does(logged: Shell) -> None:
    assert "there is no such event" in logged.fails("%mozart logs logged --event batch.compleated")
    assert "batch.completed" in logged.fails("%mozart logs logged --event batch.compleated")
    assert "--since yesterdayish" in logged.fails("%mozart logs logged --since yesterdayish")
    assert "--raw" in logged.fails("%mozart logs logged --raw")


def test_following_prints_what_was_and_what_comes_and_ends_with_the_job(shell: Shell) -> None:
    shell.fine(mozart_cell(rehearsed("followed", 6, latency=0.1, at_once=2)))
    ran = shell.fine("%mozart logs followed -f --event 'batch.completed' --event 'job.completed'")
    assert ran.value is None
    assert ran.shown.count("batch.completed") + ran.shown.count("completed") >= 7
    assert ran.shown.splitlines()[-1] == "job `followed` is completed"


async def test_an_interrupt_ends_the_following_at_once_and_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    job = Job.load(rehearsed("interrupted", 40, latency=0.2, at_once=2)).start()
    following = Following(SimpleNamespace(say=said.append), job, log_filter(level="INFO"), 50)  # type: ignore[arg-type]
    cell = asyncio.ensure_future(following.there())
    await asyncio.sleep(0.5)
    loop = asyncio.get_running_loop()
    began = loop.time()
    cell.cancel()
    assert await cell is None
    assert loop.time() - began < 0.5
    assert said[-1] == "no longer followed; the job goes on"
    job.cancel()
    await job
