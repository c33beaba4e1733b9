"""A job among others on its host: it asks before each session, says how many it has open, and waits to be woken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import OK, World, failed, refused, shared_gate
from support.remote import RemoteWorld
from support.virtual_time import VirtualClock, run_virtual

from mozart_nb import events as ev
from mozart_nb.engine.desk import Parts
from mozart_nb.engine.ports import Request, Turns
from mozart_nb.hosts.conductor.seats import JobTurns, TurnLimits
from mozart_nb.hosts.conductor.turns import Conducting


@dataclass
class Usher:
    """Lets nobody in until `opens_at` (virtual seconds), and writes down what it is told."""

    opens_at: float = 0.0
    settled: list[tuple[int, bool]] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    closed: int = 0
    wake: Callable[[], None] = lambda: None

    def begin(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        loop = asyncio.get_running_loop()
        loop.call_at(loop.time() + self.opens_at, wake)
        self._opens = loop.time() + self.opens_at

    def may_start(self, open_sessions: int, batch: int) -> bool:
        self.asked.append((open_sessions, batch))
        return asyncio.get_running_loop().time() >= self._opens

    def settle(self, open_sessions: int, wanting: bool) -> None:
        self.settled.append((open_sessions, wanting))

    def close(self) -> None:
        self.closed += 1


class Seated(World):
    """A world whose job takes turns."""

    turns: Turns

    def parts(self) -> Parts:
        return replace(super().parts(), turns=self.turns)


class SeatedRemotely(RemoteWorld):
    turns: Turns

    def parts(self) -> Parts:
        return replace(super().parts(), turns=self.turns)


def seated(turns: Turns, batches: int, outcomes: Any = None, **sections: Any) -> Seated:
    sections.setdefault("parallel", {"enabled": True, "max_concurrent": 4})
    world = Seated(batches, outcomes, **sections)
    world.turns = turns
    return world


def test_nothing_is_journaled_of_a_batch_until_it_is_its_turn() -> None:
    usher = Usher(opens_at=100)
    world = seated(usher, 3)

    state = world.run()

    started = world.all(ev.BatchStarted)
    assert state.status == "completed"
    assert usher.asked[0] == (0, 1)
    assert started[0].at - world.all(ev.JobStarted)[0].at == pytest.approx(100, abs=1)


def test_after_every_turn_the_host_is_told_how_many_sessions_are_open() -> None:
    usher = Usher()
    state = seated(usher, 8).run()

    assert state.status == "completed"
    assert max(open_sessions for open_sessions, _ in usher.settled) == 4
    assert usher.settled[-1] == (0, False)
    assert usher.asked[:4] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert [batch for _, batch in usher.asked] == list(range(1, 9))


def test_a_job_that_is_refused_says_that_it_wants_more() -> None:
    usher = Usher(opens_at=10)
    seated(usher, 1).run()

    assert (0, True) in usher.settled
    assert usher.closed == 1


def test_the_turns_end_with_the_run_however_it_ends() -> None:
    for outcomes, requests in (
        ({1: [failed(401)]}, ()),
        (None, ((1, Request(kind="cancel")),)),
        (None, ((1, Request(kind="pause")),)),
        (None, ((1, Request(kind="detach")),)),
    ):
        usher = Usher()
        seated(usher, 4, outcomes, requests=requests, seconds=3).run()
        assert usher.closed == 1


def test_a_job_that_waits_for_its_turn_can_be_paused_and_cancelled() -> None:
    usher = Usher(opens_at=10**6)
    paused = seated(usher, 4, requests=[(5, Request(kind="pause"))]).run()
    cancelled = seated(Usher(opens_at=10**6), 4, requests=[(5, Request(kind="cancel"))]).run()

    assert (paused.status, cancelled.status) == ("paused", "cancelled")


def test_the_right_to_probe_is_not_lost_while_the_job_waits_for_its_turn() -> None:
    """A limit is hit; when the probe is due, all seats are taken for a while."""
    usher = Usher()
    world = seated(usher, 3, {1: [refused(retry_after=60), OK]})
    asked: list[float] = []

    def may_start(open_sessions: int, batch: int) -> bool:
        now = asyncio.get_running_loop().time()
        asked.append(now)
        return not 30 < now < 100

    usher.may_start = may_start  # type: ignore[method-assign]
    state = world.run()

    (probe,) = (event for event in world.all(ev.BatchStarted) if event.probe)
    assert state.status == "completed"
    assert probe.at - world.all(ev.LimitHit)[0].at == pytest.approx(99, abs=2)


def test_requests_that_wait_at_the_service_are_no_open_sessions() -> None:
    usher = Usher()
    world = SeatedRemotely(50)
    world.turns = usher

    state = world.run()

    assert state.status == "completed"
    assert {open_sessions for open_sessions, _ in usher.settled} == {0}
    assert {open_sessions for open_sessions, _ in usher.asked} == {0}


def test_a_limit_of_the_account_holds_all_jobs_and_leaves_their_seats_to_other_accounts(tmp_path: Path) -> None:
    clock = VirtualClock()
    worlds: list[Seated] = []

    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        conducting = Conducting(TurnLimits(6), loop.time)
        gate = shared_gate(tmp_path / "gate.json", clock)
        for number in range(3):
            outcomes = {1: [refused(retry_after=300), OK]} if number == 0 else None
            own = gate if number < 2 else None
            turns: JobTurns = conducting.job(f"job {number}", light=True)
            worlds.append(seated(turns, 60, outcomes, clock=clock, gate=own, seconds=5, seed=number))
        return await asyncio.gather(*(world.drive() for world in worlds))

    states, _ = run_virtual(run())

    assert {state.status for state in states} == {"completed"}
    other = worlds[2]
    assert other.all(ev.BatchCompleted)[-1].at - other.all(ev.JobStarted)[0].at < 60 * 5 / 4 + 30


def test_ten_jobs_have_equal_shares_over_a_minute() -> None:
    """Twenty seats, sessions of 2 to 4 seconds; the first job had everything for itself for ten seconds."""
    clock = VirtualClock()
    jobs: list[JobTurns] = []

    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        conducting = Conducting(TurnLimits(20, reserved=0), loop.time)
        tasks = []
        for number in range(10):
            jobs.append(conducting.job(f"job {number}", light=True))
            parallel = {"enabled": True, "max_concurrent": 50}
            world = seated(
                jobs[-1],
                200 if number == 0 else 100,
                clock=clock,
                seconds=2 + 0.2 * number,
                seed=number,
                parallel=parallel,
            )
            tasks.append(asyncio.create_task(world.drive()))
            await asyncio.sleep(10 if number == 0 else 0.1)
        await asyncio.sleep(5)
        before = [one.had_seconds(loop.time()) for one in jobs]
        await asyncio.sleep(60)
        had = [one.had_seconds(loop.time()) - then for one, then in zip(jobs, before, strict=True)]
        await asyncio.gather(*tasks)
        return had

    had, _ = run_virtual(run())

    assert sum(had) == pytest.approx(20 * 60, rel=0.02)
    assert had == pytest.approx([120] * 10, rel=0.2)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 25), st.integers(1, 6), st.floats(0.2, 9)), min_size=1, max_size=5),
    st.integers(1, 8),
    st.sampled_from([1, 7, 100]),
)
def test_jobs_that_share_seats_end_as_they_would_alone(
    wanted: list[tuple[int, int, float]], seats: int, priority: int
) -> None:
    clock = VirtualClock()
    most = 0

    async def run() -> list[Any]:
        conducting = Conducting(TurnLimits(seats, reserved=0), asyncio.get_running_loop().time)
        worlds = []
        for number, (batches, at_once, seconds) in enumerate(wanted):
            turns = conducting.job(f"job {number}", priority=priority if number == 0 else 100, light=True)
            outcomes = {2: [failed(500), OK]}
            parallel = {"enabled": True, "max_concurrent": at_once}
            worlds.append(seated(turns, batches, outcomes, clock=clock, seconds=seconds, parallel=parallel))

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, sum(len(world.backend.running) for world in worlds))
                await asyncio.sleep(0.1)

        watching = asyncio.create_task(watch())
        states = await asyncio.gather(*(world.drive() for world in worlds))
        watching.cancel()
        assert conducting.taken == 0
        return states

    states, _ = run_virtual(run())

    assert {state.status for state in states} == {"completed"}
    assert most <= seats
