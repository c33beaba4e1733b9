"""How a job is getting on: the view-model that the terminal and the notebook render.

`progress_of` looks at counters, at the few batches that run and at the next waits, so it costs the same for ten
batches and for 100,000. Everything in it is data: words for people are made by whoever shows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mozart_nb.engine.state import BatchState, IsolationState, JobState
from mozart_nb.events import BatchCompleted, BatchFailed, BatchStarted, Event, Mode, SessionProgress, Usage
from mozart_nb.job.model import JobConfig

ShownStatus = Literal[
    "pending", "running", "waiting", "pausing", "paused", "completed", "failed", "cancelled", "interrupted"
]
WaitKind = Literal["limit", "breaker", "retry", "completion", "healed", "pause", "answer"]
Doing = Literal["preparing", "working", "checking", "healing"]

_NOT_ISOLATED = IsolationState()

MOST_QUESTIONS = 3
"""Open questions that are shown one by one."""

LIVE: frozenset[str] = frozenset({"running", "waiting", "pausing"})
"""Statuses that are only true while a host runs the job."""

_DOING: dict[str, Doing] = {"opened": "working", "finished": "checking", "judged": "checking", "healing": "healing"}


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last sign of life of a session. `at` in epoch seconds."""

    at: float
    attempt: int = 0
    bytes_received: int = 0
    note: str = ""


class Pulses:
    """Remembers the last sign of life of every running session; the state does not hold it."""

    def __init__(self) -> None:
        self.latest: dict[int, Pulse] = {}

    def hear(self, events: Iterable[Event], now: float) -> None:
        """Take in a burst of events. `now` in epoch seconds stands in for events without a time."""
        for event in events:
            if isinstance(event, SessionProgress):
                self.latest[event.batch] = Pulse(now, event.attempt, event.bytes_received, event.note)
            elif isinstance(event, BatchStarted | BatchCompleted | BatchFailed):
                self.latest.pop(event.batch, None)


@dataclass(frozen=True, slots=True)
class RunningBatch:
    """A batch with a live attempt. `idle_seconds` is None as long as its session has printed nothing."""

    number: int
    attempt: int
    mode: Mode
    doing: Doing
    elapsed_seconds: float
    idle_seconds: float | None = None
    bytes_received: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that holds batches back until `until` (epoch seconds).

    `batch` is the batch that is due first (0: the wait concerns the job), `probing` the batch that tries whether a
    limit or the breaker is over, 0 if none does yet. For how long a question (`answer`) is open nobody knows;
    `source` says what kind of question it is.
    """

    kind: WaitKind
    until: float
    seconds: float
    code: str = ""
    source: str = ""
    message: str = ""
    batch: int = 0
    probing: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a job. Seconds, US dollars, tokens; `percent` counts completed and skipped batches, rounded down.

    `eta_seconds` is None while nobody can know. `cost_usd` is the known part of the cost and all of it when
    `unknown_costs`, the number of sessions that did not say what they cost, is 0. `saved_usd` is what the prompt cache
    saved, `limit_usd` the cost limit of the job, None without one.
    """

    job_id: str
    name: str
    status: ShownStatus
    total: int
    completed: int
    failed: int
    skipped: int
    blocked: int
    cancelled: int
    running: int
    waiting: int
    pending: int
    percent: float
    elapsed_seconds: float
    eta_seconds: float | None
    cost_usd: float
    unknown_costs: int
    usage: Usage
    retries: int
    completions: int
    limit_waits: int
    reason: str
    code: str
    running_batches: tuple[RunningBatch, ...]
    waits: tuple[Wait, ...]
    saved_usd: float = 0.0
    limit_usd: float | None = None
    concurrency: tuple[int, int] | None = None
    """How many sessions may run at once, now and at most; None where the config is not known."""
    questions: int = 0
    """Batches that a person is being asked about."""
    parked: int = 0
    """Of the running batches, those whose request a service answers hours later."""
    isolation: IsolationState = _NOT_ISOLATED

    @property
    def done(self) -> int:
        """Batches that need nothing more."""
        return self.completed + self.skipped

    @property
    def is_live(self) -> bool:
        return self.status in LIVE


