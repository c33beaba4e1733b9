"""A job's worktree, the note that says whose it is, and git's lock on it.

The note stands in the worktree's folder inside the repository (`.git/worktrees/…/mozart.json`): git leaves foreign
files there alone and takes them away with the worktree. A host that dies before the job's journal knows of its worktree
leaves one that is found again by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import psutil

from mozart_nb.isolation.git import WORK_SECONDS, Git, GitError
from mozart_nb.isolation.repository import BRANCHES, Listed, Repository

NOTE: Final = "mozart.json"
BEING_MADE: Final = "initializing"
"""What git itself writes into the lock of a worktree that is not finished yet."""

_REASON: Final = re.compile(r"mozart job \S+: host (?P<host>\S+) pid (?P<pid>\d+) started (?P<started>\d+)")
_SAME_PROCESS_SECONDS: Final = 2
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Worktree:
    """A worktree that a run may work in. `directory` stands in it where the job's working directory is in the checkout.

    `admin` is git's own folder of it; `is_new`: this run has made it, so nobody has worked in it before.
    """

    path: Path
    directory: Path
    branch: str
    base: str
    repository: Repository
    admin: Path
    is_new: bool = False
    notes: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        return BRANCHES + self.branch


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose a worktree is: `owner` is the folder of the job's record. `ready`: its files have all been checked out."""

    job_id: str
    owner: str
    branch: str
    base: str
    ready: bool = False


def read_note(admin: Path) -> Note | None:
    """The note of a worktree; None where there is none, or none that can be read."""
    try:
        return msgspec.json.decode((admin / NOTE).read_bytes(), type=Note)
    except (OSError, msgspec.MsgspecError):
        return None


def write_note(admin: Path, note: Note) -> None:
    """Replace the note. Raises `GitError`."""
    draft = admin / f"{NOTE}.tmp"
    try:
        draft.write_bytes(msgspec.json.encode(note))
        draft.replace(admin / NOTE)
    except OSError as error:
        raise GitError(f"{admin} cannot be written to: {error.strerror or error}") from error


async def admin_of(git: Git, path: Path) -> Path | None:
    """Git's own folder of the worktree at `path`; None when nothing there is a worktree."""
    if not (path / ".git").is_file():
        return None
    ended = await git.run(path, "rev-parse", "--git-dir")
    return None if ended.code else Path(path, ended.output.strip())


def admins_of(repository: Repository) -> dict[Path, Path]:
    """Where each worktree of the repository stands, or stood, and git's own folder of it."""
    found = {}
    for entry in sorted(_folders(repository.common / "worktrees")):
        with contextlib.suppress(OSError, ValueError):
            file = Path(entry, (entry / "gitdir").read_text(encoding="utf-8").strip())
            found[file.parent] = entry
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir()]
    except OSError:
        return []


# --- git's lock -------------------------------------------------------------------------------------------------------


async def lock(git: Git, worktree: Worktree, job_id: str) -> None:
    """Have git neither remove nor prune the worktree while this process works in it. A person's lock stays as it is."""
    reason = f"mozart job {job_id}: host {socket.gethostname()} pid {os.getpid()} started {_started(os.getpid()):.0f}"
    await unlock(git, worktree.repository, worktree.path, worktree.admin)
    if not (worktree.admin / "locked").exists():
        await git.do(worktree.repository.root, "worktree", "lock", "--reason", reason, str(worktree.path))


async def unlock(git: Git, repository: Repository, path: Path, admin: Path) -> None:
    """Take a lock of ours away, also one that an earlier host has left: whoever holds the job's own lock may."""
    if is_ours(lock_of(admin)):
        await git.do(repository.root, "worktree", "unlock", str(path))


def is_ours(reason: str | None) -> bool:
    """Whether a lock was taken by a job, or by git while it made the worktree; not by a person."""
    return reason is not None and (reason == BEING_MADE or _REASON.match(reason) is not None)


def refuse_if_used(path: Path, reason: str | None) -> None:
    """Raise `GitError` when the process that a lock of ours names still runs and is not this one.

    A number that has been given to another process since is told by when that one was started.
    """
    named = _REASON.match(reason or "")
    if named is None or named["host"] != socket.gethostname() or int(named["pid"]) == os.getpid():
        return
    started = _started(int(named["pid"]))
    if started and abs(started - int(named["started"])) <= _SAME_PROCESS_SECONDS:
        raise GitError(f"{path} is in use by process {named['pid']} ({reason})")


def lock_of(admin: Path) -> str | None:
    """Why a worktree is locked; None when it is not."""
    try:
        return (admin / "locked").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _started(pid: int) -> float:
    """When a process was started, in epoch seconds; 0 when there is none of that number."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


# --- making and removing ----------------------------------------------------------------------------------------------


async def fill(git: Git, worktree: Worktree) -> list[str]:
    """Check out every file; returns what there is to tell. Raises `GitError` when they are not all there.

    Hooks of the repository run as with any checkout. One that fails or takes too long is told of: the files are there.
    """
    told = []
    await _wait_for_another(worktree)
    try:
        await git.do(worktree.path, "checkout", "--force", "--quiet", seconds=WORK_SECONDS)
    except GitError as error:
        status = await git.ask(worktree.path, "status", "--porcelain", "--untracked-files=no")
        if status or error.is_locked:
            raise
        told.append(f"the repository's hook post-checkout failed in the worktree: {error.message}")
    with contextlib.suppress(OSError):
        worktree.directory.mkdir(parents=True, exist_ok=True)
    note = read_note(worktree.admin)
    if note is not None:
        write_note(worktree.admin, msgspec.structs.replace(note, ready=True))
    return told


async def _wait_for_another(worktree: Worktree) -> None:
    """A git that outlives the host which has started it goes on checking out; one that died has left its lock file.

    Only for a worktree that is not ready yet: in any other the lock may belong to a session.
    """
    index_lock, began = worktree.admin / "index.lock", time.monotonic()
    while index_lock.exists() and time.monotonic() - began < WORK_SECONDS:
        if not await asyncio.to_thread(_is_git_in, worktree.path):
            index_lock.unlink(missing_ok=True)
        else:
            await asyncio.sleep(_POLL_SECONDS)


def _is_git_in(path: Path) -> bool:
    found = psutil.process_iter(["name", "cwd"])
    return any(one.info["cwd"] == str(path) and (one.info["name"] or "").startswith("git") for one in found)


async def remove(git: Git, repository: Repository, path: Path) -> None:
    """Remove a worktree with everything in it, or the record of one whose folder is gone. Raises `GitError`."""
    await git.do(repository.root, "worktree", "remove", "--force", "--force", str(path), seconds=WORK_SECONDS)


def is_free(path: Path, listed: list[Listed]) -> bool:
    """Whether a worktree can be made there: nothing is there, and the repository knows of none."""
    if any(is_same(one.path, path) for one in listed):
        return False
    try:
        return not any(path.iterdir())
    except FileNotFoundError:
        return True
    except OSError:
        return False


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths mean one folder."""
    return one == other or one.resolve() == other.resolve()
