"""The checks of a loaded job, with what is around it: its files, the environment, who runs it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mozart_nb.errors import ConfigError
from mozart_nb.job.lint import Issue, Severity, lint
from mozart_nb.job.load import DiskFiles, LoadedJob

_NOT_FOR_REHEARSALS = frozenset({"V002", "V113", "V114", "V117", "V123", "V124", "V128", "V130", "V131", "V133"})
"""Checks of what a rehearsal has no use for: the workspace's place, the program, prices, functions, log and
hooks."""


def require_valid(
    loaded: LoadedJob, workspace: Path | None = None, *, rehearse: bool = False, fix_hint: str = ""
) -> list[Issue]:
    """What the checks found short of an error. Raises `ConfigError` with every error; `fix_hint` if they mend."""
    issues = check(loaded, workspace)
    if rehearse:
        issues = [issue for issue in issues if issue.code not in _NOT_FOR_REHEARSALS]
    errors = [issue for issue in issues if issue.severity is Severity.ERROR]
    if errors:
        raise ConfigError([issue.as_problem() for issue in errors], hint=fix_hint if _is_fixable(errors) else "")
    return issues


def check(loaded: LoadedJob, workspace: Path | None = None) -> list[Issue]:
    """Every issue of a job, with its workspace where the command line wants it."""
    if workspace is not None:
        place = {"workspace": str(workspace.absolute())}
        loaded = replace(loaded, config=loaded.config.model_copy(update=place))
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return lint(loaded, DiskFiles(), os.environ, is_root=is_root)


def _is_fixable(issues: Sequence[Issue]) -> bool:
    return any(issue.auto_fixable for issue in issues)
