"""Where a job works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute folders of a job. `files` is the job file's own: where the relative paths in it start.

    `root`: when set (a rehearsal), nothing outside it may be written. `worktree`: when set, the working directory is in
    that git worktree, not in the checkout.
    """

    workspace: Path
    working_directory: Path
    job_folder: Path
    files: Path
    root: str = ""
    worktree: str = ""
