"""The command `errors`: what failed, by code."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from mozart_nb.checkpoint.index import resolve
from mozart_nb.cli.output import OK, Output
from mozart_nb.consumers.documents import error_document, error_groups
from mozart_nb.consumers.rows import ErrorRecord
from mozart_nb.errors import MisuseError
from mozart_nb.events import RuleResult
from mozart_nb.looking.failures import FailureFilter, failure_filter, failures_at, failures_of_all
from mozart_nb.looking.finding import known_layouts
from mozart_nb.words import last_lines, moment, one_line, plural, spans

TAIL_LINES: Final = 10
"""Lines of a session's output that `errors --verbose` prints."""

MOST_SHOWN: Final = 100
"""Failures of one code that `errors --verbose` shows one by one; `--json` has all of them."""


@dataclass(frozen=True, kw_only=True)
class ErrorsWish:
    """What was asked of `errors`, as it was typed. Batch 0 stands for all of them."""

    code: str = ""
    batch: int = 0
    kind: str = ""
    since: str = ""
    until: str = ""
    verbose: bool = False

    def wanted(self) -> FailureFilter:
        """Raises `MisuseError` for what is no type and no time."""
        return failure_filter(code=self.code, batch=self.batch, kind=self.kind, since=self.since, until=self.until)

    @property
    def is_narrow(self) -> bool:
        return bool(self.code or self.batch or self.kind or self.since or self.until)


def errors(output: Output, job_id: str | None, workspace: Path | None, wish: ErrorsWish) -> int:
    """Show failures by code: of one job, or of all of them."""
    if wish.batch and job_id is None:
        raise MisuseError("--batch needs a job", hint="mozart errors ID --batch N")
    found = _found(output, job_id, workspace, wish)
    if output.json:
        rows = [error_document(error, verbose=wish.verbose) for error in found]
        output.document({"total": len(found), "groups": error_groups(found), "errors": rows})
        return OK
    if not found:
        output.say("no such errors" if wish.is_narrow else "no errors")
        return OK
    members: dict[str, list[ErrorRecord]] = defaultdict(list)
    for error in found:
        members[error.code].append(error)
    for group in error_groups(found):
        _show_group(output, group, members[group["code"]], verbose=wish.verbose, names_jobs=job_id is None)
    standing = dict.fromkeys((error.job_id, error.batch) for error in found if not error.is_resolved)
    for worst, _ in Counter(job for job, _ in standing).most_common(1):
        output.say(f"next: mozart diagnose {worst}")
    return OK


def _found(output: Output, job_id: str | None, workspace: Path | None, wish: ErrorsWish) -> list[ErrorRecord]:
    """In order of time. Of several jobs, one that cannot be read does not hide the others."""
    wanted = wish.wanted()
    if job_id is not None:
        return failures_at(resolve(job_id, workspace), wanted, with_tails=wish.verbose)
    found, unread = failures_of_all(known_layouts(workspace), wanted, with_tails=wish.verbose)
    for one in unread:
        output.warn(f"{one.job_id}: {one.message}")
    return found


def _show_group(
    output: Output, group: dict[str, Any], members: Sequence[ErrorRecord], *, verbose: bool, names_jobs: bool
) -> None:
    style = "bold red" if group["unresolved"] else "bold"
    title = Text.assemble((group["code"], style), f" {group['meaning']} · {plural(group['count'], 'time')}")
    if group["unresolved_batches"]:
        standing = group["unresolved_batches"]
        title.append(f" · not mended: batch{'es' if len(standing) > 1 else ''} {spans(standing)}")
    elif not group["unresolved"]:
        title.append(" · mended by later attempts", style="green")
    output.show(title)
    if names_jobs:
        output.show(f"  jobs  {', '.join(group['jobs'])}")
    if group["unresolved"]:
        output.show(f"  do    {group['advice']}")
    for text in dict.fromkeys(text for error in members if not error.is_resolved for text in error.remedies):
        output.show(f"  help  {one_line(text, 500)}")
    last = members[-1]
    output.show(f"  last  {_where(last)}{one_line(last.message, 300)}")
    if verbose:
        shown = _worth_showing(members)
        for error in shown[:MOST_SHOWN]:
            _show_error(output, error)
        if len(shown) > MOST_SHOWN:
            more = plural(len(shown) - MOST_SHOWN, "more batch", "more batches")
            output.show(f"\n  and {more}: --batch N, or --json")


def _where(error: ErrorRecord) -> str:
    where = f"{moment(error.at, time.time())} " if error.at else ""
    return f"{where}batch {error.batch}, attempt {error.attempt}: " if error.batch else f"{where}the job: "


def _worth_showing(members: Iterable[ErrorRecord]) -> list[ErrorRecord]:
    """The last failure of each batch, those not mended first."""
    last = {(error.job_id, error.batch): error for error in members}
    return sorted(last.values(), key=lambda error: (error.is_resolved, error.job_id, error.batch))


def _show_error(output: Output, error: ErrorRecord) -> None:
    mended = " (mended since)" if error.is_resolved else ""
    output.show()
    output.show(Text(f"  {error.job_id} {_where(error).rstrip(': ')}{mended}", style="bold"))
    output.show(f"    {one_line(error.message, 500)}")
    for result in error.results:
        if result.status == "failed":
            _show_rule(output, result)
    for name, tail in (("stdout", error.stdout_tail), ("stderr", error.stderr_tail)):
        if tail.strip():
            output.show(f"    end of {name}:")
            output.show("\n".join(f"      {line}" for line in last_lines(tail, TAIL_LINES).splitlines()))


def _show_rule(output: Output, result: RuleResult) -> None:
    rule = f"rule {result.rule} {result.type} {one_line(result.path, 200)}" if result.rule else "form of the answer"
    output.show(f"    {rule}")
    for label, text in (
        ("what for", result.description),
        ("expected", result.expected),
        ("seen", result.actual if result.rule else result.message),
    ):
        if text:
            output.show(f"      {label:<9}{one_line(text, 500)}")
