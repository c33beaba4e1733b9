"""Before the first session: a worktree on the job's branch, made anew or as an earlier run has left it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import Final

import msgspec

from mozart_nb.engine.state import IsolationState
from mozart_nb.isolation.git import WORK_SECONDS, Git, GitError, alone
from mozart_nb.isolation.hiding import hide
from mozart_nb.isolation.repository import (
    BRANCHES,
    Listed,
    Repository,
    branches,
    commit_of,
    count_between,
    find_repository,
    remarks,
    start_of,
    worktrees,
)
from mozart_nb.isolation.rescue import latest_commit, rescue
from mozart_nb.isolation.worktree import (
    BEING_MADE,
    Note,
    Worktree,
    admin_of,
    admins_of,
    fill,
    is_free,
    is_ours,
    is_same,
    lock,
    lock_of,
    read_note,
    refuse_if_used,
    remove,
    unlock,
    write_note,
)

_MOST_NAMES: Final = 1000
_NO_BRANCH: Final = re.compile(r"\.{2,}|^\.|\.$|\.lock$")
# What git refuses in the last part of a branch's name, of all that a job's id may consist of.


@dataclass(frozen=True)
class Wanted:
    """The worktree that a job asks for. `owner` is the folder of its record, `folder` its working directory.

    `base` is where worktrees are made, `source` the branch or commit to begin at (None: what is checked out).
    `takes_over`: a branch of that name is the job's, whatever is on it. `own` are files that no session needs.
    """

    job_id: str
    owner: Path
    folder: Path
    base: Path
    prefix: str = "mozart"
    source: str | None = None
    locks: bool = True
    takes_over: bool = False
    own: Collection[Path] = field(default_factory=tuple)


async def set_up(git: Git, wanted: Wanted, earlier: IsolationState) -> Worktree:
    """The worktree that the job is to work in, with all files checked out. `earlier` is what its journal knows of one.

    Raises `GitError` when there can be none. What was done by then harms nobody: the next call goes on from there.
    """
    await git.check()
    repository = await find_repository(git, wanted.folder)
    await hide(git, wanted.base, repository)
    async with alone(repository.common):
        worktree = await _found(git, wanted, repository, earlier)
        if wanted.locks:
            await lock(git, worktree, wanted.job_id)
    note = read_note(worktree.admin)
    told = list(worktree.notes)
    if note is None or not note.ready:
        told += await _filled(git, worktree, has_begun=bool(earlier.branch))
    if not earlier.branch:
        told += await remarks(git, repository, worktree.base, [wanted.base, *wanted.own])
    return replace(worktree, notes=tuple(told))


async def _filled(git: Git, worktree: Worktree, *, has_begun: bool) -> list[str]:
    """Check out all files of a new worktree. One that cannot be filled goes again, and so does its new branch."""
    try:
        return await fill(git, worktree)
    except GitError:
        with contextlib.suppress(GitError):
            await remove(git, worktree.repository, worktree.path)
            if not has_begun and await commit_of(git, worktree.repository.root, worktree.ref) == worktree.base:
                await git.do(worktree.repository.root, "update-ref", "-d", worktree.ref, worktree.base)
        raise


async def _found(git: Git, wanted: Wanted, repository: Repository, earlier: IsolationState) -> Worktree:
    if earlier.branch:
        return await _again(git, wanted, repository, earlier)
    start = await start_of(git, repository, wanted.source)
    left = await _clear_away(git, wanted, repository)
    worktree = await _made(git, wanted, repository, start)
    return replace(worktree, notes=(*worktree.notes, *left))


# --- a new one --------------------------------------------------------------------------------------------------------


async def _made(git: Git, wanted: Wanted, repository: Repository, start: str) -> Worktree:
    """A new worktree on the first branch that is free, or that has nothing of its own."""
    present, listed = await branches(git, repository), await worktrees(git, repository)
    passed = []
    for name in islice(_names(wanted.job_id), _MOST_NAMES):
        branch = _branch(wanted.prefix, name, present)
        path = wanted.base / name
        if wanted.takes_over and branch in present:
            return await _taken_over(git, wanted, repository, branch, start, listed)
        if any(other.startswith(f"{branch}/") for other in present) or not is_free(path, listed):
            continue
        if branch in present:
            own = await count_between(git, repository.root, start, BRANCHES + branch)
            if own or _user_of(BRANCHES + branch, listed):
                passed.append(branch)
                continue
        how = ["-B" if branch in present else "-b", branch]
        worktree = await _add(git, wanted, repository, path, branch, start, [*how, str(path), start])
        told = [f"{', '.join(passed)} of earlier work stays as it is: this job's branch is {branch}"] if passed else []
        return replace(worktree, notes=tuple(told))
    raise GitError(f"no free name for a branch {wanted.prefix}/{wanted.job_id}, nor for a folder in {wanted.base}")


def branch_name(job_id: str) -> str:
    """A job's id in letters that git takes as the last part of a branch's name."""
    return _NO_BRANCH.sub("_", job_id)


def _names(job_id: str) -> Iterator[str]:
    """`notes`, `notes-2`, `notes-3`, …"""
    name = branch_name(job_id)
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def _branch(prefix: str, name: str, present: Collection[str]) -> str:
    """`mozart/notes`; `mozart-notes` where a branch `mozart` leaves no room for others below it."""
    return f"{prefix}-{name}" if prefix in present else f"{prefix}/{name}"


def _user_of(ref: str, listed: Collection[Listed]) -> Path | None:
    """The worktree in which that branch is checked out."""
    return next((one.path for one in listed if one.branch == ref), None)


async def _add(
    git: Git, wanted: Wanted, repository: Repository, path: Path, branch: str, base: str, words: list[str]
) -> Worktree:
    """`git worktree add` without files, which are for later: nobody has to wait until they are all there."""
    await git.do(repository.root, "worktree", "add", "--no-checkout", "--quiet", *words, seconds=WORK_SECONDS)
    admin = await admin_of(git, path)
    if admin is None:
        raise GitError(f"git made no worktree in {path}")
    write_note(admin, Note(wanted.job_id, str(wanted.owner), branch, base))
    return Worktree(path, path / repository.prefix, branch, base, repository, admin, is_new=True)


async def _taken_over(
    git: Git, wanted: Wanted, repository: Repository, branch: str, start: str, listed: Collection[Listed]
) -> Worktree:
    """The job's journal is lost, its branch is not: go on there."""
    base = await git.run(repository.root, "merge-base", start, BRANCHES + branch)
    path = _user_of(BRANCHES + branch, listed) or wanted.base / branch.rpartition("/")[2]
    known = IsolationState(branch=branch, worktree=str(path), base=base.output.strip() or start)
    return await _again(git, wanted, repository, known)


