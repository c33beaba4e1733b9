"""Outcomes counted: exact sums that can be added up over runs, jobs and templates."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from mozart_nb.consumers.learning.distribution import Distribution
from mozart_nb.consumers.learning.outcomes import Fix, Outcome

S = TypeVar("S", bound=msgspec.Struct)


class Tried(msgspec.Struct, array_like=True):
    """How many tries there were, and how many came to what is asked: a refusal, a success."""

    count: int = 0
    hits: int = 0


class RuleTally(msgspec.Struct, omit_defaults=True):
    """One rule. `judged_first` and `failed_first` count first tries; `failures` the times that a batch began to fail.

    `fixed` says by what such failures ended.
    """

    judged_first: int = 0
    failed_first: int = 0
    failures: int = 0
    fixed: dict[Fix, int] = msgspec.field(default_factory=dict)


class Tally(msgspec.Struct, omit_defaults=True):
    """Everything counted of the outcomes of one template, in one job or in many.

    `first_tries` were judged, `passed_first` of them passed. `modes` counts all attempts, `codes` failed ones.
    `unknown_costs` counts sessions that never said what they cost (`cost_usd` lacks them). `spans`: model → measure →
    how it is distributed over sessions that ended well. `crowd`: sessions at once → attempts begun so, and those of
    them that a limit of requests or capacity refused. `completions`: percent of the rules that passed before →
    completion attempts, and those that succeeded.
    """

    first_tries: int = 0
    passed_first: int = 0
    attempts: int = 0
    refused: int = 0
    lost: int = 0
    reused: int = 0
    cost_usd: float = 0.0
    unknown_costs: int = 0
    modes: dict[str, int] = msgspec.field(default_factory=dict)
    codes: dict[str, int] = msgspec.field(default_factory=dict)
    rules: dict[str, RuleTally] = msgspec.field(default_factory=dict)
    spans: dict[str, dict[str, Distribution]] = msgspec.field(default_factory=dict)
    crowd: dict[int, Tried] = msgspec.field(default_factory=dict)
    completions: dict[int, Tried] = msgspec.field(default_factory=dict)

    def take(self, outcome: Outcome) -> None:
        """Count one more."""
        if outcome.attempt:
            self._take_attempt(outcome)
        for rule in outcome.rules:
            found = self.rules.get(rule.name)
            if found is None:
                found = self.rules[rule.name] = RuleTally()
            if outcome.is_first_try and not outcome.reused and rule.judged:
                found.judged_first += 1
                found.failed_first += not rule.passed
            found.failures += rule.began
            if rule.fixed is not None:
                found.fixed[rule.fixed] = found.fixed.get(rule.fixed, 0) + 1

    def _take_attempt(self, outcome: Outcome) -> None:
        self.attempts += 1
        self.modes[outcome.mode] = self.modes.get(outcome.mode, 0) + 1
        self.reused += outcome.reused
        if outcome.code and not outcome.passed:
            self.codes[outcome.code] = self.codes.get(outcome.code, 0) + 1
        if outcome.cost_usd is None:
            self.unknown_costs += 1
        else:
            self.cost_usd += outcome.cost_usd
        if outcome.at_once:
            crowd = self.crowd.get(outcome.at_once)
            if crowd is None:
                crowd = self.crowd[outcome.at_once] = Tried()
            crowd.count += 1
            crowd.hits += outcome.code in CROWDED
        if outcome.kind != "judged":
            self.refused += outcome.kind == "refused"
            self.lost += outcome.kind == "lost"
            return
        if outcome.is_first_try and not outcome.reused:
            self.first_tries += 1
            self.passed_first += outcome.passed
        if outcome.mode == "completion":
            tried = self.completions.setdefault(int(outcome.share_before * 100), Tried())
            tried.count += 1
            tried.hits += outcome.passed
        if outcome.outcome == "ok" and not outcome.reused:
            self._measure(outcome)

    def _measure(self, outcome: Outcome) -> None:
        spans = self.spans.get(outcome.model)
        if spans is None:
            spans = self.spans[outcome.model] = {}
        usage = outcome.usage
        sent = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        _put(spans, "duration_seconds", outcome.duration if outcome.at_once else 0)
        _put(spans, "input_tokens", sent)
        _put(spans, "output_tokens", usage.output_tokens)
        _put(spans, "prompt_tokens", outcome.prompt_tokens)
        _put(spans, "cost", outcome.cost_usd)


CROWDED = frozenset({"E101", "E103"})
"""Refusals that fewer sessions at once would avoid. A usage limit (E102) is reached all the same, only later."""


def _put(spans: dict[str, Distribution], measure: str, value: float | None) -> None:
    if value:
        found = spans.get(measure)
        if found is None:
            found = spans[measure] = Distribution()
        found.add(value)


def merged(one: Tally, other: Tally) -> Tally:
    """Both together; neither is changed."""
    return _sum_of_structs(one, other)


def _sum_of_structs(one: S, other: S) -> S:
    return type(one)(*(_sum(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__))


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        both = dict(one)
        for key, value in other.items():
            both[key] = _sum(both[key], value) if key in both else value
        return both
    if isinstance(one, Distribution):
        return one + other
    return _sum_of_structs(one, other) if isinstance(one, msgspec.Struct) else one + other
