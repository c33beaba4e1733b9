"""A host that dies while it waits for a rate limit: whoever takes the job up waits the rest, or tries at once."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.engine import OK, ListedRequests, World, refused, shared_gate
from support.virtual_time import EPOCH, VirtualClock, run_virtual

from mozart_nb import events as ev
from mozart_nb.engine.ports import Request
from mozart_nb.engine.state import JobState

HOUR = 3600.0


def waiting_world(**options: object) -> World:
    """Four batches, the first of which is told to come back in an hour; it has been run to its end."""
    world = World(batches=4, outcomes={1: [refused(retry_after=HOUR), OK]}, **options)  # type: ignore[arg-type]
    assert world.run().status == "completed"
    return world


def killed_at(world: World, kind: type[ev.Event], nth: int = 1) -> World:
    """The world of a host that died when the nth event of this kind had just become durable."""
    places = (place for place, event in enumerate(world.store.durable, 1) if isinstance(event, kind))
    return world.crash(next(itertools.islice(places, nth - 1, None)))


def resume(world: World, seconds_later: float) -> JobState:
    """Take the job up so long after it was started."""
    state, world.elapsed = run_virtual(world.drive(), start=EPOCH + seconds_later)
    return state


def until(world: World) -> float:
    """When the wait is over, in seconds after the start."""
    return float(world.all(ev.LimitHit)[0].until) - EPOCH


def probes(world: World) -> list[ev.BatchStarted]:
    return [event for event in world.all(ev.BatchStarted) if event.probe]


@pytest.mark.parametrize("kind", [ev.LimitHit, ev.BatchWaiting, ev.JobWaiting])
@pytest.mark.parametrize("seconds_later", [5.0, 1800.0, 3599.0])
def test_taken_up_before_the_named_time_it_waits_the_rest_and_sends_nothing(
    kind: type[ev.Event], seconds_later: float
) -> None:
    world = killed_at(waiting_world(), kind)
    state = resume(world, seconds_later)
    assert state.status == "completed"
    assert world.backend.started_at[0][0] - EPOCH >= until(world)
    assert seconds_later + world.elapsed < until(world) + 30
    assert len(probes(world)) == 1
    assert (state.job.limit_waits, state.job.retries) == (1, 0)
    assert state.batches[1].retries == 0


@pytest.mark.parametrize("kind", [ev.LimitHit, ev.BatchWaiting, ev.JobWaiting])
def test_taken_up_after_the_named_time_it_probes_at_once_with_one_attempt(kind: type[ev.Event]) -> None:
    world = killed_at(waiting_world(), kind)
    state = resume(world, 2 * HOUR)
    assert state.status == "completed"
    assert world.elapsed < 30
    first, second = (at for at, _ in world.backend.started_at[:2])
    assert second - first >= world.backend.seconds, "the rest did not wait for the probe"
    assert len(probes(world)) == 1
    assert (state.job.limit_waits, state.job.retries) == (1, 0)


def test_a_clock_set_back_while_nobody_ran_the_job_prolongs_no_wait() -> None:
    world = killed_at(waiting_world(), ev.JobWaiting)
    state = resume(world, -HOUR)
    assert state.status == "completed"
    assert world.elapsed < HOUR + 200, "waited longer than the hour that was asked for"
    assert len(probes(world)) == 1


def test_a_clock_set_back_while_nobody_ran_the_job_is_told() -> None:
    world = killed_at(waiting_world(), ev.JobWaiting)
    told: list[str] = []

    async def listens(events: object) -> None:
        told.extend(event.message for event in events if isinstance(event, ev.JobNotice))  # type: ignore[attr-defined]

    world.observers = [listens]
    resume(world, -HOUR)
    assert len(told) == 1
    assert "behind the job's last event" in told[0]
    assert "nothing is lost" in told[0]


def test_a_host_that_died_while_it_probed_does_not_keep_its_job_from_probing_again(tmp_path: Path) -> None:
    gate, left_behind = tmp_path / "gate.json", tmp_path / "left-behind.json"

    async def until_it_probed(events: Sequence[ev.Event]) -> None:
        if any(isinstance(event, ev.BatchStarted) and event.probe for event in events):
            shutil.copy(gate, left_behind)

    async def drive_behind(world: World, path: Path) -> None:
        world.gate = shared_gate(path, world.clock)
        await world.drive()

    world = World(batches=4, outcomes={1: [refused(retry_after=HOUR), OK]})
    world.observers = [until_it_probed]
    run_virtual(drive_behind(world, gate))
    resumed = killed_at(world, ev.BatchStarted, nth=2)
    _, elapsed = run_virtual(drive_behind(resumed, left_behind), start=until(world) + EPOCH + 5)
    assert resumed.state.status == "completed"
    assert elapsed < 60, "waited for the dead host's right to probe to run out"
    assert (resumed.state.job.limit_waits, resumed.state.job.retries) == (1, 0)


def test_a_job_started_over_still_waits_for_the_limit_it_ran_into_before(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def both() -> float:
        gate = shared_gate(tmp_path / "gate.json", clock)
        first = World(outcomes={1: [refused(retry_after=HOUR)]}, gate=gate, clock=clock)
        first.requests = ListedRequests(clock, [(10, Request(kind="pause"))])
        assert (await first.drive()).status == "paused"
        fresh = World(gate=gate, clock=clock)
        assert (await fresh.drive()).status == "completed"
        return fresh.backend.started_at[0][0] - EPOCH

    started, _ = run_virtual(both())
    assert started >= HOUR
