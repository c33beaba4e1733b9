"""What the checks of a job file found short of an error, as a small block below the cell and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mozart_nb.job.lint import Issue, Severity
from mozart_nb.jupyter.looks.pieces import section, sentence
from mozart_nb.jupyter.looks.text import escaped, escaped_line
from mozart_nb.jupyter.looks.theme import STYLE, framed, mark
from mozart_nb.words import page, plural

MOST: Final = 20
"""Issues that are shown one by one."""

_LOOKS: Final = {Severity.ERROR: "failed", Severity.WARNING: "waiting", Severity.INFO: "running"}
_NOUNS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def checks_html(issues: Sequence[Issue], verdict: str = "", *, is_open: bool = True, fix_hint: str = "") -> str:
    """The issues with the lines they are about; `verdict` is the sentence above, `fix_hint` says how some are mended.

    Empty when there is nothing to say.
    """
    head = f"<p>{mark('completed')} {sentence(verdict, 300)}</p>" if verdict else ""
    body = "".join(_issue(issue) for issue in issues[:MOST])
    left = len(issues) - MOST
    more = f"<p><small>and {left:,} more</small></p>" if left > 0 else ""
    worst = min((list(_LOOKS).index(issue.severity) for issue in issues), default=0)
    title = f"{mark([*_LOOKS.values()][worst])} {summary(issues)}"
    found = section(title, body + more, _fixable(issues, fix_hint), is_open=is_open)
    return STYLE + framed(head + found, "details") if head or found else ""


def summary(issues: Sequence[Issue]) -> str:
    """`2 warnings, 1 note`."""
    severities = [issue.severity for issue in issues]
    return ", ".join(plural(severities.count(one), noun) for one, noun in _NOUNS.items() if one in severities)


def _fixable(issues: Sequence[Issue], hint: str) -> str:
    number = sum(issue.auto_fixable for issue in issues)
    return f"<code>{escaped_line(hint)}</code> mends {number} of them" if number and hint else ""


def _issue(issue: Issue) -> str:
    where = f"line {issue.line}" if issue.line else escaped_line(issue.file, 120)
    told = sentence(issue.message)
    advice = f" <em>{sentence(issue.suggestion, 300)}</em>" if issue.suggestion else ""
    excerpt = "\n".join(issue.as_problem().excerpt())
    shown = f'<pre class="mozart-text">{escaped(excerpt, 1_000)}</pre>' if excerpt else ""
    return (
        f'<div class="mozart-note mozart-is-{_LOOKS[issue.severity]}"><p><b>{escaped_line(issue.code, 10)}</b> '
        f"<small>{where}</small> {told}{advice}</p>{shown}</div>"
    )


def checks_text(issues: Sequence[Issue], verdict: str = "", *, fix_hint: str = "") -> str:
    """The same as lines."""
    return page(_lines(issues, verdict, fix_hint))


def _lines(issues: Sequence[Issue], verdict: str, fix_hint: str) -> Iterator[str]:
    if verdict:
        yield verdict
    for issue in issues[:MOST]:
        yield from f"{_NOUNS[issue.severity]}: {issue.shown()}".split("\n")
    if len(issues) > MOST:
        yield f"and {len(issues) - MOST:,} more"
    number = sum(issue.auto_fixable for issue in issues)
    if number and fix_hint:
        yield f"`{fix_hint}` mends {number} of them"
