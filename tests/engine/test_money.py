"""Cost limits: they hold, they say what to do, and a job goes on once they are raised."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import OK, Rules, World, failed, job

from mozart_nb import events as ev
from mozart_nb.engine.fold import apply
from mozart_nb.engine.policy import Rest, StartAttempt, step
from mozart_nb.engine.policy.money import spending
from mozart_nb.engine.ports import SessionResult
from mozart_nb.engine.state import JobState


def costs(amount: float | None, **changes: Any) -> SessionResult:
    """A session that went well and cost `amount` US dollars."""
    return msgspec.structs.replace(OK, cost_usd=amount, **changes)


def unpriced(model: str = "model-x", tokens: int = 1_000_000) -> SessionResult:
    """A session that was paid for, of a model that has no price."""
    return costs(None, model=model, usage=ev.Usage(tokens))


def world(batches: int, amount: float, *, at_once: int = 1, **limits: Any) -> World:
    outcomes = {number: [costs(amount)] for number in range(1, batches + 1)}
    return World(batches, outcomes, parallel=_parallel(at_once), cost_limits=limits)


def _parallel(at_once: int) -> dict[str, Any]:
    return {"enabled": at_once > 1, "max_concurrent": at_once, "fail_fast": False}


def with_limits(there: World, **limits: Any) -> World:
    """The same job with other limits, as `--reload-config` gives it."""
    section = type(there.config.cost_limits).model_validate(limits)
    there.config = there.config.model_copy(update={"cost_limits": section})
    return there


def test_a_job_pauses_before_the_session_that_would_pass_the_limit() -> None:
    there = world(10, 0.01, max_cost_per_job=0.05)
    state = there.run()
    assert (state.status, state.job.code) == ("paused", "E506")
    assert len(there.backend.sent) == 5
    assert state.job.cost_usd == 0.05


def test_the_pause_says_what_was_used_and_how_to_go_on() -> None:
    state = world(10, 0.01, max_cost_per_job=0.055).run()
    assert "0.05 USD of 0.055 USD" in state.job.reason
    assert "cost_limits.max_cost_per_job" in state.job.reason
    assert "`mozart resume job --reload-config`" in state.job.reason
    assert "expected to cost 0.01 USD" in state.job.reason


def test_a_job_whose_last_session_reaches_the_limit_is_complete() -> None:
    assert world(5, 0.01, max_cost_per_job=0.05).run().status == "completed"


def test_sessions_in_flight_count_at_the_mean_of_those_that_ended() -> None:
    there = world(100, 0.01, at_once=10, max_cost_per_job=0.5)
    state = there.run()
    assert state.job.cost_usd == 0.5
    assert there.backend.most_at_once == 10


def test_sessions_started_before_any_cost_is_known_are_all_that_can_pass_a_limit() -> None:
    there = world(100, 1.0, at_once=8, max_cost_per_job=3)
    state = there.run()
    assert len(there.backend.sent) == 8
    assert (state.job.cost_usd, state.job.code) == (8.0, "E506")
    assert "has cost 8.00 USD of 3.00 USD" in state.job.reason


def test_after_the_limit_was_raised_the_job_goes_on_and_completes() -> None:
    there = world(10, 0.01, max_cost_per_job=0.05)
    there.run()
    state = with_limits(there, max_cost_per_job=1).run()
    assert state.status == "completed"
    assert len(there.backend.sent) == 10
    assert state.job.cost_usd == 0.1


def test_a_resume_with_the_same_limit_sends_nothing_and_says_so_again() -> None:
    there = world(10, 0.01, max_cost_per_job=0.05)
    there.run()
    state = there.run()
    assert (state.status, state.job.code) == ("paused", "E506")
    assert len(there.backend.sent) == 5


def test_limits_that_are_switched_off_stop_nothing() -> None:
    assert world(10, 0.01, enabled=False, max_cost_per_job=0.01).run().status == "completed"


def test_a_batch_that_used_up_its_limit_pauses_the_job_and_is_named() -> None:
    outcomes = {2: [(costs(0.02), Rules(0, 1))]}
    there = World(3, outcomes, retry={"max_retries": 9}, cost_limits={"max_cost_per_batch": 0.05})
    state = there.run()
    assert (state.status, state.job.code) == ("paused", "E506")
    assert "batch 2 has cost 0.04 USD of 0.05 USD (cost_limits.max_cost_per_batch)" in state.job.reason
    assert [batch for batch, _, _ in there.backend.sent].count(2) == 2


def test_a_batch_goes_on_after_its_limit_was_raised() -> None:
    outcomes = {1: [(costs(0.02), Rules(0, 1)), (costs(0.02), Rules(0, 1)), costs(0.02)]}
    there = World(1, outcomes, cost_limits={"max_cost_per_batch": 0.05})
    there.run()
    assert with_limits(there, max_cost_per_batch=0.1).run().status == "completed"


def test_attempts_that_cost_nothing_do_not_use_up_the_limit_of_a_batch() -> None:
    there = World(1, {1: [failed(), failed(), costs(0.04)]}, cost_limits={"max_cost_per_batch": 0.05})
    assert there.run().status == "completed"


def test_one_warning_is_given_when_the_share_of_the_limit_is_used() -> None:
    there = world(10, 0.01, max_cost_per_job=0.1, warn_at_percent=50)
    there.run()
    [warning] = there.all(ev.CostUpdated)
    assert (warning.cost_usd, warning.limit_usd) == (0.05, 0.1)
    assert "50 %" in warning.message


def test_the_warning_is_not_repeated_after_a_resume_but_given_for_a_new_limit() -> None:
    there = world(12, 0.01, max_cost_per_job=0.05)
    there.run()
    there.run()
    assert len(there.all(ev.CostUpdated)) == 1
    with_limits(there, max_cost_per_job=0.1).run()
    assert [warning.limit_usd for warning in there.all(ev.CostUpdated)] == [0.05, 0.1]


def test_a_model_without_a_price_pauses_a_job_with_a_limit_at_once() -> None:
    there = World(9, {2: [unpriced()]}, cost_limits={"max_cost_per_job": 100})
    state = there.run()
    assert (state.status, state.job.code) == ("paused", "E506")
    assert "no price is known for `model-x`" in state.job.reason
    assert "`cost_limits.prices` (model-x: [input, output]" in state.job.reason
    assert len(there.backend.sent) == 2


def test_without_a_limit_a_model_without_a_price_stops_nothing() -> None:
    state = World(3, {2: [unpriced()]}).run()
    assert state.status == "completed"
    assert state.job.unknown_costs == 1
    assert state.job.cost_usd == 0.02


def test_once_a_price_is_given_what_was_paid_before_counts_too() -> None:
    there = World(9, {2: [unpriced()]}, cost_limits={"max_cost_per_job": 3.03})
    there.run()
    state = with_limits(there, max_cost_per_job=3.03, prices={"model-x": [3, 15]}).run()
    assert spending(state, there.config).counted == 3.01
    assert (state.status, state.job.code) == ("paused", "E506")
    state = with_limits(there, max_cost_per_job=30, prices={"model-x": [3, 15]}).run()
    assert state.status == "completed"


def test_a_session_of_unknown_cost_is_reckoned_at_the_mean_and_stops_nothing() -> None:
    lost = costs(None, usage=ev.Usage())
    there = World(10, {2: [lost]}, cost_limits={"max_cost_per_job": 0.05})
    state = there.run()
    assert len(there.backend.sent) == 5
    assert state.job.cost_usd == 0.04
    assert "1 sessions of unknown cost" in state.job.reason


def test_money_adds_up_to_the_last_digit() -> None:
    state = world(1000, 0.0001, at_once=50).run()
    assert state.job.cost_usd == 0.1


def handed_in(count: int) -> JobState:
    """A job of the batches API with so many prompts of a million tokens on their way, and no answer yet."""
    state = JobState()
    plan = ev.PlanShape(total=10, total_items=10)
    events: list[ev.Event] = [
        ev.JobPlanned(job_id="job", name="job", plan=plan, seed=1, config_digest="d", backend="anthropic_batches"),
        ev.JobStarted(run_id="r"),
    ]
    for number in range(1, count + 1):
        events.append(ev.BatchStarted(batch=number, attempt=1, mode="first"))
        events.append(ev.SessionOpened(batch=number, attempt=1, parked=True, prompt_tokens=1_000_000))
    for seq, event in enumerate(events, 1):
        apply(state, msgspec.structs.replace(event, seq=seq, at=1.0))
    return state


def test_requests_that_are_answered_hours_later_count_at_their_price_before_any_cost_is_known() -> None:
    backend = {"type": "anthropic_batches", "model": "claude-sonnet-5"}  # 1.04 US dollars each at half price
    config = job(10, backend=backend, cost_limits={"max_cost_per_job": 3})
    assert isinstance(step(handed_in(1), config, 2.0), StartAttempt)
    assert isinstance(step(handed_in(2), config, 2.0), Rest)
    unlimited = job(10, backend=backend)
    assert isinstance(step(handed_in(5), unlimited, 2.0), StartAttempt)


@settings(max_examples=60)
@given(
    amounts=st.lists(st.integers(0, 50), min_size=1, max_size=20),
    limit=st.integers(1, 200),
    at_once=st.integers(1, 6),
)
def test_no_limit_is_passed_by_more_than_what_was_in_flight(amounts: list[int], limit: int, at_once: int) -> None:
    outcomes = {number: [costs(amount / 100)] for number, amount in enumerate(amounts, 1)}
    limits = {"max_cost_per_job": limit / 100}
    there = World(len(amounts), outcomes, parallel=_parallel(at_once), cost_limits=limits)
    state = there.run()
    assert state.job.cost_usd <= limit / 100 + at_once * max(amounts) / 100 + 1e-9
    if state.status == "paused":
        assert state.job.code == "E506"
        state = with_limits(there, max_cost_per_job=1e6).run()
    assert state.status == "completed"
    assert state.job.cost_usd == pytest.approx(sum(amounts) / 100)
    assert len(there.backend.sent) == len(amounts)


@settings(max_examples=40)
@given(amount=st.integers(1, 50), limit=st.integers(1, 300), batches=st.integers(1, 12))
def test_one_at_a_time_a_limit_is_only_ever_passed_by_the_first_session(amount: int, limit: int, batches: int) -> None:
    state = world(batches, amount / 100, max_cost_per_job=limit / 100).run()
    affordable = max(1, limit // amount)
    assert state.job.cost_usd == pytest.approx(min(batches, affordable) * amount / 100)


@settings(max_examples=30)
@given(keep=st.integers(1, 60), limit=st.integers(2, 9))
def test_a_crash_at_any_moment_changes_nothing_about_the_limit(keep: int, limit: int) -> None:
    there = world(10, 0.01, at_once=2, max_cost_per_job=limit / 100)
    there.run()
    other = there.crash(min(keep, len(there.store.durable) - 1))
    state = other.run()
    assert state.job.cost_usd <= (limit + 2) / 100 + 1e-9
    assert len(other.all(ev.CostUpdated)) <= 1
