"""Commits that only a worktree knows of get a name in the repository before it goes.

A worktree has a log of its own of where its HEAD was. With the worktree it goes, and a commit that was amended, reset
or made on no branch at all would sooner or later be collected as garbage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from mozart_nb.isolation.git import Git
from mozart_nb.isolation.repository import Repository

KEPT_REFS: Final = "refs/mozart/"
"""Where such commits are named: `git for-each-ref refs/mozart` lists them."""

_MOST: Final = 2000
_HASH: Final = re.compile(r"[0-9a-f]{40,64}")


async def rescue(git: Git, repository: Repository, branch: str, admin: Path) -> list[str]:
    """Name every commit that HEAD of the worktree was at and that no branch, tag or remote holds; returns the refs."""
    seen = list(islice(_heads(admin), _MOST))
    if not seen:
        return []
    known = ["--not", "--branches", "--tags", "--remotes", f"--glob={KEPT_REFS}*"]
    asked = ["rev-list", "--ignore-missing", "--parents", "--stdin", *known]
    lines = (await git.ask(repository.root, *asked, stdin="".join(f"{commit}\n" for commit in seen))).splitlines()
    lost = {commit: parents for commit, *parents in (line.split() for line in lines)}
    within = {parent for parents in lost.values() for parent in parents}
    tips = [commit for commit in seen if commit in lost and commit not in within]
    refs = [f"{KEPT_REFS}{branch}/{commit[:12]}" for commit in tips]
    for ref, commit in zip(refs, tips, strict=True):
        await git.do(repository.root, "update-ref", ref, commit)
    return refs


def latest_commit(admin: Path) -> str:
    """Where HEAD of the worktree was last; empty when its log is gone."""
    return next(_heads(admin), "")


def _heads(admin: Path) -> Iterator[str]:
    """Where HEAD of the worktree is, if that is no branch, and was: each commit once, the last one first."""
    log = _lines(admin / "logs" / "HEAD")
    logged = [line.split(" ", 2)[1] for line in reversed(log) if line.count(" ") >= 2]
    hashes = [*_lines(admin / "HEAD"), *logged, *_lines(admin / "ORIG_HEAD")]
    yield from (commit for commit in dict.fromkeys(hashes) if _HASH.fullmatch(commit) and commit.strip("0"))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
