"""`--conductor`, `--no-conductor`, `--handover` and the setting, in an IPython of this process, as in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.conductor import Conductor, conducted
from support.notebook_cells import mozart_cell, rehearsed
from support.notebook_shell import Shell, notebook_shell

from mozart_nb.job_handle import Job

__all__ = ["conducted"]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with notebook_shell(tmp_path) as shell:
        yield shell


def write(job: Mapping[str, Any], name: str = "job.yaml") -> str:
    Path(name).write_text(yaml.safe_dump(dict(job), sort_keys=False), encoding="utf-8")
    return name


def test_a_file_runs_there_and_its_job_is_returned(conducted: Conductor, shell: Shell) -> None:
    conducted.start()
    ran = shell.fine(f"%mozart run {write(rehearsed('filed', 3))} --conductor --wait")
    assert (ran.value.status, ran.value.runs_here) == ("completed", False)
    assert "the conductor runs job `filed`" in ran.shown
    assert "nothing was sent" in shell.fine("%mozart run job.yaml --conductor").shown


def test_a_job_goes_on_there_and_takes_a_new_config_along(conducted: Conductor, shell: Shell) -> None:
    conducted.start()
    shell.fine(mozart_cell(rehearsed("moved", 6), "--limit 2 --wait"))
    shell.fine(f"%mozart resume moved --conductor -c {write(rehearsed('moved', 6, retry={'max_retries': 4}))} --wait")
    assert shell["job"].progress().completed == 6
    assert Job.open("moved").config.retry.max_retries == 4


def test_modify_has_it_go_on_there_with_the_new_config(conducted: Conductor, shell: Shell) -> None:
    conducted.start()
    shell.fine(mozart_cell(rehearsed("changing", 40, latency=0.2), "--limit 4 --wait"))
    new = write(rehearsed("changing", 40, latency=0.01))
    ran = shell.fine(f"%mozart modify -c {new} -r --conductor")
    assert "goes on with job.yaml" in ran.shown
    ran.value.wait(timeout=60)
    assert (ran.value.status, ran.value.progress().completed) == ("completed", 40)


def test_a_changed_cell_goes_on_there_with_what_is_done(conducted: Conductor, shell: Shell) -> None:
    conducted.start()
    shell.fine(mozart_cell(rehearsed("cell", 6), "--limit 2 --wait"))
    changed = rehearsed("cell", 6, retry={"max_retries": 4})
    shell.fine(mozart_cell(changed, "--reload-config --conductor --wait"))
    assert (shell["job"].status, shell["job"].config.retry.max_retries) == ("completed", 4)
    assert shell["job"].attempts().index.is_unique


def test_a_running_job_is_handed_over(conducted: Conductor, shell: Shell) -> None:
    conducted.start()
    shell.fine(mozart_cell(rehearsed("given", 30, latency=0.1)))
    ran = shell.fine("%mozart resume given --handover --wait")
    assert "is taken over as soon as" in ran.shown
    assert (ran.value.status, ran.value.progress().completed) == ("completed", 30)


def test_the_environment_sends_every_job_there_but_rehearsals_and_what_says_no(
    conducted: Conductor, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOZART_NB_CONDUCTOR", "1")
    rehearsal = shell.fine(mozart_cell(rehearsed("tried", 1), "--rehearse --wait"))
    here = shell.fine(mozart_cell(rehearsed("kept", 1), "--no-conductor --wait"))
    assert "conductor" not in rehearsal.shown + here.shown
    assert not conducted.pid
    conducted.start()
    assert "the conductor runs job `sent`" in shell.fine(mozart_cell(rehearsed("sent", 1), "--wait")).shown


def test_options_that_contradict_each_other_are_refused(shell: Shell) -> None:
    assert "contradict" in shell.fails(mozart_cell(rehearsed("torn", 1), "--conductor --no-conductor"))