def shown_status(state: JobState, *, is_live: bool = True) -> ShownStatus:
    """The job's status; `interrupted` when nobody runs it although its last word says so.

    A job of which nothing runs but questions wait for a person is `waiting`.
    """
    if not is_live and state.status in LIVE:
        return "interrupted"
    if state.status == "running" and state.job.questions and not state.count("running"):
        return "waiting"
    return state.status


def progress_of(
    state: JobState,
    config: JobConfig | None,
    now: float,
    *,
    pulses: Mapping[int, Pulse] | None = None,
    is_live: bool = True,
) -> Progress:
    """One look at `state` at `now` (epoch seconds); `is_live`: a host runs the job.

    Looks at the running batches one by one and at nothing else of which there may be many.
    """
    job = state.job
    now = max(now, job.at)
    status = shown_status(state, is_live=is_live)
    running = tuple(_running(state, pulses or {}, now)) if status in LIVE else ()
    return Progress(
        job_id=job.job_id,
        name=job.name,
        status=status,
        total=state.total,
        completed=state.count("completed"),
        failed=state.count("failed"),
        skipped=state.count("skipped"),
        blocked=state.count("blocked"),
        cancelled=state.count("cancelled"),
        running=state.count("running"),
        waiting=state.count("waiting"),
        pending=state.count("pending"),
        percent=percent_of(state),
        elapsed_seconds=_elapsed(state, status, now),
        eta_seconds=_eta(state, config, now, running, status),
        cost_usd=job.cost_usd,
        unknown_costs=job.unknown_costs,
        usage=job.usage,
        retries=job.retries,
        completions=job.completions,
        limit_waits=job.limit_waits,
        reason=job.reason or (job.stop.reason if job.stop else ""),
        code=job.code or (job.stop.code if job.stop else ""),
        running_batches=running,
        waits=tuple(_waits(state, config, now)) if status in (*LIVE, "interrupted") else (),
        saved_usd=job.saved_usd,
        limit_usd=config.cost_limits.max_cost_per_job if config and config.cost_limits.is_active else None,
        concurrency=concurrency_of(state, config) if config is not None else None,
        questions=len(job.questions),
        parked=len(state.agenda.parked),
        isolation=job.isolation,
    )


def percent_of(state: JobState) -> float:
    """Completed and skipped batches in percent of all, rounded down: 100 means every one of them."""
    if not state.total:
        return 0.0
    return math.floor(1000 * (state.count("completed") + state.count("skipped")) / state.total) / 10


def _running(state: JobState, pulses: Mapping[int, Pulse], now: float) -> Iterator[RunningBatch]:
    """Those that are worked on here, the longest running first."""
    attended = state.agenda.running - state.agenda.parked
    for batch in sorted((state.batches[n] for n in attended), key=lambda one: (one.attempt_at, one.number)):
        pulse = pulses.get(batch.number)
        if pulse is None or pulse.attempt != batch.attempts:
            pulse = Pulse(at=0.0)
        yield RunningBatch(
            number=batch.number,
            attempt=batch.attempts,
            mode=batch.mode,
            doing=_DOING.get(batch.phase, "preparing"),
            elapsed_seconds=max(0.0, now - batch.attempt_at),
            idle_seconds=max(0.0, now - pulse.at) if pulse.at else None,
            bytes_received=pulse.bytes_received,
            note=pulse.note,
        )


# --- time -------------------------------------------------------------------------------------------------------------


def _elapsed(state: JobState, status: ShownStatus, now: float) -> float:
    """Seconds since this run began, or that the last one took."""
    job = state.job
    if not job.run_started_at:
        return 0.0
    end = now if status in LIVE else job.finished_at or job.at
    return max(0.0, end - job.run_started_at)


