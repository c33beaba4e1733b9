"""Folders that went missing: made again where they can only be meant to be empty."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from mozart_nb.healing.remedy import Case, Finding, Site

SHOWN: Final = 3
"""How many folders are named."""


def find_workspace(case: Case) -> Finding | None:
    """The workspace was deleted while the job ran, or is on something that is not mounted any more."""
    site = case.site
    if site.workspace.is_dir():
        return None
    if os.path.lexists(site.workspace):
        return Finding(cause=f"{site.workspace} is no folder", advice="Move it away: the workspace belongs there.")
    inside = site.worktree is None and site.working_directory.is_relative_to(site.workspace)
    folders = [site.workspace, *([site.working_directory] if inside else [])]
    return Finding(
        cause=f"the workspace {site.workspace} did not exist",
        deed="it was made again, empty",
        advice="Whatever removed it will remove results too: keep the workspace out of its reach.",
        effect=partial(make_folders, folders),
    )


def find_folders(case: Case) -> Finding | None:
    """Rules want files in folders that nobody made. Only folders inside workspace and working directory count."""
    missing = sorted({folder for path in case.outputs if (folder := _missing_folder(path, case.site))})
    if not missing:
        return None
    plural = len(missing) > 1
    return Finding(
        cause=f"{'folders' if plural else 'a folder'} of files that rules want did not exist: {_named(missing)}",
        deed=f"{'they were' if plural else 'it was'} made",
        advice="A prompt that asks for a file in a folder should ask for the folder too.",
        effect=partial(make_folders, [Path(folder) for folder in missing]),
    )


def find_working_directory(case: Case) -> Finding | None:
    """A working directory is somebody's checkout or data: an empty folder in its place would mend nothing."""
    site = case.site
    if site.has_lost_worktree:
        return Finding(
            cause=f"the job's worktree {site.worktree} does not exist any more",
            advice="Resume the job: its worktree is made again from its branch.",
        )
    if site.working_directory.is_dir() or site.working_directory.is_relative_to(site.workspace):
        return None
    return Finding(
        cause=f"the working directory {site.working_directory} does not exist (any more)",
        advice="Bring it back, or set backend.working_directory, then resume with --reload-config.",
    )


async def make_folders(folders: Iterable[Path]) -> None:
    """Make these folders and those above them. Raises `OSError`."""
    await asyncio.to_thread(_make, list(folders))


def _make(folders: Sequence[Path]) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


def _missing_folder(path: str, site: Site) -> str:
    """The folder of `path` with links resolved, if it may be made; else "". Links must not lead out of the job."""
    folder = os.path.realpath(os.path.dirname(path))  # noqa: PTH120
    if os.path.lexists(folder):
        return ""
    if site.worktree is not None and site.has_lost_worktree and Path(path).is_relative_to(site.worktree):
        return ""
    roots = [os.path.realpath(root) for root in (site.workspace, site.working_directory)]
    return folder if any(Path(folder).is_relative_to(root) for root in roots) else ""


def _named(folders: Sequence[str]) -> str:
    more = len(folders) - SHOWN
    return ", ".join(folders[:SHOWN]) + (f" and {more} more" if more > 0 else "")
