"""What each run of a job came to, counted from its events alone: whoever counts them, and when, finds the same.

The counters of a run and what has to be remembered between two events stand in the database, so that counting goes on
at any event. Costs are US dollars, durations and waits seconds, times epoch seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from mozart_nb import events as ev
from mozart_nb.job.prices import add


class RunTally(msgspec.Struct, kw_only=True):
    """One run, as it stands in `job_runs`. See `tables.JOB_RUNS` for what the fields mean."""

    journal: str
    number: int
    run_id: str = ""
    host: str = ""
    pid: int = 0
    options: str = "{}"
    backend: str = ""
    config_digest: str = ""
    status: str = "running"
    code: str = ""
    reason: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    updated_at: float = 0.0
    total: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    first_try: int = 0
    attempts: int = 0
    abandoned: int = 0
    reused: int = 0
    retries: int = 0
    completions: int = 0
    heals: int = 0
    limit_waits: int = 0
    limit_wait_seconds: float = 0.0
    breaker_openings: int = 0
    cost_usd: float = 0.0
    unknown_costs: int = 0
    saved_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    session_seconds: float = 0.0


class Memory(msgspec.Struct, omit_defaults=True):
    """What counting has to remember between two events.

    `runs` counts the runs so far; `later` are batches at work on an attempt that is not their first; `ended` are those
    whose session is over and not judged yet; the attempts of those `asked` wait for a person. `waits` is the number of
    the last wait for a rate limit, `limited_since` when the present one began to hold up the present run.
    """

    runs: int = 0
    total: int = 0
    backend: str = ""
    config_digest: str = ""
    later: set[int] = msgspec.field(default_factory=set)
    ended: set[int] = msgspec.field(default_factory=set)
    asked: set[int] = msgspec.field(default_factory=set)
    waits: int = 0
    is_limited: bool = False
    limited_since: float = 0.0


class Ledger:
    """Counts the events of one journal. `run` is the last run, None before the first; `changed` holds what changed."""

    def __init__(self, journal: str, memory: Memory | None = None, run: RunTally | None = None) -> None:
        self.journal = journal
        self.memory = memory or Memory()
        self.run = run
        self.changed: dict[int, RunTally] = {}

    def hear(self, events: Iterable[ev.Event]) -> None:
        """Count these events, which follow those that were counted before."""
        at = self.run.updated_at if self.run is not None else 0.0
        for event in events:
            handler = _HANDLERS.get(type(event))
            if handler is _begun:
                self._leave(at)
            at = event.at
            if handler is not None and (self.run is not None or handler in _WITHOUT_RUN):
                handler(self, event)
        self._leave(at)

    def close(self) -> None:
        """Nothing follows any more: a run that has not ended was interrupted."""
        if self.run is not None and self.run.status == "running":
            self.run.status, self.run.finished_at = "interrupted", self.run.updated_at
            self.end_wait(self.run.updated_at)

    def _leave(self, at: float) -> None:
        if self.run is not None:
            self.run.updated_at = max(self.run.updated_at, at)
            self.changed[self.run.number] = self.run

    def charge(self, cost: float | None) -> None:
        """Add what a session cost; None is unknown."""
        run = self.present
        run.cost_usd = add(run.cost_usd, cost or 0.0)
        run.unknown_costs += cost is None

    @property
    def present(self) -> RunTally:
        assert self.run is not None, "counted only in a run"
        return self.run

    def end_wait(self, at: float) -> None:
        """Nothing holds the run up any more, or there is no run."""
        if self.memory.limited_since:
            self.present.limit_wait_seconds += max(0.0, at - self.memory.limited_since)
            self.memory.limited_since = 0.0


# --- the job ----------------------------------------------------------------------------------------------------------


def _planned(ledger: Ledger, event: ev.JobPlanned) -> None:
    memory = ledger.memory
    memory.total, memory.backend, memory.config_digest = event.plan.total, event.backend, event.config_digest


def _reloaded(ledger: Ledger, event: ev.ConfigReloaded) -> None:
    ledger.memory.total, ledger.memory.config_digest = event.plan.total, event.config_digest


def _begun(ledger: Ledger, event: ev.JobStarted | ev.JobResumed) -> None:
    memory = ledger.memory
    ledger.close()
    memory.runs += 1
    memory.limited_since = event.at if memory.is_limited else 0.0
    ledger.run = RunTally(
        journal=ledger.journal,
        number=memory.runs,
        run_id=event.run_id,
        host=event.host,
        pid=event.pid,
        options=msgspec.json.encode(event.options).decode(),
        backend=memory.backend,
        config_digest=memory.config_digest,
        started_at=event.at,
        total=memory.total,
    )


def _ended(status: str) -> Callable[[Ledger, Any], None]:
    def end(ledger: Ledger, event: Any) -> None:
        run = ledger.present
        run.status, run.finished_at = status, event.at
        run.reason, run.code = getattr(event, "reason", ""), getattr(event, "code", "")
        ledger.end_wait(event.at)

    return end


# --- batches and sessions ---------------------------------------------------------------------------------------------


def _attempt_begun(ledger: Ledger, event: ev.BatchStarted) -> None:
    ledger.present.attempts += 1
    memory = ledger.memory
    memory.ended.discard(event.batch)
    if event.mode != "first":
        memory.later.add(event.batch)
    elif memory.later:
        memory.later.discard(event.batch)


def _session_over(ledger: Ledger, event: ev.SessionFinished) -> None:
    run, usage = ledger.present, event.usage
    ledger.memory.ended.add(event.batch)
    ledger.charge(event.cost_usd)
    run.saved_usd = add(run.saved_usd, event.saved_usd)
    run.session_seconds += event.duration
    run.input_tokens += usage.input_tokens
    run.output_tokens += usage.output_tokens
    run.cache_read_tokens += usage.cache_read_tokens
    run.cache_write_tokens += usage.cache_write_tokens
    run.reused += event.reused


def _abandoned(ledger: Ledger, event: ev.SessionAbandoned) -> None:
    ledger.present.abandoned += 1
    if event.batch not in ledger.memory.ended:  # else its cost is known already
        ledger.charge(event.cost_usd)
    ledger.memory.ended.discard(event.batch)


def _withdrawn(ledger: Ledger, event: ev.BatchQuestionWithdrawn) -> None:
    """An attempt that was only asked about is given back; a batch that was to fail had ended its attempt before."""
    ledger.present.abandoned += event.batch in ledger.memory.asked
    ledger.memory.asked.discard(event.batch)


def _asked(ledger: Ledger, event: ev.BatchAsked) -> None:
    if event.about == "confirmation":
        ledger.memory.asked.add(event.batch)


def _answered(ledger: Ledger, event: ev.BatchAnswered) -> None:
    ledger.present.abandoned += event.batch in ledger.memory.asked and event.action == "abort"
    ledger.memory.asked.discard(event.batch)


def _passed(ledger: Ledger, event: ev.ValidationPassed) -> None:
    memory = ledger.memory
    memory.ended.discard(event.batch)
    if event.batch in memory.later:
        memory.later.discard(event.batch)
    else:
        ledger.present.first_try += 1


def _not_passed(ledger: Ledger, event: ev.ValidationFailed) -> None:
    ledger.memory.ended.discard(event.batch)
    ledger.memory.later.discard(event.batch)


def _completed(ledger: Ledger, event: ev.BatchCompleted) -> None:
    ledger.present.completed += 1


def _failed(ledger: Ledger, event: ev.BatchFailed) -> None:
    ledger.present.failed += 1


def _renewed(ledger: Ledger, event: ev.BatchRenewed) -> None:
    # Those that failed in an earlier run were renewed when this one began, unless it was asked to leave them.
    ledger.present.failed = max(0, ledger.present.failed - len(event.batches))


def _skipped(ledger: Ledger, event: ev.BatchSkipped) -> None:
    ledger.present.skipped += event.last - event.batch + 1 if event.last else 1


def _retrying(ledger: Ledger, event: ev.BatchRetrying) -> None:
    ledger.present.retries += 1


def _completing(ledger: Ledger, event: ev.BatchCompleting) -> None:
    ledger.present.completions += 1


def _healing(ledger: Ledger, event: ev.BatchHealing) -> None:
    ledger.present.heals += 1


# --- limits -----------------------------------------------------------------------------------------------------------


def _limit_hit(ledger: Ledger, event: ev.LimitHit) -> None:
    memory = ledger.memory
    if event.number > memory.waits:  # a burst of refusals is one wait
        memory.waits = event.number
        ledger.present.limit_waits += 1
    memory.is_limited = True
    memory.limited_since = memory.limited_since or event.at


def _limit_cleared(ledger: Ledger, event: ev.LimitCleared) -> None:
    ledger.end_wait(event.at)
    ledger.memory.is_limited = False


def _breaker_opened(ledger: Ledger, event: ev.BreakerOpened) -> None:
    ledger.present.breaker_openings += 1


_HANDLERS: Final[dict[type[ev.Event], Callable[[Ledger, Any], None]]] = {
    ev.JobPlanned: _planned,
    ev.ConfigReloaded: _reloaded,
    ev.JobStarted: _begun,
    ev.JobResumed: _begun,
    ev.JobPaused: _ended("paused"),
    ev.JobCompleted: _ended("completed"),
    ev.JobFailed: _ended("failed"),
    ev.JobCancelled: _ended("cancelled"),
    ev.BatchStarted: _attempt_begun,
    ev.SessionFinished: _session_over,
    ev.SessionAbandoned: _abandoned,
    ev.BatchAsked: _asked,
    ev.BatchAnswered: _answered,
    ev.BatchQuestionWithdrawn: _withdrawn,
    ev.ValidationPassed: _passed,
    ev.ValidationFailed: _not_passed,
    ev.BatchCompleted: _completed,
    ev.BatchFailed: _failed,
    ev.BatchRenewed: _renewed,
    ev.BatchSkipped: _skipped,
    ev.BatchRetrying: _retrying,
    ev.BatchCompleting: _completing,
    ev.BatchHealing: _healing,
    ev.LimitHit: _limit_hit,
    ev.LimitCleared: _limit_cleared,
    ev.BreakerOpened: _breaker_opened,
}

_WITHOUT_RUN: Final = frozenset({_planned, _reloaded, _begun})

COUNTED: Final[frozenset[type[ev.Event]]] = frozenset(_HANDLERS)
"""The kinds of events that change a run's counters."""
