"""After the last session: what is not committed is committed, and the worktree is removed; or it is kept, and why.

A worktree is removed only when everything in it that git would keep has a name in the repository, and nothing is left
in it that a rule of the job asked for.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mozart_nb import events as ev
from mozart_nb.engine.ports import Ending
from mozart_nb.isolation.git import QUESTION_SECONDS, WORK_SECONDS, Git, GitError, alone
from mozart_nb.isolation.repository import BRANCHES, commit_of, count_between
from mozart_nb.isolation.rescue import rescue
from mozart_nb.isolation.worktree import Worktree, remove, unlock
from mozart_nb.words import plural

_NAMED: Final = 3
_HALFWAY: Final = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}
"""Files in git's folder of a worktree that are there while something is only half done."""

_WHY: Final[dict[Ending, str]] = {
    "completed": "the job completed, and isolation.cleanup_on_success is off",
    "failed": "the job failed",
    "cancelled": "the job was cancelled",
}


@dataclass(frozen=True)
class Leaving:
    """How a job leaves its worktree: how it ended, whether the worktree is to go, and what must not be lost with it.

    `results` are absolute paths of files that rules of the job asked for. `job_name` is for the last commit.
    """

    job_name: str
    ending: Ending
    removes: bool
    results: Collection[str] = field(default_factory=tuple)


class _KeepError(Exception):
    """The worktree must stay; the message says why."""


async def wind_up(git: Git, worktree: Worktree, leaving: Leaving) -> ev.WorktreeKept | ev.WorktreeRemoved:
    """Remove the worktree if that loses nothing, else keep it. Never raises for what git says."""
    try:
        if not leaving.removes:
            raise _KeepError(_WHY[leaving.ending] + await _left_open(git, worktree))
        return await _removed(git, worktree, leaving)
    except (_KeepError, GitError) as error:
        return await _kept(git, worktree, str(error))


async def _removed(git: Git, worktree: Worktree, leaving: Leaving) -> ev.WorktreeRemoved:
    repository, committed = worktree.repository, 0
    if worktree.path.is_dir():
        await _refuse_to_lose(git, worktree, leaving.results)
        committed = await _commit(git, worktree, leaving)
    async with alone(repository.common):
        elsewhere = await _bring_home(git, worktree)
        elsewhere += await rescue(git, repository, worktree.branch, worktree.admin)
        await unlock(git, repository, worktree.path, worktree.admin)
        await remove(git, repository, worktree.path)
    head = await commit_of(git, repository.root, worktree.ref)
    commits = await count_between(git, repository.root, worktree.base, worktree.ref)
    return ev.WorktreeRemoved(
        worktree=str(worktree.path),
        branch=worktree.branch,
        head=head,
        commits=commits,
        committed=committed,
        elsewhere=tuple(elsewhere),
    )


async def _kept(git: Git, worktree: Worktree, reason: str) -> ev.WorktreeKept:
    head, commits = "", 0
    try:
        head = await commit_of(git, worktree.repository.root, worktree.ref)
        commits = await count_between(git, worktree.repository.root, worktree.base, worktree.ref)
    except GitError as error:
        reason = f"{reason}; {error}" if str(error) not in reason else reason
    return ev.WorktreeKept(
        worktree=str(worktree.path), branch=worktree.branch, reason=reason, head=head, commits=commits
    )


async def _left_open(git: Git, worktree: Worktree) -> str:
    try:
        text = await git.ask(worktree.path, "--no-optional-locks", "status", "--porcelain", "-z", "--no-renames")
    except GitError:
        return ""
    number = sum(bool(entry) for entry in text.split("\0"))
    return f"; {plural(number, 'change')} in it {'is' if number == 1 else 'are'} not committed" if number else ""


# --- what would be lost -----------------------------------------------------------------------------------------------


