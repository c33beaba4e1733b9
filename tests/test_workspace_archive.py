"""`workspace_lifecycle`: a job that starts from the beginning finds an empty workspace, and nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.commands import Started, mozart, slow_job, write_job

from mozart_nb.errors import ConfigError, MisuseError, WorldError
from mozart_nb.job.load import load_mapping
from mozart_nb.job.outputs import WorkspaceLifecycleConfig
from mozart_nb.workspace_archive import Archived, WorkspaceArchive

NOON = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC).timestamp()


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """A workspace with two results, one of them a folder."""
    folder = tmp_path / "ws"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "rows.csv").write_text("1")
    (folder / "report.md").write_text("old")
    return folder


def archive_of(ws: Path, **policy: Any) -> WorkspaceArchive:
    stays: Iterable[Path] = policy.pop("stays", ())
    needed = policy.pop("needed", {})
    config = WorkspaceLifecycleConfig(archive_on_fresh=True, **policy)
    return WorkspaceArchive(ws, config, "job", stays=stays, needed=needed)


def put_aside(ws: Path, **policy: Any) -> Archived:
    archive = archive_of(ws, **policy)
    archive.begin()
    return archive.finish(NOON)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- what is moved ----------------------------------------------------------------------------------------------------


def test_everything_moves_into_a_numbered_folder_and_the_workspace_is_empty(ws: Path) -> None:
    done = put_aside(ws)
    assert done == Archived(ws / "archive" / "iteration-1", 2)
    assert names(ws) == {"archive"}
    assert (ws / "archive" / "iteration-1" / "data" / "rows.csv").read_text() == "1"
    assert "2 entries of the workspace moved to" in done.notices[0]


def test_every_round_gets_the_next_number(ws: Path) -> None:
    for number in (1, 2, 3):
        (ws / "report.md").write_text(str(number))
        done = put_aside(ws)
        assert done.place == ws / "archive" / f"iteration-{number}"


def test_an_empty_workspace_leaves_no_archive_behind(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    assert put_aside(tmp_path / "ws") == Archived()
    assert names(tmp_path / "ws") == set()
    assert put_aside(tmp_path / "not there") == Archived()


def test_nothing_moves_unless_it_is_asked_for(ws: Path) -> None:
    archive = WorkspaceArchive(ws, WorkspaceLifecycleConfig(), "job")
    archive.begin()
    assert archive.finish(NOON) == Archived()
    assert names(ws) == {"data", "report.md"}


def test_nothing_moves_that_was_not_marked_before(ws: Path) -> None:
    assert archive_of(ws).finish(NOON) == Archived()
    assert names(ws) == {"data", "report.md"}


def test_what_the_patterns_name_stays(ws: Path) -> None:
    for name in (".iteration", ".mozart-x", ".coverage", ".worktrees"):
        (ws / name).write_text("7")
    put_aside(ws)
    assert names(ws) == {".iteration", ".mozart-x", ".coverage", ".worktrees", "archive"}


@pytest.mark.parametrize(
    ("pattern", "stay"),
    [
        ("*.md", {"report.md"}),
        ("data", {"data"}),
        ("data/", {"data"}),
        ("data/**", {"data"}),
        ("./data/*.csv", {"data"}),
        ("**/*.csv", {"data"}),
        ("data/*.md", set()),
        ("DATA", set()),
        ("**", {"data", "report.md"}),
        ("[dr]*", {"data", "report.md"}),
    ],
)
def test_a_pattern_keeps_the_whole_entry_in_which_it_finds_something(ws: Path, pattern: str, stay: set[str]) -> None:
    put_aside(ws, preserve_patterns=[pattern])
    assert names(ws) - {"archive"} == stay


@pytest.mark.parametrize("pattern", ["", "/etc/*", "../*", "a/../../b"])
def test_a_pattern_that_leaves_the_workspace_is_an_error_in_the_job_file(pattern: str) -> None:
    job = {"name": "x", "batch": {"size": 1, "total_items": 1}}
    with pytest.raises(ConfigError, match="relative to the workspace"):
        load_mapping({**job, "workspace_lifecycle": {"preserve_patterns": ["ok", pattern]}}, base_dir="/jobs")


def test_states_of_jobs_stay_wherever_they_are(ws: Path) -> None:
    for name in (".mozart", "state"):
        (ws / name / "inside").mkdir(parents=True)
    (ws / "other.json").write_text("{}")
    put_aside(ws, stays=[ws / ".mozart", ws / "state" / "inside", ws / "other.json", ws.parent / "report.md"])
    assert names(ws) == {".mozart", "state", "other.json", "archive"}


def test_a_symbolic_link_is_moved_and_what_it_points_to_is_not(ws: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("p")
    (ws / "link").symlink_to(outside, target_is_directory=True)
    (ws / "broken").symlink_to(tmp_path / "nowhere")
    done = put_aside(ws)
    assert done.place is not None
    assert (done.place / "link").readlink() == outside
    assert (done.place / "broken").is_symlink()
    assert (outside / "precious.txt").read_text() == "p"


def test_what_the_job_needs_is_never_moved_away_and_then_nothing_is(ws: Path) -> None:
    with pytest.raises(MisuseError, match=r"report\.md.*the job file") as caught:
        put_aside(ws, needed={ws / "report.md": "the job file"})
    assert "preserve_patterns" in caught.value.hint
    assert names(ws) == {"data", "report.md"}
    done = put_aside(ws, needed={ws / "report.md": "the job file"}, preserve_patterns=["*.md"])
    assert done.entries == 1


def test_what_the_job_needs_is_recognised_under_another_name(ws: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(ws, target_is_directory=True)
    with pytest.raises(MisuseError):
        put_aside(tmp_path / "alias", needed={ws / "data" / "rows.csv": "its items"})
    with pytest.raises(MisuseError):
        put_aside(ws, needed={tmp_path / "alias" / "data": "its working directory"})
    assert put_aside(ws, needed={ws: "its working directory", ws.parent: "x"}).entries == 2


# --- where it goes ----------------------------------------------------------------------------------------------------


def test_the_number_comes_from_the_iteration_file_where_there_is_one(ws: Path) -> None:
    (ws / ".iteration").write_text("41\n")
    assert put_aside(ws).place == ws / "archive" / "iteration-41"
    (ws / "again").touch()
    assert put_aside(ws).place == ws / "archive" / "iteration-41-1"
    (ws / "again").touch()
    assert put_aside(ws).place == ws / "archive" / "iteration-41-2"


def test_the_iteration_file_counts_even_when_it_moves_too(ws: Path) -> None:
    (ws / ".iteration").write_text("5")
    assert put_aside(ws, preserve_patterns=[]).place == ws / "archive" / "iteration-5"


@pytest.mark.parametrize("text", ["", "next", "-1", "1.5", "9" * 40, "\0"])
def test_an_iteration_file_that_holds_no_number_is_passed_over(ws: Path, text: str) -> None:
    (ws / ".iteration").write_text(text)
    (ws / "archive" / "iteration-8").mkdir(parents=True)
    assert put_aside(ws).place == ws / "archive" / "iteration-9"


def test_time_stamps_are_utc_and_a_second_archive_of_one_second_gets_a_number(ws: Path) -> None:
    assert put_aside(ws, archive_naming="timestamp").place == ws / "archive" / "archive-20261121-120005"
    (ws / "again").touch()
    assert put_aside(ws, archive_naming="timestamp").place == ws / "archive" / "archive-20261121-120005-1"


@pytest.mark.parametrize("place", ["old/rounds", "../beside", "."])
def test_the_archive_may_be_deep_beside_the_workspace_or_the_workspace_itself(ws: Path, place: str) -> None:
    for number in (1, 2):
        (ws / "report.md").write_text("x")
        done = put_aside(ws, archive_dir=place)
        assert done.place is not None
        assert done.place.resolve() == (ws / place / f"iteration-{number}").resolve()
    assert not (ws / "report.md").exists()


def test_an_archive_behind_a_link_is_refused_before_anything_moves(ws: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "iteration-1").mkdir(parents=True)
    (ws / "archive").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(MisuseError, match="symbolic link"):
        put_aside(ws, max_archives=1)
    assert names(ws) == {"archive", "data", "report.md"}
    assert names(tmp_path / "elsewhere") == {"iteration-1"}


def test_an_archive_that_cannot_be_made_is_said_and_nothing_moves(ws: Path) -> None:
    (ws / "archive").write_text("a file")
    with pytest.raises(WorldError, match="cannot archive") as caught:
        put_aside(ws)
    assert caught.value.hint
    assert names(ws) == {"archive", "data", "report.md"}


# --- what is deleted --------------------------------------------------------------------------------------------------


def rounds(ws: Path, count: int, **policy: Any) -> Archived:
    done = Archived()
    for number in range(count):
        (ws / "report.md").write_text(str(number))
        done = put_aside(ws, **policy)
    return done


def test_only_the_newest_archives_are_kept_when_a_number_is_given(ws: Path) -> None:
    done = rounds(ws, 12, max_archives=3)
    assert names(ws / "archive") == {"iteration-10", "iteration-11", "iteration-12"}
    assert list(done.removed) == ["iteration-9"]
    assert "iteration-9" in done.notices[1]


def test_nothing_is_deleted_but_folders_that_bear_our_names(ws: Path, tmp_path: Path) -> None:
    archive = ws / "archive"
    foreign = {"iteration-x", "iteration-0b", "my-iteration-1", "iteration-1.bak", "notes.md", "archive-2026"}
    for name in foreign - {"notes.md"}:
        (archive / name).mkdir(parents=True)
    (archive / "notes.md").touch()
    (archive / "iteration-1").touch()  # a file
    (tmp_path / "precious").mkdir()
    (archive / "iteration-2").symlink_to(tmp_path / "precious", target_is_directory=True)
    rounds(ws, 4, max_archives=1)
    assert names(archive) == {*foreign, "iteration-1", "iteration-2", "iteration-4"}
    assert (tmp_path / "precious").is_dir()


def test_archives_of_the_other_naming_are_left_alone(ws: Path) -> None:
    rounds(ws, 2)
    rounds(ws, 3, archive_naming="timestamp", max_archives=1)
    assert names(ws / "archive") == {"iteration-1", "iteration-2", "archive-20261121-120005"}


def test_the_archive_just_made_is_kept_whatever_its_number(ws: Path) -> None:
    rounds(ws, 3)
    (ws / ".iteration").write_text("1")
    (ws / "report.md").write_text("the newest")
    done = put_aside(ws, max_archives=2)
    assert done.place is not None
    assert (done.place / "report.md").read_text() == "the newest"
    assert names(ws / "archive") == {"iteration-3", "iteration-1-1"}


def test_links_inside_an_old_archive_are_removed_and_not_followed(ws: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (ws / "link").symlink_to(tmp_path / "precious", target_is_directory=True)
    rounds(ws, 2, max_archives=1)
    assert names(ws / "archive") == {"iteration-2"}
    assert (tmp_path / "precious" / "file").exists()


def test_a_workspace_that_looks_like_an_old_archive_is_never_deleted(tmp_path: Path) -> None:
    ws = tmp_path / "iteration-1"
    ws.mkdir()
    rounds(ws, 3, archive_dir="..", max_archives=1)
    assert names(tmp_path) == {"iteration-1", "iteration-4"}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that hold")
def test_an_archive_that_cannot_be_removed_is_said_and_the_job_goes_on(ws: Path) -> None:
    rounds(ws, 1)
    (ws / "archive" / "iteration-1").chmod(0o500)
    done = rounds(ws, 1, max_archives=1)
    (ws / "archive" / "iteration-1").chmod(0o700)
    assert "could not be removed" in done.notices[-1]


# --- a host that died half-way ----------------------------------------------------------------------------------------


def test_what_a_dead_host_had_moved_and_what_it_had_not_end_up_in_one_archive(ws: Path) -> None:
    archive_of(ws).begin()
    draft = ws / "archive" / ".job.partial"
    (ws / "data").rename(draft / "data")
    done = put_aside(ws)
    assert done == Archived(ws / "archive" / "iteration-1", 2)
    assert names(ws / "archive") == {"iteration-1"}


def test_a_draft_that_was_complete_only_gets_its_name(ws: Path) -> None:
    archive_of(ws).begin()
    for name in names(ws) - {"archive"}:
        (ws / name).rename(ws / "archive" / ".job.partial" / name)
    assert put_aside(ws) == Archived(ws / "archive" / "iteration-1", 2)


def test_nothing_in_a_draft_is_overwritten_by_what_came_since(ws: Path) -> None:
    archive_of(ws).begin()
    draft = ws / "archive" / ".job.partial"
    (ws / "report.md").rename(draft / "report.md")
    (draft / "report.md.1").write_text("a result of that name")
    (ws / "report.md").write_text("new")
    done = put_aside(ws)
    assert done.place is not None
    texts = {path.name: path.read_text() for path in done.place.glob("report*")}
    assert texts == {"report.md": "old", "report.md.1": "a result of that name", "report.md.2": "new"}


def test_the_draft_of_another_job_is_left_to_it(ws: Path) -> None:
    config = WorkspaceLifecycleConfig(archive_on_fresh=True)
    WorkspaceArchive(ws, config, "other").begin()
    assert archive_of(ws).finish(NOON) == Archived()
    assert put_aside(ws).entries == 2
    assert names(ws / "archive") == {".other.partial", "iteration-1"}


# --- a whole job ------------------------------------------------------------------------------------------------------

KEPT = {"workspace_lifecycle": {"archive_on_fresh": True}}
LOG = {"mozart.log", ".mozart.log.lock"}


def test_a_fresh_run_starts_in_an_empty_workspace_and_says_where_the_old_one_went(tmp_path: Path) -> None:
    file = write_job(tmp_path, **KEPT)
    ws = tmp_path / "ws"
    assert mozart("run", file).exit_code == 0
    (ws / "notes.txt").write_text("mine")
    ended = mozart("run", file, "--fresh", "--limit", "1")
    assert ended.exit_code == 3, ended
    assert "6 entries of the workspace moved to" in ended.stderr
    assert names(ws) == {".mozart", "demo.json", "archive", "report-1.md", *LOG}
    assert names(ws / "archive" / "iteration-1") == {"notes.txt", *(f"report-{n}.md" for n in range(1, 6))}
    assert mozart("status", "demo", "--json").document["progress"]["completed"] == 1


def test_only_a_fresh_run_moves_anything(tmp_path: Path) -> None:
    file = write_job(tmp_path, **KEPT)
    mozart("run", file, "--limit", "1")
    mozart("resume", "demo")
    mozart("run", file)
    assert names(tmp_path / "ws") == {".mozart", "demo.json", *LOG, *(f"report-{n}.md" for n in range(1, 6))}


def test_a_first_run_that_is_fresh_moves_what_it_finds(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "report-1.md").write_text("of another tool")
    assert mozart("run", write_job(tmp_path, **KEPT), "--fresh").exit_code == 0
    assert names(tmp_path / "ws" / "archive" / "iteration-1") == {"report-1.md"}


def test_states_of_other_jobs_in_the_workspace_stay_whole(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path, name="other"))
    file = write_job(tmp_path, **KEPT)
    assert mozart("run", file, "--fresh").exit_code == 0
    assert mozart("status", "other", "--json").document["status"] == "completed"
    assert (tmp_path / "ws" / "other.json").is_file()


def test_a_state_kept_inside_the_workspace_stays(tmp_path: Path) -> None:
    file = write_job(tmp_path, state_path="./ws/state/run.json", **KEPT)
    assert mozart("run", file).exit_code == 0
    assert mozart("run", file, "--fresh").exit_code == 0
    assert mozart("status", "demo", "--json").document["status"] == "completed"
    assert "state" not in names(tmp_path / "ws" / "archive" / "iteration-1")


def test_a_job_file_in_the_workspace_is_not_moved_away(tmp_path: Path) -> None:
    file = write_job(tmp_path, workspace=".", **KEPT)
    assert mozart("run", file).exit_code == 0
    before = names(tmp_path)
    ended = mozart("run", file, "--fresh")
    assert ended.exit_code == 2
    assert "the job file" in ended.stderr
    assert names(tmp_path) == before
    assert mozart("status", "demo", "--json").document["status"] == "completed"


def test_the_results_of_a_job_that_runs_are_not_moved_away_under_it(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path, name="busy"), cwd=tmp_path) as host:
        host.until("batch.completed")
        ended = mozart("run", write_job(tmp_path, **KEPT), "--fresh")
        assert ended.exit_code == 2, ended
        assert "job `busy` runs in this workspace" in ended.stderr


def test_a_run_that_is_not_fresh_goes_on_with_what_a_dead_fresh_one_began(tmp_path: Path) -> None:
    file = write_job(tmp_path, **KEPT)
    ws = tmp_path / "ws"
    (ws / "archive" / ".demo.partial").mkdir(parents=True)
    (ws / "report-1.md").write_text("stale")
    assert mozart("run", file).exit_code == 0
    assert (ws / "archive" / "iteration-1" / "report-1.md").read_text() == "stale"
    assert (ws / "report-1.md").read_text() != "stale"


def test_a_host_that_died_before_the_record_was_archived_has_begun_nothing(tmp_path: Path) -> None:
    file = write_job(tmp_path, **KEPT)
    mozart("run", file, "--limit", "2")
    draft = tmp_path / "ws" / "archive" / ".demo.partial"
    draft.mkdir(parents=True)
    assert mozart("run", file).exit_code == 0
    assert len([name for name in names(tmp_path / "ws") if name.startswith("report")]) == 5
    assert mozart("run", file, "--fresh").exit_code == 0
    assert len(names(tmp_path / "ws" / "archive" / "iteration-1")) == 5


def test_a_rehearsal_moves_nothing(tmp_path: Path) -> None:
    file = write_job(tmp_path, **KEPT)
    mozart("run", file)
    before = names(tmp_path / "ws")
    assert mozart("run", file, "--rehearse", "--fresh").exit_code == 0
    assert names(tmp_path / "ws") == before
