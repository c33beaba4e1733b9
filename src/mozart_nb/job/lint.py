"""Checks of a loaded job that execute nothing: one small rule per V-code, gathered into `lint`.

    issues = lint(load_job("job.yaml"), DiskFiles(), os.environ)

An ERROR means the job cannot run as written; a WARNING that it may not do what was meant; INFO is worth knowing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mozart_nb.errors import Problem
from mozart_nb.job import (
    lint_answers,
    lint_disk,
    lint_isolation,
    lint_money,
    lint_notebook,
    lint_places,
    lint_prompt,
    lint_rules,
    lint_secrets,
)
from mozart_nb.job.document import show_path
from mozart_nb.job.load import LoadedJob
from mozart_nb.job.report import Respelling
from mozart_nb.job.vcodes import NOTICED, V_CODES, Files, Finding, Rule, Severity, Subject

__all__ = ["NOTICED", "RULES", "V_CODES", "Files", "Issue", "Severity", "has_errors", "lint"]

RULES: Final[Mapping[str, Rule]] = {
    **lint_rules.RULES,
    **lint_prompt.RULES,
    **lint_places.RULES,
    **lint_money.RULES,
    **lint_answers.RULES,
    **lint_notebook.RULES,
    **lint_secrets.RULES,
    **lint_disk.RULES,
    **lint_isolation.RULES,
}
"""V-code → the rule that finds it; codes that loading finds are in `NOTICED`."""


@dataclass(frozen=True, slots=True)
class Issue:
    """What a rule found. `line` and `column` count from 1, 0 where unknown; `file` is where they are.

    `source` is that line, secrets blotted out, `before` the one above it where it helps to see it. `creates` is the
    folder that an automatic fix makes, `respells` the misspelled name that it corrects (`fixes.fixed`).
    """

    code: str
    severity: Severity
    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    suggestion: str = ""
    auto_fixable: bool = False
    file: str = ""
    creates: Path | None = None
    source: str = ""
    before: str = ""
    respells: Respelling | None = None

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{self.code} {self.severity}: {self.message}"
        if self.suggestion:
            text += f" ({self.suggestion})"
        return f"{where}: {text}" if where else text

    def shown(self) -> str:
        """The issue, and below it the line of the file with carets below the place."""
        return "\n".join([str(self), *self.as_problem().excerpt()])

    def as_problem(self) -> Problem:
        """The issue as an error has it, or as lines for a person (`as_problem().shown()`)."""
        message = f"{self.code} {self.message}"
        if self.suggestion:
            message += f" ({self.suggestion})"
        places = {name: getattr(self, name) for name in ("path", "line", "column", "file", "source", "before")}
        return Problem(message, **places)


def lint(loaded: LoadedJob, files: Files, env: Mapping[str, str], *, is_root: bool = False) -> list[Issue]:
    """Every issue of a loaded job, in file order. Executes nothing and asks only `files`, `env` and `is_root`.

    `is_root`: whether sessions will run as the superuser.
    """
    subject = Subject(loaded, files, env, is_root)
    issues = [_issue(code, finding, loaded) for code, check in RULES.items() for finding in check(subject)]
    issues += _noticed(loaded)
    return sorted(issues, key=lambda issue: (issue.line, issue.column, issue.code))


def has_errors(issues: Iterable[Issue]) -> bool:
    """Whether a job with these issues must not run."""
    return any(issue.severity is Severity.ERROR for issue in issues)


def _issue(code: str, finding: Finding, loaded: LoadedJob) -> Issue:
    place = loaded.positions.find(finding.path)
    override = loaded.positions.override_of(finding.path)
    line, column, file = place.value_line, place.value_column, loaded.file
    if finding.line_below:
        line += finding.line_below - (0 if place.is_block else 1)
        column = 1 if place.is_block or finding.line_below > 1 else column
    if override is not None:
        line, column, file = 0, 0, f"--set {override}"
    path = loaded.positions.as_written(finding.path)
    is_in_text = override is None and path in loaded.positions.places
    respells = replace(finding.respells, at=path) if finding.respells is not None and is_in_text else None
    return Issue(
        code=code,
        severity=V_CODES[code].severity,
        message=finding.message,
        path=show_path(path),
        line=line,
        column=column,
        suggestion=finding.suggestion,
        auto_fixable=finding.creates is not None or respells is not None,
        file=file,
        creates=finding.creates,
        respells=respells,
        **loaded.positions.seen(path, line),
    )


def _noticed(loaded: LoadedJob) -> list[Issue]:
    return [
        Issue(
            code=notice.code,
            severity=V_CODES[notice.code].severity,
            message=notice.message,
            path=notice.path,
            line=notice.line,
            column=notice.column,
            suggestion=f"did you mean `{notice.nearest}`?" if notice.nearest else "",
            auto_fixable=notice.respells is not None,
            file=notice.file,
            respells=notice.respells,
            source=notice.source,
            before=notice.before,
        )
        for notice in loaded.warnings
    ]
