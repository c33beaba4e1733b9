"""A world whose sessions are answered hours later: the service of remote batches in memory, in virtual time.

    world = RemoteWorld(batches=1000, outcomes={3: [expired(), OK]})
    state = world.run()
    assert world.service.sent_twice == []

The service goes on while no host runs, and survives every crash of one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.engine import OK, Outcome, Rules, World
from support.virtual_time import VirtualClock

from mozart_nb import events as ev
from mozart_nb.engine.desk import Parts
from mozart_nb.engine.fold import fold
from mozart_nb.engine.parcels import Key, key_of
from mozart_nb.engine.ports import RemoteBatch, RemoteError, RemoteResult, SessionRequest, SessionResult
from mozart_nb.engine.remote import Dispatch, Timing

LONG = 300.0
"""Seconds a remote batch takes: much longer than anything else, and few enough for a test to live through."""


def expired() -> SessionResult:
    return SessionResult(outcome="error", has_result=True, error_text="not processed within a day", cost_usd=0.0)


@dataclass(frozen=True)
class Mishap:
    """What happens to the next create: the service gets the parcel or not, and fails with `result`."""

    result: SessionResult
    received: bool = False
    is_refusal: bool = False


def broken(*, received: bool) -> Mishap:
    """The connection breaks before the service answers."""
    failure = SessionResult(outcome="error", exception="APIConnectionError", error_text="cut", cost_usd=0.0)
    return Mishap(failure, received=received)


def refusing(status: int, kind: str, retry_after: float | None = None) -> Mishap:
    result = SessionResult(
        outcome="error", api_status=status, error_kind=kind, error_text=kind, retry_after=retry_after, cost_usd=0.0
    )
    return Mishap(result, is_refusal=True)


@dataclass
class Held:
    """A remote batch at the service."""

    shown: RemoteBatch
    names: list[str]
    over_at: float
    cancelled_at: float = 0.0


@dataclass
class FakeRemote:
    """The service. Its clock is the world's wall clock; `outcomes` are by batch and attempt."""

    clock: VirtualClock
    outcomes: Mapping[int, Sequence[Outcome]]
    judgements: dict[int, Rules]
    seed: int
    seconds: float = LONG
    create_seconds: float = 0.5
    most_requests: int = 100_000
    most_bytes: int = 1 << 28
    held: dict[str, Held] = field(default_factory=dict)
    submitted: Counter[str] = field(default_factory=Counter)
    mishaps: deque[Mishap] = field(default_factory=deque)
    poll_mishaps: deque[Mishap] = field(default_factory=deque)
    calls: Counter[str] = field(default_factory=Counter)
    cut_results: int = 0
    unreadable: set[int] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    gone: bool = False

    @property
    def sent_twice(self) -> list[str]:
        return [name for name, count in self.submitted.items() if count > 1]

    @property
    def sizes(self) -> list[int]:
        return [len(held.names) for held in self.held.values()]

    async def encode(self, custom_id: str, request: SessionRequest) -> bytes | SessionResult:
        if request.batch in self.unreadable:
            return SessionResult(outcome="error", api_status=400, error_text="no such attachment", cost_usd=0.0)
        return custom_id.encode()

    async def create(self, documents: Sequence[bytes]) -> RemoteBatch:
        self.calls["create"] += 1
        await self.clock.sleep(self.create_seconds)
        mishap = self.mishaps.popleft() if self.mishaps else None
        if mishap is None or mishap.received:
            held = self.accept([document.decode() for document in documents])
        if mishap is not None:
            raise RemoteError(mishap.result, is_refusal=mishap.is_refusal)
        return held.shown

    def accept(self, names: list[str]) -> Held:
        name = f"remote_{len(self.held) + 1}"
        now = self.clock.wall()
        held = Held(RemoteBatch(name, now, len(names), False), names, now + self.seconds)
        self.held[name] = held
        self.submitted.update(names)
        return held

    def _shown(self, held: Held) -> RemoteBatch:
        is_over = self.clock.wall() >= held.over_at
        return RemoteBatch(held.shown.id, held.shown.created_at, held.shown.requests, is_over)

    async def look(self, remote_id: str) -> RemoteBatch:
        self.calls["look"] += 1
        await self.clock.sleep(0.05)
        if self.poll_mishaps:
            raise RemoteError(self.poll_mishaps.popleft().result, is_refusal=True)
        if self.gone:
            raise RemoteError(SessionResult(outcome="error", api_status=404), is_refusal=True, is_gone=True)
        return self._shown(self.held[remote_id])

    async def newest(self) -> AsyncGenerator[RemoteBatch, None]:
        self.calls["list"] += 1
        for held in list(self.held.values())[::-1]:
            await self.clock.sleep(0.01)
            yield self._shown(held)

    async def results(self, remote_id: str) -> AsyncGenerator[Sequence[RemoteResult], None]:
        self.calls["results"] += 1
        held = self.held[remote_id]
        names = sorted({*held.names} - self.unanswered, key=lambda name: hash((name, 1)))
        for begin in range(0, len(names), 100):
            await self.clock.sleep(0.01)
            yield [self._result(held, name) for name in names[begin : begin + 100]]
            if self.cut_results:
                self.cut_results -= 1
                raise RemoteError(broken(received=False).result, is_refusal=False)

    def _result(self, held: Held, name: str) -> RemoteResult:
        key = key_of(self.seed, name)
        if key is None:
            return RemoteResult(name, OK)
        if held.cancelled_at and key.batch % 2:
            return RemoteResult(name, expired(), is_cancelled=True)
        return RemoteResult(name, self.outcome_of(key))

    def outcome_of(self, key: Key) -> SessionResult:
        script = self.outcomes.get(key.batch, [OK])
        outcome = script[min(key.attempt, len(script)) - 1]
        result, rules = outcome if isinstance(outcome, tuple) else (outcome, Rules())
        self.judgements[key.batch] = rules
        return result

    async def cancel(self, remote_id: str) -> None:
        self.calls["cancel"] += 1
        await self.clock.sleep(0.05)
        if self.mishaps:
            raise RemoteError(self.mishaps.popleft().result, is_refusal=True)
        held = self.held[remote_id]
        held.cancelled_at = self.clock.wall()
        held.over_at = min(held.over_at, held.cancelled_at + 60)


