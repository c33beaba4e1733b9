"""How git is run: with nothing of the caller's, within a time limit, and with patience."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import psutil
import pytest
from support.repositories import Repo, Work

from mozart_nb.isolation import Git, GitError
from mozart_nb.isolation.git import alone, environment_for


def test_variables_that_lead_to_another_repository_are_left_out() -> None:
    foreign = {"GIT_DIR": "/elsewhere", "GIT_WORK_TREE": "/elsewhere", "GIT_INDEX_FILE": "/i", "GIT_TRACE": "1"}
    kept = {"GIT_AUTHOR_NAME": "Ada", "GIT_CONFIG_GLOBAL": "/c", "GIT_SSH_COMMAND": "ssh", "PATH": "/bin", "HOME": "/h"}
    assert {name: environment_for({**foreign, **kept}).get(name) for name in (*foreign, *kept)} == {
        **dict.fromkeys(foreign),
        **kept,
    }


def test_a_job_that_a_hook_of_git_has_started_works_in_its_own_repository(
    work: Work, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repo(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    prepared = work.prepared("git add --all . && git commit --quiet -m 'by a rule'", total=1)
    state = work.run(prepared)
    monkeypatch.undo()
    assert state.status == "completed"
    assert repo.subjects("mozart/notes") == ["by a rule"]
    assert other.branches() == {"main"}


async def test_a_failure_says_what_git_said(git: Git, tmp_path: Path) -> None:
    with pytest.raises(GitError) as caught:
        await git.ask(tmp_path, "rev-parse", "HEAD")
    assert caught.value.message.startswith("`git rev-parse HEAD`: not a git repository")
    assert caught.value.code == 128


async def test_a_folder_that_is_not_there_is_said(git: Git, tmp_path: Path) -> None:
    with pytest.raises(GitError, match="could not be started in"):
        await git.ask(tmp_path / "gone", "status")


def slow(repo: Repo, seconds: float = 30) -> list[str]:
    """A git command that takes a while, with a child."""
    repo.git("config", "alias.wait", f"!sleep {seconds}")
    return ["wait"]


def running(repo: Repo) -> list[psutil.Process]:
    found = []
    for one in psutil.process_iter(["cwd", "name"]):
        with contextlib.suppress(psutil.Error):
            if one.info["cwd"] == str(repo.root) and one.info["name"] in ("git", "sleep", "sh"):
                found.append(one)
    return found


async def test_git_is_ended_when_it_takes_too_long(git: Git, repo: Repo) -> None:
    with pytest.raises(GitError, match=r"`git wait` was ended after 0\.2 seconds"):
        await git.run(repo.root, *slow(repo), seconds=0.2)
    assert running(repo) == []


async def test_git_is_ended_when_whoever_waits_for_it_is_cancelled(git: Git, repo: Repo) -> None:
    waiting = asyncio.create_task(git.run(repo.root, *slow(repo)))
    await asyncio.sleep(0.2)
    assert running(repo)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert running(repo) == []


async def test_a_lock_of_another_git_is_waited_for(git: Git, repo: Repo) -> None:
    lock = repo.root / ".git" / "refs" / "heads" / "new.lock"
    lock.write_text("")
    making = asyncio.create_task(git.do(repo.root, "update-ref", "refs/heads/new", "HEAD"))
    await asyncio.sleep(0.15)
    lock.unlink()
    await making
    assert "new" in repo.branches()


async def test_a_repository_that_belongs_to_somebody_else_is_refused_in_the_words_of_git(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true")
    git = Git()
    git._environ["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "true"
    with pytest.raises(GitError, match="dubious ownership"):
        await git.ask(repo.root, "status")


async def test_two_jobs_do_not_look_for_names_at_once(repo: Repo) -> None:
    inside = []

    async def enter(name: str) -> None:
        async with alone(repo.root / ".git"):
            inside.append(name)
            await asyncio.sleep(0.1)
            inside.append(name)

    await asyncio.gather(enter("a"), enter("b"))
    assert inside in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


async def test_whoever_waits_too_long_for_another_job_is_told(repo: Repo) -> None:
    async with alone(repo.root / ".git"):
        began = time.monotonic()
        with pytest.raises(GitError, match="another job has been at work"):
            async with alone(repo.root / ".git", seconds=0.1):
                pass
        assert time.monotonic() - began < 2


def test_a_hook_that_fails_is_told_of_and_harms_nothing(work: Work, repo: Repo) -> None:
    hook = repo.root / ".git" / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\necho no thanks >&2\nexit 3\n")
    hook.chmod(0o700)
    assert work.run(work.prepared("test -e README.md")).status == "completed"
    assert any("hook post-checkout failed" in text and "no thanks" in text for text in work.told)


def test_a_filter_that_fails_leaves_no_half_a_worktree(work: Work, repo: Repo) -> None:
    repo.commit({".gitattributes": "*.big filter=broken\n", "a.big": "x", "b.txt": "x"})
    repo.git("config", "filter.broken.smudge", "false")
    repo.git("config", "filter.broken.required", "true")
    state = work.run(work.prepared())
    assert state.job.isolation.status == "none"
    assert (repo.worktrees(), repo.branches()) == ([], {"main"})
    assert (repo.root / "out-1.md").exists()
