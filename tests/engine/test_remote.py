"""Requests that are answered hours later: nothing is sent twice, nothing is lost, and nobody waits without need."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.engine import OK, Outcome, Rules, failed, shared_gate
from support.remote import LONG, RemoteWorld, broken, expired, refusing
from support.virtual_time import VirtualClock, run_virtual

from mozart_nb import events as ev
from mozart_nb.engine.parcels import Key, custom_id, key_of, keys_in, spans
from mozart_nb.engine.ports import GateReading, RemoteBatch, Request

RETRY = {"base_delay_seconds": 1, "jitter": False}


def finished_of(world: RemoteWorld) -> list[tuple[int, int]]:
    return [(event.batch, event.attempt) for event in world.all(ev.SessionFinished)]


# --- names and parcels ------------------------------------------------------------------------------------------------


def test_a_custom_id_tells_job_batch_and_attempt_and_keeps_to_the_form_that_is_asked_for() -> None:
    name = custom_id(2**32 - 1, Key(100_000, 12))
    assert name == "mz-ffffffff-100000-12"
    assert key_of(2**32 - 1, name) == Key(100_000, 12)
    assert key_of(7, name) is None
    assert key_of(7, "row-12") is None


@given(st.sets(st.tuples(st.integers(1, 60), st.integers(1, 3))))
def test_ranges_stand_for_exactly_the_requests_they_were_made_of(keys: set[tuple[int, int]]) -> None:
    wanted = {Key(*key) for key in keys}
    assert sorted(keys_in(spans(wanted))) == sorted(wanted)


# --- the usual course -------------------------------------------------------------------------------------------------


def test_all_requests_of_a_job_travel_in_one_parcel_and_every_one_is_answered() -> None:
    world = RemoteWorld(batches=300)
    state = world.run()
    assert state.status == "completed"
    assert world.service.sizes == [300]
    assert state.job.remotes == {}
    assert state.job.cost_usd == pytest.approx(3.0)
    assert LONG < world.elapsed < LONG + 90


def test_a_full_parcel_leaves_at_once_and_the_rest_follows() -> None:
    world = RemoteWorld(batches=250, parcel=100)
    assert world.run().status == "completed"
    assert sorted(world.service.sizes) == [50, 100, 100]


def test_parked_batches_hold_no_place_of_the_pool() -> None:
    world = RemoteWorld(batches=500, parallel={"enabled": True, "max_concurrent": 2})
    assert world.run().status == "completed"
    assert world.service.sizes == [500]


def test_the_intent_is_durable_before_the_parcel_is_sent() -> None:
    world = RemoteWorld(batches=3)
    world.run()
    kinds = [kind for kind in world.kinds if kind.startswith("remote.")]
    assert kinds == ["remote.submitting", "remote.submitted"]
    [intent] = world.all(ev.RemoteSubmitting)
    assert intent.entries == ((1, 3, 1),)
    assert max(event.seq for event in world.all(ev.SessionOpened)) < intent.seq


def test_hours_of_waiting_cost_a_question_a_minute() -> None:
    world = RemoteWorld(batches=2, seconds=2 * 3600)
    world.run()
    assert 2 * 60 < world.service.calls["look"] < 2 * 60 + 20


def test_dependent_batches_are_sent_when_the_others_were_answered() -> None:
    world = RemoteWorld(batches=4, batch={"dependencies": {3: [1, 2], 4: [3]}})
    assert world.run().status == "completed"
    assert world.service.sizes == [2, 1, 1]


def test_a_request_that_cannot_be_encoded_ends_its_attempt_only() -> None:
    world = RemoteWorld(batches=5, parallel={"fail_fast": False})
    world.service.unreadable = {3}
    state = world.run()
    assert state.status == "failed"
    assert [n for n, batch in state.batches.items() if batch.status == "failed"] == [3]
    assert world.service.sizes == [4]


# --- results ----------------------------------------------------------------------------------------------------------


def test_an_expired_request_is_sent_again_by_policy() -> None:
    world = RemoteWorld(batches=20, outcomes={7: [expired(), OK]}, retry=RETRY)
    state = world.run()
    assert state.status == "completed"
    assert world.service.sizes == [20, 1]
    assert [event.code for event in world.all(ev.BatchRetrying)] == ["E001"]
    assert state.job.breaker.failures == 0


def test_ten_expired_requests_do_not_open_the_circuit_breaker() -> None:
    world = RemoteWorld(batches=10, outcomes={n: [expired(), OK] for n in range(1, 11)}, retry=RETRY)
    assert world.run().status == "completed"
    assert world.all(ev.BreakerOpened) == []
    assert world.service.sizes == [10, 10]


def test_an_answer_that_fails_a_rule_is_completed_in_another_remote_batch() -> None:
    world = RemoteWorld(batches=5, outcomes={2: [(OK, Rules(passed=2, failed=1)), OK]})
    state = world.run()
    assert state.status == "completed"
    assert state.batches[2].completions == 1
    assert world.service.sizes == [5, 1]


def test_results_that_break_off_are_read_again_and_each_counts_once() -> None:
    world = RemoteWorld(batches=350)
    world.service.cut_results = 2
    state = world.run()
    assert state.status == "completed"
    assert len(finished_of(world)) == 350
    assert world.service.calls["results"] == 3


def test_results_that_lack_a_request_are_read_again_before_that_is_given_up_and_retried() -> None:
    world = RemoteWorld(batches=20, retry=RETRY)
    world.service.unanswered = {custom_id(world.seed, Key(4, 1))}
    assert world.run().status == "completed"
    assert world.service.calls["results"] == 4
    assert [(event.batch, event.code) for event in world.all(ev.BatchRetrying)] == [(4, "E001")]


def test_what_nobody_foresaw_stops_the_job_and_a_resume_goes_on() -> None:
    world = RemoteWorld(batches=3)
    look = world.service.look

    async def broken_look(remote_id: str) -> RemoteBatch:
        world.service.look = look  # type: ignore[method-assign]
        raise ZeroDivisionError("surprise")

    world.service.look = broken_look  # type: ignore[method-assign]
    state = world.run()
    assert (state.status, state.job.code) == ("failed", "E999")
    assert "surprise" in state.job.reason
    assert world.run().status == "completed"
    assert world.service.sizes == [3]


def test_a_failed_poll_is_asked_again() -> None:
    world = RemoteWorld(batches=3)
    world.service.poll_mishaps.extend([broken(received=False), refusing(529, "overloaded_error")])
    assert world.run().status == "completed"


def test_a_key_that_is_refused_while_polling_stops_the_job_and_a_resume_collects() -> None:
    world = RemoteWorld(batches=3)
    world.service.poll_mishaps.append(refusing(401, "authentication_error"))
    state = world.run()
    assert (state.status, state.job.code) == ("failed", "E501")
    assert world.run().status == "completed"
    assert world.service.sizes == [3]


def test_a_remote_batch_that_is_gone_is_sent_again_and_its_cost_is_unknown() -> None:
    world = RemoteWorld(batches=2)
    world.service.gone = True

    async def comes_back() -> None:
        await world.clock.sleep(10)
        world.service.gone = False

    drive = world.drive

    async def both(**options: Any) -> Any:
        back = asyncio.create_task(comes_back())
        try:
            return await drive(**options)
        finally:
            await back

    world.drive = both  # type: ignore[method-assign]
    state = world.run()
    assert state.status == "completed"
    assert state.job.unknown_costs >= 2
    assert world.service.sent_twice == []


def test_a_remote_batch_ends_when_its_last_result_is_journaled() -> None:
    world = RemoteWorld(batches=3, batch={"dependencies": {3: [1, 2]}})
    world.run()
    [ended] = world.all(ev.RemoteEnded)
    assert ended.submission == 1
    assert ended.seq > max(event.seq for event in world.all(ev.SessionFinished) if event.batch < 3)


def test_with_fail_fast_what_was_sent_is_collected_and_nothing_more_is_sent() -> None:
    world = RemoteWorld(batches=250, outcomes={5: [failed(400)]}, parcel=100)
    state = world.run()
    assert state.status == "failed"
    assert state.count("completed") >= 99
    assert all(batch.status != "running" or batch.phase == "opened" for batch in state.batches.values())


# --- a parcel in doubt ------------------------------------------------------------------------------------------------


def test_a_parcel_that_arrived_although_the_connection_broke_is_recognised_and_not_sent_again() -> None:
    world = RemoteWorld(batches=10)
    world.service.mishaps.append(broken(received=True))
    state = world.run()
    assert state.status == "completed"
    assert world.service.sizes == [10]
    assert [event.adopted for event in world.all(ev.RemoteSubmitted)] == [True]
    assert world.all(ev.BatchRetrying) == []


def test_a_parcel_that_never_arrived_ends_its_attempts_with_the_failure() -> None:
    world = RemoteWorld(batches=10, retry=RETRY)
    world.service.mishaps.append(broken(received=False))
    state = world.run()
    assert state.status == "completed"
    assert {event.code for event in world.all(ev.BatchRetrying)} == {"E002"}
    assert world.service.sent_twice == []


def test_a_service_that_never_answers_uses_up_the_budgets() -> None:
    world = RemoteWorld(batches=2, retry={**RETRY, "max_retries": 2}, circuit_breaker={"enabled": False})
    world.service.mishaps.extend([broken(received=False)] * 20)
    state = world.run()
    assert state.status == "failed"
    assert [batch.attempts for batch in state.batches.values()] == [3, 3]


def test_remote_batches_of_others_are_waited_for_and_left_alone() -> None:
    world = RemoteWorld(batches=10)
    world.service.mishaps.append(broken(received=False))

    async def drive(**options: Any) -> Any:
        world.service.accept([f"somebody-else-{n}" for n in range(10)])
        return await RemoteWorld.drive(world, **options)

    world.drive = drive  # type: ignore[method-assign]
    state = world.run()
    assert state.status == "completed"
    lost = world.all(ev.RemoteLost)
    assert len(lost) == 1
    assert lost[0].at - world.all(ev.RemoteSubmitting)[0].at > LONG * 0.9


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_refusal_for_the_rate_is_one_wait_for_all_and_uses_no_retry() -> None:
    world = RemoteWorld(batches=150)
    world.service.mishaps.append(refusing(429, "rate_limit_error", retry_after=120))
    state = world.run()
    assert state.status == "completed"
    assert len(world.all(ev.LimitHit)) == 1
    assert state.job.retries == 0
    assert world.service.sent_twice == []
    assert sum(world.service.sizes) == 150


def test_parcels_that_wait_do_not_run_into_the_same_limit() -> None:
    world = RemoteWorld(batches=150, parcel=50)
    world.service.mishaps.append(refusing(429, "rate_limit_error", retry_after=120))
    assert world.run().status == "completed"
    refused = world.all(ev.RemoteLost)[0]
    limit = world.all(ev.LimitHit)[0]
    after = [event.at for event in world.all(ev.RemoteSubmitting) if event.seq > refused.seq]
    assert len(world.all(ev.LimitHit)) == 1
    assert min(after) >= limit.until


def test_requests_ready_to_be_sent_wait_out_a_limit_of_another_job_and_are_the_probe_themselves(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def scenario() -> RemoteWorld:
        gate = shared_gate(tmp_path / "gate.json", clock)
        world = RemoteWorld(batches=20, gate=gate, clock=clock)
        job = asyncio.create_task(world.drive())
        await clock.sleep(1)  # by now everything is in the outbox
        await gate.hit(GateReading(until=clock.wall() + 100, code="E101", by="another"))
        assert (await job).status == "completed"
        assert not (await gate.read()).closed
        return world

    world, _ = run_virtual(scenario())
    assert world.service.sizes == [20]
    assert world.all(ev.RemoteSubmitting)[0].at >= world.all(ev.LimitHit)[0].until


def test_a_refused_key_stops_the_job() -> None:
    world = RemoteWorld(batches=3)
    world.service.mishaps.append(refusing(401, "authentication_error"))
    state = world.run()
    assert (state.status, state.job.code) == ("failed", "E501")
    assert state.job.remotes == {}


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_a_pause_settles_at_once_and_a_resume_a_week_later_collects() -> None:
    world = RemoteWorld(batches=20, requests=[(60, Request(kind="pause"))])
    state = world.run()
    assert state.status == "paused"
    assert "20 requests" in state.job.reason
    assert world.elapsed < 70
    world.clock.jump(7 * 24 * 3600)
    state = world.run()
    assert state.status == "completed"
    assert world.service.sizes == [20]
    assert world.elapsed < 30


def test_a_pause_while_a_parcel_is_on_its_way_waits_for_it_and_gives_back_the_rest() -> None:
    world = RemoteWorld(batches=400, parcel=100, requests=[(1, Request(kind="pause"))])
    world.service.create_seconds = 10
    state = world.run()
    assert state.status == "paused"
    assert world.elapsed < 15
    assert world.service.sizes == [100]
    assert len(state.agenda.parked) == 100
    assert world.run().status == "completed"
    assert sum(world.service.sizes) == 400


def test_a_pause_that_is_withdrawn_while_a_parcel_is_on_its_way_lets_the_rest_be_sent() -> None:
    asks = [(1, Request(kind="pause")), (3, Request(kind="resume"))]
    world = RemoteWorld(batches=400, parcel=100, requests=asks)
    world.service.create_seconds = 10
    state = world.run()
    assert (state.status, state.job.runs) == ("completed", 1)
    assert world.service.sent_twice == []
    assert sum(world.service.sizes) == 400


def test_a_failed_batch_that_is_tried_again_is_sent_although_its_failure_had_stopped_the_job() -> None:
    world = RemoteWorld(
        batches=20,
        outcomes={1: [failed(400), OK]},
        parcel=10,
        requests=[(480, Request(kind="retry"))],
        retry={"max_retries": 0},
        parallel={"fail_fast": True},
    )
    world.service.create_seconds = 100
    state = world.run()
    assert (state.status, state.count("completed")) == ("completed", 20)
    assert world.service.sizes == [10, 10, 1]


def test_what_was_not_sent_when_the_job_paused_is_sent_after_the_resume() -> None:
    world = RemoteWorld(batches=20, requests=[(1, Request(kind="pause"))])
    assert world.run().status == "paused"
    assert world.service.sizes == []
    assert world.run().status == "completed"
    assert world.service.sent_twice == []
    assert world.service.sizes == [20]


def test_a_cancel_reaches_the_service_and_what_it_had_answered_is_collected_before_anything_is_asked_again() -> None:
    world = RemoteWorld(batches=20, requests=[(60, Request(kind="cancel"))])
    state = world.run()
    assert state.status == "cancelled"
    assert world.service.calls["cancel"] == 1
    assert world.elapsed < 70
    world.clock.jump(LONG)
    state = world.run()
    assert state.status == "completed"
    answered = {number for number in range(1, 21) if state.batches[number].attempts == 1}
    assert answered == set(range(2, 21, 2))
    assert world.service.sizes == [20, 10]
    assert state.job.retries == 0


def test_a_cancel_that_does_not_reach_the_service_settles_all_the_same() -> None:
    world = RemoteWorld(batches=4, requests=[(60, Request(kind="cancel"))])

    async def drive(**options: Any) -> Any:
        world.service.mishaps.clear()
        return await RemoteWorld.drive(world, **options)

    world.drive = drive  # type: ignore[method-assign]
    world.service.seconds = LONG
    original = world.service.cancel

    async def unreachable(remote_id: str) -> None:
        world.service.mishaps.append(broken(received=False))
        await original(remote_id)

    world.service.cancel = unreachable  # type: ignore[method-assign]
    assert world.run().status == "cancelled"
    assert world.all(ev.RemoteCancelling)[0].message == "cut"
    world.clock.jump(LONG)
    assert world.run().status == "completed"
    assert world.service.sizes == [4]


def test_a_detached_host_leaves_everything_to_the_next_one() -> None:
    world = RemoteWorld(batches=5, requests=[(60, Request(kind="detach"))])
    assert world.run().status == "paused"
    world.clock.jump(LONG)
    assert world.run().status == "completed"
    assert world.service.sizes == [5]


# --- crashes ----------------------------------------------------------------------------------------------------------

outcomes = st.sampled_from([OK, expired(), (OK, Rules(passed=2, failed=1)), failed()])


@st.composite
def remote_worlds(draw: st.DrawFn) -> RemoteWorld:
    batches = draw(st.integers(1, 8))
    scripts: dict[int, list[Outcome]] = {n: [*draw(st.lists(outcomes, max_size=2)), OK] for n in range(1, batches + 1)}
    return RemoteWorld(batches, scripts, parcel=draw(st.sampled_from([2, 5, 100])), retry=RETRY)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(remote_worlds(), st.data())
def test_a_crash_at_any_event_sends_no_request_twice_and_answers_every_batch(
    world: RemoteWorld, data: st.DataObject
) -> None:
    assert world.run().status == "completed"
    keep = data.draw(st.integers(1, len(world.store.durable) - 1), label="events that were durable")
    other = world.after_crash(keep, received=data.draw(st.booleans(), label="the parcel arrived"))
    state = other.run()
    assert state.status == "completed"
    assert other.service.sent_twice == []
    assert len(finished_of(other)) == len(set(finished_of(other)))
    assert state.job.remotes == {}
    sent = {key_of(world.seed, name) for name in other.service.submitted}
    assert sent <= {Key(*key) for key in finished_of(other)}, "something was paid for and not collected"
