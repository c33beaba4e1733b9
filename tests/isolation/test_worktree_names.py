"""Which branch and which folder a job gets, and how it comes back to them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.repositories import COMMIT, Repo, Work

from mozart_nb import events as ev
from mozart_nb.engine.state import IsolationState
from mozart_nb.errors import IsolationError
from mozart_nb.isolation import Git, GitError, Wanted, Worktree, WorktreeKeeper, set_up
from mozart_nb.runtime import open_job


@pytest.fixture
def wanted(repo: Repo, tmp_path: Path) -> Wanted:
    return Wanted(
        job_id="notes", owner=tmp_path / "ws/.mozart/notes", folder=repo.root, base=tmp_path / "ws/.worktrees"
    )


def make(wanted: Wanted, earlier: IsolationState | None = None, **changes: Any) -> Worktree:
    return asyncio.run(set_up(Git(), replace(wanted, **changes), earlier or IsolationState()))


def known(worktree: Worktree, **changes: Any) -> IsolationState:
    """What a journal knows of a worktree."""
    facts = {"worktree": str(worktree.path), "branch": worktree.branch, "base": worktree.base, **changes}
    return IsolationState(status="kept", **facts)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job_id", "branch"),
    [
        ("notes", "mozart/notes"),
        ("a..b", "mozart/a_b"),
        ("notes.lock", "mozart/notes_"),
        (".hidden", "mozart/_hidden"),
        ("ends.", "mozart/ends_"),
        ("-leading", "mozart/-leading"),
        ("überblick", "mozart/überblick"),
        ("..", "mozart/_"),
        ("HEAD", "mozart/HEAD"),
    ],
)
def test_every_job_id_makes_a_branch_that_git_takes(job_id: str, branch: str, wanted: Wanted, repo: Repo) -> None:
    worktree = make(wanted, job_id=job_id)
    assert worktree.branch == branch
    assert branch in repo.branches()
    assert worktree.path.parent == wanted.base
    assert (worktree.path / "README.md").exists()


def test_a_branch_with_work_on_it_is_left_alone(wanted: Wanted, repo: Repo) -> None:
    repo.git("branch", "mozart/notes")
    repo.git("checkout", "--quiet", "mozart/notes")
    theirs = repo.commit({"theirs.txt": "x"})
    repo.git("checkout", "--quiet", "main")
    worktree = make(wanted)
    assert worktree.branch == "mozart/notes-2"
    assert repo.git("rev-parse", "mozart/notes") == theirs
    assert any("mozart/notes of earlier work stays as it is" in note for note in worktree.notes)


def test_a_branch_whose_work_is_merged_is_taken_again(wanted: Wanted, repo: Repo) -> None:
    repo.git("branch", "mozart/notes")
    repo.commit({"more.txt": "x"})
    worktree = make(wanted)
    assert worktree.branch == "mozart/notes"
    assert repo.git("rev-parse", "mozart/notes") == repo.git("rev-parse", "main")


def test_a_branch_that_is_checked_out_is_left_alone(wanted: Wanted, repo: Repo) -> None:
    repo.git("checkout", "--quiet", "-b", "mozart/notes")
    assert make(wanted).branch == "mozart/notes-2"


def test_a_branch_that_is_called_like_the_prefix_leaves_room_beside_it(wanted: Wanted, repo: Repo) -> None:
    repo.git("branch", "mozart")
    assert make(wanted).branch == "mozart-notes"


def test_a_branch_below_the_name_leaves_room_beside_it(wanted: Wanted, repo: Repo) -> None:
    repo.git("branch", "mozart/notes/draft")
    assert make(wanted).branch == "mozart/notes-2"


def test_a_folder_of_somebody_else_is_left_alone(wanted: Wanted) -> None:
    (wanted.base / "notes").mkdir(parents=True)
    (wanted.base / "notes" / "mine.txt").write_text("x")
    worktree = make(wanted)
    assert worktree.path == wanted.base / "notes-2"
    assert (wanted.base / "notes" / "mine.txt").exists()


def test_an_empty_folder_is_taken(wanted: Wanted) -> None:
    (wanted.base / "notes").mkdir(parents=True)
    assert make(wanted).path == wanted.base / "notes"


# --- starting over ----------------------------------------------------------------------------------------------------


def test_a_fresh_start_has_a_branch_of_its_own_and_nothing_of_the_earlier_one_is_lost(work: Work, repo: Repo) -> None:
    prepared = work.prepared(COMMIT)
    work.run(prepared)
    first = repo.git("rev-parse", "mozart/notes")
    work.run(prepared, options=ev.RunOptions(fresh=True), fresh=True)
    assert repo.git("rev-parse", "mozart/notes") == first
    assert repo.subjects("mozart/notes-2") == ["batch 2", "batch 1"]


def test_a_fresh_start_leaves_the_worktree_of_a_failed_run_where_it_is(work: Work, repo: Repo, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    prepared = work.prepared(f"test -e {gate}")
    work.run(prepared)
    [left] = repo.worktrees()
    gate.touch()
    (repo.root / ".git/worktrees/notes/locked").write_text("mozart job notes: host h pid 12 started 1")
    work.run(prepared, options=ev.RunOptions(fresh=True), fresh=True)
    assert (repo.worktrees(), repo.locked()) == ([left], [])
    assert any(f"the worktree of an earlier run stays in {left}" in text for text in work.told)
    assert (left / "out-1.md").exists()
    assert repo.files("mozart/notes-2") == {"README.md", "out-1.md", "out-2.md"}


def test_old_results_are_archived_without_the_worktrees(work: Work, repo: Repo, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    rules = f"test -e {gate}"
    prepared = work.prepared(rules, workspace_lifecycle={"archive_on_fresh": True, "preserve_patterns": []})
    work.run(prepared)
    [left] = repo.worktrees()
    (work.workspace / "result.txt").write_text("old")
    gate.touch()
    work.run(prepared, options=ev.RunOptions(fresh=True), fresh=True)
    assert not (work.workspace / "result.txt").exists()
    assert (left / "out-1.md").exists()
    assert repo.git("status", "--porcelain", folder=left)


def test_a_job_whose_journal_is_lost_goes_on_on_its_branch(work: Work, repo: Repo) -> None:
    prepared = work.prepared(COMMIT, total=3)
    work.run(prepared, options=ev.RunOptions(limit=2))
    shutil.rmtree(work.workspace / ".mozart")
    (work.workspace / "notes.json").unlink()
    state = work.run(prepared, infer=True)
    assert (state.status, state.job.opened_sessions) == ("completed", 1)
    assert repo.subjects("mozart/notes") == ["batch 3", "batch 2", "batch 1"]


def test_a_lost_journal_and_a_lost_worktree_still_leave_the_branch(work: Work, repo: Repo) -> None:
    prepared = work.prepared(COMMIT, total=3)
    work.run(prepared, options=ev.RunOptions(limit=2))
    repo.git("worktree", "remove", "--force", str(repo.worktrees()[0]))
    shutil.rmtree(work.workspace / ".mozart")
    (work.workspace / "notes.json").unlink()
    state = work.run(prepared, infer=True)
    assert (state.status, state.job.opened_sessions) == ("completed", 1)
    assert repo.branches() == {"main", "mozart/notes"}


# --- what a host leaves that dies early -------------------------------------------------------------------------------


def test_a_worktree_that_no_journal_knows_of_is_made_again(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted)
    second = make(wanted)
    assert (second.path, second.branch) == (first.path, first.branch)
    assert repo.worktrees() == [first.path]


def test_one_in_which_something_was_done_is_left_alone(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted)
    (first.path / "new.txt").write_text("x")
    assert make(wanted).path == wanted.base / "notes-2"
    assert (first.path / "new.txt").exists()


def test_one_whose_files_were_not_all_there_is_made_again(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted)
    note = first.admin / "mozart.json"
    note.write_text(note.read_text().replace('"ready":true', '"ready":false'))
    (first.path / "README.md").unlink()
    (first.admin / "index.lock").write_text("")
    second = make(wanted)
    assert (second.path / "README.md").exists()
    assert repo.worktrees() == [first.path]


def test_one_that_git_itself_had_not_finished_is_made_again(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted, locks=False)
    (first.admin / "mozart.json").unlink()
    (first.admin / "locked").write_text("initializing\n")
    assert make(wanted).path == first.path


def test_one_of_another_job_is_left_alone(wanted: Wanted, repo: Repo, tmp_path: Path) -> None:
    first = make(wanted)
    second = make(wanted, owner=tmp_path / "elsewhere/.mozart/notes")
    assert (second.path, second.branch) == (wanted.base / "notes-2", "mozart/notes-2")
    assert repo.worktrees() == [first.path, second.path]


# --- coming back ------------------------------------------------------------------------------------------------------


def test_a_worktree_that_was_deleted_by_hand_is_made_again_from_its_branch(work: Work, repo: Repo) -> None:
    prepared = work.prepared(COMMIT, total=3)
    work.run(prepared, options=ev.RunOptions(limit=2))
    [path] = repo.worktrees()
    shutil.rmtree(path)
    assert work.run(prepared).status == "completed"
    assert repo.subjects("mozart/notes") == ["batch 3", "batch 2", "batch 1"]
    assert any("made again from its branch" in text for text in work.told)


def test_commits_on_no_branch_survive_even_that(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted)
    repo.git("checkout", "--quiet", "--detach", folder=first.path)
    lost = repo.commit({"detached.txt": "x"}, folder=first.path)
    shutil.rmtree(first.path)
    make(wanted, known(first))
    assert lost in repo.git("for-each-ref", "--format=%(objectname)", "refs/mozart").split()
    assert repo.is_sound()


def test_a_lock_of_a_dead_process_is_broken(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted)
    (first.admin / "locked").write_text(f"mozart job notes: host {socket.gethostname()} pid 4194304 started 1")
    make(wanted, known(first))
    assert f"pid {os.getpid()} started" in repo.locked()[0]


def test_a_process_number_that_was_given_away_again_is_no_process_of_ours(wanted: Wanted, repo: Repo) -> None:
    first, other = make(wanted), psutil.Process().parent()
    assert other is not None
    (first.admin / "locked").write_text(f"mozart job notes: host {socket.gethostname()} pid {other.pid} started 12")
    make(wanted, known(first))
    assert f"pid {os.getpid()} started" in repo.locked()[0]


def test_whoever_takes_a_job_over_takes_the_lock_over_although_the_first_host_still_runs(
    wanted: Wanted, repo: Repo
) -> None:
    first = make(wanted)
    (first.admin / "locked").write_text(lock_of_a_living_process())
    make(wanted, known(first))
    assert f"pid {os.getpid()} started" in repo.locked()[0]


def lock_of_a_living_process() -> str:
    other = psutil.Process().parent()
    assert other is not None
    return f"mozart job notes: host {socket.gethostname()} pid {other.pid} started {other.create_time():.0f}"


def test_a_worktree_of_nobody_knows_whom_that_is_in_use_is_refused(wanted: Wanted) -> None:
    first = make(wanted)
    (first.admin / "locked").write_text(lock_of_a_living_process())
    (first.admin / "mozart.json").unlink()
    with pytest.raises(GitError, match="in use by process"):
        make(wanted, known(first))


def test_a_copy_of_a_job_does_not_take_the_worktree_of_the_first(wanted: Wanted, tmp_path: Path) -> None:
    first = make(wanted)
    wanted.owner.mkdir(parents=True)
    with pytest.raises(GitError, match="belongs to the job in"):
        make(wanted, known(first), owner=tmp_path / "copy/.mozart/notes")


def test_a_worktree_on_something_that_is_not_mounted_is_not_given_up(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted, locks=False)
    repo.git("worktree", "lock", "--reason", "on a stick", str(first.path))
    shutil.rmtree(first.path)
    with pytest.raises(GitError, match=r"somebody has locked it \(on a stick\)"):
        make(wanted, known(first))
    assert repo.worktrees() == [first.path]


def test_the_lock_of_a_person_stays(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted, locks=False)
    repo.git("worktree", "lock", "--reason", "on a stick", str(first.path))
    make(wanted, known(first))
    assert repo.locked() == ["on a stick"]


def test_a_branch_that_was_deleted_is_made_again_where_it_was(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted, locks=False)
    head = repo.commit({"more.txt": "x"}, folder=first.path)
    repo.git("worktree", "remove", str(first.path))
    repo.git("branch", "--quiet", "-D", "mozart/notes")
    assert make(wanted, known(first, head=head)).is_new
    assert repo.git("rev-parse", "mozart/notes") == head


def test_a_branch_that_is_gone_for_good_is_an_error(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted, locks=False)
    repo.git("worktree", "remove", str(first.path))
    repo.git("branch", "--quiet", "-D", "mozart/notes")
    with pytest.raises(GitError, match="branch mozart/notes is gone"):
        make(wanted, known(first, head="0123456789abcdef0123456789abcdef01234567"))


def test_a_resume_never_goes_on_in_the_checkout_instead(work: Work, repo: Repo) -> None:
    prepared = work.prepared(COMMIT, total=3)
    work.run(prepared, options=ev.RunOptions(limit=2))
    repo.git("worktree", "remove", "--force", str(repo.worktrees()[0]))
    repo.git("checkout", "--quiet", "mozart/notes")
    with pytest.raises(IsolationError, match=r"mozart/notes is checked out in .*switch to another branch"):
        work.run(prepared)
    repo.git("checkout", "--quiet", "main")
    assert work.run(prepared).status == "completed"


def test_a_session_that_switched_branches_finds_it_as_it_was(wanted: Wanted, repo: Repo) -> None:
    first = make(wanted)
    repo.git("checkout", "--quiet", "-b", "feature", folder=first.path)
    second = make(wanted, known(first))
    assert repo.git("branch", "--show-current", folder=second.path) == "feature"
    assert any("feature is checked out in the worktree" in note for note in second.notes)


def test_a_workspace_that_was_moved_takes_its_worktree_along(work: Work, repo: Repo, tmp_path: Path) -> None:
    prepared = work.prepared(COMMIT, total=3)
    work.run(prepared, options=ev.RunOptions(limit=2))
    work.workspace.rename(tmp_path / "moved")
    moved = Work(repo, tmp_path / "moved")
    assert moved.run(open_job("notes", tmp_path / "moved")).status == "completed"
    assert repo.subjects("mozart/notes") == ["batch 3", "batch 2", "batch 1"]
    assert repo.worktrees() == []


def test_a_copy_of_a_workspace_does_not_work_in_the_worktree_it_was_made_of(
    work: Work, repo: Repo, tmp_path: Path
) -> None:
    prepared = work.prepared(COMMIT, total=3)
    work.run(prepared, options=ev.RunOptions(limit=2))
    shutil.copytree(work.workspace, tmp_path / "copy", symlinks=True)
    copy = Work(repo, tmp_path / "copy")
    with pytest.raises(IsolationError, match="is a copy of the worktree"):
        copy.run(open_job("notes", tmp_path / "copy"))
    assert work.run(prepared).status == "completed"


def test_a_run_that_never_begins_leaves_no_worktree(wanted: Wanted, repo: Repo) -> None:
    from mozart_nb.engine.state import JobState

    async def give_up() -> None:
        worktree = await set_up(Git(), wanted, IsolationState())
        keeper = WorktreeKeeper(Git(), worktree, JobState(), removes=lambda _: True, results=tuple)
        await keeper.close()

    asyncio.run(give_up())
    assert repo.worktrees() == []