async def _refuse_to_lose(git: Git, worktree: Worktree, results: Collection[str]) -> None:
    for name, what in _HALFWAY.items():
        if (worktree.admin / name).exists():
            raise _KeepError(f"a {what} is only half done in it")
    unmerged = (await git.ask(worktree.path, "ls-files", "--unmerged", "-z")).count("\0")
    if unmerged:
        raise _KeepError("files in it are in conflict")
    if nested := await _nested(git, worktree):
        raise _KeepError(f"there are repositories of their own in it: {_few(nested)}")
    if ignored := await _ignored_results(git, worktree, results):
        raise _KeepError(f"git ignores files that rules asked for: {_few(ignored)}")


async def _nested(git: Git, worktree: Worktree) -> list[str]:
    """Other repositories inside: clones, and submodules that were filled. Their commits are in them only."""
    new = await git.ask(worktree.path, "ls-files", "--others", "--exclude-standard", "-z", seconds=WORK_SECONDS)
    found = [entry for entry in new.split("\0") if entry.endswith("/")]
    known = await git.ask(worktree.path, "ls-files", "--stage", "-z")
    links = (entry.partition("\t")[2] for entry in known.split("\0") if entry.startswith("160000 "))
    return found + [path for path in links if (worktree.path / path / ".git").exists()]


async def _ignored_results(git: Git, worktree: Worktree, results: Collection[str]) -> list[str]:
    """Which of the files that rules asked for git would leave behind."""
    inside = list(_inside(worktree, results))
    if not inside:
        return []
    text = await git.run(
        worktree.path,
        "check-ignore",
        "--stdin",
        "-z",
        stdin="\0".join(inside) + "\0",
        seconds=QUESTION_SECONDS,
    )
    return sorted(filter(None, text.output.split("\0")))


def _inside(worktree: Worktree, results: Collection[str]) -> Iterator[str]:
    root = f"{worktree.path}{os.sep}"
    return (path.removeprefix(root) for path in results if path.startswith(root) and os.path.lexists(path))


def _few(names: Collection[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(list(names)[:_NAMED]) + more


# --- what is saved ----------------------------------------------------------------------------------------------------


async def _commit(git: Git, worktree: Worktree, leaving: Leaving) -> int:
    """Commit whatever sessions have left uncommitted; returns the number of files. No hook may refuse or change it."""
    await git.do(worktree.path, "add", "--all", ".", seconds=WORK_SECONDS)
    files = (await git.ask(worktree.path, "diff", "--cached", "--name-only", "-z", "--no-renames")).count("\0")
    if files:
        message = f"{leaving.job_name}: what its sessions left uncommitted\n\nThe job {leaving.ending}."
        words = [*await _who(git, worktree.path), "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false"]
        quiet = ["commit", "--quiet", "--no-verify", "--cleanup=verbatim", "-m", message]
        await git.do(worktree.path, *words, *quiet, seconds=WORK_SECONDS)
    return files


async def _who(git: Git, folder: Path) -> list[str]:
    """Who commits: the user, as configured, else the job."""
    for name in ("GIT_COMMITTER_IDENT", "GIT_AUTHOR_IDENT"):
        if not await git.succeeds(folder, "var", name):
            return ["-c", "user.name=mozart", "-c", "user.email=mozart@localhost"]
    return []


async def _bring_home(git: Git, worktree: Worktree) -> list[str]:
    """Move the job's branch to where HEAD is, if that is on no branch; returns another branch that has work on it."""
    if not worktree.path.is_dir():
        return []
    current = (await git.run(worktree.path, "symbolic-ref", "--quiet", "HEAD")).output.strip()
    if current == worktree.ref:
        return []
    head = await commit_of(git, worktree.path, "HEAD")
    branch = await commit_of(git, worktree.repository.root, worktree.ref)
    if current:
        return [current] if await count_between(git, worktree.repository.root, branch or worktree.base, head) else []
    if not branch or await git.succeeds(worktree.repository.root, "merge-base", "--is-ancestor", branch, head):
        await git.do(worktree.repository.root, "update-ref", f"{BRANCHES}{worktree.branch}", head, branch or "0" * 40)
    return []