async def _clear_away(git: Git, wanted: Wanted, repository: Repository) -> list[str]:
    """Remove what a host has left that died before the journal knew of it: nobody has worked there.

    Worktrees of earlier records of this job are told of, and unlocked: nobody works there any more.
    """
    left = []
    for path, admin in admins_of(repository).items():
        note = read_note(admin)
        is_ours = note is not None and is_same(Path(note.owner), wanted.owner)
        if not is_ours and not (note is None and path == wanted.base / path.name and _is_half_made(admin)):
            continue
        if _is_half_made(admin) or (note is not None and await _is_untouched(git, path, note)):
            with contextlib.suppress(GitError):  # then another name is taken
                await remove(git, repository, path)
        elif note is not None and not wanted.takes_over:
            await unlock(git, repository, path, admin)
            left.append(f"the worktree of an earlier run stays in {path}, branch {note.branch}")
    return left


def _is_half_made(admin: Path) -> bool:
    """Whether files are missing because git, or whoever called it, was killed."""
    note = read_note(admin)
    return lock_of(admin) == BEING_MADE if note is None else not note.ready


async def _is_untouched(git: Git, path: Path, note: Note) -> bool:
    try:
        if await git.ask(path, "rev-parse", "HEAD") != note.base:
            return False
    except GitError:
        return False
    status = await git.run(path, "status", "--porcelain", "--ignored")
    return not status.code and not status.output


# --- that of an earlier run -------------------------------------------------------------------------------------------


