"""What the checks of a job file found, shown below the cell that describes it or names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mozart_nb.job.lint import Issue, Severity
from mozart_nb.job_handle import Job
from mozart_nb.jupyter.looks.checks import checks_html, checks_text
from mozart_nb.jupyter.magics.notebook import Notebook
from mozart_nb.words import plural

_said: set[tuple[str, str]] = set()
"""Places of jobs, and what this process has shown of them: at first it stands open, later folded, or is not repeated
in a terminal."""


@dataclass(frozen=True)
class Checks:
    """What was found short of an error, below the sentence `verdict`. `fix_hint` is a command that mends some of it."""

    issues: Sequence[Issue]
    verdict: str = ""
    fix_hint: str = ""
    is_open: bool = True

    def __str__(self) -> str:
        return checks_text(self.issues, self.verdict, fix_hint=self.fix_hint)

    def _repr_html_(self) -> str:
        return checks_html(self.issues, self.verdict, is_open=self.is_open, fix_hint=self.fix_hint)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def verdict_on(job: Job, what: str, fix_hint: str = "") -> Checks:
    """All that the checks found about a job that can run. `what` names its description."""
    batches, rules = plural(job.prepared.plan.count, "batch"), plural(len(job.config.validations), "rule")
    return Checks(job.issues, f"{what} is valid: job `{job.job_id}`, {batches}, {rules}", fix_hint)


def show_checks(notebook: Notebook, job: Job, fix_hint: str = "") -> None:
    """Show below the cell what there is to say about a job that is about to run; nothing where there is nothing."""
    place = str(job.layout.root)
    new = [issue for issue in job.issues if (place, str(issue)) not in _said]
    _said.update((place, str(issue)) for issue in new)
    warnings = [issue for issue in new if issue.severity is not Severity.INFO]
    if notebook.has_kernel and job.issues:
        notebook.display(Checks(job.issues, fix_hint=fix_hint, is_open=bool(warnings)))
    elif warnings:
        notebook.say(str(Checks(warnings, fix_hint=fix_hint)))
