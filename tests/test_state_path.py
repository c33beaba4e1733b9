"""`state_path`: the state is kept in a folder of its own, the results stay in the workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.commands import mozart, write_job

from mozart_nb.checkpoint import index
from mozart_nb.errors import CheckpointUnwritableError, JobChangedError, MisuseError
from mozart_nb.events import RunOptions
from mozart_nb.hosts.headless import run_headless
from mozart_nb.job.load import load_job, load_mapping
from mozart_nb.runtime import opened, prepare, renewed, standing


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a job file, looked at from elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def names(folder: Path) -> set[str]:
    """What is in a folder, beside the log that every job writes into its workspace."""
    return {path.name for path in folder.iterdir() if "mozart.log" not in path.name}


@pytest.mark.parametrize(
    ("state_path", "folder"),
    [
        (None, "ws"),
        ("./state", "state"),
        ("state/.mozart-state.json", "state"),
        ("./ws/.mozart-state.db", "ws"),
        (".state", ".state"),
        ("state.v2/", "state.v2"),
        ("jobs.d/x.json", "jobs.d"),
    ],
)
def test_a_suffix_makes_it_a_file_and_the_folder_around_it_counts(state_path: str | None, folder: str) -> None:
    job = {"name": "x", "workspace": "./ws", "batch": {"size": 1, "total_items": 1}}
    given = {} if state_path is None else {"state_path": state_path}
    loaded = load_mapping({**job, **given}, base_dir="/jobs")
    assert loaded.state_folder == Path("/jobs") / folder
    assert loaded.warnings == load_mapping(job, base_dir="/jobs").warnings


def test_the_state_goes_there_and_the_results_stay_in_the_workspace(project: Path) -> None:
    ended = mozart("run", write_job(project, state_path="./state/run.json"), "--json")
    assert ended.exit_code == 0, ended
    assert names(project / "ws") == {f"report-{number}.md" for number in range(1, 6)}
    assert names(project / "state") == {".mozart", "demo.json"}
    assert ended.document["workspace"] == str(project / "ws")


def test_every_command_finds_it_by_its_id_from_anywhere(project: Path) -> None:
    file = write_job(project, state_path="./state")
    assert mozart("run", file, "--limit", "2").exit_code == 3
    status = mozart("status", "demo", "--json").document
    assert (status["status"], status["workspace"]) == ("paused", str(project / "ws"))
    assert f"state in {project / 'state'}" in mozart("status", "demo").stdout
    [row] = mozart("list", "--json").document["jobs"]
    assert row["workspace"] == str(project / "ws")
    assert mozart("errors", "demo", "--json").document["total"] == 0
    assert mozart("logs", "demo").exit_code == 0
    assert mozart("resume", "demo").exit_code == 0
    assert "nothing was sent" in mozart("run", file).stderr


def test_it_can_be_named_by_its_workspace_as_well_as_by_its_state_folder(project: Path) -> None:
    mozart("run", write_job(project, state_path="./state"))
    for folder in ("ws", "state"):
        document = mozart("status", "demo", "-w", project / folder, "--json").document
        assert (document["status"], document["workspace"]) == ("completed", str(project / "ws"))
        assert len(mozart("list", "-w", project / folder, "--json").document["jobs"]) == 1
    assert mozart("status", "demo", "-w", project).exit_code == 2


def test_a_project_that_was_moved_as_a_whole_goes_on_in_its_new_workspace(project: Path, tmp_path: Path) -> None:
    mozart("run", write_job(project, state_path="./state"), "--limit", "2")
    moved = project.rename(tmp_path / "moved")
    ended = mozart("resume", "demo", "-w", moved / "state")
    assert ended.exit_code == 0, ended
    assert len(names(moved / "ws")) == 5
    assert not project.exists()
    assert mozart("status", "demo", "--json").document["workspace"] == str(moved / "ws")


def test_a_state_that_was_moved_alone_still_knows_its_workspace(project: Path, tmp_path: Path) -> None:
    mozart("run", write_job(project, state_path="./state"), "--limit", "2")
    shutil.move(project / "state", tmp_path / "kept" / "state")
    assert mozart("resume", "demo", "-w", tmp_path / "kept" / "state").exit_code == 0
    assert len(names(project / "ws")) == 5


def test_another_workspace_for_one_run_is_remembered_and_keeps_the_state_where_the_file_says(project: Path) -> None:
    mozart("run", write_job(project, state_path="./state"), "--limit", "2", "-w", project / "other")
    assert mozart("resume", "demo").exit_code == 0
    assert (len(names(project / "other")), (project / "ws").exists()) == (5, False)
    assert names(project / "state") == {".mozart", "demo.json"}


def test_a_state_inside_the_workspace_moves_along_when_another_one_is_chosen(project: Path) -> None:
    file = write_job(project, state_path="./ws/.mozart-state.json")
    assert mozart("run", file, "-w", project / "other").exit_code == 0
    assert {".mozart", "demo.json"} < names(project / "other")
    assert not (project / "ws").exists()


def test_a_rehearsal_keeps_its_state_in_its_scratch_folder(project: Path) -> None:
    ended = mozart("run", write_job(project, state_path="./state"), "--rehearse")
    assert ended.exit_code == 0, ended
    assert names(project) == {"job.yaml"}


def test_two_projects_with_one_state_folder_are_not_taken_for_one_job(project: Path, tmp_path: Path) -> None:
    shared = str(tmp_path / "states")
    assert mozart("run", write_job(project, state_path=shared)).exit_code == 0
    twin = tmp_path / "twin"
    twin.mkdir()
    ended = mozart("run", write_job(twin, state_path=shared))
    assert ended.exit_code == 2
    assert "has changed since" in ended.stderr


@pytest.mark.parametrize(("before", "after"), [({}, {"state_path": "./state"}), ({"state_path": "./state"}, {})])
def test_work_is_never_done_again_because_the_record_is_kept_elsewhere_now(
    project: Path, before: dict[str, str], after: dict[str, str]
) -> None:
    mozart("run", write_job(project, **before))
    ended = mozart("run", write_job(project, **after))
    assert ended.exit_code == 2
    assert "the state of job `demo` is kept in" in ended.stderr
    assert mozart("resume", "demo", "--reload-config").exit_code == 2


def test_a_record_moved_by_hand_to_where_the_file_wants_it_is_taken_up_there(project: Path) -> None:
    mozart("run", write_job(project), "--limit", "2")
    file = write_job(project, state_path="./state")
    (project / "state" / ".mozart").mkdir(parents=True)
    for name in ("demo.json", ".mozart/demo"):
        shutil.move(project / "ws" / name, project / "state" / name)
    ended = mozart("resume", "demo", "-c", file, "-y", "-w", project / "state")
    assert ended.exit_code == 0, ended
    assert len([name for name in names(project / "ws") if name.startswith("report")]) == 5


def test_a_new_config_may_name_another_workspace_and_must_keep_the_state_where_it_is(project: Path) -> None:
    prepared = prepare(load_job(write_job(project, state_path="./state")))
    run_headless(prepared, RunOptions(limit=1))
    stands = opened(prepared.layout)
    elsewhere = renewed(stands, load_job(write_job(project, state_path="./state", workspace="./other")))
    assert elsewhere.places.workspace == project / "other"
    assert elsewhere.layout == stands.layout
    with pytest.raises(JobChangedError, match="is kept in"):
        renewed(stands, load_job(write_job(project, state_path="./elsewhere")))


def test_fresh_archives_the_state_where_it_is_kept(project: Path) -> None:
    file = write_job(project, state_path="./state")
    mozart("run", file)
    assert mozart("run", file, "--fresh").exit_code == 0
    assert len(list((project / "state" / ".mozart" / "archive").iterdir())) == 1
    assert not (project / "ws" / ".mozart").exists()


def test_a_workspace_that_cannot_be_made_is_said_before_anything_is_sent(project: Path) -> None:
    prepared = prepare(load_job(write_job(project, state_path="./state")))
    (project / "ws").write_text("a file in the way")
    with pytest.raises(CheckpointUnwritableError, match="ws"):
        run_headless(prepared, RunOptions())
    assert standing(prepared).kind == "new"


def test_the_index_forgets_neither_place(project: Path) -> None:
    prepared = prepare(load_job(write_job(project, state_path="./state")))
    run_headless(prepared, RunOptions())
    [entry] = index.all_jobs()
    assert (entry.workspace, entry.results) == (str(project / "state"), str(project / "ws"))
    assert index.records_of("demo", project / "ws") == [entry.layout]
    assert standing(opened(entry.layout)).kind == "completed"
    with pytest.raises(MisuseError):
        index.resolve("demo", project / "nowhere")
