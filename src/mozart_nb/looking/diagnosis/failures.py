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
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig
from mozart_nb.looking.diagnosis.advice import advice_on
from mozart_nb.looking.diagnosis.causes import Evidence, likely_cause
from mozart_nb.looking.diagnosis.findings import ErrorGroup, Example, FailedRule
from mozart_nb.words import clean, last_lines

LONGEST_MESSAGE: Final = 500
_TAIL_LINES: Final = 8
_TAIL_CHARACTERS: Final = 2000
_MOST_KINDS: Final = 200
"""Different messages of a code that are told apart; any further ones are only counted with their code."""
_MOST_MESSAGES: Final = 3
_MOST_RULES: Final = 20
_MOST_WARNINGS: Final = 20

_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt, or (batch 0) the failure of the job itself."""

    code: str
    message: str
    at: float
    batch: int = 0
    attempt: int = 0
    results: tuple[ev.RuleResult, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""


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
    spelled: dict[str, str] = field(default_factory=dict)
    rules: dict[tuple[int, str], _Rule] = field(default_factory=dict)
    first_at: float = 0.0
    last_at: float = 0.0
    rank: tuple[int, int] | None = None
    example: Failure | None = None


class Failures:
    """Takes the events of a job in order and puts its failures into groups. `state` says what became of the batches."""

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._groups: dict[str, _Group] = {}
        self._unjudged: dict[tuple[int, int], ev.SessionFinished] = {}
        self._told: set[int] = set()

    def take(self, event: ev.Event) -> None:
        """`session.finished` with a code and `batch.validation_failed` count, all others are passed over."""
        if isinstance(event, ev.SessionFinished):
            if event.code:
                self._unjudged[event.batch, event.attempt] = event
        elif isinstance(event, ev.ValidationFailed):
            finished = self._unjudged.pop((event.batch, event.attempt), None)
            self._add(_judged(event, finished.at if finished is not None else event.at))
        elif isinstance(event, ev.ValidationPassed):
            self._unjudged.pop((event.batch, event.attempt), None)

    def groups(self, config: JobConfig | None, spent_usd: float) -> Iterator[ErrorGroup]:
        """By code: what stopped the job, what concerns it as a whole, then what stands most often."""
        self._add_the_rest()
        for code, group in sorted(self._groups.items(), key=lambda item: self._order(*item)):
            yield self._finished(code, group, config, spent_usd)

    # --- one failure --------------------------------------------------------------------------------------------------

    def _add(self, failure: Failure) -> None:
        group = self._groups.setdefault(failure.code, _Group())
        status = self._state.status_of(failure.batch) if failure.batch else self._state.job.status
        is_standing = status not in ("completed", "skipped")
        group.count += 1
        group.unresolved += is_standing
        group.first_at = min(group.first_at or failure.at, failure.at)
        group.last_at = max(group.last_at, failure.at)
        if failure.batch:
            self._told.add(failure.batch)
            group.batches.add(failure.batch)
            if is_standing:
                group.standing.add(failure.batch)
        _count_message(group, failure.message, weight=2 if is_standing else 1)
        for result in failure.results:
            if result.status == "failed":
                _count_rule(group, failure.batch, result)
        rank = (0 if status == "failed" and failure.batch else 1 if is_standing else 2, failure.batch or 1 << 60)
        if group.rank is None or rank <= group.rank:
            group.rank, group.example = rank, failure

    def _add_the_rest(self) -> None:
        """Sessions that failed and were never judged, batches that failed before any session, and the job itself."""
        for finished in self._unjudged.values():
            if not self._passed(finished):
                self._add(Failure(finished.code, finished.message, finished.at, finished.batch, finished.attempt))
        self._unjudged.clear()
        for batch in self._state.batches.values():
            if batch.status == "failed" and batch.code and batch.number not in self._told:
                at = batch.finished_at
                self._add(Failure(batch.code, batch.message, at, batch.number, batch.attempts))
        job = self._state.job
        if job.code and job.code not in self._groups:
            self._add(Failure(job.code, job.reason, job.finished_at))

    def _passed(self, finished: ev.SessionFinished) -> bool:
        """Whether the rules overruled a session's own failure: only the last attempt of a batch can have passed."""
        batch = self._state.batches.get(finished.batch)
        return batch is not None and batch.attempts == finished.attempt and batch.validation_passed is True

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
        evidence = Evidence(code, message, rules, self._warnings(group), config, spent_usd, group.count)
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


def _judged(event: ev.ValidationFailed, at: float) -> Failure:
    return Failure(
        event.code,
        event.message,
        at,
        event.batch,
        event.attempt,
        event.results,
        event.stdout_tail,
        event.stderr_tail,
    )


def _count_message(group: _Group, message: str, weight: int) -> None:
    """Messages that differ in numbers only are one kind. Those of failures that stand count more."""
    if not message:
        return
    text = clean(message[:LONGEST_MESSAGE])
    kind = _NUMBERS.sub("#", text)
    if kind in group.messages or len(group.messages) < _MOST_KINDS:
        group.messages[kind] += 1
        group.spelled.setdefault(kind, text)


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


def _example(failure: Failure) -> Example:
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
