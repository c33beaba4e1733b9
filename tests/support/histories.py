"""Random but possible lives of a job, for tests of what is stored: no policy, only what events may follow what.

    for _ in History(random.Random(7), sink).play(200): ...

`sink` gets every event before it is applied, as `engine.ports.Store` does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from mozart_nb import events as ev
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import BatchState, JobState

BEGINNING = 1_700_000_000.0


class Sink(Protocol):
    def add_answer(self, answer: ev.Answer) -> tuple[int, int]: ...

    def append(self, event: ev.Event, state: JobState) -> None: ...


class ListSink:
    """Keeps events and answers in lists; an answer's place is its number."""

    def __init__(self) -> None:
        self.events: list[ev.Event] = []
        self.answers: list[ev.Answer] = []

    def add_answer(self, answer: ev.Answer) -> tuple[int, int]:
        self.answers.append(answer)
        return len(self.answers) - 1, 1

    def append(self, event: ev.Event, state: JobState) -> None:
        self.events.append(event)


class Tee:
    """Hands everything to a store and keeps the events."""

    def __init__(self, store: Sink) -> None:
        self.store = store
        self.events: list[ev.Event] = []
        self.answers: list[tuple[ev.Answer, int, int]] = []

    def add_answer(self, answer: ev.Answer) -> tuple[int, int]:
        at, size = self.store.add_answer(answer)
        self.answers.append((answer, at, size))
        return at, size

    def append(self, event: ev.Event, state: JobState) -> None:
        self.store.append(event, state)
        self.events.append(event)


