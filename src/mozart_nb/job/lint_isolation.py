"""Rules about jobs that work in a git worktree. Git itself is not asked: checks execute nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mozart_nb.job.vcodes import Finding, Rule, Subject

_ENABLED: Final = ("isolation", "enabled")
_OF_A_BARE_ONE: Final = ("HEAD", "objects", "refs")


def a_worktree_can_be_made(subject: Subject) -> Iterator[Finding]:
    """Of a working directory that is not there at all, V005 tells."""
    if not _is_isolated(subject):
        return
    folder = subject.loaded.working_directory
    if subject.files.is_dir(folder) and _root_of(subject, folder) is None:
        yield Finding(_ENABLED, f"{folder} is in no git repository: {_then(subject)}", "backend.working_directory")
    if not _is_on_path(subject, "git"):
        yield Finding(_ENABLED, f"`git` is not on PATH: {_then(subject)}", "install git")


def rules_look_into_the_worktree(subject: Subject) -> Iterator[Finding]:
    """An absolute path into the checkout stays there, whatever sessions do in the worktree."""
    folder = subject.loaded.working_directory
    root = _root_of(subject, folder) if _is_isolated(subject) else None
    if root is None:
        return
    for index, rule in enumerate(subject.loaded.config.validations):
        for key, text in (("path", rule.path), ("working_directory", rule.working_directory)):
            fixed = Path((text or "").partition("{")[0])
            if fixed.is_absolute() and _is_in(fixed, root) and not _is_in(fixed, subject.loaded.workspace_path):
                message = f"{text} is in the checkout, and sessions work in a worktree of their own"
                yield Finding(("validations", index, key), message, "a path relative to the working directory")


def _is_isolated(subject: Subject) -> bool:
    isolation = subject.loaded.config.isolation
    return isolation.enabled and isolation.mode == "worktree"


def _then(subject: Subject) -> str:
    falls_back = subject.loaded.config.isolation.fallback_on_error
    return "sessions will work in the folder itself" if falls_back else "the job will not begin"


def _root_of(subject: Subject, folder: Path) -> Path | None:
    """The nearest folder that looks like the top of a repository."""
    for place in (folder, *folder.parents):
        if subject.files.exists(place / ".git") or all(subject.files.exists(place / name) for name in _OF_A_BARE_ONE):
            return place
    return None


def _is_on_path(subject: Subject, program: str) -> bool:
    folders = [folder for folder in subject.env.get("PATH", "").split(os.pathsep) if folder]
    suffixes = ["", *subject.env.get("PATHEXT", "").lower().split(os.pathsep)]
    return any(subject.files.exists(Path(folder) / (program + suffix)) for folder in folders for suffix in suffixes)


def _is_in(path: Path, folder: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(folder)


RULES: Final[Mapping[str, Rule]] = {
    "V134": a_worktree_can_be_made,
    "V135": rules_look_into_the_worktree,
}
