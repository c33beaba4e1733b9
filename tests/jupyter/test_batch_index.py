"""Batches by status, kept from events: always what the state says, at a cost that does not grow with the job."""

from __future__ import annotations

import random

import msgspec
from support.engine import OK, World, failed, refused

from mozart_nb import events as ev
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import JobState
from mozart_nb.jupyter.dashboard.batch_index import STATUSES, BatchIndex


def planned(total: int) -> JobState:
    state = JobState()
    shape = ev.PlanShape(total=total, total_items=total)
    for event in (
        ev.JobPlanned(seq=1, job_id="j", name="j", plan=shape, seed=1, config_digest="d"),
        ev.JobStarted(seq=2, run_id="r"),
    ):
        apply(state, event)
    return state


def by_status(state: JobState) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {status: [] for status in STATUSES}
    for number in range(1, state.total + 1):
        found[state.status_of(number)].append(number)
    return found


def assert_right(index: BatchIndex, state: JobState) -> None:
    assert {status: index.window(status, 0, state.total) for status in STATUSES} == by_status(state)
    assert index.window("all", 0, state.total) == list(range(1, state.total + 1))
    assert index.agrees(state)
    drawn = BatchIndex(state).map.picture()
    assert index.map.picture().png == drawn.png


def test_it_follows_every_event_of_jobs_that_fail_wait_block_and_resume() -> None:
    outcomes = {2: [failed(404)], 3: [refused(retry_after=30), OK], 5: [failed(500), OK], 7: [failed(404)]}
    world = World(
        9,
        outcomes,
        parallel={"enabled": True, "max_concurrent": 3, "fail_fast": False},
        batch={"dependencies": {4: [2], 6: [4], 8: [7]}},
        skips={9: "not needed"},
    )
    state, index = JobState(), BatchIndex(JobState())
    world.run()
    world.backend.outcomes = {}
    world.run()
    for event in world.store.durable:
        apply(state, event)
        index.hear(state, [event])
        assert_right(index, state)
    assert index.count("completed") == 8
    assert index.troubles.groups() == []


def test_failed_batches_that_are_tried_again_and_those_behind_them_wait_again() -> None:
    world = World(
        5, {1: [failed(404)]}, parallel={"fail_fast": False}, batch={"dependencies": {2: [1], 3: [2]}}, retry={}
    )
    state = world.run()
    index = BatchIndex(state)
    assert (index.count("failed"), index.count("blocked")) == (1, 2)
    renewed = ev.BatchRenewed(seq=state.job.seq + 1, at=state.job.at, batches=(1,))
    apply(state, renewed)
    assert index.hear(state, [renewed]) >= {1, 2, 3}
    assert_right(index, state)


def test_events_may_come_in_bursts_and_later_than_the_state() -> None:
    world = World(30, {n: [failed(404)] for n in (4, 11, 12)}, parallel={"enabled": True, "fail_fast": False})
    world.run()
    state, index, late = JobState(), BatchIndex(JobState()), list[ev.Event]()
    chance = random.Random(5)
    for event in world.store.durable:
        apply(state, event)
        late.append(event)
        if chance.random() < 0.1:
            index.hear(state, late)
            late.clear()
    index.hear(state, late)
    assert_right(index, state)


def test_a_window_shows_a_part_of_what_a_filter_lets_through() -> None:
    state = planned(100)
    index = BatchIndex(state)
    happen(state, index, *(ev.BatchStarted(batch=n, attempt=1) for n in range(10, 61)))
    assert index.count("running") == 51
    assert index.window("running", 25, 25) == list(range(35, 60))
    assert index.window("running", 50, 25) == [60]
    assert index.window("failed", 0, 25) == []
    assert index.place("running", 35) == 25
    assert index.place("all", 35) == 34


def test_failed_batches_are_grouped_by_their_code() -> None:
    state = planned(10)
    index = BatchIndex(state)
    for number, code in ((3, "E201"), (2, "E301"), (1, "E201")):
        happen(
            state,
            index,
            ev.BatchStarted(batch=number, attempt=1),
            ev.BatchFailed(batch=number, code=code, message=f"of batch {number}"),
        )
    first, second = index.troubles.groups()
    assert (first["code"], first["unresolved_batches"], first["last_message"]) == ("E201", [1, 3], "of batch 1")
    assert (second["code"], second["count"]) == ("E301", 1)
    happen(state, index, ev.BatchCompleted(batch=3, recovered=True), ev.BatchCompleted(batch=1, recovered=True))
    assert [group["code"] for group in index.troubles.groups()] == ["E301"]


def test_a_range_of_skipped_batches_is_skipped() -> None:
    state = planned(50)
    index = BatchIndex(state)
    happen(state, index, ev.BatchSkipped(batch=1, last=20, reason="earlier ones"))
    assert_right(index, state)
    assert index.count("skipped") == 20


def happen(state: JobState, index: BatchIndex, *events: ev.Event) -> None:
    for event in events:
        apply(state, msgspec.structs.replace(event, seq=state.job.seq + 1))
    index.hear(state, events)
