"""A job is found by its id from any folder, and never by an id that means two."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.checkpoints import write_job

from mozart_nb.checkpoint import index
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import AmbiguousJobError, UnknownJobError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without jobs to look from."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def job_in(workspace: Path, job_id: str = "job", *, registered: bool = True) -> Layout:
    layout = Layout(workspace, job_id)
    source = Layout(workspace.parent / "source" / workspace.name, "job")
    write_job(source, 1, 3)
    shutil.copytree(source.root, layout.root)
    if registered:
        index.register(layout, f"The {job_id}")
    return layout


def test_a_registered_job_is_found_from_anywhere(tmp_path: Path) -> None:
    layout = job_in(tmp_path / "ws")
    assert index.find("job") == [layout.workspace]
    assert index.resolve("job") == layout
    [entry] = index.all_jobs()
    assert (entry.job_id, entry.name, entry.layout) == ("job", "The job", layout)


def test_registering_again_changes_nothing_but_the_time(tmp_path: Path) -> None:
    layout = job_in(tmp_path / "ws")
    before = index.all_jobs()[0].registered_at
    index.register(layout, "The job")
    [entry] = index.all_jobs()
    assert entry.registered_at >= before


def test_a_job_named_with_its_workspace_needs_no_index(tmp_path: Path) -> None:
    layout = job_in(tmp_path / "ws", registered=False)
    assert index.resolve("job", tmp_path / "ws") == layout
    with pytest.raises(UnknownJobError):
        index.resolve("job")


def test_one_id_in_two_workspaces_is_an_error_that_lists_both(tmp_path: Path) -> None:
    layouts = [job_in(tmp_path / name) for name in ("a", "b")]
    with pytest.raises(AmbiguousJobError) as caught:
        index.resolve("job")
    assert caught.value.workspaces == tuple(str(layout.workspace) for layout in layouts)
    assert index.resolve("job", tmp_path / "b") == layouts[1]


def test_an_id_that_begins_like_another_is_not_that_other(tmp_path: Path) -> None:
    job_in(tmp_path / "a", "x--y")
    job_in(tmp_path / "b", "x")
    assert index.find("x") == [tmp_path / "b"]
    assert index.find("x--y") == [tmp_path / "a"]


def test_an_unknown_id_comes_with_the_nearest_ones(tmp_path: Path) -> None:
    job_in(tmp_path / "a", "commit-review")
    job_in(tmp_path / "b", "translate")
    with pytest.raises(UnknownJobError, match="no job `comit-review`") as caught:
        index.resolve("comit-review")
    assert caught.value.hint == "did you mean `commit-review`?"
    with pytest.raises(UnknownJobError) as caught:
        index.resolve("translat", tmp_path / "b")
    assert "`translate`" in caught.value.hint
    with pytest.raises(UnknownJobError) as caught:
        index.resolve("something else entirely")
    assert "mozart list" in caught.value.hint


@pytest.mark.parametrize("job_id", ["", "..", "../job", "*", "a/b", "[x]", "\0"])
def test_an_id_that_cannot_be_one_is_simply_unknown(job_id: str, tmp_path: Path) -> None:
    job_in(tmp_path / "ws")
    assert index.find(job_id) == []
    for workspace in (None, tmp_path / "ws"):
        with pytest.raises(UnknownJobError):
            index.resolve(job_id, workspace)


def test_a_job_that_is_gone_is_dropped_from_the_index(tmp_path: Path) -> None:
    layout = job_in(tmp_path / "ws")
    shutil.rmtree(layout.root)
    assert index.find("job") == []
    assert list((index.home() / "index").iterdir()) == []


def test_a_workspace_that_was_away_for_a_while_is_found_again(tmp_path: Path) -> None:
    layout = job_in(tmp_path / "ws")
    layout.workspace.rename(tmp_path / "away")
    assert index.all_jobs() == []
    with pytest.raises(UnknownJobError, match="which is not there"):
        index.resolve("job")
    (tmp_path / "away").rename(layout.workspace)
    assert index.find("job") == [layout.workspace]


def test_a_job_that_is_about_to_begin_stays_in_the_index(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "ws", "job")
    layout.root.mkdir(parents=True)
    index.register(layout, "The job")
    assert index.find("job") == []
    job_in(tmp_path / "other", registered=False)
    shutil.copytree(tmp_path / "other", tmp_path / "ws", dirs_exist_ok=True)
    assert index.find("job") == [tmp_path / "ws"]


def test_a_moved_workspace_is_found_from_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job_in(tmp_path / "ws")
    (tmp_path / "ws").rename(tmp_path / "moved")
    with pytest.raises(UnknownJobError):
        index.resolve("job")
    monkeypatch.chdir(tmp_path / "moved")
    assert index.resolve("job") == Layout(tmp_path / "moved", "job")


def test_the_workspace_of_the_current_folder_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job_in(tmp_path / "workspace")
    monkeypatch.chdir(tmp_path)
    assert index.resolve("job").workspace.resolve() == tmp_path / "workspace", "found twice, but it is one"


def test_rubbish_in_the_index_is_passed_over(tmp_path: Path) -> None:
    layout = job_in(tmp_path / "ws")
    folder = index.home() / "index"
    (folder / "x.json").write_bytes(b"\xff")
    (folder / "y.json").write_bytes(b'{"job_id":"../..","name":"","workspace":"/","registered_at":1}')
    (folder / "z.json").mkdir()
    assert [entry.layout for entry in index.all_jobs()] == [layout]


def test_a_home_that_cannot_be_written_to_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(index.HOME_VARIABLE, str(tmp_path / "file"))
    job_in(tmp_path / "ws")
    assert index.all_jobs() == []


def test_without_a_variable_the_home_is_the_place_of_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(index.HOME_VARIABLE)
    assert index.home().name == "mozart_nb"
    monkeypatch.setenv(index.HOME_VARIABLE, "~/mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert index.home() == tmp_path / "mine"
