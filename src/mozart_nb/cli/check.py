"""Commands that check and describe: `validate`, `schema`, `init`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from mozart_nb.cli.output import FAILED, OK, STYLES, USAGE, Output
from mozart_nb.errors import ConfigError, MisuseError, Problem, UnreadableError
from mozart_nb.job.lint import Issue, Severity, has_errors
from mozart_nb.job.load import load_job
from mozart_nb.job.report import Notice
from mozart_nb.job.schema import job_schema
from mozart_nb.masking import masked
from mozart_nb.plans.checking import check
from mozart_nb.plans.mending import Mended, mend
from mozart_nb.words import plural

CONFIG_ERROR: Final = "E502"
"""Stands where a V-code would for what the loader itself refuses."""

# --- validate ---------------------------------------------------------------------------------------------------------


def validate(
    output: Output, file: Path, workspace: Path | None, *, fix: bool, strict: bool, dry_run: bool = False
) -> int:
    """Check a job file. Exit code 0: valid, 1: at least one error, 2: cannot be read or parsed.

    With `fix` it is mended first where that needs no questions; with `dry_run` as well, that is only shown.
    """
    if dry_run and not fix:
        raise MisuseError("--dry-run shows what --fix would do", hint=f"mozart validate {file} --fix --dry-run")
    mended = Mended()
    offer = partial(_offer, output, file, workspace, fix=fix, dry_run=dry_run)
    try:
        if fix:
            mended = mend(file, workspace, dry_run=dry_run)
            _show_mended(output, mended, dry_run=dry_run)
        issues = check(load_job(file, strict=strict), workspace)
    except UnreadableError as error:
        return _refused(output, file, error.problems, USAGE, mended, offer)
    except ConfigError as error:
        return _refused(output, file, error.problems, FAILED, mended, offer)
    failed = has_errors(issues)
    if output.json:
        output.document(_validation(file, not failed, [_issue(issue) for issue in issues], mended))
        return FAILED if failed else OK
    for issue in issues:
        label = issue.severity.value
        text = "\n".join([_after_label(issue), *issue.as_problem().excerpt()])
        output.show(Text.assemble(*_label(label), text))
    _verdict(output, file, [issue.severity.value for issue in issues])
    offer(sum(issue.auto_fixable for issue in issues))
    return FAILED if failed else OK


def _show_mended(output: Output, mended: Mended, *, dry_run: bool) -> None:
    if not output.json:
        for line in mended.diff:
            output.show(line)
    for what in mended.done:
        output.say(f"{'would fix' if dry_run else 'fixed'}: {what}")


def _refused(
    output: Output, file: Path, problems: Sequence[Problem], code: int, mended: Mended, offer: Callable[[int], None]
) -> int:
    """The file does not even load: every reason why."""
    if output.json:
        output.document(_validation(file, False, [_problem(problem) for problem in problems], mended))
        return code
    for problem in problems:
        output.show(Text.assemble(*_label("ERROR"), "\n".join(problem.shown())))
    _verdict(output, file, ["ERROR"] * len(problems))
    offer(sum(_can_be_fixed(problem) for problem in problems))
    return code


def _offer(output: Output, file: Path, workspace: Path | None, fixable: int, *, fix: bool, dry_run: bool) -> None:
    """What --fix would do about what was shown: not what it leaves alone because more would be wrong afterwards."""
    if not fixable or dry_run:
        return
    if fix:
        output.say("what --fix has left alone has other mistakes behind it: correct those by hand first")
    elif done := min(fixable, len(mend(file, workspace, dry_run=True).done)):
        what = "one of these" if done == 1 else f"{done} of these"
        output.say(f"{what} can be corrected without asking: mozart validate {file} --fix (--dry-run shows how)")


def _can_be_fixed(problem: Problem) -> bool:
    return isinstance(problem, Notice) and problem.respells is not None


def _label(severity: str) -> tuple[tuple[str, str], str]:
    return (f"{severity:<7}", STYLES.get(severity.lower(), "")), " "


def _after_label(issue: Issue) -> str:
    where = ":".join(str(part) for part in (issue.file, issue.line, issue.column) if part)
    text = f"{issue.code} {where}: {issue.message}"
    return f"{text} ({issue.suggestion})" if issue.suggestion else text


def _verdict(output: Output, file: Path, severities: Sequence[str]) -> None:
    errors, warnings = severities.count("ERROR"), severities.count("WARNING")
    verdict = "not valid" if errors else "valid"
    output.show(f"{file}: {verdict}, {plural(errors, 'error')}, {plural(warnings, 'warning')}")


def _validation(file: Path, valid: bool, issues: list[dict[str, Any]], mended: Mended) -> dict[str, Any]:
    severities = [issue["severity"] for issue in issues]
    return {
        "file": str(file),
        "valid": valid,
        "errors": severities.count("ERROR"),
        "warnings": severities.count("WARNING"),
        "issues": issues,
        "fixed": mended.done,
        "diff": mended.diff,
    }


def _issue(issue: Issue) -> dict[str, Any]:
    return {
        "code": issue.code,
        "severity": issue.severity.value,
        "message": masked(issue.message),
        "file": issue.file,
        "path": masked(issue.path),
        "line": issue.line,
        "column": issue.column,
        "source": issue.source,
        "suggestion": masked(issue.suggestion),
        "auto_fixable": issue.auto_fixable,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    advice = [f"allowed: {problem.allowed}" if problem.allowed else ""]
    advice.append(f"did you mean `{problem.nearest}`?" if problem.nearest else "")
    return {
        "code": CONFIG_ERROR,
        "severity": Severity.ERROR.value,
        "message": masked(problem.message),
        "file": problem.file,
        "path": masked(problem.path),
        "line": problem.line,
        "column": problem.column,
        "source": problem.source,
        "value": masked(problem.value),
        "suggestion": masked("; ".join(text for text in advice if text)),
        "auto_fixable": _can_be_fixed(problem),
    }


# --- schema and init --------------------------------------------------------------------------------------------------


def schema(output: Output) -> int:
    """Print the JSON Schema of job files."""
    output.document(job_schema())
    return OK


_TEMPLATE = Path(__file__).parent / "template.yaml"


def init(output: Output, file: Path, name: str) -> int:
    """Write a commented job file; never over one that is there."""
    text = _TEMPLATE.read_text(encoding="utf-8").replace("NAME", name, 1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise MisuseError(f"{file} exists already", hint="choose another name: mozart init OTHER.yaml") from None
    except OSError as error:
        raise MisuseError(f"{file} cannot be written: {error.strerror}") from error
    if output.json:
        output.document({"file": str(file), "name": name})
    output.say(f"wrote {file}")
    output.say(f"next: mozart validate {file} · mozart rehearse {file} (free of charge) · mozart run {file}")
    return OK
