"""From a hook of the job file to a command line: what is started, where, and with what environment."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mozart_nb.detached import let_go
from mozart_nb.errors import MisuseError
from mozart_nb.job.outputs import HookConfig
from mozart_nb.job.placeholders import expand
from mozart_nb.plans.prepared import Prepared

COMMAND_SECONDS: Final = 300.0
"""How long a command or a program may take that says nothing else."""

JOB_GRACE_SECONDS: Final = 40.0
"""How long a job that was started by a hook may take to pause: its own grace time after SIGTERM, and some more."""


@dataclass(frozen=True)
class Action:
    """A hook made ready to start. `command` is for `sh -c`; times in seconds."""

    what: str
    command: str
    folder: Path
    timeout_seconds: float
    grace_seconds: float = 0.0


def hook_values(prepared: Prepared) -> dict[str, Any]:
    """What placeholders of hooks stand for."""
    config, count = prepared.loaded.config, prepared.plan.count
    return {
        "workspace": str(prepared.places.workspace),
        "job_id": prepared.job_id,
        "job_name": config.name,
        "stakes": config.prompt.stakes or "",
        "thinking_method": config.prompt.thinking_method or "",
        "total_stages": prepared.plan.total_stages,
        **dict.fromkeys(("batch_count", "sheet_count", "total_batches", "total_sheets"), count),
        **config.prompt.variables,
    }


def action_of(hook: HookConfig, prepared: Prepared) -> Action:
    """What to start for a hook. Raises `MisuseError`, `PromptError` among them, when that cannot be said."""
    values = hook_values(prepared)
    folder = _path(hook.working_directory, prepared, values) or prepared.places.working_directory
    if hook.type == "run_job":
        return _job(hook, prepared, values, folder)
    line = expand(hook.command or "", values, "command")
    command = _program(line) if hook.type == "run_script" else line
    return Action(hook.description or line, command, folder, hook.timeout_seconds or COMMAND_SECONDS)


def _path(text: str | None, prepared: Prepared, values: Mapping[str, Any]) -> Path | None:
    return None if text is None else prepared.loaded.resolve(expand(text, values, "path"))


def _program(line: str) -> str:
    """A program and its arguments without a shell in between: only quotes mean something."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise MisuseError(f"`{line}` cannot be split into words: {error}") from error
    if not words:
        raise MisuseError("there is no program to start")
    return f"exec {shlex.join(words)}"


def _job(hook: HookConfig, prepared: Prepared, values: Mapping[str, Any], folder: Path) -> Action:
    concert = prepared.loaded.config.concert
    file = _path(hook.job_path, prepared, values)
    if file is None or not file.is_file():
        raise MisuseError(f"there is no job file {file}")
    words = [sys.executable, "-P", "-m", "mozart_nb", "run", str(file), "-y"]
    if hook.fresh:
        words.append("--fresh")
    workspace = _path(hook.job_workspace, prepared, values)
    if workspace is None and concert.enabled and concert.inherit_workspace:
        workspace = prepared.places.workspace
    if workspace is not None:
        words += ["-w", str(workspace)]
    return Action(
        hook.description or f"job {file}",
        f"exec {shlex.join(words)}",
        folder,
        hook.timeout_seconds or math.inf,
        JOB_GRACE_SECONDS,
    )


def start_detached(action: Action, environ: Mapping[str, str], log: Path) -> int:
    """Start it in a session of its own and let it go; returns its process id. Blocks for some milliseconds.

    Raises `OSError`.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return let_go(["sh", "-c", action.command], environ=environ, folder=action.folder, output=log).pid
