"""What a person may change about a running job: withdraw a pause, have failed batches tried again."""

from __future__ import annotations

import msgspec
import pytest
from support.engine import OK, World, failed, refused

from mozart_nb import events as ev
from mozart_nb.engine.fold import apply, fold
from mozart_nb.engine.ports import Request
from mozart_nb.engine.state import JobState

RETRIES = {"max_retries": 0}


def test_a_withdrawn_pause_lets_the_job_go_on_in_the_same_run() -> None:
    asks = [(15, Request(kind="pause", by="a")), (16, Request(kind="resume", by="b"))]
    world = World(batches=4, seconds=10, requests=asks)
    state = world.run()
    assert (state.status, state.job.runs) == ("completed", 1)
    assert [event.by for event in world.all(ev.JobPauseWithdrawn)] == ["b"]


@pytest.mark.parametrize("first", ["cancel", "detach"])
def test_only_a_pause_can_be_withdrawn(first: str) -> None:
    asks = [(15, Request(kind=first)), (15, Request(kind="resume"))]  # type: ignore[arg-type]
    world = World(batches=4, seconds=10, requests=asks)
    assert world.run().status in ("cancelled", "paused")
    assert not world.all(ev.JobPauseWithdrawn)


def test_a_pause_that_an_empty_budget_forces_is_not_withdrawn() -> None:
    asks = [(5.6, Request(kind="resume"))]
    limits = {"max_cost_per_job": 0.015}
    world = World(batches=4, seconds=5, requests=asks, cost_limits=limits)
    state = world.run()
    assert (state.status, state.job.code) == ("paused", "E506")


def test_failed_batches_are_tried_again_while_the_others_run() -> None:
    world = World(
        batches=6,
        outcomes={1: [failed(), OK], 2: [failed(), OK]},
        seconds=10,
        requests=[(25, Request(kind="retry", by="me"))],
        retry=RETRIES,
        parallel={"fail_fast": False},
    )
    state = world.run()
    assert (state.status, state.count("completed"), state.job.runs) == ("completed", 6, 1)
    assert [event.batches for event in world.all(ev.BatchRenewed)] == [(1, 2)]


def test_only_the_named_batch_is_tried_again_and_those_that_have_not_failed_are_left_alone() -> None:
    world = World(
        batches=6,
        outcomes={1: [failed(), OK], 2: [failed()]},
        seconds=10,
        requests=[(25, Request(kind="retry", batches=(1, 5, 99)))],
        retry=RETRIES,
        parallel={"fail_fast": False},
    )
    state = world.run()
    assert (state.status_of(1), state.status_of(2), state.status) == ("completed", "failed", "failed")
    assert [event.batches for event in world.all(ev.BatchRenewed)] == [(1,)]


def test_a_batch_that_is_named_twice_is_tried_again_once() -> None:
    world = World(
        batches=6,
        outcomes={1: [failed(), OK]},
        seconds=10,
        requests=[(15, Request(kind="retry", batches=(1, 1)))],
        retry=RETRIES,
        parallel={"enabled": True, "max_concurrent": 2},
    )
    world.run()
    assert [event.batches for event in world.all(ev.BatchRenewed)] in ([(1,)], [])


def test_a_retry_withdraws_the_stop_that_the_failure_caused() -> None:
    world = World(
        batches=6,
        outcomes={1: [failed(), OK]},
        seconds=10,
        requests=[(15, Request(kind="retry"))],
        retry=RETRIES,
        parallel={"enabled": True, "max_concurrent": 2},
    )
    world.backend.seconds = 10
    slow = {2: 30}

    async def run(request, report, inner=world.backend.run):  # type: ignore[no-untyped-def]
        world.backend.seconds = slow.get(request.batch, 10)
        return await inner(request, report)

    world.backend.run = run  # type: ignore[method-assign]
    assert world.run().status == "completed"


def test_what_was_blocked_behind_a_failed_batch_runs_when_that_recovers() -> None:
    world = World(
        batches=5,
        outcomes={1: [failed(), OK]},
        seconds=10,
        requests=[(15, Request(kind="retry"))],
        retry=RETRIES,
        parallel={"fail_fast": False},
        batch={"dependencies": {2: [1], 3: [2]}},
    )
    state = world.run()
    assert (state.status, state.count("completed")) == ("completed", 5)


def test_a_resume_of_some_batches_leaves_other_failed_ones_as_they_are() -> None:
    world = World(
        batches=3, outcomes={1: [failed(), OK], 2: [failed(), OK]}, retry=RETRIES, parallel={"fail_fast": False}
    )
    assert world.run().count("failed") == 2
    state = world.run(only=((1, 1),))
    assert [state.status_of(n) for n in (1, 2, 3)] == ["completed", "failed", "completed"]
    assert state.status == "failed"
    assert world.run().status == "completed"


def test_a_failure_of_a_session_that_an_earlier_run_began_counts_no_more_once_it_is_tried_again() -> None:
    events = (
        ev.JobPlanned(
            job_id="j", name="j", plan=ev.PlanShape(total=3, total_items=3), seed=1, config_digest="d", at=1.0
        ),
        ev.JobStarted(run_id="r1", at=1.0),
        ev.BatchStarted(batch=1, attempt=1, at=2.0),
        ev.SessionOpened(batch=1, attempt=1, at=2.0),
        ev.JobResumed(run_id="r2", crashed=True, at=3.0),
        ev.ValidationFailed(batch=1, attempt=1, code="E201", message="no", at=4.0),
        ev.BatchFailed(batch=1, code="E201", message="no", at=4.0),
        ev.BatchRenewed(batches=(1,), at=5.0),
    )
    state = fold(msgspec.structs.replace(event, seq=seq) for seq, event in enumerate(events, 1))
    assert (state.job.run_failures, state.status_of(1)) == (0, "pending")


def test_a_still_copy_is_not_reached_by_what_happens_later() -> None:
    world = World(batches=3, outcomes={1: [refused(retry_after=60), OK], 2: [failed(), OK]})
    world.run()
    state, kept = JobState(), []
    for event in world.store.durable:
        apply(state, event)
        still = state.still()
        kept.append((still, msgspec.to_builtins((still.job, still.batches))))
    assert [msgspec.to_builtins((still.job, still.batches)) for still, _ in kept] == [before for _, before in kept]