def plan_shape(rng: random.Random, total: int) -> ev.PlanShape:
    """A flat plan, one with dependencies, or one with a fan-out; about `total` batches."""
    kind = rng.choice(["flat", "chain", "fan"])
    if kind == "flat":
        return ev.PlanShape(total, 10, 1, total * 10)
    if kind == "chain":
        edges = {n: tuple(sorted(rng.sample(range(1, n), 1))) for n in range(2, total + 1) if rng.random() < 0.4}
        return ev.PlanShape(total, 1, 1, total, (), edges)
    stages = tuple(rng.choice([1, 2, 3]) for _ in range(max(1, total // 2)))
    edges = {n: (n - 1,) for n in range(2, len(stages) + 1)}
    return ev.PlanShape(sum(stages), 1, 1, sum(stages), stages, edges)


class History:
    """One job's life, an event at a time. `state` is the fold of what has been emitted."""

    def __init__(
        self, rng: random.Random, sink: Sink, *, shape: ev.PlanShape | None = None, state: JobState | None = None
    ) -> None:
        self.rng = rng
        self.sink = sink
        self.shape = shape or plan_shape(rng, rng.randint(4, 40))
        self.state = state or JobState()

    def play(self, count: int) -> Iterator[ev.Event]:
        """Emit `count` events, each applied when it is yielded."""
        for _ in range(count):
            yield self.emit(self.next_event())

    def emit(self, event: ev.Event) -> ev.Event:
        job = self.state.job
        event = msgspec.structs.replace(event, seq=job.seq + 1, at=(job.at or BEGINNING) + round(self.rng.random(), 3))
        self.sink.append(event, self.state)
        apply(self.state, event)
        return event

    def next_event(self) -> ev.Event:
        state = self.state
        if not state.job.seq:
            return self._planned()
        if not state.job.runs:
            return ev.JobStarted(run_id="run-1", host="here", pid=1, options=self._options())
        if state.is_settled or self.rng.random() < 0.01:
            return self._after_settling()
        if state.agenda.blocking:
            number = min(state.agenda.blocking)
            return ev.BatchBlocked(batches=tuple(state.agenda.downstream(number)), by=number)
        return self._during_run()

    def finish(self) -> None:
        """Bring the run to an end: no more attempts, settled."""
        while self.state.agenda.blocking:
            self.emit(self.next_event())
        if not self.state.is_settled:
            self.emit(ev.JobCancelled(by="test"))

    # --- the job ------------------------------------------------------------------------------------------------------

    def _planned(self) -> ev.Event:
        return ev.JobPlanned(
            job_id="job", name="A job", plan=self.shape, seed=self.rng.randrange(1 << 30), config_digest="d1"
        )

    def _options(self) -> ev.RunOptions:
        total = self.shape.total
        if self.rng.random() < 0.8:
            return ev.RunOptions(keep_failed=self.rng.random() < 0.3)
        return ev.RunOptions(only=((1, self.rng.randint(1, total)),), max_concurrent=2)

    def _after_settling(self) -> ev.Event:
        crashed = not self.state.is_settled
        if not crashed and self.rng.random() < 0.2:
            return ev.ConfigReloaded(config_digest=f"d{self.state.job.seq}", plan=self.state.job.plan)
        return ev.JobResumed(run_id=f"run-{self.state.job.seq}", crashed=crashed, options=self._options())

    def _during_run(self) -> ev.Event:
        state, rng = self.state, self.rng
        running = sorted(state.agenda.running)
        ready = state.agenda.next_ready()
        due = state.agenda.next_due()
        choices: list[ev.Event] = [self._something_else()] if rng.random() < 0.1 else []
        if running:
            choices.append(self._of_attempt(state.batches[rng.choice(running)]))
        if state.job.questions:
            choices.append(self._of_a_question(state.batches[rng.choice(state.job.questions)]))
        if state.agenda.unasked:
            choices.append(self._escalated(min(state.agenda.unasked)))
        if state.job.stop is None and len(running) < 4:
            number = ready or (due[1] if due else None)
            if number is not None:
                choices.append(self._begun(number))
        if not choices:
            return self._settled()
        return rng.choice(choices)

    def _settled(self) -> ev.Event:
        state = self.state
        if state.job.stop is not None:
            return ev.JobPaused(reason="asked to")
        failed = state.count("failed")
        done = state.count("completed") + state.count("skipped") == state.total
        if done:
            return ev.JobCompleted()
        return ev.JobFailed(reason=f"{failed} batches failed") if failed else ev.JobPaused(reason="nothing to do")

    def _something_else(self) -> ev.Event:
        state, rng = self.state, self.rng
        until = state.job.at + 60
        failed = [n for n, batch in state.batches.items() if batch.status == "failed"]
        choices: list[ev.Event] = [
            ev.LimitHit(
                code="E101", until=until, wait_seconds=60, source="retry-after", number=state.job.limit_waits + 1
            ),
            ev.LimitCleared(),
            ev.BreakerOpened(until=until, failures=5),
            ev.BreakerHalfOpen(),
            ev.BreakerClosed(),
            ev.CostUpdated(cost_usd=state.job.cost_usd),
            ev.JobWaiting(until=until, reason="rate limit"),
            ev.JobPausing(reason="asked to", by="test"),
            ev.JobCancelled(by="test") if rng.random() < 0.3 else ev.LimitCleared(),
            *(ev.BatchCompleted(batch=number, recovered=True) for number in failed[:1]),
        ]
        if failed:
            choices.append(ev.BatchRenewed(batches=tuple(rng.sample(failed, rng.randint(1, len(failed)))), by="test"))
        if state.status == "pausing":
            choices.append(ev.JobPauseWithdrawn(by="test"))
        choices.append(self._of_a_remote_batch())
        choices.append(self._of_the_worktree())
        ready = state.agenda.next_ready()
        if ready is not None:
            choices.append(ev.BatchSkipped(batch=ready, reason="skip_when"))
        fresh = state.agenda.fresh
        if fresh and not state.job.plan.dependencies:
            low, high = fresh[-1]
            choices.append(ev.BatchSkipped(batch=low, last=rng.randint(low, min(high, low + 2)), reason="start_batch"))
        return rng.choice(choices)

    def _of_the_worktree(self) -> ev.Event:
        """A run begins in a worktree, or in none, or it is put away."""
        where = {"worktree": "/work/trees/job", "branch": "mozart/job"}
        return self.rng.choice(
            [
                ev.JobIsolated(**where, directory="/work/trees/job/sub", base="a1b2", repository="/work/repo"),
                ev.JobIsolated(**where, directory="/work/trees/job", base="a1b2", repository="/work/repo", made=True),
                ev.JobIsolated(fallback="this is no git repository"),
                ev.WorktreeKept(**where, reason="the job failed", head="c3d4", commits=self.rng.randrange(5)),
                ev.WorktreeRemoved(**where, head="e5f6", commits=2, committed=1, elsewhere=("refs/mozart/job/e5f6",)),
            ]
        )

    def _of_a_remote_batch(self) -> ev.Event:
        """A parcel of requests begins, or something becomes of one that is on its way."""
        job, rng = self.state.job, self.rng
        if not job.remotes or rng.random() < 0.4:
            first = rng.randint(1, self.shape.total)
            spans = ((first, rng.randint(first, self.shape.total), 1), (1, 1, 2))
            return ev.RemoteSubmitting(submission=job.submissions + 1, entries=spans, requests=3, size=999)
        remote = job.remotes[rng.choice(list(job.remotes))]
        if not remote.remote_id:
            return rng.choice(
                [
                    ev.RemoteSubmitted(submission=remote.number, remote_id=f"msgbatch_{remote.number}"),
                    ev.RemoteUnconfirmed(submission=remote.number, message="the connection broke"),
                    ev.RemoteLost(submission=remote.number, reason="refused"),
                ]
            )
        return rng.choice(
            [
                ev.RemoteCancelling(submission=remote.number, message=rng.choice(["", "no route to host"])),
                ev.RemoteEnded(submission=remote.number),
            ]
        )

    # --- attempts -----------------------------------------------------------------------------------------------------

    def _begun(self, number: int) -> ev.Event:
        batch = self.state.batches.get(number)
        if batch is not None and batch.phase == "agreed":
            return ev.BatchContinued(batch=number, attempt=batch.attempts)
        attempt = batch.attempts + 1 if batch else 1
        return ev.BatchStarted(
            batch=number, attempt=attempt, mode=batch.mode if batch else "first", probe=self.rng.random() < 0.1
        )

    def _of_attempt(self, batch: BatchState) -> ev.Event:
        where: dict[str, Any] = {"batch": batch.number, "attempt": batch.attempts}
        by_phase = {
            "started": self._started,
            "opened": self._opened,
            "finished": self._finished,
            "healing": self._healing,
        }
        return by_phase.get(batch.phase, self._judged)(where)

    def _started(self, where: dict[str, Any]) -> ev.Event:
        opened = ev.SessionOpened(
            **where,
            session_id=f"{self.rng.getrandbits(64):016x}",
            marker="m",
            log=f"logs/0000/{where['batch']:04d}-{where['attempt']}",
            outlives=True,
            parked=self.rng.random() < 0.2,
            files={"report.md": "", "überblick.md": "12-34"},
        )
        rare: Sequence[ev.Event] = (
            ev.BatchPreflight(**where, prompt_tokens=60_000, findings=(ev.Finding("a long prompt"),)),
            ev.SessionAbandoned(**where, reason="its host died"),
            ev.BatchAsked(**where, triggers=("deploy",), message="Now?", prompt="Deploy it.", prompt_hash="1f"),
        )
        return opened if self.rng.random() < 0.8 else self.rng.choice(rare)

    def _escalated(self, number: int) -> ev.Event:
        return ev.BatchAsked(
            batch=number,
            attempt=self.state.batches[number].attempts,
            about="escalation",
            code="E201",
            message="no file",
        )

    def _of_a_question(self, batch: BatchState) -> ev.Event:
        question = batch.question
        assert question is not None
        where: dict[str, Any] = {"batch": batch.number, "attempt": question.attempt}
        if self.rng.random() < 0.2:
            return ev.BatchQuestionWithdrawn(**where, reason="the job stops")
        action = self.rng.choice(question.choices)
        return ev.BatchAnswered(**where, action=action, text=self.rng.choice(["", "words"]), by="page")

    def _opened(self, where: dict[str, Any]) -> ev.Event:
        if self.rng.random() < 0.1:
            return self.rng.choice(
                [
                    ev.SessionAbandoned(**where, reason="gone", cost_usd=0.01),
                    ev.SessionAdopted(**where, how="running"),
                    ev.ValidationFailed(**where, code="E601", message="no such folder"),
                ]
            )
        return self._session_end(where)

    def _session_end(self, where: dict[str, Any]) -> ev.Event:
        code = self.rng.choice(["", "", "", "E001", "E101"])
        finished = ev.SessionFinished(
            **where,
            outcome="error" if code else "ok",
            code=code,
            message="API error" if code else "",
            exit_code=self.rng.choice([0, 1, None]),
            duration=round(self.rng.random() * 100, 3),
            usage=ev.Usage(self.rng.randrange(5000), self.rng.randrange(900)),
            cost_usd=self.rng.choice([None, 0.0125, 0.5]),
            model="claude-test",
            turns=2,
            session_id=f"{self.rng.getrandbits(64):016x}",
        )
        at, size = self.sink.add_answer(ev.Answer(finished, text=f"answer {self.rng.random()}\n„quoted“ \u2028 \x00"))
        return msgspec.structs.replace(finished, answer_at=at, answer_size=size)

    def _finished(self, where: dict[str, Any]) -> ev.Event:
        count = self.rng.randint(0, 3)
        good = self.rng.random() < 0.6
        results = tuple(
            ev.RuleResult(n, "file_exists", "passed" if good or n else "failed", path=f"out/{n}.md", evidence=good)
            for n in range(count)
        )
        if good:
            code = self.state.batches[where["batch"]].code
            tail = "x" * self.rng.randrange(700)
            return ev.ValidationPassed(
                **where, results=results, code=code, exit_code_ignored=bool(code), stdout_tail=tail
            )
        return ev.ValidationFailed(
            **where, results=results, code="E201", message="no report", stdout_tail="y" * 900, stderr_tail='"\\\n\t'
        )

    def _healing(self, where: dict[str, Any]) -> ev.Event:
        if self.state.batches[where["batch"]].heals > 1 or self.rng.random() < 0.5:
            return ev.BatchHealed(**where, guidance="log in first")
        return ev.BatchHealed(**where, remedy="made a folder")

    def _judged(self, where: dict[str, Any]) -> ev.Event:
        number, due = where["batch"], self.state.job.at + 5
        batch = self.state.batches[number]
        if batch.validation_passed:
            return ev.BatchCompleted(batch=number)
        choices: list[ev.Event] = [
            ev.BatchRetrying(batch=number, due=due, delay=5, number=batch.retries + 1, code=batch.code),
            ev.BatchCompleting(batch=number, due=due, delay=5, number=batch.completions + 1),
            ev.BatchWaiting(batch=number, code="E101"),
            ev.BatchHealing(batch=number, number=batch.heals + 1),
            ev.BatchFailed(batch=number, code="E201", message="budgets used up"),
            self._escalated(number),
        ]
        return self.rng.choice(choices)


def history(seed: int, count: int, total: int | None = None) -> list[ev.Event]:
    """The first `count` events of the life that `seed` stands for."""
    rng, sink = random.Random(seed), ListSink()
    shape = plan_shape(rng, total) if total else None
    for _ in History(rng, sink, shape=shape).play(count):
        continue
    return sink.events