def _eta(
    state: JobState, config: JobConfig | None, now: float, running: tuple[RunningBatch, ...], status: ShownStatus
) -> float | None:
    """Seconds until this run is over, from the mean time a batch of this run took; None while nobody can know.

    With k sessions at once, a run of t seconds holds k·t seconds of batches. What completed batches took of them,
    divided by their number, is the time one takes; the running ones count only with what is left of it.
    """
    job = state.job
    if status == "completed":
        return 0.0
    if status not in ("running", "waiting") or not job.run_completed or state.agenda.parked or job.questions:
        return None
    left = _left_to_start(state)
    at_once = _at_once(state, config, left)
    waited = now - job.limit.hit_at if job.limit is not None else 0.0
    active = max(0.0, now - job.run_started_at - waited)
    under_way = [batch.elapsed_seconds for batch in running]
    each = max(0.0, at_once * active - sum(under_way)) / job.run_completed
    if job.run_waits + job.run_quota_waits:
        # How long earlier limits lasted is not in the state; sessions say how long they worked themselves.
        settled = state.count("completed") + state.count("failed")
        each = min(each, job.duration / settled) if settled and job.duration else each
    work = left * each + sum(max(0.0, each - elapsed) for elapsed in under_way)
    return _wait_left(state, now) + work / at_once


def _left_to_start(state: JobState) -> int:
    """Batches that this run will still begin."""
    options = state.job.options
    left = state.count("pending") + state.count("waiting")
    if options.only:
        agenda = state.agenda
        left = sum(high - low + 1 for low, high in agenda.fresh) + len(agenda.queued) + len(agenda.due_times)
    if options.limit:
        ended = state.job.run_completed + state.job.run_failures + len(state.agenda.running)
        left = min(left, max(0, options.limit - ended))
    return left


def _at_once(state: JobState, config: JobConfig | None, left: int) -> int:
    """How many batches run side by side: as many as allowed, unless dependencies leave too few to start."""
    running = len(state.agenda.running)
    if config is None or (running and state.agenda.next_ready() is None):
        return max(1, running)
    return max(1, running, min(concurrency_of(state, config)[0], running + left))


def concurrency_of(state: JobState, config: JobConfig) -> tuple[int, int]:
    """How many sessions may run at once, now that the service has been asked, and at most."""
    most = state.job.options.max_concurrent
    if not most:
        most = config.parallel.max_concurrent if config.parallel.enabled else 1
    return state.job.window.within(most) if config.parallel.adaptive else most, most


def _wait_left(state: JobState, now: float) -> float:
    """Seconds for which nothing can start."""
    job = state.job
    until = max(job.limit.until if job.limit else 0.0, job.breaker.until if job.breaker.status == "open" else 0.0)
    return max(0.0, until - now)


# --- waits ------------------------------------------------------------------------------------------------------------


def _waits(state: JobState, config: JobConfig | None, now: float) -> Iterator[Wait]:
    """What holds batches back now: the account, the breaker, back-offs, the pause between batches."""
    job = state.job
    yield from _questions(state)
    if job.limit is not None:
        limit = job.limit
        left = max(0.0, limit.until - now)
        yield Wait("limit", limit.until, left, limit.code, limit.source, limit.message, probing=limit.probe)
    if job.breaker.status != "closed":
        breaker = job.breaker
        message = f"{breaker.failures} attempts failed in a row"
        left = max(0.0, breaker.until - now)
        yield Wait("breaker", breaker.until, left, message=message, probing=breaker.trial)
    due = state.agenda.next_due()
    if due is not None:
        yield _due(state.batches[due[1]], due[0], now)
    rest_over = job.last_settled_at + config.pause_between_batches_seconds if config and job.last_settled_at else 0.0
    if rest_over > now and not state.agenda.running and due is None and job.limit is None:
        yield Wait("pause", rest_over, rest_over - now, source="pause_between_batches_seconds")


def _questions(state: JobState) -> Iterator[Wait]:
    """The questions that wait longest for a person; a person can do something about it, so they come first."""
    for number in state.job.questions[:MOST_QUESTIONS]:
        asked = state.batches[number].question
        if asked is not None:
            yield Wait("answer", 0.0, 0.0, asked.code, asked.kind, asked.text, batch=number)


def _due(batch: BatchState, until: float, now: float) -> Wait:
    kind: WaitKind = "retry" if batch.mode == "first" else batch.mode
    return Wait(kind, until, max(0.0, until - now), batch.code, "back-off", batch.message, batch=batch.number)
