"""The only writer: inbox → event → journal → apply → step → attempts.

One driver runs one job. Everything that can influence the job arrives in its inbox: what attempts report, what hosts
and other processes request, what the shared gate says. It works in bursts: drain the inbox, decide until there is
nothing left to decide, make all of it durable in one commit, and only then carry out what was decided and tell
observers.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from mozart_nb import events as ev
from mozart_nb.codes import Category, lookup
from mozart_nb.engine.asking import Asking
from mozart_nb.engine.attempt import Attempt
from mozart_nb.engine.bus import Bus, Observer
from mozart_nb.engine.crew import Crew, gather_quietly
from mozart_nb.engine.desk import Parts
from mozart_nb.engine.fold import apply
from mozart_nb.engine.inbox import Inbox, Message
from mozart_nb.engine.journal_clock import JournalClock
from mozart_nb.engine.policy import Record, Rest, StartAttempt, WindUp, is_held, is_stopping, step
from mozart_nb.engine.policy.questions import WITHDRAWN, withdrawn
from mozart_nb.engine.policy.requests import events_for, leaving_reason
from mozart_nb.engine.ports import Ailment, Ending, Gate, Healing, Request, Requests, Store
from mozart_nb.engine.run import Run
from mozart_nb.engine.sharing import OwnTurns, ProbeRight, SharedLimit
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.job.model import JobConfig

POLL_SECONDS = 0.5
"""How often requests of other processes and the shared gate are looked at."""


class Driver:
    """Runs one job on the running loop. Mutates `state`, through `apply`, and nothing else does."""

    def __init__(
        self,
        state: JobState,
        config: JobConfig,
        *,
        store: Store,
        requests: Requests,
        gate: Gate,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.state = state
        self.config = config
        self.bus = Bus()
        self._store = store
        self._requests = requests
        self._gate = gate
        self._observers = observers
        self._inbox = Inbox()
        self._crew = Crew(self.note)
        self._starting: list[int] = []
        self._ailing: list[int] = []
        self._journaled: list[ev.Event] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._detaching = False
        self._leaving = ""
        self._ending: Ending | None = None
        self._warnings_told = 0

    def equip(self, parts: Parts) -> None:
        """Hand over what attempts work with; they report to the driver, so they come second."""
        self._parts = parts
        self._asking = Asking(self.state, parts.triggers, parts.composer, self.request)

    # --- from outside -------------------------------------------------------------------------------------------------

    def request(self, request: Request) -> None:
        """Ask something of the job; on the driver's loop. The answer is the event it causes."""
        self._inbox.post(Message(request=request))

    async def run(self, run: Run) -> JobState:
        """Run the job until it settles and return its state.

        Raises `CheckpointUnwritableError` when it cannot even be recorded that the job pauses; everything that was
        durable before still is, and sessions that can be picked up again go on.
        """
        loop = asyncio.get_running_loop()
        self._clock = JournalClock(self._parts.clock, loop.time, self.state.job.at)
        job = run.planned or self.state.job
        # Named after the job, not the run: a probe that the death of its host cut short is still this job's own.
        self._shared = SharedLimit(self._gate, self._parts.clock, f"{job.job_id}/{job.seed:x}")
        self._probe = ProbeRight(self._shared, self._parts.backend, self._parts.clock, self._inbox.ring)
        takes_requests = self._parts.post.takes_requests
        self._turns = OwnTurns(self._parts.turns, self.state, counts=not takes_requests, wake=self._inbox.ring)
        async with AsyncExitStack() as stack:
            stack.callback(self._turns.close)
            for observer in self._observers:
                await stack.enter_async_context(self.bus.subscribe(observer))
            poller = asyncio.create_task(self._poll(run.run_id), name="mozart requests")
            try:
                for notice in (*run.notices, *self._clock.notices(at_start=True)):
                    self.tell(ev.JobNotice(message=notice))
                await self._begin(run)
                await self._turn_until_settled()
                await self._store.checkpoint(self.state)
                self._tell_warnings()
            finally:
                poller.cancel()
                await gather_quietly([poller])
                await self._probe.close()
                await self._asking.close()
                await asyncio.shield(self._end_attempts())
        return self.state

    # --- attempts report here (engine.attempt.Desk) -------------------------------------------------------------------

    def note(self, event: ev.Event) -> None:
        """Journal this in its turn."""
        self._inbox.post(Message(event=event))

    async def record(self, event: ev.Event, answer: ev.Answer | None = None) -> None:
        """Journal this, the answer first; returns once both are durable."""
        done = asyncio.get_running_loop().create_future()
        self._inbox.post(Message(event=event, answer=answer, done=done))
        await done

    def tell(self, event: ev.Event) -> None:
        """Tell observers something that is not journaled."""
        self.bus.publish([ev.without_secrets(event)])

    async def read_answer(self, batch: BatchState) -> ev.Answer | None:
        """The batch's last answer that had any text; None if there is none."""
        if batch.answer_at < 0:
            return None
        return await self._store.read_answer(batch.answer_at, batch.answer_size)

    def is_held(self, number: int) -> bool:
        """Whether a limit was hit before the batch's session began: nothing may be sent now."""
        return is_held(self.state, number)

    # --- beginning ----------------------------------------------------------------------------------------------------

    async def _begin(self, run: Run) -> None:
        state = self.state
        if run.planned is not None:
            self._journal(ev.without_secrets(run.planned))
        for answer in run.orphans:
            self._journal(ev.without_secrets(answer.finished))
        if run.reloaded is not None:
            self._journal(ev.without_secrets(run.reloaded))
        where = {"run_id": run.run_id, "host": socket.gethostname(), "pid": run.pid, "options": run.options}
        if state.job.runs:
            crashed = not state.is_settled
            for number in tuple(state.job.questions):
                self._journal(withdrawn(state, number, "its host died while a person was asked"))
            self._journal(ev.JobResumed(crashed=crashed, **where))  # type: ignore[arg-type]  # see `where`
        else:
            self._journal(ev.JobStarted(**where))  # type: ignore[arg-type]  # see `where`
        if run.isolated is not None:
            self._journal(ev.without_secrets(run.isolated))
        for number in run.inferred:
            self._journal(ev.BatchCompleted(batch=number, recovered=True))
        if run.options.self_healing:
            for healing in (*run.healings, await self._parts.healer.begin()):
                self._note_healing(healing)
        await self._check_gate(at_start=True)
        await self._check_health()
        await self._commit()
        self._pick_up()

    def _pick_up(self) -> None:
        """Go on with the attempts that the death of an earlier host left in the middle."""
        for number in sorted(self.state.agenda.running - self.state.agenda.parked):
            attempt = self._attempt(number)
            match attempt.batch.phase:
                case "started":
                    attempt.is_unsent = self._parts.backend.outlives_host
                    self.note(attempt.abandoned("its host died before it said that its session began"))
                case "opened":
                    self._crew.launch(attempt, attempt.reattach())
                case "finished":
                    self._crew.launch(attempt, attempt.rejudge())
                case "healing":
                    self._crew.launch(attempt, attempt.heal())

        self._parts.post.begin(self.state, self, lambda number, result: self._attempt(number).collect(result))

    def _attempt(self, number: int) -> Attempt:
        return Attempt(self.state.batches[number], self._parts, self, self.state.job.job_id)

    async def _check_health(self) -> None:
        if self.state.job.options.recover:
            return
        health = await self._parts.backend.check()
        if health.ok or self.state.job.stop is not None:
            return
        row = lookup(health.code)
        if row.category is Category.RATE_LIMIT:
            wait = self.config.rate_limit.wait_minutes * 60
            hit = ev.LimitHit(
                code=row.code,
                until=self._clock.now() + wait,
                wait_seconds=wait,
                source="rate_limit.wait_minutes",
                number=self.state.job.limit_waits + 1,
                message=health.message,
            )
            self._journal(ev.without_secrets(hit))
        elif not row.retriable:
            if self.state.job.options.self_healing:
                job_id = self.state.job.job_id
                ailment = Ailment(job_id=job_id, batch=0, attempt=0, code=row.code, message=health.message)
                self._note_healing(await self._parts.healer.heal(ailment))
            stop = ev.JobPausing(reason=health.message, code=row.code, by="health check", stop="fail")
            self._journal(ev.without_secrets(stop))

    def _note_healing(self, healing: Healing) -> None:
        """What was mended, or should be, before the first attempt: it concerns the job as a whole."""
        if healing.remedy or healing.guidance:
            healed = ev.BatchHealed(batch=0, remedy=healing.remedy, guidance=healing.guidance)
            self._journal(ev.without_secrets(healed))

    # --- the turn of the wheel ----------------------------------------------------------------------------------------

    async def _turn_until_settled(self) -> None:
        self._drain()  # who asks to stop before the first turn is heard before anything starts
        while True:
            await self._check_gate()  # at every turn: what another job ran into a moment ago holds this one too
            until = self._decide()
            await self._commit()
            self._carry_out()
            self._turns.settle()
            if self.state.is_settled:
                return
            if self._detaching:
                await self._detach()
                return
            if not self._inbox and not self._journaled:
                await self._inbox.wait(until - self._clock.now() if until is not None else None)
            self._drain()

    def _decide(self) -> float | None:
        """Journal and apply every decision that is due; returns when to look again."""
        while True:
            command = step(self.state, self.config, self._clock.now())
            match command:
                case Record(event):
                    self._journal(event)
                    if isinstance(event, ev.BatchHealing):
                        self._ailing.append(event.batch)
                case StartAttempt(batch, probe=probe):
                    if not self._turns.may_start(batch, self._probe if probe else None):
                        return None
                    self._journal(command.event)
                    self._starting.append(batch)
                case WindUp(ending):
                    self._ending = ending
                    return None
                case Rest(until):
                    return until

    def _journal(self, event: ev.Event) -> None:
        """The one place where state changes."""
        stamped = msgspec.structs.replace(event, seq=self.state.job.seq + 1, at=round(self._clock.now(), 3))
        self._store.append(stamped, self.state)
        apply(self.state, stamped)
        self._journaled.append(stamped)

    async def _commit(self) -> None:
        if not self._journaled:
            return
        await self._store.commit(self.state)
        burst, self._journaled = self._journaled, []
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        await self._shared.share(burst)
        self.bus.publish(burst)
        self._tell_warnings()
        if self._store.pressure and self.state.job.stop is None and not self.state.is_settled:
            self._journal(ev.JobPausing(reason=self._store.pressure, code="E703", by="checkpoint"))

    def _tell_warnings(self) -> None:
        """Pass on what the store noticed since the last time and what did not stop the job."""
        for warning in self._store.warnings[self._warnings_told :]:
            self.tell(ev.JobNotice(message=warning))
            self._warnings_told += 1

    def _carry_out(self) -> None:
        """Begin what is now durable."""
        for number in self._starting:
            attempt = self._attempt(number)
            self._crew.launch(attempt, attempt.run())
        self._starting.clear()
        for number in self._ailing:
            attempt = self._attempt(number)
            self._crew.launch(attempt, attempt.heal())
        self._ailing.clear()
        self._asking.follow()
        if self._ending is not None:
            self._parts.isolation.wind_up(self._ending, self.note)
        if is_stopping(self.state, self.config):
            stop = self.state.job.stop
            cancels = stop is not None and stop.kind == "cancel"
            self._crew.cancel(unsent_only=not cancels)
            self._parts.post.stop(cancel=cancels)
        else:
            self._parts.post.go_on()

    # --- the inbox ----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        for message in self._inbox.take():
            if message.request is not None:
                self._obey(message.request)
            elif message.event is not None:
                self._take_in(message, message.event)

    def _take_in(self, message: Message, event: ev.Event) -> None:
        if not self._is_current(event) or (self._detaching and self._is_kept(event)):
            if message.done is not None:
                message.done.cancel()  # an attempt that nobody counts on any more must not go on
            return
        if message.done is not None:
            self._waiters.append(message.done)
        if message.answer is not None and isinstance(event, ev.SessionFinished):
            at, size = self._store.add_answer(ev.writable(message.answer))
            event = msgspec.structs.replace(event, answer_at=at, answer_size=size)
        self._journal(ev.without_secrets(ev.writable(event)))

    def _is_current(self, event: ev.Event) -> bool:
        """Whether the attempt that reports this is still the one its batch knows of."""
        attempt = getattr(event, "attempt", None)
        if attempt is None:
            return True
        batch = self.state.batches.get(event.batch)  # type: ignore[attr-defined]  # attempts belong to batches
        return batch is not None and batch.status == "running" and batch.attempts == attempt

    def _is_kept(self, event: ev.Event) -> bool:
        """A session that had finished when the host went away is not lost: its result is journaled."""
        settled = ("finished", "judged")
        return isinstance(event, ev.SessionAbandoned) and self.state.batches[event.batch].phase in settled

    def _obey(self, request: Request) -> None:
        if self.state.is_settled:
            return
        lets_go = request.kind == "detach" or (request.kind == "handover" and self._parts.backend.outlives_host)
        if lets_go:
            self._detaching, self._leaving = True, request.reason or leaving_reason(request)
            return
        if self._ending is not None:  # a session that began now would work in a folder that is being removed
            late = f"`{request.kind}` comes too late: the job is about to settle as {self._ending}"
            self.tell(ev.JobNotice(message=late))
            return
        for event in events_for(self.state, request):
            if isinstance(event, ev.VOLATILE):
                self.tell(event)
            else:
                self._journal(ev.without_secrets(ev.writable(event)))

    # --- requests, gate, probe ----------------------------------------------------------------------------------------

    async def _poll(self, run_id: str) -> None:
        """Bring requests to the inbox; look at the clock, and have the gate looked at, now and then."""
        while True:
            await self._parts.clock.sleep(POLL_SECONDS)
            for request in await self._requests.poll():
                if request.run_id in ("", run_id):
                    self.request(request)
            for notice in self._clock.notices():
                self.tell(ev.JobNotice(message=notice))
            self._inbox.ring()

    async def _check_gate(self, *, at_start: bool = False) -> None:
        news = await self._shared.news(self.state, self._clock.now(), at_start=at_start)
        if news is not None:
            self._journal(news)

    # --- ending -------------------------------------------------------------------------------------------------------

    async def _end_attempts(self) -> None:
        """Leave no task behind: sessions that can be picked up again stay, the others are ended."""
        self._detaching = True
        await self._parts.post.close()
        await self._crew.leave(outlives=self._parts.backend.outlives_host)

    async def _detach(self) -> None:
        """The host goes away: journal what was lost by it, and that the rest goes on by itself."""
        await self._end_attempts()
        self._drain()
        for number in tuple(self.state.job.questions):
            self._journal(withdrawn(self.state, number, WITHDRAWN))
        left = len(self.state.agenda.running)
        what = f"; {left} running sessions go on and are picked up on resume" if left else ""
        self._journal(ev.JobPaused(reason=f"{self._leaving or 'the host was stopped'}{what}"))
        await self._commit()
