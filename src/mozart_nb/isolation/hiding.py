"""Worktrees inside the repository's own checkout must not look like new files there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from mozart_nb.isolation.git import Git, GitError
from mozart_nb.isolation.repository import Repository

_SPECIAL: Final = frozenset("*?[]\\!# ")


async def hide(git: Git, base: Path, repository: Repository) -> None:
    """Make the folder of worktrees and keep it out of `git status`. Raises `GitError` when it cannot be made.

    A folder that we make ignores itself. One that was there is named in the repository's own list of what to ignore,
    which is not part of any commit.
    """
    try:
        _make(base)
    except OSError as error:
        raise GitError(f"worktrees cannot be made in {base}: {error.strerror or error}") from error
    way = _way(repository, base)
    if way and not await git.succeeds(repository.root, "check-ignore", "--quiet", str(Path(way, "x"))):
        _exclude(repository, Path(way).as_posix())


def _way(repository: Repository, base: Path) -> str:
    """The way from the top of the checkout to `base`; empty where that is not inside."""
    way = os.path.relpath(os.path.realpath(base), os.path.realpath(repository.root))
    return "" if repository.is_bare or way == os.curdir or way.startswith(os.pardir) else way


def _make(base: Path) -> None:
    is_new = not base.exists()
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_new:
        (base / ".gitignore").write_text("*\n", encoding="utf-8")


def _exclude(repository: Repository, way: str) -> None:
    line = "".join(f"\\{sign}" if sign in _SPECIAL else sign for sign in way)
    with contextlib.suppress(OSError):
        exclude = repository.common / "info" / "exclude"
        exclude.parent.mkdir(exist_ok=True)
        with exclude.open("a", encoding="utf-8") as file:
            file.write(f"\n# worktrees of mozart jobs\n/{line}/\n")
