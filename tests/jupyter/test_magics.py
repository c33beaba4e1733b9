"""`%%mozart` and what loading puts into IPython, in an IPython of this process, as in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.notebook_cells import mozart_cell, rehearsed
from support.notebook_shell import Shell, notebook_shell
from traitlets.config import Config

from mozart_nb import Job
from mozart_nb.errors import JobChangedError, MozartError, OptionError, UnfinishedError
from mozart_nb.jupyter.magics.rewriting import Rewriter


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook's folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shell(here: Path) -> Iterator[Shell]:
    with notebook_shell(here) as shell:
        yield shell


# --- loading ----------------------------------------------------------------------------------------------------------


def ours(ip: InteractiveShell) -> list[str]:
    """Everything of ours that IPython holds."""
    manager = ip.magics_manager
    held = [kind for kind in ("line", "cell") if "mozart" in manager.magics[kind]]
    held += [name for name in manager.registry if name == "MozartMagics"]
    held += [type(one).__name__ for one in ip.configurables if type(one).__name__ == "MozartMagics"]
    held += ["rewriter" for one in ip.input_transformers_post if isinstance(one, Rewriter)]
    return held + ["matcher" for one in ip.Completer.custom_matchers if "mozart" in getattr(one, "__qualname__", "")]


def test_everything_that_loading_put_in_is_taken_out_again(shell: Shell) -> None:
    loaded = ["line", "cell", "MozartMagics", "MozartMagics", "rewriter", "matcher"]
    assert ours(shell.ip) == loaded
    shell.fine("%reload_ext mozart_nb")
    assert ours(shell.ip) == loaded
    shell.fine("import mozart_nb; mozart_nb.load_ipython_extension(get_ipython())")
    assert ours(shell.ip) == loaded
    shell.fine("%unload_ext mozart_nb")
    assert ours(shell.ip) == []
    assert shell.fine("%load_ext mozart_nb").shown == ""
    assert ours(shell.ip) == loaded


def test_unloading_what_was_never_loaded_harms_nothing(shell: Shell) -> None:
    shell.fine("%unload_ext mozart_nb")
    shell.fine("import mozart_nb; mozart_nb.unload_ipython_extension(get_ipython())")
    assert ours(shell.ip) == []


def test_config_lists_and_sets_every_setting(shell: Shell) -> None:
    page = shell.fine("%config MozartMagics").shown
    assert all(f"MozartMagics.{name}=" in page for name in ("loop", "wait", "dashboard", "workspace", "tracebacks"))
    shell.fine("%config MozartMagics.max_concurrent = 7")
    assert shell.fine("%config MozartMagics.max_concurrent").value == 7
    shell.fine("%reload_ext mozart_nb")
    assert shell.fine("%config MozartMagics.max_concurrent").value == 7


def test_a_bad_value_in_the_config_is_said_and_dropped_by_the_next_load(shell: Shell) -> None:
    shell.fine("%config MozartMagics.loop = 'nowhere'")
    said = shell.fine("%reload_ext mozart_nb").shown
    assert "one of `auto`, `kernel`, `thread` expected, not 'nowhere'; ignored" in said
    assert shell.fine("%config MozartMagics.loop").value == "auto"
    assert shell.fine("%reload_ext mozart_nb").shown == ""


def test_settings_come_from_the_project_and_ipythons_own_win(here: Path) -> None:
    (here / "pyproject.toml").write_text("[tool.mozart_nb.magics]\nwait = true\nmax_concurrent = 2\nloup = 1\n")
    with notebook_shell(here, Config(MozartMagics=Config(max_concurrent=9))) as shell:
        assert shell.fine("%config MozartMagics.wait").value is True
        assert shell.fine("%config MozartMagics.max_concurrent").value == 9
        assert "loup: there is no such setting; did you mean `loop`?" in shell.fine("%reload_ext mozart_nb").shown


# --- a cell -----------------------------------------------------------------------------------------------------------


def test_a_cell_starts_its_job_returns_at_once_and_binds_it(shell: Shell) -> None:
    ran = shell.fine(mozart_cell(rehearsed("greetings", 20, latency=0.2)))
    assert ran.value is None
    assert "job `greetings` runs: 20 batches" in ran.shown
    job = shell["job"]
    assert isinstance(job, Job)
    assert job.is_live
    job.cancel().wait(20)
    assert job.status == "cancelled"


def test_a_cell_that_waits_is_over_when_its_job_is(shell: Shell) -> None:
    ran = shell.fine(mozart_cell(rehearsed("greetings", 3, latency=0.01), "--wait -o mine"))
    assert ran.value is None
    assert "greetings: completed, 3 of 3 batches done" in ran.shown
    assert shell["mine"].status == "completed"
    assert "job" not in shell


def test_the_same_cell_again_sends_nothing_and_says_so(shell: Shell) -> None:
    cell = mozart_cell(rehearsed("once", 2), "--wait")
    shell.fine(cell)
    assert "is completed and unchanged: nothing to do, nothing was sent" in shell.fine(cell).shown
    assert len(shell["job"].attempts()) == 2


def test_the_same_cell_attaches_to_the_job_that_runs_here(shell: Shell) -> None:
    job = rehearsed("running", 10, latency=0.1)
    shell.fine(mozart_cell(job))
    first = shell["job"]
    again = shell.fine(mozart_cell(job, "--wait -o again"))
    assert "runs here already" in again.shown
    assert (first.status, shell["again"].status) == ("completed", "completed")
    assert len(first.attempts()) == 10


def test_a_cell_goes_on_with_what_is_not_finished(shell: Shell) -> None:
    job = rehearsed("pilot", 6)
    shell.fine(mozart_cell(job, "--wait --limit 2"))
    assert (shell["job"].status, shell["job"].progress().done) == ("paused", 2)
    assert "goes on: 2 of 6 batches done so far" in shell.fine(mozart_cell(job, "--wait")).shown
    assert len(shell["job"].attempts()) == 6


def test_a_changed_cell_says_what_to_choose_and_both_choices_work(shell: Shell) -> None:
    job = rehearsed("changing", 3)
    shell.fine(mozart_cell(job, "--wait --limit 1"))
    changed = {**job, "prompt": {"template": "Shout number {{ batch_num }}."}}
    said = shell.fails(mozart_cell(changed, "--wait"))
    assert "JobChangedError" in said
    assert "`%%mozart --reload-config` goes on" in said
    assert "`%%mozart --fresh` starts over" in said

    goes_on = shell.fine(mozart_cell(changed, "--wait --reload-config")).shown
    assert "goes on: 2 batches left" in goes_on
    assert len(shell["job"].attempts()) == 3
    assert "is completed and unchanged" in shell.fine(mozart_cell(changed, "--wait")).shown

    over = shell.fine(mozart_cell(job, "--wait --fresh")).shown
    assert "starting over; what was there goes to" in over
    assert len(shell["job"].attempts()) == 3


def test_a_job_that_runs_here_is_not_taken_for_another_version_of_it(shell: Shell) -> None:
    job = rehearsed("versions", 10, latency=0.2)
    shell.fine(mozart_cell(job))
    ran = shell.run(mozart_cell({**job, "prompt": {"template": "Other {{ batch_num }}"}}))
    assert isinstance(ran.error, JobChangedError)
    assert "`%mozart pause versions` first" in ran.shown


def test_two_jobs_run_side_by_side(shell: Shell) -> None:
    shell.fine(mozart_cell(rehearsed("left", 4, latency=0.1, at_once=1), "-o left"))
    shell.fine(mozart_cell(rehearsed("right", 4, latency=0.1, at_once=1), "-o right"))
    assert shell["left"].is_live
    assert shell["right"].is_live
    shell["left"].wait(20)
    shell["right"].wait(20)
    assert {shell[name].status for name in ("left", "right")} == {"completed"}


def test_a_job_goes_on_through_a_reload(shell: Shell) -> None:
    job = rehearsed("surviving", 8, latency=0.1, at_once=1)
    shell.fine(mozart_cell(job))
    shell.fine("%reload_ext mozart_nb")
    assert shell["job"].is_live
    assert "surviving" in str(shell.fine("%mozart").value)
    assert "runs here already" in shell.fine(mozart_cell(job, "--wait")).shown
    assert len(shell["job"].attempts()) == 8


@pytest.mark.parametrize(
    ("sections", "status"),
    [({"rehearsal": {"failures": {"crash": 1.0}}}, "failed"), ({"cost_limits": {"max_cost_per_job": 0.01}}, "paused")],
)
def test_waiting_for_a_job_that_does_not_complete_is_an_error_unless_that_is_expected(
    shell: Shell, sections: dict[str, dict[str, object]], status: str
) -> None:
    job = rehearsed("unlucky", 3, at_once=1, **{"rehearsal": {"usage": {"cost_usd": 0.02}}, **sections})
    ran = shell.run(mozart_cell(job, "--wait"))
    assert isinstance(ran.error, UnfinishedError)
    assert f"job `unlucky` {'failed: ' if status == 'failed' else 'is paused'}" in ran.shown
    assert "%mozart resume unlucky" in ran.shown
    assert shell["job"].status == status
    shell.fine("%mozart resume --wait --no-raise")
    assert shell["job"].status == status


def test_a_dry_run_shows_the_plan_and_starts_nothing(shell: Shell, here: Path) -> None:
    page = str(shell.fine(mozart_cell(rehearsed("planned", 30), "-n")).value)
    assert page.startswith("planned: 30 batches, items 1 to 30\n")
    assert "10 batches not listed" in page
    assert page.endswith("dry run: nothing was written, nothing was sent")
    shown = str(shell.fine(mozart_cell(rehearsed("planned", 30), "--show 7 --limit 5")).value)
    assert "Say a word about number 7." in shown
    assert "at most 5 batches of 1-30" in shown
    assert list(here.iterdir()) == []
    assert "job" not in shell


def test_a_rehearsal_names_its_scratch_folder_and_writes_nothing_else(shell: Shell, here: Path) -> None:
    job = {**rehearsed("tried", 2), "backend": {"type": "claude_cli"}}
    ran = shell.fine(mozart_cell(job, "--wait --rehearse"))
    assert f"a rehearsal in {shell['job'].prepared.places.root}: nothing outside it is written" in ran.shown
    assert list(here.iterdir()) == []
    assert "tried" in shell.fine("%mozart").shown
    assert len(shell.fine("%mozart batches tried").value) == 2


def test_relative_paths_start_at_the_notebooks_folder(shell: Shell, here: Path) -> None:
    shell.fine(mozart_cell(rehearsed("placed", 1), "--wait"))
    assert (here / "placed-results" / "placed.json").is_file()
    shell.fine(mozart_cell(rehearsed("elsewhere", 1), "--wait -w 'other place'"))
    assert (here / "other place" / "elsewhere.json").is_file()


# --- what a cell takes from the notebook ------------------------------------------------------------------------------


def test_rows_and_variables_reach_the_job_when_they_are_named(shell: Shell) -> None:
    shell["df"] = pd.DataFrame({"fruit": ["pear", "fig"]}, index=[10, 20])
    shell["tone"] = "politely"
    job = rehearsed("mapped", 1, prompt={"template": "Praise the {{ item.fruit }} {{ tone }}."})
    job["batch"] = {"size": 1}
    shell.fine(mozart_cell(job, "--items df --var tone --wait"))
    assert list(shell["job"].answers().index) == [10, 20]
    shown = str(shell.fine(mozart_cell({**job, "name": "m2"}, "--items df --var tone --show 2")).value)
    assert "Praise the fig politely." in shown


def test_a_variable_that_does_not_exist_leads_to_the_nearest(shell: Shell) -> None:
    shell["reviews"] = [1]
    said = shell.fails(mozart_cell(rehearsed("x", 1), "--items review"))
    assert "--items review: there is no variable `review` in this notebook" in said
    assert "did you mean `reviews`?" in said


def test_keys_can_be_changed_on_the_line(shell: Shell) -> None:
    shell.fine(mozart_cell(rehearsed("changed", 5), "--wait --set batch.total_items=2 --set 'description=a b'"))
    assert (shell["job"].progress().total, shell["job"].config.description) == (2, "a b")


def test_nothing_is_expanded_neither_on_the_line_nor_in_the_body(shell: Shell) -> None:
    shell["name"] = "wrong"
    job = rehearsed("literal", 1, prompt={"template": "{name} $name {{ batch_num }} {batch_num} \\n 'ä'"})
    shown = shell.fine(mozart_cell(job, "--show 1 --set 'description=a {name} $name'")).shown
    assert "{name} $name 1 {batch_num} \\n 'ä'" in shown


def test_settings_hold_where_the_line_says_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.fine("%config MozartMagics.wait = True")
    shell.fine("%config MozartMagics.workspace = 'ws'")
    shell.fine(mozart_cell(rehearsed("first", 2, latency=0.05)))
    assert (shell["job"].status, shell["job"].workspace.name) == ("completed", "ws")
    shell.fine(mozart_cell(rehearsed("second", 9, latency=0.2), "--no-wait"))
    assert shell["job"].is_live
    shell.fine("%config MozartMagics.wait = False")
    monkeypatch.setenv("MOZART_NONINTERACTIVE", "1")
    shell.fine(mozart_cell(rehearsed("third", 2, latency=0.05)))
    assert shell["job"].status == "completed"


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_in_the_yaml_are_shown_with_their_line_counted_from_the_magic(shell: Shell) -> None:
    cell = "%%mozart\nname: wrong\npromt:\n  template: x\n"
    assert "<cell>:3:1: unknown key `promt`" in shell.fails(cell)
    assert "<cell>:5:1: unknown key `promt`" in shell.fails(f"\n\n{cell}")
    assert "job" not in shell


def test_warnings_are_said_once(shell: Shell) -> None:
    job = {**rehearsed("warned", 2), "colour": "red"}
    assert "unknown key `colour`" in shell.fine(mozart_cell(job, "--wait")).shown
    assert "colour" not in shell.fine(mozart_cell(job, "--wait")).shown


def test_a_mistake_on_the_line_is_one_message(shell: Shell) -> None:
    said = shell.fails(mozart_cell(rehearsed("x", 1), "--wiat"))
    assert said.splitlines() == [
        "OptionError: %%mozart: there is no option `--wiat`",
        "hint: did you mean `--wait`?",
    ]


def test_a_traceback_is_shown_when_it_is_asked_for(shell: Shell) -> None:
    ran = shell.run(mozart_cell(rehearsed("x", 1), "--debug --items nothing"))
    assert isinstance(ran.error, OptionError)
    assert "Traceback" in ran.shown
    assert "Traceback" not in shell.run(mozart_cell(rehearsed("x", 1), "--items nothing")).shown
    shell.fine("%config MozartMagics.tracebacks = True")
    assert "Traceback" in shell.run("%mozart nonsense").shown
    MozartError.verbose = False


def test_help_is_a_page_and_not_the_end_of_anything(shell: Shell) -> None:
    assert "--max-concurrent" in str(shell.fine("%%mozart --help\nname: x").value)
    assert "%mozart VERB [options]" in str(shell.fine("%mozart --help").value)
    assert str(shell.fine("%mozart batches -h").value).startswith("usage: %mozart batches")
