"""A worktree is removed only when nothing is lost with it: every commit has a name, and every result is somewhere."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from support.repositories import COMMIT, Repo, Work

from mozart_nb import events as ev
from mozart_nb.engine.state import IsolationState
from mozart_nb.isolation import Git, Wanted, Worktree, set_up
from mozart_nb.isolation.winding_up import Leaving, wind_up


@pytest.fixture
def worktree(repo: Repo, tmp_path: Path) -> Worktree:
    wanted = Wanted(job_id="notes", owner=tmp_path / "ws/.mozart/notes", folder=repo.root, base=tmp_path / "trees")
    return asyncio.run(set_up(Git(), wanted, IsolationState()))


def end(worktree: Worktree, **changes: Any) -> Any:
    facts = {"job_name": "notes", "ending": "completed", "removes": True, **changes}
    return asyncio.run(wind_up(Git(), worktree, Leaving(**facts)))


def kept_refs(repo: Repo) -> set[str]:
    return set(repo.git("for-each-ref", "--format=%(objectname)", "refs/mozart").split())


# --- every commit survives --------------------------------------------------------------------------------------------


def test_commits_on_no_branch_come_to_the_branch_of_the_job(worktree: Worktree, repo: Repo) -> None:
    repo.git("checkout", "--quiet", "--detach", folder=worktree.path)
    last = repo.commit({"a.txt": "x"}, folder=worktree.path)
    removed = end(worktree)
    assert (removed.head, removed.commits, removed.elsewhere) == (last, 1, ())
    assert repo.git("rev-parse", "mozart/notes") == last


def test_commits_beside_the_branch_get_a_name(worktree: Worktree, repo: Repo) -> None:
    onto = repo.commit({"a.txt": "x"}, folder=worktree.path)
    repo.git("checkout", "--quiet", "--detach", "HEAD~1", folder=worktree.path)
    aside = repo.commit({"b.txt": "x"}, folder=worktree.path)
    removed = end(worktree)
    assert (removed.head, kept_refs(repo)) == (onto, {aside})
    assert removed.elsewhere == (f"refs/mozart/mozart/notes/{aside[:12]}",)
    assert repo.is_sound()


def test_commits_that_were_amended_reset_or_rebased_get_a_name(worktree: Worktree, repo: Repo) -> None:
    amended = repo.commit({"a.txt": "x"}, folder=worktree.path)
    repo.git("commit", "--quiet", "--amend", "-m", "better", folder=worktree.path)
    repo.commit({"b.txt": "x"}, folder=worktree.path)
    reset = repo.commit({"c.txt": "x"}, folder=worktree.path)
    repo.git("reset", "--quiet", "--hard", "HEAD~2", folder=worktree.path)
    removed = end(worktree)
    assert removed.commits == 1
    assert kept_refs(repo) == {amended, reset}
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")
    for commit in (amended, reset):
        assert repo.git("cat-file", "-t", commit) == "commit"
    assert repo.is_sound()


def test_work_on_another_branch_stays_there_and_is_named(worktree: Worktree, repo: Repo) -> None:
    repo.git("checkout", "--quiet", "-b", "feature", folder=worktree.path)
    repo.commit({"a.txt": "x"}, folder=worktree.path)
    (worktree.path / "b.txt").write_text("x")
    removed = end(worktree)
    assert (removed.commits, removed.committed, removed.elsewhere) == (0, 1, ("refs/heads/feature",))
    assert repo.files("feature") == {"README.md", "a.txt", "b.txt"}


def test_what_is_stashed_stays_stashed(worktree: Worktree, repo: Repo) -> None:
    (worktree.path / "README.md").write_text("stashed")
    repo.git("stash", folder=worktree.path)
    end(worktree)
    assert len(repo.git("stash", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content"), [("ü name with spaces.txt", "x"), ("sub/new/deep.txt", "y"), ("-leading", "z"), ("a\nb", "n")]
)
def test_every_kind_of_file_is_committed(name: str, content: str, worktree: Worktree, repo: Repo) -> None:
    file = worktree.path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    (worktree.path / "README.md").unlink()
    assert end(worktree).committed == 2
    assert repo.git("ls-tree", "-r", "-z", "--name-only", "mozart/notes").split("\0")[0] == name


# --- the last commit --------------------------------------------------------------------------------------------------


def test_no_hook_of_the_repository_refuses_the_last_commit(worktree: Worktree, repo: Repo) -> None:
    for name in ("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit"):
        hook = repo.root / ".git" / "hooks" / name
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o700)
    (worktree.path / "a.txt").write_text("x")
    assert end(worktree).committed == 1


def test_a_commit_needs_no_signature_and_no_user(worktree: Worktree, repo: Repo) -> None:
    repo.git("config", "commit.gpgSign", "true")
    repo.git("config", "--unset", "user.name")
    repo.git("config", "--unset", "user.email")
    repo.git("config", "user.useConfigOnly", "true")
    (worktree.path / "a.txt").write_text("x")
    assert end(worktree).committed == 1
    assert repo.git("log", "-1", "--format=%an %ae", "mozart/notes") == "mozart mozart@localhost"


def test_the_last_commit_is_by_the_user_where_git_knows_who_that_is(worktree: Worktree, repo: Repo) -> None:
    (worktree.path / "a.txt").write_text("x")
    end(worktree)
    assert repo.git("log", "-1", "--format=%an|%s", "mozart/notes") == "Ada|notes: what its sessions left uncommitted"


# --- what must not go -------------------------------------------------------------------------------------------------


def test_a_merge_in_the_middle_is_kept(worktree: Worktree, repo: Repo) -> None:
    theirs = repo.commit({"README.md": "theirs"})
    repo.commit({"README.md": "ours"}, folder=worktree.path)
    repo.git("merge", theirs, folder=worktree.path, fails=True)
    kept = end(worktree)
    assert kept.reason == "a merge is only half done in it"
    assert "<<<<<<<" in (worktree.path / "README.md").read_text()


def test_a_rebase_in_the_middle_is_kept(worktree: Worktree, repo: Repo) -> None:
    theirs = repo.commit({"README.md": "theirs"})
    repo.commit({"README.md": "ours"}, folder=worktree.path)
    repo.git("rebase", theirs, folder=worktree.path, fails=True)
    assert end(worktree).reason == "a rebase is only half done in it"


def test_a_repository_that_a_session_cloned_into_it_is_kept(worktree: Worktree) -> None:
    clone = Repo(worktree.path / "vendor" / "clone")
    kept = end(worktree)
    assert "repositories of their own in it: vendor/clone/" in kept.reason
    assert clone.git("log", "--oneline")


def test_a_submodule_that_was_filled_is_kept(worktree: Worktree, repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    allowed = ["-c", "protocol.file.allow=always"]
    repo.git(*allowed, "submodule", "--quiet", "add", str(other.root), "lib", folder=worktree.path)
    kept = end(worktree)
    assert "repositories of their own in it: lib" in kept.reason
    assert (worktree.path / "lib" / "README.md").exists()


def test_ignored_files_that_rules_asked_for_are_kept_and_others_are_not(worktree: Worktree, repo: Repo) -> None:
    repo.commit({".gitignore": "*.log\nbuild/\n"}, folder=worktree.path)
    report = worktree.path / "build" / "report.log"
    report.parent.mkdir()
    report.write_text("x")
    results = [str(report), str(worktree.path / "README.md"), str(worktree.path / "missing.log"), "/etc/hosts"]
    kept = end(worktree, results=results)
    assert kept.reason == "git ignores files that rules asked for: build/report.log"
    assert isinstance(end(worktree, results=results[1:]), ev.WorktreeRemoved)


def test_a_job_keeps_its_worktree_for_the_sake_of_ignored_results(work: Work, repo: Repo) -> None:
    repo.commit({".gitignore": "*.log\n"})
    prepared = work.prepared(
        validations=[{"type": "file_exists", "path": "reports/{batch_num}.log"}],
        rehearsal={"latency_seconds": 0, "writes": {"other.log": "x"}},
    )
    assert work.run(prepared).status == "completed"
    [kept] = work.events(prepared, ev.WorktreeKept)
    assert kept.reason == "git ignores files that rules asked for: reports/1.log, reports/2.log"
    assert (repo.worktrees()[0] / "reports" / "1.log").exists()


def test_a_git_process_of_a_session_that_was_cut_off_keeps_it(worktree: Worktree) -> None:
    (worktree.admin / "index.lock").write_text("")
    (worktree.path / "a.txt").write_text("x")
    kept = end(worktree)
    assert "index.lock" in kept.reason
    assert (worktree.path / "a.txt").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="needs permissions that hold")
def test_what_cannot_be_removed_is_kept_and_nothing_is_lost(worktree: Worktree, repo: Repo) -> None:
    folder = worktree.path / "fixed"
    folder.mkdir()
    (folder / "a.txt").write_text("x")
    folder.chmod(0o500)
    kept = end(worktree)
    folder.chmod(0o700)
    assert isinstance(kept, ev.WorktreeKept)
    assert "fixed/a.txt" in repo.files("mozart/notes")


def test_a_repository_that_is_gone_is_no_reason_to_fail(worktree: Worktree, repo: Repo, tmp_path: Path) -> None:
    repo.root.rename(tmp_path / "elsewhere")
    assert isinstance(end(worktree), ev.WorktreeKept)


def test_a_worktree_that_a_session_has_deleted_is_no_reason_to_fail(worktree: Worktree, repo: Repo) -> None:
    repo.git("checkout", "--quiet", "--detach", folder=worktree.path)
    last = repo.commit({"a.txt": "x"}, folder=worktree.path)
    repo.git("worktree", "unlock", str(worktree.path))
    repo.git("clean", "-dffxq", folder=worktree.path)
    for entry in worktree.path.iterdir():
        entry.unlink()
    worktree.path.rmdir()
    assert isinstance(end(worktree), ev.WorktreeRemoved)
    assert kept_refs(repo) == {last}
    assert repo.worktrees() == []


def test_a_job_settles_whatever_became_of_its_worktree(work: Work, repo: Repo, tmp_path: Path) -> None:
    prepared = work.prepared(f"test {{batch_num}} = 1 || mv {repo.root} {tmp_path}/elsewhere")
    state = work.run(prepared)
    assert state.status == "completed"
    assert state.job.isolation.status == "kept"


def test_a_cancelled_job_keeps_its_worktree(work: Work, repo: Repo) -> None:
    from mozart_nb.engine.driver import Driver
    from mozart_nb.engine.ports import Request

    def cancel(driver: Driver) -> None:
        driver.request(Request(kind="cancel", by="test"))

    prepared = work.prepared(COMMIT)
    assert work.run(prepared, on_start=cancel).status == "cancelled"
    [kept] = work.events(prepared, ev.WorktreeKept)
    assert kept.reason == "the job was cancelled"
    assert work.run(prepared).status == "completed"
    assert repo.subjects("mozart/notes") == ["batch 2", "batch 1"]


# --- the checkout around it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [None, ".trees", "there already", "tracked [x]"])
def test_worktrees_inside_the_checkout_are_no_new_files_there(base: str | None, repo: Repo, tmp_path: Path) -> None:
    repo.commit({".gitignore": "ws/*\n!ws/.worktrees\nws.yaml\n", "tracked [x]/a.txt": "x"})
    if base == "there already":
        (repo.root / base).mkdir()
    work = Work(repo, repo.root / "ws")
    where = {"worktree_base": str(repo.root / base)} if base else {}
    prepared = work.prepared(f"git -C {repo.root} status --porcelain > {tmp_path}/seen", isolation=where)
    assert work.run(prepared).status == "completed"
    assert (tmp_path / "seen").read_text() == ""


def test_files_of_the_worktree_are_none_that_batches_are_shown(repo: Repo, tmp_path: Path) -> None:
    work = Work(repo, tmp_path / "ws")
    prepared = work.prepared(
        cross_batch={"capture_files": ["**/*.md"], "lookback_batches": 0},
        prompt={"template": "{{ previous_files | length }} {{ previous_files | join(', ') }}"},
        rehearsal={"latency_seconds": 0, "writes": {"out-{{ batch_num }}.md": "{{ previous_files | length }}"}},
    )
    assert work.run(prepared).status == "completed"
    assert repo.git("show", "mozart/notes:out-2.md") == "0"
