"""What earlier jobs came to, as a page: suggestions with their evidence first, then what they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mozart_nb.consumers.learning.columns import FIXES, MEASURES, RuleRow, SuggestionRow, TemplateRow, TimeRow
from mozart_nb.jupyter.looks.columns import columns, plain
from mozart_nb.jupyter.looks.pieces import section, sentence, small_table
from mozart_nb.jupyter.looks.text import duration, escaped_line
from mozart_nb.jupyter.looks.theme import STYLE, framed
from mozart_nb.looking.learning import Insights
from mozart_nb.words import cost, count, dollars, percent, plural

MOST_ROWS: Final = 30
"""Rows of each table that are shown; the frames have all of them."""

NOTHING: Final = "nothing is known yet: outcomes are counted while jobs run"

_NAME: Final = 80


def insights_html(found: Insights, parts: Sequence[str] = ()) -> str:
    """All of it, or only the named `parts`: `templates`, `rules`, `times`, `suggestions`."""
    tables = {name: html for name, html in _parts(found) if not parts or name in parts}
    body = "".join(tables.values()) or f"<p>{NOTHING}</p>"
    left = plural(found.templates_left_out, "template")
    more = f"<p><small>{left} more: <code>--limit 0</code> shows all</small></p>" if found.templates_left_out else ""
    return STYLE + framed(body + more, "details")


def insights_text(found: Insights, parts: Sequence[str] = (), *, width: int = 0) -> Iterator[str]:
    """The same as lines for a terminal of `width` characters; what a suggestion rests on has a line of its own."""
    for name, title, heads, rows, _ in _tables(found):
        if rows and (not parts or name in parts):
            yield f"{title}:"
            cells = [[plain(cell) for cell in row] for row in rows[:MOST_ROWS]]
            if name == "suggestions":
                evidence = [row.pop() for row in cells]
                head, *lines = columns(heads[:-1], cells, width=width)
                yield head
                for line, text in zip(lines, evidence, strict=True):
                    yield from (line, f"  {text}")
            else:
                yield from columns(heads, cells, width=width)
            if len(rows) > MOST_ROWS:
                yield f"and {len(rows) - MOST_ROWS:,} more rows in the frame"
            yield ""
    if found.templates_left_out:
        yield f"{plural(found.templates_left_out, 'template')} more: --limit 0 shows all"


def _parts(found: Insights) -> Iterator[tuple[str, str]]:
    for name, title, heads, rows, caption in _tables(found):
        left = len(rows) - MOST_ROWS
        more = f"<p><small>and {left:,} more rows in the frame</small></p>" if left > 0 else ""
        table = small_table(heads, rows[:MOST_ROWS], title.lower())
        yield name, section(title, table + more if table else "", caption, is_open=True)


def _tables(found: Insights) -> Sequence[tuple[str, str, Sequence[str], Sequence[Sequence[str]], str]]:
    """Name, title, heads, rows of HTML and caption of each."""
    rules = [row for row in found.rules if row.failures]
    return (
        ("suggestions", "Suggestions", _SUGGESTED, [*map(_suggestion, found.suggestions)], "you decide"),
        ("templates", "First tries", _TRIED, [*map(_template, found.templates)], "share and its 95 % interval"),
        ("rules", "Rules that fail", _FAILED, [*map(_rule, rules)], "of first tries, and what fixed it"),
        ("times", "Per session", _TOOK, [*map(_time, found.times)], "half, nine in ten, and 99 in 100 took no more"),
    )  # fmt: skip


def _named(template: str, *, hints: bool = False, rehearsal: bool = False) -> str:
    notes = [word for word, is_so in (("with hints", hints), ("rehearsal", rehearsal)) if is_so]
    said = f" <small>{', '.join(notes)}</small>" if notes else ""
    return f"<bdi>{escaped_line(template, _NAME)}</bdi>{said}"


_SUGGESTED: Final = ("template", "setting", "now", "suggested", "evidence")


def _suggestion(row: SuggestionRow) -> Sequence[str]:
    if row.missing:
        suggested = f"<small>{row.missing:,} outcomes missing</small>"
    else:
        suggested = f"<b>{row.suggested:g}</b>" if row.suggested is not None else "<small>as it is</small>"
    return (
        _named(row.template),
        escaped_line(row.setting, 60),
        f"{row.present:g}" if row.present is not None else "?",
        suggested,
        sentence(row.evidence, 300),
    )


_TRIED: Final = ("template", "passed at the first try", "jobs", "batches", "attempts", "retries", "cost")


def _template(row: TemplateRow) -> Sequence[str]:
    return (
        _named(row.template, hints=row.hints, rehearsal=row.rehearsal),
        _share(row.first_try_success, row.low, row.high),
        f"{row.jobs:,}",
        f"{row.batches:,}",
        f"{row.attempts:,}",
        f"{row.retries:,}",
        cost(row.cost, 0 if row.cost_known else 1),
    )


def _share(share: float | None, low: float | None, high: float | None) -> str:
    if share is None or low is None or high is None:
        return "<small>none was judged</small>"
    return f"{percent(share)} <small>{percent(low)} to {percent(high)}</small>"


_FAILED: Final = ("rule", "template", "failed first tries", "share", "then fixed by")


def _rule(row: RuleRow) -> Sequence[str]:
    fixed = [f"{name} {number:,}" for key, name in FIXES if (number := getattr(row, key))]
    return (
        f"<bdi>{escaped_line(row.rule, 120)}</bdi>",
        _named(row.template, hints=row.hints, rehearsal=row.rehearsal),
        f"{row.failed_first:,} of {row.judged_first:,}",
        _share(row.failed_share, row.low, row.high),
        ", ".join(fixed),
    )


_TOOK: Final = ("measure", "template", "model", "sessions", "p50", "p90", "p99", "most")


def _time(row: TimeRow) -> Sequence[str]:
    return (
        MEASURES.get(row.measure, escaped_line(row.measure, 40)),
        _named(row.template, rehearsal=row.rehearsal),
        escaped_line(row.model or "–", 60),
        f"{row.count:,}",
        *(_amount(row.measure, value) for value in (row.p50, row.p90, row.p99, row.largest)),
    )


def _amount(measure: str, value: float) -> str:
    if measure == "cost":
        return dollars(value)
    return duration(value) if measure == "duration_seconds" else count(round(value))
