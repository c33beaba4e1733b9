"""A world for the engine that fits into memory: scripted sessions, a journal in a list, hours in milliseconds.

    world = World(batches=3, outcomes={1: [refused(retry_after=60), OK]})
    state = world.run()

Every state a `World` returns has passed `check_invariants`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from support.virtual_time import VirtualClock, run_virtual

from mozart_nb import events as ev
from mozart_nb.engine.composed import Composed
from mozart_nb.engine.confirm import Triggers
from mozart_nb.engine.desk import Parts
from mozart_nb.engine.driver import Driver
from mozart_nb.engine.fold import fold
from mozart_nb.engine.ports import (
    Confirmations,
    Continuation,
    ExpectedFile,
    Gate,
    Health,
    Report,
    Request,
    SessionRequest,
    SessionResult,
)
from mozart_nb.engine.preflight import Preflight
from mozart_nb.engine.run import Run
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.gate import FileGate, NullGate
from mozart_nb.job.model import JobConfig
from mozart_nb.job.plan import plan_job

OK = SessionResult(outcome="ok", text="done", exit_code=0, has_result=True, cost_usd=0.01, usage=ev.Usage(10, 5))


def refused(retry_after: float | None = None, text: str = "rate limited") -> SessionResult:
    return SessionResult(
        outcome="error",
        exit_code=1,
        api_status=429,
        error_kind="rate_limit",
        error_text=text,
        retry_after=retry_after,
        has_result=True,
        cost_usd=0.0,
    )


def failed(status: int = 500) -> SessionResult:
    return SessionResult(
        outcome="error",
        exit_code=1,
        api_status=status,
        error_kind={401: "authentication_failed", 500: "server_error", 404: "model_not_found"}.get(status, "unknown"),
        error_text=f"API Error: {status}",
        has_result=True,
        cost_usd=0.0,
    )


@dataclass(frozen=True)
class Rules:
    """What the rules find after a session: `passed` and `failed` rules, with the attempt's own files as evidence."""

    passed: int = 1
    failed: int = 0
    evidence: bool = False

    def results(self) -> tuple[ev.RuleResult, ...]:
        good = [
            ev.RuleResult(rule=n, type="file_exists", status="passed", evidence=self.evidence)
            for n in range(self.passed)
        ]
        bad = [
            ev.RuleResult(rule=self.passed + n, type="file_exists", status="failed", message="missing")
            for n in range(self.failed)
        ]
        return (*good, *bad)


Outcome = SessionResult | tuple[SessionResult, Rules]


@dataclass
class ScriptedBackend:
    """Plays the outcomes of each batch in order and repeats the last one; `OK` where nothing is scripted."""

    outcomes: Mapping[int, Sequence[Outcome]]
    clock: VirtualClock
    seconds: float = 1.0
    name: str = "scripted"
    family: str = ""
    continues_by: Continuation = ""
    outlives_host: bool = False
    is_free: bool = True
    health: Callable[[], Health] = lambda: Health(ok=True)
    sent: list[tuple[int, int, str]] = field(default_factory=list)
    running: set[int] = field(default_factory=set)
    most_at_once: int = 0
    started_at: list[tuple[float, int]] = field(default_factory=list)
    judgements: dict[int, Rules] = field(default_factory=dict)
    plays: dict[int, int] = field(default_factory=dict)

    async def run(self, request: SessionRequest, report: Report) -> SessionResult:
        await report.opened(request.session_id)
        self.sent.append((request.batch, request.attempt, request.mode))
        self.started_at.append((self.clock.wall(), request.batch))
        assert request.batch not in self.running, "two sessions of one batch at once"
        self.running.add(request.batch)
        self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            await self.clock.sleep(self.seconds)
        finally:
            self.running.discard(request.batch)
        return self.play(request.batch)

    def play(self, batch: int) -> SessionResult:
        script = self.outcomes.get(batch, [OK])
        play = self.plays.get(batch, 0)
        self.plays[batch] = play + 1
        outcome = script[min(play, len(script) - 1)]
        result, rules = outcome if isinstance(outcome, tuple) else (outcome, Rules())
        self.judgements[batch] = rules
        return result

    async def check(self) -> Health:
        return self.health()

    async def close(self) -> None:
        return None


