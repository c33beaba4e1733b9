"""Rows of what was counted: templates, rules, times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mozart_nb.consumers.learning.columns import MEASURES, RuleRow, TemplateRow, TimeRow
from mozart_nb.consumers.learning.reading import Counts, together
from mozart_nb.consumers.learning.tally import RuleTally
from mozart_nb.consumers.learning.wilson import wilson

SHOWN_KEY: Final = 12
"""Characters of a template's digest that are shown."""


def template_rows(counts: Sequence[Counts]) -> Iterator[TemplateRow]:
    """One row per template, the one with the newest outcome first; with and without hints apart, rehearsals too."""
    for one in together(counts):
        tally = one.tally
        low, high = wilson(tally.passed_first, tally.first_tries)
        yield TemplateRow(
            template=one.name,
            key=one.template[:SHOWN_KEY],
            hints=one.hints,
            rehearsal=one.is_rehearsal,
            jobs=len(one.jobs),
            batches=tally.first_tries,
            passed_first=tally.passed_first,
            low=low if tally.first_tries else None,
            high=high if tally.first_tries else None,
            attempts=tally.attempts,
            retries=tally.modes.get("retry", 0),
            completions=tally.modes.get("completion", 0),
            healed=tally.modes.get("healed", 0),
            refused=tally.refused,
            abandoned=tally.lost,
            reused=tally.reused,
            cost=tally.cost_usd,
            cost_known=not tally.unknown_costs,
            last_at=one.last_at,
        )


def rule_rows(counts: Sequence[Counts]) -> list[RuleRow]:
    """One row per rule; within a template the one that fails the first try most surely first."""
    return [row for one in together(counts) for row in _rules_of(one)]


def _rules_of(one: Counts) -> Iterable[RuleRow]:
    rows = [_rule_row(one, name, rule) for name, rule in one.tally.rules.items()]
    return sorted(rows, key=lambda row: (-(row.low or 0.0), -row.failures, row.rule))


def _rule_row(one: Counts, name: str, rule: RuleTally) -> RuleRow:
    low, high = wilson(rule.failed_first, rule.judged_first)
    return RuleRow(
        template=one.name,
        key=one.template[:SHOWN_KEY],
        hints=one.hints,
        rehearsal=one.is_rehearsal,
        rule=name,
        judged_first=rule.judged_first,
        failed_first=rule.failed_first,
        low=low if rule.judged_first else None,
        high=high if rule.judged_first else None,
        failures=rule.failures,
        completion=rule.fixed.get("completion", 0),
        retry=rule.fixed.get("retry", 0),
        healed=rule.fixed.get("healed", 0),
        later_run=rule.fixed.get("later_run", 0),
        recovered=rule.fixed.get("recovered", 0),
    )


def time_rows(counts: Sequence[Counts]) -> Iterator[TimeRow]:
    """One row per template, model and measure."""
    for one in together(counts, by_hints=False):
        for model, spans in sorted(one.tally.spans.items()):
            for measure in MEASURES:
                if measure in spans:
                    found = spans[measure]
                    yield TimeRow(
                        template=one.name,
                        key=one.template[:SHOWN_KEY],
                        rehearsal=one.is_rehearsal,
                        model=model,
                        measure=measure,
                        count=found.count,
                        mean=found.mean,
                        p50=found.percentile(50),
                        p90=found.percentile(90),
                        p99=found.percentile(99),
                        largest=found.largest,
                    )
