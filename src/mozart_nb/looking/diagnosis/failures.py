"""Failures by code, gathered from a stream of events: counts are exact, what stands for them is bounded.

A job may have hundreds of thousands of failed attempts. Of each code a group keeps the batches it concerned, one
example, and the most frequent messages and rules; tails and results of all others are let go at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mozart_nb import events as ev
from mozart_nb.codes import Scope, lookup
from mozart_nb.consumers.rows import ErrorRecord
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig
from mozart_nb.looking.diagnosis.advice import advice_on
from mozart_nb.looking.diagnosis.causes import Evidence, likely_cause
from mozart_nb.looking.diagnosis.findings import ErrorGroup, Example, FailedRule
from mozart_nb.looking.failures import FailedAttempts
from mozart_nb.words import clean, last_lines

LONGEST_MESSAGE: Final = 500
_TAIL_LINES: Final = 8
_TAIL_CHARACTERS: Final = 2000
_MOST_KINDS: Final = 200
"""Different messages of a code that are told apart; any further ones are only counted with their code."""
_MOST_MESSAGES: Final = 3
_MOST_RULES: Final = 20
_MOST_WARNINGS: Final = 20

_NO_BATCH: Final = 1 << 60
_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)?")


@dataclass(slots=True)
class _Rule:
    count: int
    batch: int
    result: ev.RuleResult


@dataclass(slots=True)
class _Group:
    """What is kept of the failures with one code. `rank` and `example` are of the best example so far."""

    count: int = 0
    unresolved: int = 0
    batches: set[int] = field(default_factory=set)
    standing: set[int] = field(default_factory=set)
    messages: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, str] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)
    rules: dict[tuple[int, str], _Rule] = field(default_factory=dict)
    first_at: float = 0.0
    last_at: float = 0.0
    rank: tuple[int, int] | None = None
    example: ErrorRecord | None = None


class Failures:
    """Takes the events of a job in order and puts its failures into groups. `state` says what became of the batches."""

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._attempts = FailedAttempts(state)
        self._groups: dict[str, _Group] = {}

    def take(self, event: ev.Event) -> None:
        """The next event; those that tell of no failure are passed over."""
        error = self._attempts.take(event)
        if error is not None:
            self._add(error)

    def groups(self, config: JobConfig | None, spent_usd: float) -> Iterator[ErrorGroup]:
        """By code: what stopped the job, what concerns it as a whole, then what stands most often."""
        for error in self._attempts.rest():
            self._add(error)
        for code, group in sorted(self._groups.items(), key=lambda item: self._order(*item)):
            yield self._finished(code, group, config, spent_usd)

    # --- one failure --------------------------------------------------------------------------------------------------

    def _add(self, error: ErrorRecord) -> None:
        group = self._groups.setdefault(error.code, _Group())
        is_standing = not error.is_resolved
        group.count += 1
        group.unresolved += is_standing
        group.first_at = min(group.first_at or error.at, error.at)
        group.last_at = max(group.last_at, error.at)
        if error.batch:
            group.batches.add(error.batch)
            if is_standing:
                group.standing.add(error.batch)
        _count_message(group, error.message)
        for result in error.results:
            if result.status == "failed":
                _count_rule(group, error.batch, result)
        is_failed = error.batch_status == "failed" and error.batch
        rank = (0 if is_failed else 1 if is_standing else 2, error.batch or _NO_BATCH)
        if group.rank is None or rank <= group.rank:
            group.rank, group.example = rank, error

    # --- groups -------------------------------------------------------------------------------------------------------

    def _order(self, code: str, group: _Group) -> tuple[bool, bool, bool, int, int, str]:
        row = lookup(code)
        is_wide = row.scope is Scope.JOB
        stopped = code == self._state.job.code and (is_wide or row.scope is Scope.ACCOUNT or row.pauses)
        return not group.unresolved, not stopped, not is_wide, -group.unresolved, -group.count, code

    def _finished(self, code: str, group: _Group, config: JobConfig | None, spent_usd: float) -> ErrorGroup:
        row = lookup(code)
        rules = tuple(_rules(group))
        messages = tuple((group.spelled[kind], times) for kind, times in _frequent(group))
        message = messages[0][0] if messages else ""
        batch = group.example.batch if group.example is not None else 0
        evidence = Evidence(code, message, rules, self._warnings(group), config, spent_usd, group.count, batch)
        return ErrorGroup(
            code=code,
            category=row.category.value,
            meaning=row.meaning,
            advice=advice_on(evidence),
            retriable=row.retriable,
            count=group.count,
            unresolved=group.unresolved,
            batches=tuple(sorted(group.batches)),
            unresolved_batches=tuple(sorted(group.standing)),
            example=_example(group.example) if group.example is not None else None,
            cause=likely_cause(evidence),
            messages=messages,
            rules=rules,
            first_at=group.first_at,
            last_at=group.last_at,
        )

    def _warnings(self, group: _Group) -> tuple[str, ...]:
        """What sessions of these batches warned about; of so many batches at most."""
        found: list[str] = []
        for number in sorted(group.standing)[:_MOST_WARNINGS]:
            batch = self._state.batches.get(number)
            found += batch.warnings if batch is not None else ()
        return tuple(dict.fromkeys(found[:_MOST_WARNINGS]))


def _count_message(group: _Group, message: str) -> None:
    """Messages that differ in numbers only are one kind."""
    if not message:
        return
    kind = group.kinds.get(message)
    if kind is None:
        text = clean(message[:LONGEST_MESSAGE])
        kind = _NUMBERS.sub("#", text)
        if len(group.kinds) < _MOST_KINDS:
            group.kinds[message] = kind
        if len(group.messages) < _MOST_KINDS:
            group.spelled.setdefault(kind, text)
    if kind in group.spelled:
        group.messages[kind] += 1


def _frequent(group: _Group) -> list[tuple[str, int]]:
    return group.messages.most_common(_MOST_MESSAGES)


def _count_rule(group: _Group, batch: int, result: ev.RuleResult) -> None:
    """The example of a rule is that of the lowest batch: the one that people look at."""
    key = (result.rule, result.type)
    known = group.rules.get(key)
    if known is None:
        if len(group.rules) < _MOST_KINDS:
            group.rules[key] = _Rule(1, batch, result)
        return
    known.count += 1
    if batch <= known.batch:
        known.batch, known.result = batch, result


def _rules(group: _Group) -> Iterator[FailedRule]:
    found = sorted(group.rules.values(), key=lambda rule: (-rule.count, rule.result.rule))
    for rule in found[:_MOST_RULES]:
        result = rule.result
        yield FailedRule(
            rule=result.rule,
            type=result.type,
            count=rule.count,
            description=_short(result.description),
            path=_short(result.path),
            expected=_short(result.expected),
            actual=_short(result.actual),
            message=_short(result.message),
            batch=rule.batch,
            could_not_run=result.could_not_run,
        )


def _example(failure: ErrorRecord) -> Example:
    return Example(
        batch=failure.batch,
        attempt=failure.attempt,
        at=failure.at,
        message=_short(failure.message),
        rules=tuple(result for result in failure.results if result.status == "failed"),
        stdout_tail=last_lines(failure.stdout_tail[-_TAIL_CHARACTERS:], _TAIL_LINES),
        stderr_tail=last_lines(failure.stderr_tail[-_TAIL_CHARACTERS:], _TAIL_LINES),
    )


def _short(text: str) -> str:
    return clean(text[:LONGEST_MESSAGE])