@dataclass
class ScriptedChecker:
    """Finds what the backend's script says it finds."""

    backend: ScriptedBackend

    async def signatures(self, values: Mapping[str, Any]) -> dict[str, str]:
        rules = self.backend.judgements.get(values["batch_num"])
        return {"report.md": "changed"} if rules is not None and rules.evidence else {}

    async def check(
        self,
        values: Mapping[str, Any],
        *,
        answer: str,
        baseline: Mapping[str, str],
        before: Mapping[str, str],
        data: Any = None,
    ) -> tuple[ev.RuleResult, ...]:
        return self.backend.judgements.get(values["batch_num"], Rules()).results()

    def expected_files(self, values: Mapping[str, Any]) -> tuple[ExpectedFile, ...]:
        return ()


class PlainComposer:
    """Prompts that say which batch and attempt they are for."""

    def __init__(self, skips: Mapping[int, str] | None = None) -> None:
        self.skips = skips or {}
        self.asked: list[tuple[int, str, list[str]]] = []
        """Batch, mode, and the messages of the failed rules that a prompt would name."""

    async def values(self, number: int) -> Mapping[str, Any]:
        return {"batch_num": number}

    async def compose(self, batch: BatchState, *, continues: bool) -> Composed:
        prompt = batch.edited or f"batch {batch.number}, {batch.mode}"
        missing = [result.message for result in batch.validation_details if result.status == "failed"]
        self.asked.append((batch.number, batch.mode, missing))
        return Composed(prompt, {"batch_num": batch.number}, Preflight(len(prompt) // 4, len(prompt), 1))

    async def skip_reason(self, number: int) -> str:
        return self.skips.get(number, "")

    def request(self, batch: BatchState, composed: Composed | None, session: ev.SessionOpened) -> SessionRequest:
        return SessionRequest(
            job_id="job",
            batch=batch.number,
            attempt=batch.attempts,
            mode=batch.mode,
            prompt=composed.prompt if composed else "",
            session_id=session.session_id,
            marker=session.marker,
            log=session.log,
            working_directory="/",
            workspace="/",
            timeout_seconds=60,
        )

    def log_name(self, number: int, attempt: int) -> str:
        return f"{number:04}-{attempt}"


class MemoryStore:
    """A journal in a list. `durable` is what a crash leaves behind; `answers` what was synced before it."""

    def __init__(self) -> None:
        self.durable: list[ev.Event] = []
        self.answers: list[tuple[ev.Answer, int]] = []
        self.pressure = ""
        self.warnings: list[str] = []
        self.closed = False
        self._events: list[bytes] = []
        self._answers: list[tuple[ev.Answer, int]] = []

    def add_answer(self, answer: ev.Answer) -> tuple[int, int]:
        at = len(self.answers + self._answers) * 100
        self._answers.append((answer, at))
        return at, 100

    def append(self, event: ev.Event, state: JobState) -> None:
        self._events.append(ev.encode_event(event))

    async def commit(self, state: JobState) -> None:
        self.answers += self._answers
        self.durable += [ev.decode_event(line) for line in self._events]
        self._answers, self._events = [], []

    async def checkpoint(self, state: JobState) -> None:
        await self.commit(state)

    async def read_answer(self, offset: int, size: int) -> ev.Answer:
        return next(answer for answer, at in self.answers if at == offset)

    async def close(self) -> None:
        self.closed = True


class ListedRequests:
    """Requests by the (virtual) second at which they are dropped."""

    def __init__(self, clock: VirtualClock, due: Sequence[tuple[float, Request]] = ()) -> None:
        self._clock = clock
        self._due = sorted(due, key=lambda pair: pair[0])
        self._start: float | None = None

    async def poll(self) -> Sequence[Request]:
        now = asyncio.get_running_loop().time()
        arrived = [request for at, request in self._due if at <= now]
        self._due = self._due[len(arrived) :]
        return arrived


def shared_gate(path: Path, clock: VirtualClock) -> FileGate:
    """The account's gate for jobs on the running virtual loop."""
    loop = asyncio.get_running_loop()
    origin = clock.wall() - loop.time()
    return FileGate(path, wall=lambda: origin + loop.time())


def job(batches: int = 1, **sections: Any) -> JobConfig:
    """A config with so many batches of one item; sections as in a job file."""
    batch = {"size": 1, "total_items": batches, **sections.pop("batch", {})}
    return JobConfig.model_validate({"name": "job", "batch": batch, "prompt": {"template": "x"}, **sections})


class World:
    """One job and everything around it. `run` may be called again: that is a resume."""

    backend_type = ""

    def __init__(
        self,
        batches: int = 1,
        outcomes: Mapping[int, Sequence[Outcome]] | None = None,
        *,
        requests: Sequence[tuple[float, Request]] = (),
        gate: Gate | None = None,
        clock: VirtualClock | None = None,
        seconds: float = 1.0,
        skips: Mapping[int, str] | None = None,
        seed: int = 7,
        **sections: Any,
    ) -> None:
        self.seed = seed
        self.config = job(batches, **sections)
        self.clock = clock or VirtualClock()
        self.backend = ScriptedBackend(outcomes or {}, self.clock, seconds=seconds)
        self.store = MemoryStore()
        self.gate = gate or NullGate()
        self.requests = ListedRequests(self.clock, requests)
        self.composer = PlainComposer(skips)
        self.state = JobState()
        self.elapsed = 0.0
        self.driver: Driver | None = None
        self.observers: list[Any] = []
        self.person: Confirmations | None = None

    @property
    def kinds(self) -> list[str]:
        return [ev.kind_of(event) for event in self.store.durable]

    def all(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.store.durable if isinstance(event, kind)]

    def run(self, **options: Any) -> JobState:
        """Run to the end, in virtual time."""
        state, self.elapsed = run_virtual(self.drive(**options))
        return state

    def parts(self) -> Parts:
        """What the attempts of one run work with."""
        triggers = Triggers(self.config.checkpoints, self.person, "job")
        return Parts(self.backend, ScriptedChecker(self.backend), self.composer, self.clock, triggers=triggers)

    async def drive(self, *, inferred: Sequence[int] = (), **options: Any) -> JobState:
        parts = self.parts()
        self.driver = Driver(
            self.state,
            self.config,
            store=self.store,
            requests=self.requests,
            gate=self.gate,
            observers=self.observers,
        )
        self.driver.equip(parts)
        planned = None
        if not self.state.job.seq:
            shape = plan_job(self.config, None).shape
            planned = ev.JobPlanned(
                job_id="job", name="job", plan=shape, seed=self.seed, config_digest="d", backend=self.backend_type
            )
        orphans = self._orphans()
        state = await self.driver.run(
            Run(ev.RunOptions(**options), planned=planned, orphans=orphans, inferred=inferred)
        )
        check_invariants(state, self.config)
        assert fold(self.store.durable) == state, "the journal and the live state disagree"
        return state

    def crash(self, keep: int, *, orphan: bool = False) -> World:
        """A world in which the host died when only the first `keep` events were durable.

        `orphan`: it died between the two syncs, so one more answer is durable than its event.
        """
        other = World(1, self.backend.outcomes)
        other.config = self.config
        other.store.durable = list(self.store.durable[:keep])
        finished = sum(isinstance(event, ev.SessionFinished) for event in other.store.durable)
        known = finished + orphan * isinstance(self.store.durable[keep], ev.SessionFinished)
        other.store.answers = self.store.answers[:known]
        other.state = fold(other.store.durable)
        for answer, _ in other.store.answers:
            other.backend.play(answer.finished.batch)  # the files that session wrote are still there
        return other

    def _orphans(self) -> list[ev.Answer]:
        return [
            msgspec.structs.replace(
                answer, finished=msgspec.structs.replace(answer.finished, answer_at=at, answer_size=100)
            )
            for answer, at in self.store.answers
            if at >= self.state.job.answers_end and answer.finished.batch in self.state.agenda.running
        ]


def check_invariants(state: JobState, config: JobConfig) -> None:
    """What is true of every state, however it came about."""
    retry = config.retry
    statuses = [state.status_of(n) for n in range(1, state.total + 1)]
    for status in ("completed", "failed", "skipped", "blocked", "running", "waiting", "cancelled", "pending"):
        assert state.count(status) == statuses.count(status), status
    for batch in state.batches.values():
        used = batch.attempts - batch.waits - batch.abandoned
        if state.job.runs == 1:
            given = (1 + batch.heals) * (1 + batch.escalations)
            assert used <= (1 + retry.max_retries + retry.max_completion_attempts) * given
        assert batch.retries <= retry.max_retries
        assert batch.completions <= retry.max_completion_attempts
        assert batch.cost_usd >= 0
    assert abs(sum(batch.cost_usd for batch in state.batches.values()) - state.job.cost_usd) < 1e-6
    asked = [n for n, batch in state.batches.items() if batch.question is not None]
    assert sorted(state.job.questions) == sorted(asked)
    running = {n for n, batch in state.batches.items() if batch.status == "running"}
    assert state.agenda.running == running
    assert JobState(state.job, state.batches).agenda.view() == state.agenda.view() or state.is_settled
    if state.job.status == "completed":
        assert set(statuses) <= {"completed", "skipped"}