async def _again(git: Git, wanted: Wanted, repository: Repository, earlier: IsolationState) -> Worktree:
    """The worktree that an earlier run worked in, or the same once more from its branch."""
    path = _place(wanted, earlier)
    if (path / ".git").exists():
        return await _as_it_was(git, wanted, repository, earlier, path)
    told, heads = [], [earlier.head]
    for place, admin in admins_of(repository).items():
        if is_same(place, path):
            _refuse_what_is_not_ours(wanted, place, admin)
            heads.insert(0, latest_commit(admin))
            await rescue(git, repository, earlier.branch, admin)
            await remove(git, repository, path)
            told = [
                "the worktree's folder was gone, and what was not committed in it: it is made again from its branch"
            ]
    await _revive(git, repository, earlier.branch, heads)
    listed = await worktrees(git, repository)
    if (user := _user_of(BRANCHES + earlier.branch, listed)) is not None:
        raise GitError(f"{earlier.branch} is checked out in {user}: switch to another branch there, then resume")
    if not is_free(path, listed):
        names = (wanted.base / name for name in islice(_names(path.name), _MOST_NAMES))
        path = next(free for free in names if is_free(free, listed))
    words = [str(path), earlier.branch]
    worktree = await _add(git, wanted, repository, path, earlier.branch, earlier.base, words)
    return replace(worktree, notes=tuple(told))


def _place(wanted: Wanted, earlier: IsolationState) -> Path:
    """Where the worktree is: the workspace may have been moved, and with it the worktrees in it."""
    here, there = wanted.base / Path(earlier.worktree).name, Path(earlier.worktree)
    return there if (there / ".git").exists() and not (here / ".git").exists() else here


def _refuse_what_is_not_ours(wanted: Wanted, path: Path, admin: Path) -> None:
    """Raise `GitError` for a worktree of a job elsewhere: a copy of its record knows of it, too. One moved is ours."""
    note, reason = read_note(admin), lock_of(admin)
    if reason is not None and not is_ours(reason) and not path.exists():
        raise GitError(f"{path} is not there, and somebody has locked it ({reason}): bring it back, or unlock it")
    if note is not None and is_same(Path(note.owner), wanted.owner):
        return
    if note is not None and Path(note.owner).exists():
        raise GitError(f"{path} belongs to the job in {note.owner}: start this copy over with --fresh")
    refuse_if_used(path, reason)
    if note is not None:
        write_note(admin, msgspec.structs.replace(note, owner=str(wanted.owner)))


async def _as_it_was(git: Git, wanted: Wanted, repository: Repository, earlier: IsolationState, path: Path) -> Worktree:
    admin = await admin_of(git, path)
    if admin is None or not is_same(admin.parent.parent, repository.common):
        await git.run(repository.root, "worktree", "repair", str(path))
        admin = await admin_of(git, path)
    if admin is None or not is_same(admin.parent.parent, repository.common):
        raise GitError(f"{path} is no worktree of {repository.root}: move it away, then resume")
    registered = Path(admin, _text(admin / "gitdir")).parent
    if not is_same(registered, path):
        if (registered / ".git").exists():
            raise GitError(f"{path} is a copy of the worktree {registered}: start over with --fresh")
        await git.do(repository.root, "worktree", "repair", str(path))
    _refuse_what_is_not_ours(wanted, path, admin)
    told = []
    checked_out = (await git.run(path, "symbolic-ref", "--quiet", "HEAD")).output.strip()
    if checked_out != BRANCHES + earlier.branch:
        shown = checked_out.removeprefix(BRANCHES) or "no branch"
        told.append(f"{shown} is checked out in the worktree, not {earlier.branch}: it stays so")
    return Worktree(path, path / repository.prefix, earlier.branch, earlier.base, repository, admin, notes=tuple(told))


async def _revive(git: Git, repository: Repository, branch: str, heads: list[str]) -> None:
    """Make the branch again where somebody has deleted it, at the last commit of it that is known and still there."""
    if await commit_of(git, repository.root, BRANCHES + branch):
        return
    for head in heads:
        if head and await commit_of(git, repository.root, head):
            await git.do(repository.root, "update-ref", BRANCHES + branch, head, "")
            return
    raise GitError(f"the branch {branch} is gone, and so is what was on it: start over with --fresh")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
