"""The right to probe, and what becomes of sessions that waited for their turn when a limit was hit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from support.engine import OK, ScriptedBackend, World, refused
from support.virtual_time import VirtualClock, run_virtual

from mozart_nb import events as ev
from mozart_nb.backends._paced import PacedBackend
from mozart_nb.engine.ports import Health
from mozart_nb.engine.sharing import ProbeRight, SharedLimit
from mozart_nb.engine.state import LimitState
from mozart_nb.gate import NullGate
from mozart_nb.pace import MinutePace


def limit(hit_at: float) -> LimitState:
    return LimitState("E101", hit_at + 30, hit_at, 30.0, "retry-after")


def answers_of(limits: Sequence[LimitState], health: Health | None = None) -> list[bool]:
    """Asks for the right to probe these limits, one after the other, with time to find out in between."""

    async def ask() -> list[bool]:
        clock = VirtualClock()
        backend = ScriptedBackend({}, clock, health=lambda: health or Health(ok=True))
        right = ProbeRight(SharedLimit(NullGate(), clock, "job"), backend, clock, lambda: None)
        found = []
        for one in limits:
            found.append(right.is_granted(one))
            await asyncio.sleep(5)
        await right.close()
        return found

    return run_virtual(ask())[0]


def test_the_right_to_probe_is_asked_for_and_counts_once() -> None:
    assert answers_of([limit(1), limit(1), limit(1), limit(1)]) == [False, True, False, True]


def test_a_right_to_probe_is_lost_with_the_limit_it_was_given_for() -> None:
    assert answers_of([limit(1), limit(2), limit(2)]) == [False, False, True]


def test_nobody_probes_while_the_backend_is_out_of_order() -> None:
    assert answers_of([limit(1), limit(1)], Health(ok=False, code="E003")) == [False, False]


def paced(batches: int, outcomes: dict[int, Any], per_minute: float, seconds: float) -> World:
    """A job whose sessions begin one by one, so that many wait for their turn at any time."""
    world = World(batches, outcomes, parallel={"enabled": True, "max_concurrent": 8}, seconds=seconds)
    world.backend = cast(ScriptedBackend, PacedBackend(world.backend, MinutePace(per_minute)))
    return world


def test_sessions_that_wait_for_their_turn_when_a_limit_is_hit_are_not_sent_into_it() -> None:
    world = paced(12, {2: [refused(retry_after=60), OK]}, per_minute=60, seconds=3)

    state = world.run()

    (hit,) = world.all(ev.LimitHit)
    (cleared,) = world.all(ev.LimitCleared)
    opened = [event for event in world.all(ev.SessionOpened) if hit.at < event.at < cleared.at]
    assert state.status == "completed"
    assert len(opened) == 1, "only the probe"
    assert opened[0].at >= hit.until
    assert state.job.retries == 0


def test_what_was_held_back_before_it_was_sent_costs_nothing_and_uses_no_budget() -> None:
    world = paced(12, {2: [refused(retry_after=60), OK]}, per_minute=60, seconds=3)

    state = world.run()

    held = world.all(ev.SessionAbandoned)
    assert held
    assert {event.reason for event in held} == {"stopped before it was sent"}
    assert state.job.unknown_costs == 0
    assert all(batch.retries == 0 for batch in state.batches.values())
