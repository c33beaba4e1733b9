"""The command `learning`: what earlier jobs came to, by template, and what that says about settings."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from mozart_nb.cli.output import OK, Output
from mozart_nb.consumers.learning.columns import FIXES, MEASURES, RuleRow, SuggestionRow, TemplateRow, TimeRow
from mozart_nb.looking.learning import Insights, find_insights
from mozart_nb.words import clock, count, dollars, moment, one_line, percent, plural

MOST_RULES: Final = 8
"""Rules of a template that are listed, those that fail most."""


def learning(output: Output, about: str | None, *, limit: int) -> int:
    """Show what is known of templates, the newest first; `limit` of them, 0 for all."""
    found = find_insights(about, limit=limit)
    for notice in found.notices:
        output.warn(notice)
    if output.json:
        output.document(found.document())
        return OK
    if not found.templates:
        output.say("nothing is known yet: outcomes are counted while jobs run")
        return OK
    keys = dict.fromkeys(row.key for row in found.templates)
    for number, key in enumerate(keys):
        if number:
            output.show()
        _show(output, found, key)
    if found.templates_left_out:
        output.say(f"{plural(found.templates_left_out, 'template')} more: --limit 0 shows all")
    return OK


def _show(output: Output, found: Insights, key: str) -> None:
    rows = [row for row in found.templates if row.key == key]
    output.show(f"{one_line(rows[0].template, 80)}  {key}  last used {moment(rows[0].last_at, time.time())}")
    for row in rows:
        for line in _first_tries(row):
            output.show(f"  {line}")
    rules = [row for row in found.rules if row.key == key and row.failures and not row.rehearsal]
    if rules:
        output.show()
        output.table(("  rule that failed", "first tries", "share", "then fixed by"), map(_rule, rules[:MOST_RULES]))
    if len(rules) > MOST_RULES:
        output.show(f"  … {len(rules) - MOST_RULES} more: --json lists them")
    times = [row for row in found.times if row.key == key and not row.rehearsal]
    if times:
        output.show()
        output.table(("  per session", "model", "sessions", "p50", "p90", "p99", "most"), map(_time, times))
    suggestions = [row for row in found.suggestions if row.key == key]
    if suggestions:
        output.show()
        for line in _suggestions(suggestions):
            output.show(f"  {line}")


def _first_tries(row: TemplateRow) -> Iterator[str]:
    what = " with hints" if row.hints else ""
    what += " (rehearsal: counts for nothing below)" if row.rehearsal else ""
    where = f"{plural(row.jobs, 'job')}{what}"
    share = row.first_try_success
    if share is None or row.low is None or row.high is None:
        yield f"{where}: no first try was judged"
    else:
        interval = f"{percent(row.low)} to {percent(row.high)}"
        passed = f"{row.passed_first:,} of {plural(row.batches, 'batch')} passed at the first try"
        yield f"{where}: {passed}, {percent(share)} ({interval})"
    counts = (
        (row.retries, "retry", "retries"),
        (row.completions, "completion attempt", ""),
        (row.healed, "healed attempt", ""),
        (row.refused, "refused by a rate limit", "refused by a rate limit"),
        (row.abandoned, "lost", "lost"),
        (row.reused, "kept answer", ""),
    )
    parts = [plural(number, one, many) for number, one, many in counts if number]
    cost = f"{'' if row.cost_known else 'at least '}{dollars(row.cost)}"
    yield f"{plural(row.attempts, 'attempt')}{': ' if parts else ''}{', '.join(parts)}; {cost}"


def _rule(row: RuleRow) -> Sequence[str]:
    share = "–"
    if row.failed_share is not None and row.low is not None and row.high is not None:
        share = f"{percent(row.failed_share)} ({percent(row.low)} to {percent(row.high)})"
    fixed = [f"{name} {number:,}" for key, name in FIXES if (number := getattr(row, key))]
    hints = " (with hints)" if row.hints else ""
    return (
        f"  {one_line(row.rule, 60)}{hints}",
        f"{row.failed_first:,} of {row.judged_first:,}",
        share,
        ", ".join(fixed),
    )


def _time(row: TimeRow) -> Sequence[str]:
    values = (row.p50, row.p90, row.p99, row.largest)
    return (
        f"  {MEASURES[row.measure]}",
        one_line(row.model or "–", 40),
        f"{row.count:,}",
        *(_amount(row.measure, value) for value in values),
    )


def _amount(measure: str, value: float) -> str:
    if measure == "cost":
        return dollars(value)
    return clock(value) if measure == "duration_seconds" and value >= 10 else _short_amount(measure, value)


def _short_amount(measure: str, value: float) -> str:
    """A number of tokens, or a short time."""
    return f"{value:.1f} s" if measure == "duration_seconds" else count(round(value))


def _suggestions(rows: Sequence[SuggestionRow]) -> Iterator[str]:
    for row in rows:
        present = f"{row.present:g}" if row.present is not None else "?"
        if row.missing:
            said = f"{present}, no suggestion ({row.missing:,} outcomes missing)"
        elif row.suggested is None:
            said = f"{present}, no suggestion"
        else:
            said = f"{present}, suggested {row.suggested:g}"
        yield f"{row.setting}: {said}"
        yield f"    {one_line(row.evidence, 400)}"
