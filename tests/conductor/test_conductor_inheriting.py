"""What one host of a pilot leaves to the next: never more than was asked for, whatever was under way."""

from __future__ import annotations

import pytest
from support.engine import World, failed

from mozart_nb import events as ev
from mozart_nb.engine.fold import fold
from mozart_nb.engine.ports import Request
from mozart_nb.hosts.conductor.inheriting import what_is_left

MANY = {"parallel": {"enabled": True, "max_concurrent": 2}}


@pytest.mark.parametrize(("outlives", "left"), [(False, {"limit": 4}), (True, {"limit": 2})])
def test_sessions_that_go_on_by_themselves_count_for_no_beginning(outlives: bool, left: dict[str, int]) -> None:
    world = World(9, seconds=10, **MANY)
    world.backend.outlives_host = outlives
    world.run(limit=6)
    opened = next(event.seq for event in world.all(ev.SessionOpened) if event.batch == 4)
    state = world.crash(opened).state
    assert {number: batch.phase for number, batch in state.batches.items()} == {
        1: "judged",
        2: "judged",
        3: "opened",
        4: "opened",
    }
    assert what_is_left(state) == left


def test_where_all_had_begun_only_those_go_on() -> None:
    world = World(9, seconds=10, **MANY)
    world.backend.outlives_host = True
    world.run(limit=2)
    assert what_is_left(world.crash(world.all(ev.BatchCompleted)[0].seq).state) == {"batches": "2"}


def test_a_pilot_that_is_done_leaves_nothing_and_a_whole_job_everything() -> None:
    world = World(9)
    assert what_is_left(world.run(limit=2)) is None
    assert what_is_left(World(3, {2: [failed()]}, requests=[(1.5, Request(kind="pause"))]).run()) == {}


def test_batches_that_were_chosen_stay_chosen() -> None:
    world = World(9, requests=[(1.5, Request(kind="pause"))])
    state = world.run(only=((1, 3), (5, 5)))
    assert what_is_left(fold(world.store.durable)) == what_is_left(state) == {"batches": "1-3,5-5"}
