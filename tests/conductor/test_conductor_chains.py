"""Chains of jobs that go through the conductor end where they would end elsewhere, and wait for nobody in vain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.commands import mozart, write_job
from support.conductor import Conductor, conducted
from support.conductor_here import conducting, job_file, until

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.hooks import CHAIN_VARIABLE, Chain
from mozart_nb.hooks.record import read_hooks
from mozart_nb.hosts.conductor.wanted import Wanted
from mozart_nb.hosts.steering import Submission, submit

__all__ = ["conducted"]

TOO_LONG = Chain(("x", "y", "z")).environ({})[CHAIN_VARIABLE]


def link(folder: Path, name: str, after: str, **sections: Any) -> Path:
    """Job `name`, which says so and has `after` run next."""
    hooks = [
        {"type": "run_command", "command": f"echo {name} >> ran"},
        {"type": "run_job", "job_path": f"{after}.yaml", "timeout_seconds": 60},
    ]
    file = write_job(folder, name=name, workspace=f"./{name}", on_success=hooks, validations=[], **sections)
    return file.rename(folder / f"{name}.yaml")


def test_a_chain_through_the_conductor_ends_where_it_would_end_elsewhere(
    conducted: Conductor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MOZART_NB_CONDUCTOR", "1")
    conducted.environ["MOZART_NB_CONDUCTOR"] = "1"
    conducted.environ[CHAIN_VARIABLE] = "that of a hook that started the conductor"
    for name, after in ("ab", "bc", "ca"):
        link(tmp_path, name, after)
    conducted.start("max_jobs: 1")  # the second one begins while the first one waits for it
    ended = mozart("run", tmp_path / "a.yaml")
    assert ended.exit_code == 0, ended
    assert (tmp_path / "ran").read_text().split() == ["a", "b"]
    skipped = read_hooks(Layout(tmp_path / "b", "b"))[-1]
    assert (skipped.status, "ends here" in skipped.message) == ("skipped", True)


def test_whatever_a_hook_submits_goes_on_with_its_chain(
    conducted: Conductor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = link(tmp_path, "a", "a")
    conducted.start()
    monkeypatch.setenv(CHAIN_VARIABLE, TOO_LONG)
    submit(Submission(file=file))
    layout = Layout(tmp_path / "a", "a")
    conducted.wait_until(lambda: len([one for one in read_hooks(layout) if one.status != "started"]) == 2)
    assert [one.status for one in read_hooks(layout)][-1] == "skipped"


async def test_a_chain_is_gone_on_with_after_a_restart(tmp_path: Path):
    hook = {"type": "run_job", "job_path": "job.yaml"}
    file = job_file(tmp_path / "notes", 20, latency=0.05, on_success=[hook])
    layout = Layout(tmp_path / "notes" / "ws", "notes")
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file), chain=TOO_LONG))
        await until(lambda: any(one.has_begun for one in conductor.register))
    async with conducting(tmp_path / "c") as conductor:
        await until(lambda: not conductor.running and not len(conductor.register))
    assert [one.status for one in read_hooks(layout)] == ["skipped"]
