"""What a look at a job's troubles finds, as plain data, and the same as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mozart_nb.checkpoint.follow import ShownStatus
from mozart_nb.consumers.progress import LIVE
from mozart_nb.events import RuleResult
from mozart_nb.words import cost, dollars, moment, one_line, plural, roughly, spans

_MOST_GROUPS: Final = 8
_MOST_CHAINS: Final = 5
_MOST_REMEDIES: Final = 8
_MOST_RULES: Final = 4
_WIDTH: Final = 160


@dataclass(frozen=True, slots=True)
class Example:
    """One failed attempt that stands for its group. `rules` did not pass; texts are cleaned and short."""

    batch: int
    attempt: int
    at: float
    message: str
    rules: tuple[RuleResult, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failures with the same code. `unresolved_batches` still stand as failed or unfinished."""

    code: str
    category: str
    meaning: str
    advice: str
    retriable: bool
    count: int
    unresolved: int
    batches: tuple[int, ...]
    unresolved_batches: tuple[int, ...]
    example: Example | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """What rate limits cost: how often they were hit, and for how many seconds they held the job back, by code."""

    hits: int = 0
    seconds: float = 0.0
    longest_seconds: float = 0.0
    by_code: tuple[tuple[str, int, float], ...] = ()
    breaker_opened: int = 0
    until: float = 0.0
    """When the current wait is over, epoch seconds; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class Crashes:
    """Runs that ended without settling, and sessions that were lost."""

    runs: int = 0
    in_a_row: int = 0
    lost_sessions: int = 0
    last_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Remedy:
    """What self-healing did or advises. No batches: it concerned the job as a whole."""

    text: str
    batches: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockedChain:
    """Batches that wait, directly or not, for one that failed first."""

    failed: int
    code: str
    message: str
    blocked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """Money: US dollars. `limit_usd` is None without a limit; `unknown_costs` counts sessions that said nothing."""

    cost_usd: float = 0.0
    unknown_costs: int = 0
    limit_usd: float | None = None
    is_exhausted: bool = False


@dataclass(frozen=True, slots=True)
class NextStep:
    """Something to do now: the notebook's magic, the same as Python (empty: there is none), and what it does."""

    magic: str
    python: str
    why: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A job's troubles, ordered by what matters. Times in epoch seconds, durations in seconds, money in US dollars.

    `code`, `meaning` and `advice` are of the job as a whole, empty when only batches failed; `counts` are batches by
    status. `groups` with failures that still stand come first.
    """

    job_id: str
    name: str
    status: ShownStatus
    headline: str
    total: int
    done: int
    counts: tuple[tuple[str, int], ...] = ()
    reason: str = ""
    code: str = ""
    meaning: str = ""
    advice: str = ""
    groups: tuple[ErrorGroup, ...] = ()
    blocked: tuple[BlockedChain, ...] = ()
    waits: Waits = Waits()
    crashes: Crashes = Crashes()
    remedies: tuple[Remedy, ...] = ()
    budget: Budget = Budget()
    warnings: tuple[str, ...] = ()
    next_steps: tuple[NextStep, ...] = ()
    looked_at: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Nothing stands as failed and nothing holds it up: it is completed, or runs without waiting."""
        troubles = any(group.unresolved for group in self.groups) or self.blocked or self.code
        return self.status in ("pending", "running", "completed") and not troubles

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How IPython displays it: as lines for a person."""
        printer.text(str(self))


# --- in words ---------------------------------------------------------------------------------------------------------


def _lines(found: Diagnosis) -> Iterator[str]:
    yield found.headline
    if found.code:
        yield f"  {found.code} {found.meaning}: {found.advice}"
    yield from _group_lines(found)
    yield from _chain_lines(found.blocked)
    yield from _history_lines(found)
    for warning in found.warnings:
        yield f"  note: {one_line(warning, _WIDTH)}"
    if found.next_steps:
        yield ""
        yield "What to do next:"
        width = max(len(step.magic) for step in found.next_steps)
        for step in found.next_steps:
            also = f"  or {step.python}" if step.python else ""
            yield f"  {step.magic:<{width}}  {step.why}{also}"


def _group_lines(found: Diagnosis) -> Iterator[str]:
    standing = [group for group in found.groups if group.unresolved and (group.batches or group.code != found.code)]
    for group in standing[:_MOST_GROUPS]:
        yield ""
        yield from _standing_lines(group)
    if len(standing) > _MOST_GROUPS:
        yield f"and {len(standing) - _MOST_GROUPS} more codes"
    mended = [group for group in found.groups if not group.unresolved]
    if mended:
        yield ""
        yield "Mended by later attempts: " + ", ".join(
            f"{group.code} {plural(group.count, 'time')}" for group in mended
        )


def _standing_lines(group: ErrorGroup) -> Iterator[str]:
    where = f", {_batches(group.unresolved_batches)}" if group.unresolved_batches else ""
    yield f"{group.code} {group.meaning}: {plural(group.count, 'time')}{where}"
    yield f"  what helps: {group.advice}"
    example = group.example
    if example is None:
        return
    whose = f"batch {example.batch}, attempt {example.attempt}: " if example.batch else ""
    yield f"  for example {whose}{one_line(example.message, _WIDTH)}"
    for rule in example.rules[:_MOST_RULES]:
        what = one_line(" ".join(text for text in (rule.type, rule.path, rule.description) if text), 100)
        yield f"    {what}: {rule.status}"
        for label, text in (("expected", rule.expected), ("saw", rule.actual or rule.message)):
            if text:
                yield f"      {label} {one_line(text, _WIDTH)}"
    for label, text in (("output", example.stdout_tail), ("error output", example.stderr_tail)):
        if text:
            yield f"    the end of its {label}:"
            yield from (f"      {one_line(line, _WIDTH)}" for line in text.splitlines())


def _chain_lines(chains: tuple[BlockedChain, ...]) -> Iterator[str]:
    if chains:
        yield ""
    for chain in chains[:_MOST_CHAINS]:
        what = f"{_batches(chain.blocked)} {'wait' if len(chain.blocked) > 1 else 'waits'} for batch {chain.failed}"
        yield f"{what[0].upper()}{what[1:]}, which failed first: {chain.code} {one_line(chain.message, 100)}".rstrip()
    if len(chains) > _MOST_CHAINS:
        yield f"and behind {plural(len(chains) - _MOST_CHAINS, 'other failed batch', 'other failed batches')}"


def _history_lines(found: Diagnosis) -> Iterator[str]:
    lines = [*_wait_lines(found), *_crash_lines(found), *_remedy_lines(found), *_money_lines(found.budget)]
    if lines:
        yield ""
        yield from lines


def _wait_lines(found: Diagnosis) -> Iterator[str]:
    waits = found.waits
    if waits.hits:
        parts = ", ".join(f"{code} {plural(hits, 'time')}, {roughly(seconds)}" for code, hits, seconds in waits.by_code)
        longest = f", {roughly(waits.longest_seconds)} at the longest" if waits.hits > 1 else ""
        yield f"Rate limits: {roughly(waits.seconds)} of waiting ({parts}{longest})"
    if waits.until and found.status in LIVE:
        yield f"It goes on by itself at {moment(waits.until, found.looked_at)}"
    if waits.breaker_opened:
        yield f"The circuit breaker opened {plural(waits.breaker_opened, 'time')}: too many failures in a row"


def _crash_lines(found: Diagnosis) -> Iterator[str]:
    crashes = found.crashes
    if crashes.runs or crashes.lost_sessions:
        ended = f"{plural(crashes.runs, 'run')} ended without settling" if crashes.runs else ""
        lost = f"{plural(crashes.lost_sessions, 'session')} lost with {'it' if crashes.runs == 1 else 'their hosts'}"
        last = f"; the last time {moment(crashes.last_at, found.looked_at)}" if crashes.last_at else ""
        yield "Crashes: " + ", ".join(part for part in (ended, lost if crashes.lost_sessions else "") if part) + last


def _remedy_lines(found: Diagnosis) -> Iterator[str]:
    for remedy in found.remedies[:_MOST_REMEDIES]:
        whose = f"{_batches(remedy.batches)}: " if remedy.batches else ""
        yield f"Self-healing: {whose}{one_line(remedy.text, _WIDTH)}"
    if len(found.remedies) > _MOST_REMEDIES:
        yield f"and {len(found.remedies) - _MOST_REMEDIES} more remedies"


def _money_lines(budget: Budget) -> Iterator[str]:
    if budget.limit_usd is not None:
        left = "used up" if budget.is_exhausted else f"{dollars(max(0.0, budget.limit_usd - budget.cost_usd))} left"
        spent = cost(budget.cost_usd, budget.unknown_costs)
        yield f"Budget: {spent} of {dollars(budget.limit_usd)}, {left}"


def _batches(numbers: tuple[int, ...]) -> str:
    return f"batch{'es' if len(numbers) > 1 else ''} {spans(numbers)}"
