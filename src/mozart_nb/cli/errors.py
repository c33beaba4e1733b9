"""The command `errors`: what failed, by code."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.output import OK, Output
from mozart_nb.consumers.documents import error_document, error_groups
from mozart_nb.consumers.rows import Attempts, ErrorRecord, errors_of
from mozart_nb.errors import MisuseError, MozartError
from mozart_nb.events import RuleResult
from mozart_nb.looking.finding import find, known_layouts
from mozart_nb.words import last_lines, moment, one_line, plural, spans

TAIL_LINES: Final = 10
"""Lines of a session's output that `errors --verbose` prints."""


def errors(output: Output, job_id: str | None, workspace: Path | None, *, code: str, batch: int, verbose: bool) -> int:
    """Show failures by code: of one job, or of all of them."""
    if batch and job_id is None:
        raise MisuseError("--batch needs a job", hint="mozart errors ID --batch N")
    layouts = [resolve(job_id, workspace)] if job_id is not None else known_layouts(workspace)
    found = [error for layout in layouts for error in _errors_at(output, layout, alone=job_id is not None)]
    wanted = [e for e in found if (not code or e.code == code.upper()) and (not batch or e.batch == batch)]
    wanted.sort(key=lambda error: error.at)
    if output.json:
        rows = [error_document(error, verbose=verbose) for error in wanted]
        output.document({"total": len(wanted), "groups": error_groups(wanted), "errors": rows})
        return OK
    if not wanted:
        output.say("no errors")
        return OK
    for group in error_groups(wanted):
        members = [error for error in wanted if error.code == group["code"]]
        _show_group(output, group, members, verbose=verbose, names_jobs=job_id is None)
    return OK


def _errors_at(output: Output, layout: Layout, *, alone: bool) -> list[ErrorRecord]:
    """Failures of one job; one that cannot be read does not hide the others."""
    try:
        attempts = Attempts()
        attempts.hear(read_events(layout))
        return errors_of(find(layout).state, attempts.records)
    except MozartError as error:
        if alone:
            raise
        output.warn(f"{layout.job_id}: {error.message}")
        return []


def _show_group(
    output: Output, group: dict[str, Any], members: Sequence[ErrorRecord], *, verbose: bool, names_jobs: bool
) -> None:
    style = "bold red" if group["unresolved"] else "bold"
    title = Text.assemble((group["code"], style), f" {group['meaning']} · {plural(group['count'], 'time')}")
    if group["unresolved_batches"]:
        title.append(f" · not mended: batches {spans(group['unresolved_batches'])}")
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
        for error in _worth_showing(members):
            _show_error(output, error)


def _where(error: ErrorRecord) -> str:
    where = f"{moment(error.at, time.time())} " if error.at else ""
    return f"{where}batch {error.batch}, attempt {error.attempt}: " if error.batch else f"{where}the job: "


def _worth_showing(members: Sequence[ErrorRecord]) -> Iterable[ErrorRecord]:
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
