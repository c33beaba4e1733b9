"""The repository that a job works in: where it is, where the job's branch begins, and which worktrees it has."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mozart_nb.isolation.git import Git, GitError
from mozart_nb.words import plural

BRANCHES: Final = "refs/heads/"


@dataclass(frozen=True)
class Repository:
    """A repository as seen from a folder in it.

    `root` is the checkout, or the repository itself where it is a bare one; `common` is its `.git` folder. `prefix` is
    the way from `root` to the folder, empty at the top, else with a slash at its end.
    """

    root: Path
    common: Path
    prefix: str
    is_bare: bool


@dataclass(frozen=True)
class Listed:
    """A worktree as the repository lists it. `branch` is a full name (`refs/heads/…`), empty when HEAD is detached."""

    path: Path
    branch: str = ""
    reason: str | None = None
    """Why it is locked; None when it is not."""


async def find_repository(git: Git, folder: Path) -> Repository:
    """The repository that `folder` is in. Raises `GitError` when it is in none, or git may not use it."""
    if not _is_folder(folder):
        raise GitError(f"the working directory {folder} does not exist")
    try:
        bare, inside, common = (
            await git.ask(folder, "rev-parse", "--is-bare-repository", "--is-inside-git-dir", "--git-common-dir")
        ).split("\n", 2)
    except GitError as error:
        if "not a git repository" in error.output:
            raise GitError(f"{folder} is in no git repository") from None
        raise
    kept = _resolved(Path(folder, common))
    if bare == "true":
        return Repository(kept, kept, "", True)
    if inside == "true":
        raise GitError(f"{folder} is inside the repository's own folder {kept}")
    prefix, root = (await git.ask(folder, "rev-parse", "--show-prefix", "--show-toplevel")).split("\n", 1)
    return Repository(Path(root), kept, prefix, False)


def _is_folder(path: Path) -> bool:
    return path.is_dir()


def _resolved(path: Path) -> Path:
    return path.resolve()


async def start_of(git: Git, repository: Repository, source: str | None) -> str:
    """The commit that a branch is to begin at: `source`, else the one that is checked out. Raises `GitError`."""
    if source is not None and source.startswith("-"):
        raise GitError(f"`{source}` cannot be the name of a branch")
    found = await commit_of(git, repository.root, source or "HEAD")
    if not found and source is None:
        raise GitError(f"{repository.root} has no commit yet")
    if not found:
        raise GitError(f"{repository.root} has no branch or commit `{source}`")
    return found


async def commit_of(git: Git, folder: Path, name: str) -> str:
    """The full hash of what `name` stands for, empty when there is no such commit."""
    ended = await git.run(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return "" if ended.code else ended.output.strip()


async def branches(git: Git, repository: Repository) -> set[str]:
    """All branches, without `refs/heads/`."""
    names = await git.ask(repository.root, "for-each-ref", "--format=%(refname)", BRANCHES)
    return {name.removeprefix(BRANCHES) for name in names.splitlines()}


async def count_between(git: Git, folder: Path, base: str, head: str) -> int:
    """How many commits `head` has that `base` has not; 0 where one of them is not known."""
    ended = await git.run(folder, "rev-list", "--count", f"{base}..{head}", "--")
    return 0 if ended.code or not base else int(ended.output)


async def worktrees(git: Git, repository: Repository) -> list[Listed]:
    """Every worktree that the repository knows of, also those whose folder is gone."""
    return list(_listed(await git.ask(repository.root, "worktree", "list", "--porcelain")))


def _listed(text: str) -> Iterator[Listed]:
    for block in text.split("\n\n"):
        facts = dict(line.partition(" ")[::2] for line in block.splitlines() if line)
        if "worktree" in facts:
            yield Listed(Path(facts["worktree"]), facts.get("branch", ""), facts.get("locked"))


async def remarks(git: Git, repository: Repository, start: str, own: Collection[Path]) -> list[str]:
    """What is in the checkout and not in a worktree that begins at `start`. Of the job's `own` files nobody is told."""
    found = [] if repository.is_bare else await _uncommitted(git, repository, own)
    if await git.succeeds(repository.root, "cat-file", "-e", f"{start}:.gitmodules"):
        found.append("the repository has submodules: their folders are empty in the worktree")
    prefix = repository.prefix.rstrip("/")
    if prefix and not await git.succeeds(repository.root, "cat-file", "-e", f"{start}:{prefix}"):
        found.append(f"{prefix}/ is not in the commit that the branch begins at: it is made, and empty")
    return found


async def _uncommitted(git: Git, repository: Repository, own: Collection[Path]) -> list[str]:
    try:
        text = await git.ask(repository.root, "--no-optional-locks", "status", "--porcelain", "-z", "--no-renames")
    except GitError:
        return []  # a warning is not worth a job
    paths = [repository.root / entry[3:] for entry in text.split("\0") if entry]
    number = sum(not _is_among(path, own) for path in paths)
    if not number:
        return []
    are = "is" if number == 1 else "are"
    return [f"{plural(number, 'change')} in {repository.root} {are} not committed: sessions do not see them"]


def _is_among(path: Path, own: Collection[Path]) -> bool:
    """Whether it is one of these, below one of them, or a folder that git names for all that is new in it."""
    return any(path.is_relative_to(one) or one.is_relative_to(path) for one in own)
