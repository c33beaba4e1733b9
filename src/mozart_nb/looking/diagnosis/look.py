"""Looking a job over: everything is read from its folder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.journal import Tip
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.codes import Scope, lookup
from mozart_nb.consumers.documents import error_groups
from mozart_nb.consumers.progress import LIVE, Progress
from mozart_nb.consumers.rows import Attempts, ErrorRecord, errors_of
from mozart_nb.engine.state import JobState
from mozart_nb.looking.diagnosis.findings import (
    BlockedChain,
    Budget,
    Crashes,
    Diagnosis,
    ErrorGroup,
    Example,
    NextStep,
    Remedy,
    Waits,
)
from mozart_nb.looking.finding import Found, find
from mozart_nb.looking.timeline.catching_up import CatchingUp, GoesOn, always
from mozart_nb.words import clean, last_lines, one_line, plural, spans

_TAIL_LINES: Final = 8
_TAIL_CHARACTERS: Final = 2000
_LONGEST_MESSAGE: Final = 500
_STATUSES: Final = ("completed", "failed", "blocked", "cancelled", "skipped", "running", "waiting", "pending")
_LOOKED_AT_AGAIN: Final = frozenset({"E201", "E202", "E203", "E601"})
"""Failures of which `recover` may find that they are none any more."""
_MENDABLE: Final = frozenset({"E502", "E601", "E602"})
"""Failures that remedies are made for: missing folders and names; of others their causes are rarely the reason."""


def diagnose(layout: Layout, *, now: float | None = None, goes_on: GoesOn = always) -> Diagnosis:
    """Look a job over at `now` (epoch seconds, by default the wall clock).

    Blocks for as long as reading its journal takes, about ten seconds for a million events; in a worker thread it
    leaves the event loop room to breathe. Raises `UnknownJobError`, `CheckpointCorruptError`, `CheckpointTooNewError`,
    and `InterruptedReadError` once `goes_on()` is false.
    """
    history = _History()
    CatchingUp(layout, history).catch_up(goes_on)
    found = find(layout)
    now = time.time() if now is None else now
    progress, state, job = found.progress, found.state, found.state.job
    groups = tuple(_groups(state, _errors(state, history.attempts)))
    code = progress.code
    row = lookup(code) if code else None
    return Diagnosis(
        job_id=job.job_id,
        name=job.name,
        status=progress.status,
        headline=_headline(progress),
        total=progress.total,
        done=progress.done,
        counts=tuple((status, state.count(status)) for status in _STATUSES if state.count(status)),
        reason=clean(progress.reason),
        code=code,
        meaning=row.meaning if row else "",
        advice=row.advice if row else "",
        groups=groups,
        blocked=tuple(_chains(state)),
        waits=history.waits(state, found.is_live, now),
        crashes=history.crashes(state, is_interrupted=progress.status == "interrupted"),
        remedies=tuple(_remedies(state)),
        budget=_budget(progress),
        warnings=tuple(clean(text) for text in ([] if found.is_live else found.glimpse.warnings)),
        next_steps=tuple(_next_steps(found, progress, groups)),
        looked_at=now,
    )


def _headline(progress: Progress) -> str:
    what = f"{progress.job_id} {progress.status}: {progress.done:,} of {plural(progress.total, 'batch')} done"
    if progress.failed:
        what += f", {progress.failed:,} failed"
    if progress.blocked:
        what += f", {progress.blocked:,} blocked"
    if progress.status == "interrupted":
        return f"{what}. Nobody runs it any more, although it had not settled"
    reason = one_line(progress.reason, 300)
    return f"{what}. {reason[0].upper()}{reason[1:]}" if reason and progress.status != "completed" else what


# --- failures ---------------------------------------------------------------------------------------------------------


def _errors(state: JobState, attempts: Attempts) -> list[ErrorRecord]:
    """Every failure, also of batches that failed before a session could begin."""
    errors = errors_of(state, attempts.records)
    told = {error.batch for error in errors}
    for batch in state.batches.values():
        if batch.status == "failed" and batch.code and batch.number not in told:
            errors.append(
                ErrorRecord(
                    state.job.job_id,
                    batch.finished_at,
                    batch.code,
                    batch.message,
                    batch.number,
                    batch.attempts,
                    batch.status,
                )
            )
    return errors


def _groups(state: JobState, errors: Sequence[ErrorRecord]) -> Iterator[ErrorGroup]:
    """By code: what stopped the job, what concerns it as a whole, then what stands most often."""
    groups = sorted(error_groups(errors), key=lambda group: _rank(state, group))
    for group in groups:
        code = group["code"]
        yield ErrorGroup(
            code=code,
            category=group["category"],
            meaning=group["meaning"],
            advice=group["advice"],
            retriable=group["retriable"],
            count=group["count"],
            unresolved=group["unresolved"],
            batches=tuple(group["batches"]),
            unresolved_batches=tuple(group["unresolved_batches"]),
            example=_example([error for error in errors if error.code == code]),
        )


def _rank(state: JobState, group: Mapping[str, Any]) -> tuple[bool, bool, bool, int, int]:
    standing = bool(group["unresolved"])
    is_wide = lookup(group["code"]).scope is Scope.JOB
    return not standing, group["code"] != state.job.code, not is_wide, -group["unresolved"], -group["count"]


def _example(errors: Sequence[ErrorRecord]) -> Example:
    """The last failure of the lowest failed batch, else of one that is not done; if possible one with a batch."""
    failed = [error for error in errors if error.batch_status == "failed" and error.batch]
    standing = failed or [error for error in errors if not error.is_resolved] or list(errors)
    lowest = min((error.batch for error in standing if error.batch), default=0)
    error = [error for error in standing if error.batch == lowest][-1]
    return Example(
        batch=error.batch,
        attempt=error.attempt,
        at=error.at,
        message=clean(error.message[:_LONGEST_MESSAGE]),
        rules=tuple(result for result in error.results if result.status == "failed"),
        stdout_tail=last_lines(error.stdout_tail[-_TAIL_CHARACTERS:], _TAIL_LINES),
        stderr_tail=last_lines(error.stderr_tail[-_TAIL_CHARACTERS:], _TAIL_LINES),
    )


def _chains(state: JobState) -> Iterator[BlockedChain]:
    behind: dict[int, list[int]] = {}
    for batch in state.batches.values():
        if batch.status == "blocked":
            behind.setdefault(batch.blocked_by, []).append(batch.number)
    for failed, blocked in sorted(behind.items(), key=lambda chain: (-len(chain[1]), chain[0])):
        first = state.batches.get(failed)
        code, message = (first.code, first.message) if first is not None else ("", "")
        yield BlockedChain(failed, code, clean(message[:_LONGEST_MESSAGE]), tuple(sorted(blocked)))


def _remedies(state: JobState) -> Iterator[Remedy]:
    """The same for many batches once."""
    whose: dict[str, list[int]] = {text: [] for text in state.job.remedies}
    for batch in state.batches.values():
        for text in dict.fromkeys(batch.remedies):
            whose.setdefault(text, []).append(batch.number)
    for text, numbers in whose.items():
        yield Remedy(clean(text[:_LONGEST_MESSAGE]), tuple(sorted(numbers)))


def _budget(progress: Progress) -> Budget:
    limit = progress.limit_usd
    is_exhausted = progress.code == "E506" or (limit is not None and progress.cost_usd >= limit)
    return Budget(progress.cost_usd, progress.unknown_costs, limit, is_exhausted)


# --- what happened on the way -----------------------------------------------------------------------------------------


@dataclass
class _Hold:
    """A rate limit that held the job back since then."""

    code: str
    since: float


@dataclass
class _History:
    """Hears every event and keeps what a diagnosis needs of it."""

    attempts: Attempts = field(default_factory=Attempts)
    held: dict[str, tuple[int, float]] = field(default_factory=dict)
    hold: _Hold | None = None
    number: int = 0
    longest: float = 0.0
    breaker_opened: int = 0
    crashed_runs: int = 0
    lost_sessions: int = 0
    crashed_at: float = 0.0
    last_at: float = 0.0

    def forget(self) -> None:
        vars(self).update(vars(_History()))

    def take(self, event: ev.Event, tip: Tip) -> None:
        match event:
            case ev.LimitHit():
                self._hit(event)
            case ev.LimitCleared() | ev.JobPaused() | ev.JobFailed() | ev.JobCancelled() | ev.JobCompleted():
                self._release(event.at)
            case ev.BreakerOpened():
                self.breaker_opened += 1
            case ev.JobResumed() if event.crashed:
                self._release(self.last_at)
                self.crashed_runs += 1
                self.crashed_at = self.last_at
            case ev.SessionAbandoned():
                self.lost_sessions += 1
            case _:
                pass
        self.last_at = event.at
        self.attempts.hear([event])

    def _hit(self, event: ev.LimitHit) -> None:
        hits, seconds = self.held.get(event.code, (0, 0.0))
        self.held[event.code] = (hits + (event.number > self.number), seconds)
        self.number = max(self.number, event.number)
        self.hold = self.hold or _Hold(event.code, event.at)

    def _release(self, at: float) -> None:
        if self.hold is None:
            return
        hits, seconds = self.held[self.hold.code]
        lasted = max(0.0, at - self.hold.since)
        self.held[self.hold.code] = (hits, seconds + lasted)
        self.longest = max(self.longest, lasted)
        self.hold = None

    def waits(self, state: JobState, is_live: bool, now: float) -> Waits:
        """`now` ends what still holds a job that runs."""
        self._release(max(now, self.last_at) if is_live else self.last_at)
        by_code = tuple((code, hits, seconds) for code, (hits, seconds) in self.held.items())
        return Waits(
            hits=sum(hits for _, hits, _ in by_code),
            seconds=sum(seconds for _, _, seconds in by_code),
            longest_seconds=self.longest,
            by_code=by_code,
            breaker_opened=self.breaker_opened,
            until=state.job.limit.until if state.job.limit is not None and is_live else 0.0,
        )

    def crashes(self, state: JobState, *, is_interrupted: bool) -> Crashes:
        last_at = self.last_at if is_interrupted else self.crashed_at
        runs = self.crashed_runs + is_interrupted
        return Crashes(runs, state.job.crashes + is_interrupted, self.lost_sessions, last_at)


# --- what to do -------------------------------------------------------------------------------------------------------


def _next_steps(found: Found, progress: Progress, groups: Sequence[ErrorGroup]) -> Iterator[NextStep]:
    job = progress.job_id
    if progress.status in LIVE:
        yield NextStep(f"%mozart status {job}", "job", "it is being run; see how it stands")
        return
    if progress.status in ("completed", "pending"):
        return
    standing = [group for group in groups if group.unresolved]
    yield from _looks(job, standing)
    if _can_be_looked_at_again(progress, standing):
        yield NextStep(f"%mozart recover {job}", "", "check the rules of failed batches again; nothing is run or paid")
    yield _go_on(found, progress, standing)
    mendable = [group.code for group in standing if group.code in _MENDABLE]
    if mendable and not found.state.job.options.self_healing:
        yield NextStep(
            f"%mozart resume {job} --self-healing",
            "job.resume(self_healing=True)",
            f"the same, mending what can be mended of {', '.join(mendable)} on the way",
        )


def _looks(job: str, standing: Sequence[ErrorGroup]) -> Iterator[NextStep]:
    if any(group.unresolved_batches for group in standing):
        yield NextStep(f"%mozart errors {job}", "job.errors()", "every failure, and what each rule expected and saw")
        example = next((group.example for group in standing if group.example and group.example.batch), None)
        if example is not None:
            number = example.batch
            yield NextStep(
                f"%mozart logs {job} --batch {number}", f"job.log(batch={number})", f"the story of batch {number}"
            )


def _can_be_looked_at_again(progress: Progress, standing: Sequence[ErrorGroup]) -> bool:
    return bool(progress.failed) and any(group.code in _LOOKED_AT_AGAIN for group in standing)


def _go_on(found: Found, progress: Progress, standing: Sequence[ErrorGroup]) -> NextStep:
    """How the job is resumed, and what has to be done before."""
    job = progress.job_id
    row = lookup(progress.code) if progress.code else None
    if progress.code == "E506" or (row is not None and "--reload-config" in row.advice):
        advice = row.advice.partition(", then")[0] if row is not None else ""
        return NextStep(
            f"%mozart resume {job} --reload-config", "job.resume(reload=Job.load(...))", f"after this: {advice}"
        )
    if progress.failed:
        asked = sorted(n for n, batch in found.state.batches.items() if batch.status == "failed")
        again = f"ask batch{'es' if len(asked) > 1 else ''} {spans(asked, 6)} again with fresh budgets"
        before = "" if row is None or row.retriable else f"after this: {row.advice.partition(', then')[0]}; "
        left = ", and what waits behind" if progress.blocked else ""
        return NextStep(f"%mozart resume {job}", "job.resume()", f"{before}{again}{left}")
    return NextStep(f"%mozart resume {job}", "job.resume()", "go on where it stopped; what is done stays done")
