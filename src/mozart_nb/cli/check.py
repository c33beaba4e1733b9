"""Commands that check and describe: `validate`, `schema`, `init`, `doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from rich.text import Text

from mozart_nb.backends.claude_cli import ClaudeCliBackend
from mozart_nb.checkpoint.index import home
from mozart_nb.cli.output import FAILED, OK, STYLES, USAGE, Output, Row, status_text
from mozart_nb.clock import SystemClock
from mozart_nb.errors import ConfigError, MisuseError, Problem, UnreadableError
from mozart_nb.hosts.headless import run_briefly
from mozart_nb.job.lint import Issue, Severity, has_errors
from mozart_nb.job.load import load_job
from mozart_nb.job.report import Notice
from mozart_nb.job.schema import job_schema
from mozart_nb.masking import masked
from mozart_nb.plans.checking import check
from mozart_nb.plans.mending import Mended, mend
from mozart_nb.words import amount, plural

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


# --- doctor -----------------------------------------------------------------------------------------------------------

Verdict = Literal["ok", "warning", "error"]
MIN_FREE_BYTES: Final = 100 << 20
COMFORTABLE_BYTES: Final = 2 << 30
OLDEST_PYTHON: Final = (3, 11)
NEWEST_PYTHON: Final = (3, 14)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `hint` says what to do when it is not `ok`."""

    name: str
    status: Verdict
    detail: str
    hint: str = ""


def doctor(output: Output, workspace: Path | None) -> int:
    """Look the installation over; contacts nobody and pays nothing. Exit code 1 when something has to be mended."""
    findings = list(_findings(workspace or Path.cwd()))
    failed = any(finding.status == "error" for finding in findings)
    if output.json:
        output.document({"ok": not failed, "checks": [asdict(finding) for finding in findings]})
        return FAILED if failed else OK
    rows: list[Row] = [[status_text(finding.status), finding.name, finding.detail] for finding in findings]
    output.table(["", "", ""], rows)
    for finding in findings:
        if finding.hint:
            output.show(f"{finding.name}: {finding.hint}")
    return FAILED if failed else OK


def _findings(folder: Path) -> Iterator[Finding]:
    yield Finding("mozart_nb", "ok", _own_version())
    yield _python()
    yield from _claude()
    yield _api()
    yield _disk("disk here", folder)
    yield _disk("temporary folder", Path(tempfile.gettempdir()))
    yield _home()


def _own_version() -> str:
    try:
        return version("mozart-nb")
    except PackageNotFoundError:
        return "not installed, run from its source"


def _python() -> Finding:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return Finding("python", "ok", detail)
    return Finding("python", "warning", detail, "tested with Python 3.11 to 3.14")


def _claude() -> Iterator[Finding]:
    """The program as sessions would find it. Asked for its version only."""
    health = run_briefly(ClaudeCliBackend(SystemClock()).check())
    facts: Mapping[str, str] = health.facts
    if not health.ok:
        hint = "install it (https://code.claude.com), or set backend.cli_path; rehearsals work without it"
        yield Finding("claude", "error", f"{health.code}: {health.message}", hint)
        return
    found, recorded = facts.get("version", "?"), facts.get("recorded", "?")
    detail = f"{found} at {facts.get('program', '?')}"
    if found == recorded:
        yield Finding("claude", "ok", detail)
    else:
        yield Finding("claude", "warning", detail, f"its behaviour was recorded with version {recorded}")
    login = facts.get("login", "unknown")
    if login == "unknown":
        yield Finding("login", "warning", "no key and no login was found", "run `claude` once and log in, or set a key")
    else:
        yield Finding("login", "ok", login)


def _api() -> Finding:
    """Whether jobs could call the API. The key itself is neither shown nor tried."""
    try:
        sdk = f"anthropic {version('anthropic')}"
    except PackageNotFoundError:
        return Finding("api", "error", "the package anthropic is not installed", "pip install 'anthropic[aiohttp]>=1'")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        if os.environ.get(name):
            return Finding("api", "ok", f"{sdk}, {name} is set")
    hint = "set ANTHROPIC_API_KEY for the backends anthropic_api and anthropic_batches; others need no key"
    return Finding("api", "warning", f"{sdk}, no key in the environment", hint)


def _disk(name: str, folder: Path) -> Finding:
    place = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), Path.cwd())
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Finding(name, "error", f"{place}: {error.strerror}")
    detail = f"{amount(free)} free in {place}"
    if not os.access(place, os.W_OK):
        return Finding(name, "error", detail, "this folder cannot be written to")
    if free < MIN_FREE_BYTES:
        return Finding(name, "error", detail, "a job pauses when the disk is full: make room")
    if free < COMFORTABLE_BYTES:
        return Finding(name, "warning", detail, "raw output of sessions is kept, long jobs may need more")
    return Finding(name, "ok", detail)


def _home() -> Finding:
    """Where the index of jobs and the shared rate-limit gates are kept."""
    place = home()
    existing = next(path for path in (place, *place.absolute().parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        return Finding("index of jobs", "ok", str(place))
    hint = "set MOZART_NB_HOME to a folder you can write to; ids are not found from anywhere until then"
    return Finding("index of jobs", "warning", f"{place} cannot be written to", hint)
