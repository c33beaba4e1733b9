"""Attempts whose answers come hours later, many at once: handed in together, followed, and concluded one by one.

A parked batch costs no task and no text here, only its record. Its request goes into the outbox, from there into a
parcel, and with the parcel to the service, where it is a remote batch. The order makes sure that nothing is sent twice,
whenever the host dies:

1. `remote.submitting` is durable before the parcel is sent, and names every request in it.
2. `remote.submitted` is durable before anything else is done with the remote batch.
3. A parcel of which only the first is known is looked for among the remote batches of the account. The service tells
   whose requests are in one only when it is over, so such candidates are waited for. Only when there is none, and a
   while has passed, do its batches go back to be sent again, as new attempts.

Results of attempts that are no longer current, or are concluded already, are left aside, so reading them again is
always safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from mozart_nb import events as ev
from mozart_nb.codes import Scope, lookup
from mozart_nb.engine.classify import classify
from mozart_nb.engine.crew import gather_quietly
from mozart_nb.engine.desk import Collect, Desk
from mozart_nb.engine.parcels import Key, Outbox, Parcel, custom_id, key_of, keys_in, spans
from mozart_nb.engine.ports import Clock, Remote, RemoteBatch, RemoteError, RemoteResult, SessionRequest, SessionResult
from mozart_nb.engine.remote_search import Search
from mozart_nb.engine.state import JobState

PARCEL_REQUESTS = 10_000
PARCEL_BYTES = 64 << 20
"""A parcel is sent when it has reached one of these. The service takes ten times as many and four times as much;
smaller parcels keep memory low, and one that goes wrong costs less."""

CONCLUDED_AT_ONCE = 64
MOST_READINGS = 3
"""Results that are fewer than the requests are read again so often before the missing ones are given up."""

NOTED_AT_ONCE = 200
"""So many events of one kind are journaled in one go: the loop belongs to others as well."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the dispatch is, in seconds.

    A parcel is sent when nothing was added for `linger`. Remote batches are asked after every `first_poll` in the
    beginning, and every `longest_poll` in the end. A parcel in doubt counts as never received when it has not turned up
    for `grace`. `slack` is how much the clocks here and at the service may differ.
    """

    linger: float = 2.0
    first_poll: float = 1.0
    longest_poll: float = 60.0
    growth: float = 1.5
    grace: float = 30.0
    slack: float = 7200.0
    cancelling: float = 15.0


class Dispatch:
    """The parked attempts of one job (`engine.desk.Post`). Journals through the desk; changes no state itself."""

    takes_requests = True

    def __init__(
        self,
        remote: Remote,
        clock: Clock,
        *,
        timing: Timing | None = None,
        most_requests: int = PARCEL_REQUESTS,
        most_bytes: int = PARCEL_BYTES,
    ) -> None:
        self._remote = remote
        self._clock = clock
        self._timing = timing or Timing()
        self._outbox = Outbox(min(most_requests, remote.most_requests), min(most_bytes, remote.most_bytes))
        self._slots = asyncio.Semaphore(CONCLUDED_AT_ONCE)
        self._concluding: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopped = False
        self._cancels = False
        self._last_trouble = ""

    # --- engine.desk.Post ---------------------------------------------------------------------------------------------

    def begin(self, state: JobState, desk: Desk, collect: Collect) -> None:
        """Begin to work for a run, with what earlier hosts have left at the service."""
        self._state, self._desk, self._collect = state, desk, collect
        self._sender = self._spawn(self._send_parcels(), "sends")
        self._spawn(self._give_back(self._unsent(), "its host died before the request was sent"), "looks back")
        for number, remote in state.job.remotes.items():
            self._spawn(self._follow(number) if remote.remote_id else self._find(number), f"goes on with {number}")

    async def room(self, batch: int) -> None:
        """Wait until one more request may be made ready. Whoever probes a limit for all others does not wait."""
        limit = self._state.job.limit
        if limit is None or limit.probe != batch:
            await self._outbox.room()

    async def hand_in(self, request: SessionRequest) -> None:
        """Take over a request whose session is journaled as opened and parked."""
        key = Key(request.batch, request.attempt)
        document = await self._remote.encode(custom_id(self._state.job.seed, key), request)
        if isinstance(document, SessionResult):
            await self._collect(request.batch, document)
        elif self._is_stopped:
            self._desk.note(_abandoned(key, "the job stopped before it was sent"))
        else:
            self._outbox.add(key, document)

    def stop(self, *, cancel: bool) -> None:
        """Send nothing more; with `cancel`, ask the service to stop as well. May be called again and again."""
        if not self._is_stopped:
            self._is_stopped = True
            self._spawn(self._empty_outbox(), "empties its outbox")
        if cancel and not self._cancels:
            self._cancels = True
            self._spawn(self._cancel_all(), "cancels")

    def go_on(self) -> None:
        """Send again what comes from now on; what was given back comes once more."""
        if not self._is_stopped:
            return
        self._is_stopped = False
        if self._sender.done():
            self._sender = self._spawn(self._send_parcels(), "sends")

    async def close(self) -> None:
        """Leave no task behind. What is at the service stays there."""
        for task in self._tasks:
            task.cancel()
        await gather_quietly(list(self._tasks))

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"mozart dispatch {what}")
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            reason = f"{task.get_name()}: {type(error).__name__}: {error}"
            self._desk.note(ev.JobPausing(reason=reason, code="E999", by="dispatch", stop="fail"))

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send_parcels(self) -> None:
        while True:
            await self._outbox.ripe(self._timing.linger)
            while self._is_held():
                await self._clock.sleep(self._timing.first_poll)
            if self._is_stopped:
                return  # what is left is given back
            parcel = self._outbox.take()
            if parcel is not None:
                await self._submit(parcel)

    def _is_held(self) -> bool:
        """A limit holds everything back but the parcel that tries whether it is over.

        Where no batch is left to begin as the probe, what waits here is sent as one when the time has come.
        """
        limit, agenda = self._state.job.limit, self._state.agenda
        if limit is None or limit.passed or self._is_stopped or limit.probe in self._outbox:
            return False
        now, due = self._clock.wall(), agenda.next_due()
        others_may_try = agenda.next_ready() is not None or (due is not None and due[0] <= now)
        return others_may_try or now < limit.until

    async def _submit(self, parcel: Parcel) -> None:
        number = self._state.job.submissions + 1
        await self._desk.record(
            ev.RemoteSubmitting(
                submission=number,
                entries=spans(parcel.keys),
                requests=len(parcel.keys),
                size=parcel.size,
                sent_at=self._clock.wall(),
            )
        )
        try:
            made = await self._remote.create(parcel.documents)
        except RemoteError as error:
            await self._not_submitted(number, error)
        else:
            await self._submitted(number, made, adopted=False)

    async def _not_submitted(self, number: int, error: RemoteError) -> None:
        if error.is_refusal:
            await self._end_all(number, error.result)
            await self._desk.record(ev.RemoteLost(submission=number, reason=str(error)))
        else:
            await self._desk.record(ev.RemoteUnconfirmed(submission=number, message=str(error)))
            failure = msgspec.structs.replace(error.result, cost_usd=0.0)  # if it was not received, nothing is paid
            self._spawn(self._find(number, failure), f"looks for {number}")

    async def _submitted(self, number: int, made: RemoteBatch, *, adopted: bool) -> None:
        await self._desk.record(ev.RemoteSubmitted(submission=number, remote_id=made.id, adopted=adopted))
        if self._cancels:
            await self._cancel(number)
        self._spawn(self._follow(number), f"follows {number}")

    # --- looking for a parcel in doubt --------------------------------------------------------------------------------

    async def _find(self, number: int, failure: SessionResult | None = None) -> None:
        """Find out whether the service has a parcel; `failure` is how sending it ended, None if nobody knows."""
        search = Search(self._remote, self._state, number, self._timing.slack)
        began, interval = self._clock.fair(), self._timing.first_poll
        while True:
            try:
                found = await search.look()
            except RemoteError as error:
                self._heed(error)
            else:
                if found is not None:
                    await self._submitted(number, found, adopted=True)
                    return
                if not search.has_candidates and self._clock.fair() - began >= self._timing.grace:
                    break
            await self._clock.sleep(interval)
            interval = min(interval * self._timing.growth, self._timing.longest_poll)
        if failure is not None:
            await self._end_all(number, failure)
        await self._lose(number, "the service never received it", cost=0.0)

    # --- following ----------------------------------------------------------------------------------------------------

    async def _follow(self, number: int) -> None:
        """Wait until a remote batch is over, and conclude everything in it."""
        remote_id = self._state.job.remotes[number].remote_id
        interval, readings = self._timing.first_poll, 0
        while True:
            wait = interval
            try:
                shown = await self._remote.look(remote_id)
                if shown.is_over:
                    readings += 1
                    if await self._read(number, remote_id) >= shown.requests or readings == MOST_READINGS:
                        break
            except RemoteError as error:
                if error.is_gone:
                    await self._lose(number, f"{remote_id} does not exist any more: {error}", cost=None)
                    return
                wait = max(wait, self._heed(error))
            await self._clock.sleep(wait)
            interval = min(interval * self._timing.growth, self._timing.longest_poll)
        await self._end_all(number, _MISSING)
        await self._desk.record(ev.RemoteEnded(submission=number))

    async def _read(self, number: int, remote_id: str) -> int:
        """Conclude every attempt with its result; returns how many results there were."""
        ending: set[asyncio.Task[None]] = set()
        count = 0
        try:
            async with aclosing(self._remote.results(remote_id)) as parts:
                async for part in parts:
                    count += len(part)
                    for one in part:
                        await self._take(number, one, ending)
        finally:
            await gather_quietly(list(ending))
        return count

    async def _take(self, number: int, one: RemoteResult, ending: set[asyncio.Task[None]]) -> None:
        key = key_of(self._state.job.seed, one.custom_id)
        if key is None or not self._is_open(key):
            return
        remote = self._state.job.remotes[number]
        if one.is_cancelled and remote.status in ("cancelling", "beyond_reach"):
            self._desk.note(_abandoned(key, "cancelled before the service came to it"))
        else:
            await self._conclude(key, one.result, ending)

    async def _conclude(self, key: Key, result: SessionResult, ending: set[asyncio.Task[None]]) -> None:
        """Conclude an attempt, as soon as few enough others are being concluded."""
        await self._slots.acquire()
        self._concluding.add(key.batch)
        task = self._spawn(self._collect(key.batch, result), f"concludes batch {key.batch}")
        ending.add(task)

        def over(_: object) -> None:
            ending.discard(task)
            self._concluding.discard(key.batch)
            self._slots.release()

        task.add_done_callback(over)

    async def _end_all(self, number: int, result: SessionResult) -> None:
        """Conclude every attempt of a parcel that has had no result yet with this one."""
        ending: set[asyncio.Task[None]] = set()
        for key in self._open_in(number):
            await self._conclude(key, result, ending)
        await gather_quietly(list(ending))

    async def _lose(self, number: int, reason: str, *, cost: float | None) -> None:
        await self._give_back(self._open_in(number), reason, cost=cost)
        await self._desk.record(ev.RemoteLost(submission=number, reason=reason))

    def _heed(self, error: RemoteError) -> float:
        """What a failed call means for the job; returns how long it asks to wait (seconds)."""
        verdict = classify(error.result, wall=self._clock.wall())
        if verdict.message != self._last_trouble:
            self._last_trouble = verdict.message
            self._desk.tell(ev.JobNotice(message=f"the service cannot be asked for answers: {verdict.message}"))
        row = lookup(verdict.code) if verdict.code else None
        if row is not None and row.scope is Scope.JOB and self._state.job.stop is None:
            self._desk.note(ev.JobPausing(reason=verdict.message, code=verdict.code, by="dispatch", stop="fail"))
        return verdict.retry_after

    # --- giving back --------------------------------------------------------------------------------------------------

    def _is_open(self, key: Key) -> bool:
        """Whether that attempt is current and waits for its result."""
        batch = self._state.batches.get(key.batch)
        if batch is None or batch.attempts != key.attempt or key.batch in self._concluding:
            return False
        return batch.status == "running" and batch.phase == "opened"

    def _open_in(self, number: int) -> Iterator[Key]:
        entries = self._state.job.remotes[number].entries
        return (key for key in keys_in(entries) if self._is_open(key))

    def _unsent(self) -> Iterator[Key]:
        """Parked attempts that are in no parcel: they were in the outbox of a host that is no more."""
        batches, remotes = self._state.batches, self._state.job.remotes.values()
        ranges = [entry for remote in remotes for entry in remote.entries]
        sent = {
            number
            for first, last, attempt in ranges
            for number in range(first, last + 1)
            if number in batches and batches[number].attempts == attempt
        }
        return iter([Key(number, batches[number].attempts) for number in sorted(self._state.agenda.parked - sent)])

    async def _give_back(self, keys: Iterator[Key], reason: str, *, cost: float | None = 0.0) -> None:
        """Let batches start again, as new attempts; no budget is used."""
        for count, key in enumerate(keys, start=1):
            event = _abandoned(key, reason, cost)
            if count % NOTED_AT_ONCE:
                self._desk.note(event)
            else:
                await self._desk.record(event)

    async def _empty_outbox(self) -> None:
        while self._is_stopped and (parcel := self._outbox.take()) is not None:
            await self._give_back(iter(parcel.keys), "the job stopped before it was sent")

    # --- cancelling ---------------------------------------------------------------------------------------------------

    async def _cancel_all(self) -> None:
        submitted = [number for number, one in self._state.job.remotes.items() if one.status == "submitted"]
        await asyncio.gather(*(self._cancel(number) for number in submitted))

    async def _cancel(self, number: int) -> None:
        """Ask the service to stop; what it answered until then is collected on resume."""
        message = ""
        try:
            async with asyncio.timeout(self._timing.cancelling):
                await self._remote.cancel(self._state.job.remotes[number].remote_id)
        except RemoteError as error:
            message = str(error)
        except TimeoutError:
            message = f"no answer within {self._timing.cancelling:g} s"
        if number in self._state.job.remotes:
            await self._desk.record(ev.RemoteCancelling(submission=number, message=message))


_MISSING = SessionResult(
    outcome="error",
    has_result=True,
    error_text="the remote batch ended without a result for this request",
    cost_usd=0.0,
)


def _abandoned(key: Key, reason: str, cost: float | None = 0.0) -> ev.SessionAbandoned:
    return ev.SessionAbandoned(batch=key.batch, attempt=key.attempt, reason=reason, cost_usd=cost)
