"""The verbs of `%mozart`, in an IPython of this process, as in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from support.notebook_cells import mozart_cell, rehearsed
from support.notebook_shell import Shell, notebook_shell

from mozart_nb import Job
from mozart_nb.jupyter.magics.options import VERBS
from mozart_nb.looking.diagnosis import Diagnosis


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook's folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell(here: Path) -> Iterator[Shell]:
    with notebook_shell(here) as shell:
        yield shell


def write(job: Mapping[str, Any], name: str = "job.yaml") -> str:
    Path(name).write_text(yaml.safe_dump(dict(job), sort_keys=False), encoding="utf-8")
    return name


@pytest.fixture
def failed(shell: Shell) -> Shell:
    """A notebook with a job of three batches that fail until somebody puts `given.txt` into their workspace."""
    job = rehearsed("broken", 3, latency=0.0)
    job["validations"] = [{"type": "command_succeeds", "command": "test -f given.txt"}]
    shell.run(mozart_cell(job, "--wait --no-raise"))
    return shell


def test_a_rehearsal_does_not_hide_the_job_that_runs(shell: Shell) -> None:
    job = rehearsed("real", 200, latency=0.2)
    shell.fine(mozart_cell(job, "-o real"))
    shell.fine(mozart_cell(rehearsed("real", 1), "--rehearse --wait -o rehearsal"))
    shell.fine("%mozart cancel real")
    shell["real"].wait(timeout=20)
    assert shell["real"].status == "cancelled"
    assert shell["rehearsal"].status == "completed"


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_is_run_and_its_job_returned_and_bound(shell: Shell) -> None:
    file = write(rehearsed("filed", 3), "my job.yaml")
    ran = shell.fine(f"r = %mozart run '{file}' --wait")
    assert ran.value is None
    assert isinstance(shell["r"], Job)
    assert shell["job"] is shell["r"]
    assert shell["r"].status == "completed"
    assert "nothing was sent" in shell.fine(f"%mozart run '{file}' -o other").shown
    assert shell["other"].job_id == "filed"


def test_a_silenced_line_returns_nothing(shell: Shell) -> None:
    file = write(rehearsed("quiet", 1))
    assert shell.fine(f"%mozart run {file} --wait;").value is None


def test_a_file_that_is_not_there_is_one_message(shell: Shell) -> None:
    assert "UnreadableError: nothing.yaml: there is no such file" in shell.fails("%mozart run nothing.yaml")


def test_validate_says_what_a_file_is_or_what_is_wrong_with_it(shell: Shell) -> None:
    file = write({**rehearsed("fine", 4), "colour": "red"})
    page = str(shell.fine(f"%mozart validate {file}").value)
    assert page.startswith("job.yaml is valid: job `fine`, 4 batches, 0 rules\n")
    assert "unknown key `colour`" in page
    assert "unknown key `colour`" in shell.fails(f"%mozart validate {file} --strict")
    write({"name": "x", "retry": {"max_retrys": 3}})
    assert "did you mean `max_retries`?" in shell.fails(f"%mozart validate {file}")


def test_an_estimate_says_cost_and_time_and_writes_nothing(shell: Shell, here: Path) -> None:
    file = write(rehearsed("priced", 10, rehearsal={"usage": {"cost_usd": 0.25}}))
    page = str(shell.fine(f"%mozart estimate {file} --offline").value)
    assert page.startswith("priced: 10 batches to do")
    assert "$2.50" in page
    assert [path.name for path in here.iterdir()] == ["job.yaml"]


def test_a_test_message_is_sent_on_every_channel_and_what_became_of_it_is_said(shell: Shell) -> None:
    channel = {"type": "webhook", "url": "http://127.0.0.1:9/nobody", "on_events": ["job_complete"]}
    file = write({**rehearsed("told", 1), "notifications": [channel]})
    shown = str(shell.fine(f"%mozart notify-test {file} --dry-run").value)
    assert shown.startswith("1 webhook: ")
    said = str(shell.fine(f"%mozart notify-test {file}").value)
    assert "webhook" in said
    assert "failed" in said
    assert "channel 1: " in said
    assert "there is no channel 3" in shell.fails(f"%mozart notify-test {file} --channel 3")


# --- which job --------------------------------------------------------------------------------------------------------


def test_without_an_id_the_last_job_is_meant_and_named(shell: Shell) -> None:
    shell.fine(mozart_cell(rehearsed("one", 1), "--wait"))
    shell.fine(mozart_cell(rehearsed("two", 2), "--wait"))
    ran = shell.fine("%mozart batches")
    assert "job `two`, the last one of this notebook" in ran.shown
    assert len(ran.value) == 2
    assert len(shell.fine("%mozart batches one").value) == 1
    assert "job `one`" in shell.fine("%mozart batches").shown


def test_a_variable_stands_for_the_job_it_holds(shell: Shell) -> None:
    shell.fine(mozart_cell(rehearsed("held", 2), "--wait -o mine"))
    assert shell.fine("%mozart status mine").value is shell["mine"]


def test_in_a_new_notebook_the_job_that_did_something_last_is_meant(shell: Shell, here: Path) -> None:
    Job.load(rehearsed("earlier", 2)).start().wait(20)
    ran = shell.fine("%mozart batches")
    assert "job `earlier`, which did something last" in ran.shown
    assert len(ran.value) == 2


def test_where_there_is_no_job_that_is_said(shell: Shell) -> None:
    assert "there are no jobs yet" in shell.fails("%mozart batches")
    assert "no jobs here yet" in str(shell.fine("%mozart").value)
    assert "no jobs here yet" in str(shell.fine("%mozart status").value)
    said = shell.fails("%mozart batches nope")
    assert "no job `nope` is known here" in said
    assert "`%mozart list` shows all jobs" in said


def test_a_file_where_an_id_is_wanted_leads_to_run(shell: Shell) -> None:
    assert "`%mozart run job.yaml` takes the file" in shell.fails("%mozart status job.yaml")


def test_an_unknown_verb_leads_to_the_nearest(shell: Shell) -> None:
    said = shell.fails("%mozart stauts")
    assert said.splitlines() == [
        "OptionError: `%mozart stauts`: there is no such verb",
        "hint: did you mean `%mozart status`?",
    ]


# --- looking ----------------------------------------------------------------------------------------------------------


def test_the_jobs_here_are_listed_also_those_of_other_processes(shell: Shell) -> None:
    Job.load(rehearsed("other", 3)).start(limit=1).wait(20)
    shell.fine(mozart_cell(rehearsed("mine", 2), "--wait"))
    rows = [line.split()[:3] for line in str(shell.fine("%mozart").value).splitlines()]
    assert rows == [["job", "status", "done"], ["mine", "completed", "2/2"], ["other", "paused", "1/3"]]


def test_a_job_whose_workspace_was_deleted_does_not_hide_the_others(shell: Shell, here: Path) -> None:
    shell.fine(mozart_cell(rehearsed("gone", 1), "--wait"))
    shell.fine(mozart_cell(rehearsed("there", 1), "--wait"))
    (here / "gone-results").rename(here / "moved")
    assert "there" in str(shell.fine("%mozart").value)


def test_frames_of_a_job_can_be_assigned_and_narrowed(failed: Shell) -> None:
    failed.fine("frame = %mozart batches --status failed --batches 2-3")
    assert list(failed["frame"].index) == [2, 3]
    assert set(failed.fine("%mozart errors --code e201 --batch 2").value.frame["batch"]) == {2}
    assert len(failed.fine("%mozart answers --failed").value) == 3
    assert "there is no status `fialed`" in failed.fails("%mozart batches --status fialed")
    assert "there are batches 1 to 3" in failed.fails("%mozart batches --batches 7")


def test_the_answers_come_with_their_items_when_asked_for(shell: Shell) -> None:
    shell["df"] = pd.DataFrame({"fruit": ["pear", "fig"]})
    job = rehearsed("mapped", 1)
    job["batch"] = {"size": 1}
    shell.fine(mozart_cell(job, "--items df --wait"))
    assert "fruit" not in shell.fine("%mozart answers").value
    assert list(shell.fine("%mozart answers --with-items").value["fruit"]) == ["pear", "fig"]


def test_lists_of_jobs_are_frames(shell: Shell) -> None:
    for name in ("one", "two"):
        shell.fine(mozart_cell(rehearsed(name, 1), "--wait"))
    listed = shell.fine("%mozart list --limit 1").value
    assert list(listed["job_id"]) == ["two"]
    assert len(shell.fine("%mozart list --status failed").value) == 0
    assert set(shell.fine("%mozart history").value["job_id"]) == {"one", "two"}


def test_status_returns_the_job_and_says_how_it_stands(failed: Shell) -> None:
    ran = failed.fine("%mozart status broken")
    assert ran.value is failed["job"]
    assert "broken: failed, 0 of 3 batches done, 3 failed" in ran.shown


def test_logs_are_lines_and_a_diagnosis_is_one(failed: Shell) -> None:
    lines = str(failed.fine("%mozart logs -n 2").value).splitlines()
    assert len(lines) == 2
    assert "job.failed" in lines[-1]
    assert "there is no such level" in failed.fails("%mozart logs --level LOUD")
    assert all("batch=2" in line for line in str(failed.fine("%mozart logs --batch 2").value).splitlines())
    found = failed.fine("%mozart diagnose")
    assert isinstance(found.value, Diagnosis)
    assert found.value.headline in found.shown
    assert "Diagnosis(" not in found.shown


def test_a_dashboard_in_a_terminal_is_text(failed: Shell) -> None:
    assert "broken: failed" in failed.fine("%mozart dashboard broken").shown


# --- asking for something ---------------------------------------------------------------------------------------------


def test_a_job_is_paused_resumed_and_cancelled(shell: Shell) -> None:
    shell.fine(mozart_cell(rehearsed("stopped", 30, latency=0.1, at_once=1)))
    assert "job `stopped` is asked to pause" in shell.fine("%mozart pause").shown
    shell["job"].wait(20)
    assert shell["job"].status == "paused"
    assert "is paused already" in shell.fine("%mozart pause stopped").shown
    assert "goes on: " in shell.fine("%mozart resume stopped -o again").shown
    assert shell["again"].is_live
    assert "runs already" in shell.fine("%mozart resume").shown
    assert "is asked to end at once" in shell.fine("%mozart cancel").shown
    shell["job"].wait(20)
    assert shell["job"].status == "cancelled"
    assert "is not running" in shell.fails("%mozart pause")


def test_a_completed_job_is_not_resumed(shell: Shell) -> None:
    shell.fine(mozart_cell(rehearsed("done", 1), "--wait"))
    assert "is completed and unchanged: nothing to do" in shell.fine("%mozart resume").shown


def test_failed_batches_are_checked_again_without_executing_anything(failed: Shell, here: Path) -> None:
    (here / "broken-results" / "given.txt").write_text("here it is")
    page = str(failed.fine("%mozart recover -n").value)
    assert "batch 2  passes now" in page
    assert "3 of 3 failed batches would be completed; nothing was executed" in page
    assert failed["job"].status == "failed"
    assert "3 of 3 failed batches completed" in str(failed.fine("%mozart recover").value)
    assert failed["job"].status == "completed"
    assert len(failed["job"].attempts()) == 3


def test_resume_tries_failed_batches_again_or_leaves_them(failed: Shell, here: Path) -> None:
    (here / "broken-results" / "given.txt").write_text("here it is")
    assert "3 failed (they stay)" in failed.run("%mozart resume --keep-failed --wait --no-raise").shown
    assert len(failed["job"].attempts()) == 3
    assert "3 failed (they are tried again)" in failed.run("%mozart resume --wait --no-raise").shown
    assert len(failed["job"].attempts()) == 6


def test_resume_can_infer_what_is_done_from_the_rules(failed: Shell, here: Path) -> None:
    (here / "broken-results" / "given.txt").write_text("here it is")
    failed.fine("%mozart resume --infer --wait --max-concurrent 2")
    assert (failed["job"].status, len(failed["job"].attempts())) == ("completed", 3)


def test_a_job_gets_a_new_config_and_goes_on_with_it(shell: Shell) -> None:
    job = rehearsed("modified", 6, latency=0.1, at_once=1)
    shell.fine(f"%mozart run {write(job)}")
    longer = {**job, "prompt": {"template": "Say two words about number {{ batch_num }}."}}
    ran = shell.fine(f"%mozart modify -c {write(longer, 'new.yaml')}")
    assert "is asked to pause" in ran.shown
    assert "has its new config" in ran.shown
    assert "has this config already" in shell.fine("%mozart modify -c new.yaml").shown
    shell.fine("%mozart modify modified -c job.yaml -r")
    shell["job"].wait(20)
    assert len(shell["job"].attempts()) == 6
    write(rehearsed("another", 6), "another.yaml")
    assert "another.yaml describes job `another`, not `modified`" in shell.fails("%mozart modify -c another.yaml")


def test_a_config_that_does_not_fit_changes_nothing(shell: Shell) -> None:
    job = rehearsed("fitting", 4)
    shell.fine(f"%mozart run {write(job)} --wait --limit 2")
    write({**job, "batch": {"size": 2, "total_items": 8}}, "new.yaml")
    assert "would change batches that have run" in shell.fails("%mozart modify -c new.yaml")
    assert shell["job"].status == "paused"


def test_resume_reads_the_file_anew_when_asked(shell: Shell) -> None:
    job = rehearsed("edited", 3)
    shell.fine(f"%mozart run {write(job)} --wait --limit 1")
    write({**job, "prompt": {"template": "Now shout number {{ batch_num }}."}})
    assert "%mozart run job.yaml --reload-config" in shell.fails("%mozart run job.yaml")
    shell.fine("%mozart resume --reload-config --wait")
    assert (shell["job"].status, len(shell["job"].attempts())) == ("completed", 3)


def test_a_job_from_a_cell_has_no_file_to_read_anew(shell: Shell) -> None:
    shell.fine(mozart_cell(rehearsed("celled", 2), "--wait --limit 1"))
    said = shell.fails("%mozart resume --reload-config")
    assert "was described in a cell" in said
    assert "`%%mozart --reload-config`" in said


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_refuses_what_it_does_not_know(verb: str, shell: Shell) -> None:
    assert str(shell.fine(f"%mozart {verb} --help").value).startswith(f"usage: %mozart {verb}")
    assert "there is no option `--xyzzy`" in shell.fails(f"%mozart {verb} --xyzzy")
