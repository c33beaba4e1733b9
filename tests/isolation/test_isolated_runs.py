"""A job with `isolation`, from its first session to the branch that is left of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.repositories import COMMIT, Repo, Work

from mozart_nb import events as ev
from mozart_nb.errors import IsolationError
from mozart_nb.job.load import load_job
from mozart_nb.runtime import open_job, prepare, recover_job

FAILS_AT_2 = "test {batch_num} != 2"


def test_sessions_commit_on_a_branch_of_the_job_and_the_checkout_stays_as_it_is(work: Work, repo: Repo) -> None:
    before = repo.git("rev-parse", "HEAD")
    prepared = work.prepared(COMMIT)
    state = work.run(prepared)
    assert state.status == "completed"
    assert repo.subjects("mozart/notes") == ["batch 2", "batch 1"]
    assert repo.files("mozart/notes") == {"README.md", "out-1.md", "out-2.md"}
    assert (repo.git("rev-parse", "HEAD"), repo.git("branch", "--show-current")) == (before, "main")
    assert repo.is_clean()
    assert repo.is_sound()


def test_the_worktree_is_gone_after_success_and_the_journal_says_where_the_work_is(work: Work, repo: Repo) -> None:
    prepared = work.prepared(COMMIT)
    state = work.run(prepared)
    [isolated] = work.events(prepared, ev.JobIsolated)
    [removed] = work.events(prepared, ev.WorktreeRemoved)
    assert repo.worktrees() == []
    assert not Path(isolated.worktree).exists()
    assert (isolated.branch, isolated.base) == ("mozart/notes", repo.git("rev-parse", "main"))
    assert isolated.worktree == str(work.workspace / ".worktrees" / "notes")
    assert removed.head == repo.git("rev-parse", "mozart/notes")
    assert (removed.commits, removed.committed, removed.elsewhere) == (2, 0, ())
    assert (state.job.isolation.status, state.job.isolation.head) == ("removed", removed.head)
    assert work.events(prepared, ev.JobCompleted)[0].seq > removed.seq


def test_what_sessions_did_not_commit_is_committed_when_the_job_completes(work: Work, repo: Repo) -> None:
    prepared = work.prepared()
    work.run(prepared)
    [removed] = work.events(prepared, ev.WorktreeRemoved)
    assert (removed.commits, removed.committed) == (1, 2)
    assert repo.files("mozart/notes") == {"README.md", "out-1.md", "out-2.md"}
    assert "left uncommitted" in repo.subjects("mozart/notes")[0]


def test_the_worktree_of_a_failed_job_is_kept_as_it_is(work: Work, repo: Repo) -> None:
    prepared = work.prepared(f"{FAILS_AT_2} && {COMMIT}")
    state = work.run(prepared)
    [kept] = work.events(prepared, ev.WorktreeKept)
    [path] = repo.worktrees()
    assert state.status == "failed"
    assert (kept.worktree, kept.branch, kept.commits) == (str(path), "mozart/notes", 1)
    assert "1 change in it is not committed" in kept.reason
    assert (path / "out-2.md").read_text() == "batch 2"
    assert repo.git("status", "--porcelain", folder=path) == "?? out-2.md"
    assert repo.locked() == []
    assert repo.is_sound()


def test_a_resume_goes_on_in_the_worktree_that_was_kept(work: Work, repo: Repo, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    prepared = work.prepared(f"test {{batch_num}} != 2 || test -e {gate}", COMMIT)
    assert work.run(prepared).status == "failed"
    [path] = repo.worktrees()
    (path / "by-hand.md").write_text("mended by hand")
    gate.touch()
    assert work.run(open_job("notes", work.workspace)).status == "completed"
    assert repo.worktrees() == []
    assert repo.files("mozart/notes") == {"README.md", "out-1.md", "out-2.md", "by-hand.md"}
    assert [one.worktree for one in work.events(prepared, ev.JobIsolated)] == [str(path)] * 2
    assert {one.base for one in work.events(prepared, ev.JobIsolated)} == {repo.git("rev-parse", "main")}


def test_a_worktree_can_go_after_a_failure_and_comes_back_whole(work: Work, repo: Repo, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    prepared = work.prepared(f"test {{batch_num}} != 2 || test -e {gate}", isolation={"cleanup_on_failure": True})
    assert work.run(prepared).status == "failed"
    assert repo.worktrees() == []
    assert repo.files("mozart/notes") == {"README.md", "out-1.md", "out-2.md"}
    gate.touch()
    assert work.run(open_job("notes", work.workspace)).status == "completed"
    assert repo.branches() == {"main", "mozart/notes"}
    assert repo.worktrees() == []


def test_a_worktree_that_was_made_again_does_not_look_like_the_work_of_a_batch(
    work: Work, repo: Repo, tmp_path: Path
) -> None:
    repo.commit({"shared.md": "as it was"})
    gate = tmp_path / "open"
    prepared = work.prepared(
        total=1,
        validations=[
            {"type": "file_modified", "path": "shared.md"},
            {"type": "command_succeeds", "command": f"test -e {gate}"},
        ],
        rehearsal={"latency_seconds": 0, "writes": {"other.md": "x"}, "failures": {"invalid_output": 1}},
        isolation={"cleanup_on_failure": True},
    )
    assert work.run(prepared).status == "failed"
    gate.touch()
    state = work.run(open_job("notes", work.workspace))
    assert state.status == "failed"
    assert [result.status for result in state.batches[1].validation_details] == ["failed", "passed"]


def test_isolation_that_is_switched_off_on_the_way_leaves_the_worktree(work: Work, repo: Repo) -> None:
    prepared = work.prepared(COMMIT)
    work.run(prepared, options=ev.RunOptions(limit=1))
    [path] = repo.worktrees()
    state = work.run(prepared, reload=work.prepared(COMMIT, isolation={"enabled": False}))
    assert state.status == "completed"
    assert (repo.root / "out-2.md").exists()
    [kept] = work.events(prepared, ev.WorktreeKept)
    assert (kept.worktree, kept.branch) == (str(path), "mozart/notes")
    assert repo.worktrees() == [path]


def test_a_pause_keeps_the_worktree_and_everything_in_it(work: Work, repo: Repo) -> None:
    prepared = work.prepared(total=3)
    state = work.run(prepared, options=ev.RunOptions(limit=1))
    [path] = repo.worktrees()
    assert state.status == "paused"
    assert (path / "out-1.md").exists()
    assert work.events(prepared, ev.WorktreeKept) == []
    assert repo.locked() == []
    assert work.run(prepared).status == "completed"
    assert repo.files("mozart/notes") == {"README.md", "out-1.md", "out-2.md", "out-3.md"}


def test_a_worktree_stays_after_success_where_the_job_file_says_so(work: Work, repo: Repo) -> None:
    prepared = work.prepared(COMMIT, isolation={"cleanup_on_success": False})
    work.run(prepared)
    [kept] = work.events(prepared, ev.WorktreeKept)
    assert "cleanup_on_success is off" in kept.reason
    assert [str(path) for path in repo.worktrees()] == [kept.worktree]


def test_the_worktree_is_locked_while_the_job_runs(work: Work, repo: Repo, tmp_path: Path) -> None:
    work.run(work.prepared(f"git worktree list --porcelain > {tmp_path}/seen"))
    assert "locked mozart job notes: host" in (tmp_path / "seen").read_text()
    work.run(
        Work(repo, tmp_path / "other").prepared(
            f"git worktree list --porcelain > {tmp_path}/seen", name="open", isolation={"lock_during_execution": False}
        )
    )
    assert "\nlocked" not in (tmp_path / "seen").read_text()


# --- where it begins --------------------------------------------------------------------------------------------------


def test_a_job_in_a_subfolder_works_in_the_same_subfolder_of_the_worktree(repo: Repo, tmp_path: Path) -> None:
    repo.commit({"sub/deep/here.txt": "x"})
    work = Work(repo, tmp_path / "ws", repo.root / "sub" / "deep")
    prepared = work.prepared("test -e here.txt", COMMIT)
    assert work.run(prepared).status == "completed"
    assert "sub/deep/out-1.md" in repo.files("mozart/notes")
    [isolated] = work.events(prepared, ev.JobIsolated)
    assert isolated.directory == f"{isolated.worktree}/sub/deep"


def test_a_folder_that_is_in_no_commit_is_made_empty_and_that_is_said(repo: Repo, tmp_path: Path) -> None:
    (repo.root / "new").mkdir()
    work = Work(repo, tmp_path / "ws", repo.root / "new")
    assert work.run(work.prepared()).status == "completed"
    assert repo.files("mozart/notes") >= {"new/out-1.md"}
    assert any("new/ is not in the commit" in text for text in work.told)


def test_the_branch_begins_where_the_job_file_says(work: Work, repo: Repo) -> None:
    repo.git("branch", "release")
    repo.commit({"later.txt": "x"})
    work.run(work.prepared(isolation={"source_branch": "release", "branch_prefix": "auto_1"}))
    assert repo.files("auto_1/notes") == {"README.md", "out-1.md", "out-2.md"}


def test_a_detached_head_is_as_good_a_beginning(work: Work, repo: Repo) -> None:
    repo.git("checkout", "--quiet", "--detach")
    assert work.run(work.prepared(COMMIT)).status == "completed"
    assert repo.subjects("mozart/notes") == ["batch 2", "batch 1"]


def test_a_bare_repository_will_do(repo: Repo, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    repo.git("clone", "--quiet", "--bare", str(repo.root), str(bare))
    repo.configure(bare)
    work = Work(repo, tmp_path / "ws", bare)
    assert work.run(work.prepared(COMMIT)).status == "completed"
    assert repo.git("ls-tree", "--name-only", "mozart/notes", folder=bare).splitlines() == [
        "README.md",
        "out-1.md",
        "out-2.md",
    ]


def test_a_worktree_is_made_of_a_worktree(repo: Repo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "--quiet", "-b", "feature", str(tmp_path / "feature"))
    repo.commit({"feature.txt": "x"}, folder=tmp_path / "feature")
    work = Work(repo, tmp_path / "ws", tmp_path / "feature")
    work.run(work.prepared(COMMIT))
    assert "feature.txt" in repo.files("mozart/notes")
    assert repo.worktrees() == [tmp_path / "feature"]


def test_changes_that_are_not_committed_are_told_of(work: Work, repo: Repo) -> None:
    (repo.root / "README.md").write_text("changed")
    (repo.root / "new.txt").write_text("x")
    assert work.run(work.prepared("test ! -e new.txt")).status == "completed"
    assert any("2 changes in" in text and "are not committed" in text for text in work.told)
    assert (repo.root / "README.md").read_text() == "changed"


def test_submodules_are_told_of(work: Work, repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.root), "lib")
    repo.git("commit", "--quiet", "-m", "a submodule")
    assert work.run(work.prepared(COMMIT)).status == "completed"
    assert any("submodules" in text for text in work.told)


# --- without a worktree -----------------------------------------------------------------------------------------------


def test_where_there_is_no_repository_the_job_runs_as_ever_and_says_so(tmp_path: Path, repo: Repo) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    work = Work(repo, tmp_path / "ws", plain)
    prepared = work.prepared()
    state = work.run(prepared)
    assert state.status == "completed"
    assert (plain / "out-1.md").exists()
    assert (state.job.isolation.status, state.job.isolation.branch) == ("none", "")
    assert "is in no git repository" in state.job.isolation.note
    assert any("no worktree could be made" in text for text in work.told)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("no repository", "is in no git repository"),
        ("no commit", "has no commit yet"),
        ("no branch", "no branch or commit `nowhere`"),
        ("a word of git", "cannot be the name of a branch"),
        ("no folder", "does not exist"),
        ("no git", "there is no `git` on PATH"),
        ("an old git", "git 2.9.1 is too old"),
        ("a file", "worktrees cannot be made in"),
    ],
)
def test_without_fallback_a_job_that_cannot_be_isolated_does_not_begin(
    broken: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repo(tmp_path / "repo", commits=broken != "no commit")
    folder = {"no repository": tmp_path / "plain", "no folder": tmp_path / "gone"}.get(broken, repo.root)
    (tmp_path / "plain").mkdir()
    source = {"no branch": "nowhere", "a word of git": "--help"}.get(broken)
    (tmp_path / "file").write_text("x")
    base = {"worktree_base": str(tmp_path / "file")} if broken == "a file" else {}
    work = Work(repo, tmp_path / "ws", folder)
    prepared = work.prepared(isolation={"fallback_on_error": False, "source_branch": source, **base})
    if broken in ("no git", "an old git"):
        programs = tmp_path / "programs"
        programs.mkdir()
        monkeypatch.setenv("PATH", str(programs))
    if broken == "an old git":
        (programs / "git").write_text("#!/bin/sh\necho git version 2.9.1\n")
        (programs / "git").chmod(0o700)
    with pytest.raises(IsolationError, match=said) as caught:
        work.run(prepared)
    assert "fallback_on_error" in caught.value.hint
    assert not prepared.layout.exists


def test_a_job_stays_in_the_checkout_once_sessions_have_worked_there(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo", commits=False)
    work = Work(repo, tmp_path / "ws")
    prepared = work.prepared(total=2)
    work.run(prepared, options=ev.RunOptions(limit=1))
    repo.commit({"README.md": "now there is one"})
    assert work.run(prepared).status == "completed"
    assert repo.branches() == {"main"}
    assert (repo.root / "out-2.md").exists()


def test_a_rehearsal_touches_no_repository(work: Work, repo: Repo) -> None:
    work.prepared()
    rehearsed = prepare(load_job(work.workspace.parent / "ws.yaml"), rehearse=True)
    assert work.run(rehearsed).status == "completed"
    assert repo.branches() == {"main"}


@pytest.mark.parametrize("isolation", [{"enabled": False}, {"enabled": True, "mode": "none"}])
def test_isolation_that_is_off_is_off(isolation: dict[str, object], work: Work, repo: Repo) -> None:
    state = work.run(work.prepared(isolation=isolation))
    assert state.job.isolation.status == ""
    assert (repo.root / "out-1.md").exists()


def test_a_workspace_may_be_named_from_where_one_stands(
    work: Work, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = work.prepared(COMMIT, total=3)
    work.run(prepared, options=ev.RunOptions(limit=1))
    [path] = repo.worktrees()
    monkeypatch.chdir(tmp_path)
    assert work.run(open_job("notes", Path("ws")), options=ev.RunOptions(limit=1)).status == "paused"
    assert work.events(prepared, ev.JobIsolated)[-1].worktree == str(path)
    assert work.run(open_job("notes", Path("ws"))).status == "completed"
    assert repo.subjects("mozart/notes") == ["batch 3", "batch 2", "batch 1"]


# --- other ways to run ------------------------------------------------------------------------------------------------


def test_recover_looks_at_the_worktree(work: Work, repo: Repo, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    prepared = work.prepared(f"test {{batch_num}} != 2 || test -e {gate}")
    work.run(prepared)
    gate.touch()
    [found] = asyncio.run(recover_job(open_job("notes", work.workspace), dry_run=True))
    assert found.passed
    assert len(repo.worktrees()) == 1
    asyncio.run(recover_job(open_job("notes", work.workspace)))
    assert repo.worktrees() == []
    assert repo.files("mozart/notes") == {"README.md", "out-1.md", "out-2.md"}


def test_looking_whether_batches_pass_leaves_no_worktree_that_was_not_there(work: Work, repo: Repo) -> None:
    prepared = work.prepared(FAILS_AT_2, isolation={"cleanup_on_failure": True})
    work.run(prepared)
    asyncio.run(recover_job(open_job("notes", work.workspace), dry_run=True))
    assert repo.worktrees() == []
    assert len(work.events(prepared, ev.JobIsolated)) == 1


def test_batches_that_run_at_once_share_the_worktree(work: Work, repo: Repo) -> None:
    prepared = work.prepared(total=8, parallel={"enabled": True, "max_concurrent": 4})
    assert work.run(prepared).status == "completed"
    assert repo.files("mozart/notes") == {"README.md", *(f"out-{number}.md" for number in range(1, 9))}
    assert len(work.events(prepared, ev.JobIsolated)) == 1


def test_two_jobs_commit_to_one_repository_at_once(repo: Repo, tmp_path: Path) -> None:
    works = [Work(repo, tmp_path / name) for name in ("one", "two", "three")]
    jobs = [work.prepared(COMMIT, total=6, name=work.workspace.name) for work in works]

    async def together() -> None:
        states = await asyncio.gather(*(work.going(job) for work, job in zip(works, jobs, strict=True)))
        assert {state.status for state in states} == {"completed"}

    asyncio.run(together())
    for name in ("one", "two", "three"):
        assert repo.subjects(f"mozart/{name}") == [f"batch {number}" for number in range(6, 0, -1)]
    assert repo.worktrees() == []
    assert repo.is_sound()
    assert repo.is_clean()


def test_two_jobs_of_one_name_have_a_branch_each(repo: Repo, tmp_path: Path) -> None:
    works = [Work(repo, tmp_path / name) for name in ("one", "two")]
    jobs = [work.prepared(COMMIT) for work in works]

    async def together() -> None:
        await asyncio.gather(*(work.going(job) for work, job in zip(works, jobs, strict=True)))

    asyncio.run(together())
    assert repo.branches() == {"main", "mozart/notes", "mozart/notes-2"}
    for branch in ("mozart/notes", "mozart/notes-2"):
        assert repo.subjects(branch) == ["batch 2", "batch 1"]