class RemoteWorld(World):
    """A job whose requests go to `service` in parcels."""

    backend_type = "anthropic_batches"

    def __init__(
        self,
        batches: int = 1,
        outcomes: Mapping[int, Sequence[Outcome]] | None = None,
        *,
        parcel: int = 10_000,
        seconds: float = LONG,
        **more: Any,
    ) -> None:
        super().__init__(batches, outcomes, **more)
        self.parcel = parcel
        self.backend.outlives_host = True
        self.backend.is_free = False
        self.service = FakeRemote(self.clock, self.backend.outcomes, self.backend.judgements, self.seed, seconds)

    def parts(self) -> Parts:
        plain = super().parts()
        post = Dispatch(self.service, self.clock, timing=Timing(), most_requests=self.parcel)
        return Parts(plain.backend, plain.checker, plain.composer, plain.clock, triggers=plain.triggers, post=post)

    def after_crash(self, keep: int, *, received: bool) -> RemoteWorld:
        """A world whose host died when `keep` events were durable; `received`: the parcel it was just sending arrived.

        The service has what it had then, and its time is up: virtual time begins anew.
        """
        other = RemoteWorld(1, self.backend.outcomes, parcel=self.parcel, seed=self.seed)
        other.config = self.config
        other.store.durable = list(self.store.durable[:keep])
        finished = sum(isinstance(event, ev.SessionFinished) for event in other.store.durable)
        other.store.answers = self.store.answers[:finished]
        other.state = fold(other.store.durable)
        known = {event.remote_id for event in other.all(ev.RemoteSubmitted)}
        in_doubt = [one.number for one in other.state.job.remotes.values() if not one.remote_id]
        made = {event.submission: event.remote_id for event in self.all(ev.RemoteSubmitted)}
        arrived = {made[number] for number in in_doubt if number in made and received}
        other.service.held = {name: held for name, held in self.service.held.items() if name in known | arrived}
        for held in other.service.held.values():
            other.service.submitted.update(held.names)
        return other
