"""What failed, by code, and with what each rule expected and saw where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mozart_nb.consumers.rows import ErrorRecord
from mozart_nb.jupyter.looks.errors import errors_html
from mozart_nb.jupyter.looks.pieces import framed_text, section, small_table
from mozart_nb.jupyter.looks.text import escaped_line
from mozart_nb.jupyter.looks.theme import STYLE, framed, mark
from mozart_nb.words import moment, plural, spans

MOST_DETAILS: Final = 25
"""Failures that are shown one by one; the frame has all of them."""

NONE_SUCH: Final = "no such errors"
"""What is said where others may exist."""

_MOST_JOBS: Final = 8
_MOST_RULES: Final = 8
_TAIL_BYTES: Final = 1_200


def failures_html(
    groups: Sequence[Mapping[str, Any]],
    details: Sequence[ErrorRecord] = (),
    *,
    now: float,
    names_jobs: bool = False,
    is_over: bool = True,
    is_narrow: bool = False,
    notes: Sequence[str] = (),
) -> str:
    """`groups` of `consumers.documents.error_groups` as a table, `details` one by one below it.

    `names_jobs`: they are of several jobs. `is_narrow`: only some were asked for. `notes` are sentences about what
    could not be read.
    """
    last = _last_of_each(details)
    body = "".join(_detail(error, now, names_jobs=names_jobs) for error in last[:MOST_DETAILS])
    left = len(last) - MOST_DETAILS
    more = f"<p><small>and {left:,} more in the frame</small></p>" if left > 0 else ""
    parts = (
        errors_html(groups, is_over=is_over) if groups or not is_narrow else f"<p>{NONE_SUCH}</p>",
        _jobs(groups) if names_jobs else "",
        section("One by one", body + more if body else "", plural(len(last), "failure"), is_open=True),
        *(f'<p class="mozart-note mozart-is-waiting"><bdi>{escaped_line(note, 300)}</bdi></p>' for note in notes),
    )
    return STYLE + framed("".join(parts), "details")


def _jobs(groups: Sequence[Mapping[str, Any]]) -> str:
    """In which jobs each code occurred."""
    rows = []
    for group in groups:
        shown = ", ".join(group["jobs"][:_MOST_JOBS])
        left = len(group["jobs"]) - _MOST_JOBS
        rows.append(
            (escaped_line(group["code"], 10), escaped_line(shown + (f" and {left} more" if left > 0 else ""), 600))
        )
    return section("Jobs", small_table(("code", "jobs"), rows, "jobs by code"))


def _last_of_each(details: Sequence[ErrorRecord]) -> list[ErrorRecord]:
    """The last failure of each batch, those not mended first."""
    last = {(error.job_id, error.batch): error for error in details}
    return sorted(last.values(), key=lambda error: (error.is_resolved, error.job_id, error.batch))


def _detail(error: ErrorRecord, now: float, *, names_jobs: bool) -> str:
    whose = f"batch {error.batch}, attempt {error.attempt}" if error.batch else "the job"
    where = f"{error.job_id}, {whose}" if names_jobs else whose
    mended = f" {mark('completed')} mended since" if error.is_resolved else ""
    head = (
        f"<p>{mark('completed' if error.is_resolved else 'failed')} <b>{escaped_line(error.code, 10)}</b> "
        f"{escaped_line(where, 200)} <small>{escaped_line(moment(error.at, now))}{mended}</small></p>"
    )
    said = f'<p class="mozart-quote"><bdi>{escaped_line(error.message, 500)}</bdi></p>'
    kind = "completed" if error.is_resolved else "failed"
    return f'<div class="mozart-note mozart-is-{kind}">{head}{said}{_rules(error)}{"".join(_tails(error))}</div>'


def _rules(error: ErrorRecord) -> str:
    failed = [result for result in error.results if result.status == "failed"]
    rows = (
        (
            f"{result.rule}" if result.rule else "form",
            escaped_line(" ".join(text for text in (result.type, result.path, result.description) if text), 240),
            escaped_line(result.expected, 300),
            escaped_line(result.actual or result.message, 300),
        )
        for result in failed[:_MOST_RULES]
    )
    left = len(failed) - _MOST_RULES
    more = f"<p><small>and {plural(left, 'more rule')}</small></p>" if left > 0 else ""
    return small_table(("rule", "what", "expected", "saw"), rows, "rules that were not passed") + more


def _tails(error: ErrorRecord) -> Iterator[str]:
    for name, text in (("stdout", error.stdout_tail), ("stderr", error.stderr_tail)):
        if text.strip():
            yield section(f"end of {name}", framed_text(text[-4 * _TAIL_BYTES :], _TAIL_BYTES))


def failures_text(groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The groups as lines."""
    for group in groups:
        standing = group["unresolved_batches"]
        where = f", not mended: batch{'es' if len(standing) > 1 else ''} {spans(standing)}" if standing else ""
        mended = ", mended by later attempts" if not group["unresolved"] else ""
        yield f"{group['code']} {group['meaning']}: {plural(group['count'], 'time')}{where}{mended}"
        if group["unresolved"]:
            yield f"  what helps: {group['advice']}"
        yield f"  last: {group['last_message']}"
