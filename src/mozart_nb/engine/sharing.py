"""The job's side of what it shares with others: the gate of the account, and the turns of the host.

What another job ran into becomes this job's `limit.hit`, what this job ran into closes the gate for the others, and
only one of them all sends the probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mozart_nb import events as ev
from mozart_nb.codes import lookup
from mozart_nb.engine.ports import Backend, Clock, Gate, GateReading, Turns
from mozart_nb.engine.state import JobState, LimitState

ANOTHER_JOB = "another job"
PROBE_LEASE_SECONDS = 180.0
"""A probe that has not ended after so long no longer keeps others from probing: its host may have died."""

SLACK_SECONDS = 1.0

REFUSED_SECONDS = 2.0
"""How long to wait before asking again for the right to probe, or whether the backend is back."""


class SharedLimit:
    """Translates between the account's gate and the job's limit events. `owner` names this job among all others."""

    def __init__(self, gate: Gate, clock: Clock, owner: str) -> None:
        self._gate = gate
        self._clock = clock
        self._owner = owner

    async def news(self, state: JobState, now: float, *, at_start: bool = False) -> ev.Event | None:
        """What the gate says that the job does not know yet.

        What the job itself ran into is no news to it, but `at_start`: an earlier life of it may have been archived.
        """
        reading = await self._gate.read()
        limit = state.job.limit
        if not reading.closed:
            told = limit is not None and not limit.probe and (reading.cleared_at or limit.source == ANOTHER_JOB)
            return ev.LimitCleared(by=ANOTHER_JOB) if told else None
        wait = reading.until - self._clock.wall()
        is_over = wait <= 0 and (limit is not None or bool(state.agenda.running))
        if is_over or (reading.by == self._owner and (limit is not None or not at_start)):
            return None
        if limit is not None and now + wait <= limit.until + SLACK_SECONDS:
            return None
        return ev.LimitHit(
            code=reading.code,
            until=now + max(wait, 0.0),
            wait_seconds=max(wait, 0.0),
            source=ANOTHER_JOB,
            number=state.job.limit_waits,
            message=reading.message,
        )

    async def may_probe(self) -> bool:
        """Whether this job is the one that tries."""
        return await self._gate.try_probe(self._owner, PROBE_LEASE_SECONDS)

    async def share(self, events: Sequence[ev.Event]) -> None:
        """Tell the others what this job ran into, once that is durable."""
        for event in events:
            if isinstance(event, ev.LimitHit) and event.source != ANOTHER_JOB:
                wall = self._clock.wall()
                await self._gate.hit(
                    GateReading(
                        until=wall + event.wait_seconds,
                        hit_at=wall,
                        code=event.code,
                        message=event.message,
                        source=event.source,
                        by=self._owner,
                    )
                )
            elif isinstance(event, ev.LimitCleared) and event.by != ANOTHER_JOB:
                await self._gate.clear(self._owner)


class ProbeRight:
    """Whether this job may send the probe now: nobody else does, and the backend is in order.

    Asking takes a moment, so `is_granted` answers at once and `wake` is called when there is more to say.
    """

    def __init__(self, shared: SharedLimit, backend: Backend, clock: Clock, wake: Callable[[], None]) -> None:
        self._shared = shared
        self._backend = backend
        self._clock = clock
        self._wake = wake
        self._granted_for: float | None = None
        self._asking: asyncio.Task[None] | None = None

    def is_granted(self, limit: LimitState | None) -> bool:
        """True once for every right that was given for this `limit`; asks for one where none is.

        A right to try a limit that somebody else has cleared in the meantime is worth nothing at the next one.
        """
        hit_at = limit.hit_at if limit else 0.0
        granted_for, self._granted_for = self._granted_for, None
        if granted_for == hit_at:
            return True
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(hit_at), name="mozart probe")
        return False

    def keep(self, limit: LimitState | None) -> None:
        """The right was not used after all: it still counts when it is asked for again."""
        self._granted_for = limit.hit_at if limit else 0.0

    async def _ask(self, hit_at: float) -> None:
        try:
            if await self._shared.may_probe():
                health = await self._backend.check()
                if health.ok or not lookup(health.code).retriable:
                    self._granted_for = hit_at
            if self._granted_for is None:
                await self._clock.sleep(REFUSED_SECONDS)
        finally:
            self._asking = None
            self._wake()

    async def close(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])


class OwnTurns:
    """This job's turns among the others of its host: asks before each start, and tells the truth after every turn.

    Where answers come hours later no session is open here, whatever is being made ready: `counts` is False.
    """

    def __init__(self, turns: Turns, state: JobState, *, counts: bool, wake: Callable[[], None]) -> None:
        self._turns = turns
        self._state = state
        self._counts = counts
        self._is_wanting = False
        turns.begin(wake)

    def may_start(self, batch: int, probe: ProbeRight | None) -> bool:
        """Whether this batch's session may begin now; one that is a `probe` needs the right to be that as well."""
        limit = self._state.job.limit
        if probe is not None and not probe.is_granted(limit):
            return False
        self._is_wanting = not self._turns.may_start(self._open, batch)
        if self._is_wanting and probe is not None:
            probe.keep(limit)
        return not self._is_wanting

    def settle(self) -> None:
        """A turn of the driver's wheel is over."""
        self._turns.settle(self._open, self._is_wanting)
        self._is_wanting = False

    def close(self) -> None:
        """The run is over."""
        self._turns.close()

    @property
    def _open(self) -> int:
        return self._state.agenda.in_session if self._counts else 0
