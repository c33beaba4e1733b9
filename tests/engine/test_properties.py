"""What holds for any outcome sequence and any moment at which the host dies."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.engine import OK, Outcome, Rules, World, failed, refused

from mozart_nb import events as ev
from mozart_nb.engine.fold import fold
from mozart_nb.engine.state import JobState

outcomes = st.sampled_from(
    [
        OK,
        (OK, Rules(passed=2, failed=1)),
        (OK, Rules(passed=0, failed=2)),
        (failed(), Rules(passed=2, evidence=True)),
        (failed(), Rules(passed=1, failed=1, evidence=True)),
        failed(),
        refused(retry_after=30),
        refused(),
    ]
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    batches = draw(st.integers(1, 6))
    scripts: dict[int, list[Outcome]] = {n: [*draw(st.lists(outcomes, max_size=4)), OK] for n in range(1, batches + 1)}
    dependencies = {
        n: sorted(draw(st.sets(st.integers(1, n - 1), max_size=2)))
        for n in range(2, batches + 1)
        if draw(st.booleans())
    }
    sections: dict[str, Any] = {
        "batch": {
            "dependencies": {n: on for n, on in dependencies.items() if on},
            "fan_out": {n: draw(st.integers(1, 3)) for n in range(1, batches + 1) if draw(st.integers(0, 3)) == 0},
        },
        "parallel": {"enabled": draw(st.booleans()), "max_concurrent": 3, "fail_fast": draw(st.booleans())},
        "retry": {
            "max_retries": draw(st.integers(0, 2)),
            "max_completion_attempts": draw(st.integers(0, 2)),
            "base_delay_seconds": 1,
        },
        "circuit_breaker": {"enabled": draw(st.booleans()), "failure_threshold": 2},
    }
    skips = {n: "skipped" for n in range(1, batches + 1) if draw(st.integers(0, 9)) == 0}
    return World(batches, scripts, skips=skips, **sections)


relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(worlds())
def test_any_outcome_sequence_settles_within_its_budgets_and_in_order(world: World) -> None:
    state = world.run()  # the invariants are checked inside
    assert state.status in ("completed", "failed")
    ended: dict[int, float] = {}
    for event in world.store.durable:
        if isinstance(event, ev.BatchCompleted | ev.BatchSkipped):
            ended[event.batch] = event.seq
        elif isinstance(event, ev.SessionOpened):
            for edge in state.plan.upstream(event.batch):
                assert all(ended.get(n, event.seq) < event.seq for n in edge.batches), "started before its dependencies"
    assert [event.seq for event in world.store.durable] == list(range(1, len(world.store.durable) + 1))


@relaxed
@given(worlds(), st.data())
def test_a_crash_at_any_event_resumes_to_the_same_settled_set(world: World, data: st.DataObject) -> None:
    expected = world.run()
    keep = data.draw(st.integers(1, len(world.store.durable) - 1), label="events that were durable")
    other = world.crash(keep, orphan=data.draw(st.booleans(), label="an answer without its event"))
    other.composer = world.composer
    resumed = other.run()
    if expected.status == "completed":
        assert resumed.status == "completed"
    kept = {event.batch for event in world.store.durable[:keep] if isinstance(event, ev.BatchCompleted)}
    again = {event.batch for event in other.store.durable[keep:] if isinstance(event, ev.BatchStarted)}
    assert not kept & again, "a completed batch was executed again"
    assert all(resumed.status_of(number) == "completed" for number in kept)


@relaxed
@given(worlds(), st.data())
def test_a_finished_session_is_never_paid_for_again_after_a_crash(world: World, data: st.DataObject) -> None:
    world.run()
    keep = data.draw(st.integers(1, len(world.store.durable) - 1))
    other = world.crash(keep, orphan=True)
    other.composer = world.composer
    other.run()
    opened = [(event.batch, event.attempt) for event in other.store.durable if isinstance(event, ev.SessionOpened)]
    assert len(opened) == len(set(opened))
    finished = [(event.batch, event.attempt) for event in other.store.durable if isinstance(event, ev.SessionFinished)]
    assert len(finished) == len(set(finished))
    assert {(a.finished.batch, a.finished.attempt) for a, _ in other.store.answers} <= set(finished)


@relaxed
@given(worlds(), st.data())
def test_state_is_the_fold_of_a_kept_state_and_the_tail(world: World, data: st.DataObject) -> None:
    state = world.run()
    k = data.draw(st.integers(0, len(world.store.durable)))
    half = fold(world.store.durable[:k])
    again = fold(world.store.durable[k:], JobState(half.job, half.batches))
    assert again == fold(world.store.durable) == state


@relaxed
@given(worlds())
def test_the_cost_of_a_job_is_the_sum_of_its_sessions(world: World) -> None:
    state = world.run()
    paid = sum(event.cost_usd or 0.0 for event in world.store.durable if isinstance(event, ev.SessionFinished))
    assert abs(state.job.cost_usd - paid) < 1e-9
