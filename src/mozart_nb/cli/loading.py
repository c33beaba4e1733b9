"""Job files as the commands load them: checked, with every warning said once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mozart_nb.cli.output import Output
from mozart_nb.job.given import Given
from mozart_nb.job.lint import Severity
from mozart_nb.job.load import NOTHING_GIVEN, LoadedJob, load_job
from mozart_nb.plans.checking import require_valid


def load_checked(
    output: Output,
    file: Path,
    *,
    overrides: Sequence[str] = (),
    strict: bool = False,
    workspace: Path | None = None,
    rehearse: bool = False,
    given: Given = NOTHING_GIVEN,
) -> LoadedJob:
    """Load a job file that is to be run. Raises `ConfigError` with every error of the checks; warnings are said.

    `given` is what a notebook gave when the job was planned.
    """
    loaded = load_job(file, overrides=overrides, strict=strict, given=given)
    hint = f"`mozart validate {file} --fix` mends what can be mended"
    for issue in require_valid(loaded, workspace, rehearse=rehearse, fix_hint=hint):
        if issue.severity is Severity.WARNING or output.verbose:
            output.warn(issue.shown())
    return loaded
