"""How a job runs, seen from outside: what is sent, what is journaled, how it settles."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from support.engine import OK, Rules, World, failed, refused, shared_gate
from support.virtual_time import VirtualClock, run_virtual

from mozart_nb import events as ev
from mozart_nb.engine.ports import GateReading, Health, Request, SessionResult


def test_every_batch_is_sent_once_and_the_job_completes() -> None:
    world = World(batches=3)
    state = world.run()
    assert state.status == "completed"
    assert world.backend.sent == [(1, 1, "first"), (2, 1, "first"), (3, 1, "first")]
    assert state.job.cost_usd == pytest.approx(0.03)


def test_without_parallel_batches_run_one_after_the_other() -> None:
    world = World(batches=4)
    world.run()
    assert world.backend.most_at_once == 1


def test_a_rolling_pool_keeps_max_concurrent_sessions_going() -> None:
    world = World(batches=10, parallel={"enabled": True, "max_concurrent": 4})
    world.run()
    assert world.backend.most_at_once == 4
    assert world.elapsed < 5


def test_a_failed_attempt_is_retried_with_backoff_and_within_its_budget() -> None:
    world = World(
        outcomes={1: [failed(), failed(), OK]}, retry={"base_delay_seconds": 10, "jitter": False, "max_retries": 2}
    )
    state = world.run()
    assert state.status == "completed"
    assert [event.delay for event in world.all(ev.BatchRetrying)] == [10, 20]
    assert [mode for _, _, mode in world.backend.sent] == ["first", "retry", "retry"]


def test_max_retries_counts_retries_after_the_first_attempt() -> None:
    world = World(outcomes={1: [failed()]}, retry={"max_retries": 2}, circuit_breaker={"enabled": False})
    state = world.run()
    assert state.status == "failed"
    assert len(world.backend.sent) == 3
    assert state.batches[1].code == "E003"


def test_jitter_keeps_the_delay_between_half_and_one_and_a_half() -> None:
    world = World(outcomes={1: [failed()]}, retry={"max_retries": 3, "base_delay_seconds": 10})
    world.run()
    for k, event in enumerate(world.all(ev.BatchRetrying)):
        assert 0.5 * 10 * 2**k <= event.delay <= 1.5 * 10 * 2**k


def test_missing_files_are_asked_for_in_a_completion_attempt() -> None:
    world = World(outcomes={1: [(OK, Rules(passed=2, failed=1)), OK]})
    state = world.run()
    assert [mode for _, _, mode in world.backend.sent] == ["first", "completion"]
    assert state.batches[1].retries == 0
    assert state.batches[1].completions == 1


def test_a_completion_attempt_that_met_a_limit_still_says_what_is_missing_afterwards() -> None:
    world = World(outcomes={1: [(OK, Rules(passed=2, failed=1)), refused(retry_after=5), OK]})
    assert world.run().status == "completed"
    assert world.composer.asked == [(1, "first", []), (1, "completion", ["missing"]), (1, "completion", ["missing"])]
    assert world.state.batches[1].completions == 1


def test_below_the_completion_threshold_the_whole_attempt_is_repeated() -> None:
    world = World(outcomes={1: [(OK, Rules(passed=1, failed=2)), OK]})
    world.run()
    assert [mode for _, _, mode in world.backend.sent] == ["first", "retry"]


def test_exactly_the_threshold_is_enough_for_a_completion_attempt() -> None:
    world = World(outcomes={1: [(OK, Rules(passed=1, failed=1)), OK]})
    world.run()
    assert [mode for _, _, mode in world.backend.sent] == ["first", "completion"]


def test_a_failed_session_without_evidence_is_a_failure_even_when_every_rule_passes() -> None:
    world = World(outcomes={1: [(failed(), Rules(passed=2)), OK]})
    world.run()
    assert [mode for _, _, mode in world.backend.sent] == ["first", "retry"]


def test_a_failed_session_that_wrote_every_file_counts_and_says_so() -> None:
    world = World(outcomes={1: [(failed(), Rules(passed=2, evidence=True))]})
    state = world.run()
    assert state.status == "completed"
    assert state.batches[1].exit_code_ignored
    assert len(world.backend.sent) == 1


def test_a_failed_session_without_any_rule_is_a_failure() -> None:
    world = World(outcomes={1: [(failed(), Rules(passed=0))]}, retry={"max_retries": 0})
    assert world.run().status == "failed"


def test_retry_after_header_outranks_backoff_and_uses_no_budget() -> None:
    world = World(outcomes={1: [refused(retry_after=70), OK]}, retry={"base_delay_seconds": 1})
    state = world.run()
    assert state.status == "completed"
    assert state.batches[1].retries == 0
    hit = world.all(ev.LimitHit)[0]
    assert hit.wait_seconds >= 70
    assert hit.source == "retry-after"
    assert 70 <= world.elapsed < 90


def test_a_limit_without_a_named_time_backs_off_from_thirty_seconds() -> None:
    world = World(outcomes={1: [refused(), refused(), refused(), OK]})
    world.run()
    assert [event.wait_seconds for event in world.all(ev.LimitHit)] == [30, 60, 120]


def test_a_usage_limit_without_a_named_time_waits_wait_minutes() -> None:
    world = World(outcomes={1: [refused(text="You've hit your usage limit"), OK]}, rate_limit={"wait_minutes": 5})
    world.run()
    hit = world.all(ev.LimitHit)[0]
    assert (hit.code, hit.wait_seconds) == ("E102", 300)


def test_a_burst_of_refusals_is_one_wait_and_one_probe() -> None:
    limit = {n: [refused(retry_after=100), OK] for n in range(1, 9)}
    world = World(batches=20, outcomes=limit, parallel={"enabled": True, "max_concurrent": 8})
    state = world.run()
    assert state.status == "completed"
    assert len(world.all(ev.LimitHit)) == 1
    probes = [event for event in world.all(ev.BatchStarted) if event.probe]
    assert len(probes) == 1
    assert all(batch.retries == 0 for batch in state.batches.values())


def test_after_a_limit_cleared_the_rest_starts_spread_out() -> None:
    limit = {n: [refused(retry_after=100), OK] for n in range(1, 17)}
    world = World(batches=16, outcomes=limit, seconds=30, parallel={"enabled": True, "max_concurrent": 16})
    world.run()
    cleared = world.all(ev.LimitCleared)[0].at
    soon = [event for event in world.all(ev.BatchStarted) if cleared <= event.at < cleared + 1]
    assert len(soon) <= 2


def test_used_up_waits_pause_the_job_and_a_resume_gives_them_back() -> None:
    world = World(outcomes={1: [refused(), refused(), OK]}, rate_limit={"max_waits": 1})
    state = world.run()
    assert state.status == "paused"
    assert "max_waits" in state.job.reason
    assert world.run().status == "completed"


def test_a_fatal_code_stops_the_job_and_leaves_the_rest_pending() -> None:
    world = World(batches=5, outcomes={2: [failed(401)]})
    state = world.run()
    assert state.status == "failed"
    assert state.job.code == "E501"
    assert [state.status_of(n) for n in range(1, 6)] == ["completed", "failed", "pending", "pending", "pending"]


def test_fail_fast_off_runs_everything_that_does_not_depend_on_the_failed_batch() -> None:
    world = World(
        batches=5,
        outcomes={2: [failed(404), OK]},
        batch={"dependencies": {3: [2], 4: [3]}},
        parallel={"enabled": True, "fail_fast": False},
        retry={"max_retries": 0},
    )
    world.backend.outcomes = {2: [(failed(500), Rules())]}
    state = world.run()
    assert state.status == "failed"
    assert [state.status_of(n) for n in range(1, 6)] == ["completed", "failed", "blocked", "blocked", "completed"]
    assert state.batches[4].reason == "waits for batch 2, which failed"


def test_retrying_a_failed_batch_unblocks_those_behind_it() -> None:
    world = World(
        batches=4,
        outcomes={2: [failed(), OK]},
        batch={"dependencies": {3: [2], 4: [3]}},
        parallel={"enabled": True, "fail_fast": False},
        retry={"max_retries": 0},
    )
    assert world.run().status == "failed"
    assert world.run().status == "completed"
    assert [n for n, _, _ in world.backend.sent] == [1, 2, 2, 3, 4]


def test_a_batch_behind_two_failed_ones_stays_blocked_when_one_of_them_recovers() -> None:
    world = World(
        batches=3,
        outcomes={1: [failed()], 2: [failed()]},
        batch={"dependencies": {3: [1, 2]}},
        parallel={"enabled": True, "fail_fast": False},
        retry={"max_retries": 0},
    )
    state = world.run()
    assert state.batches[3].blocked_by == 1
    state = world.run(inferred=[1], keep_failed=True, recover=True)
    assert [state.status_of(n) for n in (1, 2, 3)] == ["completed", "failed", "blocked"]
    assert state.batches[3].blocked_by == 2


def test_keep_failed_leaves_failed_batches_alone_on_resume() -> None:
    world = World(batches=3, outcomes={1: [failed()]}, retry={"max_retries": 0})
    world.run()
    state = world.run(keep_failed=True)
    assert [state.status_of(n) for n in (1, 2, 3)] == ["failed", "completed", "completed"]


def test_a_skipped_batch_satisfies_its_dependents_and_never_fails_the_job() -> None:
    world = World(batches=3, skips={2: "not today"}, batch={"dependencies": {3: [2]}})
    state = world.run()
    assert state.status == "completed"
    assert [state.status_of(n) for n in (1, 2, 3)] == ["completed", "skipped", "completed"]


def test_fan_out_runs_instances_side_by_side_and_joins_them() -> None:
    world = World(
        batches=3,
        batch={"fan_out": {2: 3}, "dependencies": {2: [1], 3: [2]}},
        parallel={"enabled": True, "max_concurrent": 5},
    )
    world.run()
    order = [n for _, n in world.backend.started_at]
    assert order == [1, 2, 3, 4, 5]
    times = {n: at for at, n in world.backend.started_at}
    assert times[2] == times[3] == times[4] < times[5]


def test_pause_lets_running_attempts_finish_and_resume_goes_on() -> None:
    world = World(batches=6, seconds=10, requests=[(15, Request(kind="pause", by="test"))])
    state = world.run()
    assert state.status == "paused"
    assert state.count("completed") == 2
    assert world.run().status == "completed"
    assert len(world.backend.sent) == 6


def test_a_pause_that_comes_while_the_last_batch_runs_leaves_a_completed_job() -> None:
    world = World(batches=2, seconds=10, requests=[(15, Request(kind="pause", by="test"))])
    assert world.run().status == "completed"


def test_a_wait_of_an_hour_can_be_paused_at_once() -> None:
    world = World(outcomes={1: [refused(retry_after=3600), OK]}, requests=[(100, Request(kind="pause"))])
    assert world.run().status == "paused"
    assert world.elapsed < 102


def test_cancel_ends_sessions_at_once_and_settles_as_cancelled() -> None:
    world = World(batches=3, seconds=1000, requests=[(5, Request(kind="cancel", by="test"))])
    state = world.run()
    assert state.status == "cancelled"
    assert world.elapsed < 7
    assert [state.status_of(n) for n in (1, 2, 3)] == ["cancelled", "pending", "pending"]
    world.backend.seconds = 1
    assert world.run().status == "completed"


def test_detaching_refunds_the_attempt_that_could_not_be_kept() -> None:
    world = World(batches=1, seconds=1000, requests=[(5, Request(kind="detach"))])
    state = world.run()
    assert state.status == "paused"
    assert state.batches[1].abandoned == 1
    world.backend.seconds = 1
    state = world.run()
    assert state.status == "completed"
    assert world.backend.sent == [(1, 1, "first"), (1, 2, "first")]


def test_a_pilot_runs_so_many_batches_and_pauses() -> None:
    world = World(batches=10)
    state = world.run(limit=3)
    assert (state.status, state.count("completed")) == ("paused", 3)
    assert "7 batches are left" in state.job.reason
    assert world.run().count("completed") == 10


def test_only_the_selected_batches_run() -> None:
    world = World(batches=10)
    state = world.run(only=((3, 3), (7, 9)))
    assert [n for n, _, _ in world.backend.sent] == [3, 7, 8, 9]
    assert state.status == "paused"


def test_start_batch_skips_what_comes_before() -> None:
    world = World(batches=5)
    state = world.run(start_batch=4)
    assert state.status == "completed"
    assert [state.status_of(n) for n in range(1, 6)] == ["skipped"] * 3 + ["completed"] * 2


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_trial_through() -> None:
    outcomes = {n: [failed()] * 2 + [OK] for n in range(1, 5)}
    world = World(
        batches=4,
        outcomes=outcomes,
        parallel={"enabled": True, "max_concurrent": 4},
        retry={"base_delay_seconds": 1, "jitter": False},
        circuit_breaker={"failure_threshold": 4, "recovery_timeout_seconds": 60},
    )
    state = world.run()
    assert state.status == "completed"
    opened = world.all(ev.BreakerOpened)[0]
    after = [event for event in world.all(ev.BatchStarted) if event.at > opened.at]
    assert after[0].at >= opened.at + 60
    assert "breaker.closed" in world.kinds


def test_unmet_rules_do_not_open_the_breaker() -> None:
    world = World(batches=1, outcomes={1: [(OK, Rules(passed=0, failed=1))]}, circuit_breaker={"failure_threshold": 1})
    world.run()
    assert "breaker.opened" not in world.kinds


def test_a_failing_health_check_stops_the_job_before_anything_is_sent() -> None:
    world = World(batches=2)
    world.backend.health = lambda: Health(ok=False, code="E503", message="claude was not found")
    state = world.run()
    assert (state.status, state.job.code) == ("failed", "E503")
    assert world.backend.sent == []


def test_an_account_over_its_limit_before_the_first_batch_is_waited_for(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def scenario() -> ev.LimitHit:
        gate = shared_gate(tmp_path / "gate.json", clock)
        await gate.hit(GateReading(until=clock.wall() + 600, code="E102", by="another"))
        world = World(batches=2, gate=gate, clock=clock)
        assert (await world.drive()).status == "completed"
        return world.all(ev.LimitHit)[0]

    hit, elapsed = run_virtual(scenario())
    assert (hit.code, hit.source) == ("E102", "another job")
    assert 600 < elapsed < 620


def test_two_jobs_behind_one_gate_send_one_probe_and_use_no_retry(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def both() -> list[World]:
        gate = shared_gate(tmp_path / "gate.json", clock)
        script = {1: [refused(retry_after=100), OK]}
        worlds = [World(batches=4, outcomes=script, gate=gate, clock=clock, seed=seed) for seed in range(2)]
        await asyncio.gather(*(world.drive() for world in worlds))
        return worlds

    worlds, _ = run_virtual(both())
    assert [world.state.status for world in worlds] == ["completed", "completed"]
    first_after = sorted(event.at for world in worlds for event in world.all(ev.BatchStarted) if event.probe)
    assert len(first_after) == 1
    assert all(batch.retries == 0 for world in worlds for batch in world.state.batches.values())


def test_an_attempt_that_breaks_inside_fails_its_batch_and_nothing_else() -> None:
    world = World(batches=2, parallel={"enabled": True, "fail_fast": False})

    async def explode(request: object, report: object) -> SessionResult:
        raise RuntimeError("boom")

    world.backend.run = explode  # type: ignore[method-assign,assignment]
    state = world.run()
    assert state.status == "failed"
    assert state.batches[1].code == "E999"
    assert "boom" in state.batches[1].message


def test_an_attempt_that_nobody_counts_on_any_more_is_not_let_go_on() -> None:
    world = World(batches=1, seconds=10)

    async def scenario() -> str:
        task = asyncio.create_task(world.drive())
        await asyncio.sleep(1)
        assert world.driver is not None
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(world.driver.record(ev.SessionOpened(batch=1, attempt=99)), 5)
        return (await task).status

    assert run_virtual(scenario())[0] == "completed"
    assert [event.attempt for event in world.all(ev.SessionOpened)] == [1]


def test_a_broken_observer_is_reported_once_and_the_job_goes_on() -> None:
    world = World(batches=3)
    told: list[str] = []

    async def broken(events: object) -> None:
        raise ValueError("no")

    async def listens(events: object) -> None:
        told.extend(event.message for event in events if isinstance(event, ev.JobNotice))  # type: ignore[attr-defined]

    world.observers = [broken, listens]
    assert world.run().status == "completed"
    assert len(told) == 1
    assert "ValueError" in told[0]


def test_a_clock_set_back_an_hour_postpones_no_retry_and_no_wait() -> None:
    clock = VirtualClock()
    world = World(
        outcomes={1: [failed(), refused(retry_after=60), OK]},
        clock=clock,
        seconds=1,
        retry={"base_delay_seconds": 20, "jitter": False},
    )

    async def scenario() -> str:
        task = asyncio.create_task(world.drive())
        await asyncio.sleep(5)
        clock.jump(-3600)
        await asyncio.sleep(40)
        clock.jump(-3600)
        return (await task).status

    status, elapsed = run_virtual(scenario())
    assert status == "completed"
    assert elapsed < 120
    stamps = [event.at for event in world.store.durable]
    assert stamps == sorted(stamps)


def test_a_clock_set_forward_costs_an_early_probe_and_no_retry() -> None:
    clock = VirtualClock()
    world = World(outcomes={1: [refused(retry_after=3600), refused(retry_after=3000), OK]}, clock=clock)

    async def scenario() -> str:
        task = asyncio.create_task(world.drive())
        await asyncio.sleep(5)
        clock.jump(3700)
        return (await task).status

    status, elapsed = run_virtual(scenario())
    assert status == "completed"
    assert elapsed < 3600
    assert world.state.batches[1].retries == 0


def test_lone_surrogates_in_an_answer_are_replaced_and_nothing_is_lost() -> None:
    odd = SessionResult(outcome="ok", text="half a character: \ud83d", has_result=True, warnings=("\udc80",))
    world = World(outcomes={1: [odd]})
    assert world.run().status == "completed"
    assert world.store.answers[0][0].text == "half a character: ?"
    assert world.all(ev.SessionFinished)[0].warnings == ("?",)


def test_what_the_store_noticed_is_told_to_observers_once() -> None:
    world = World(batches=4)
    told: list[str] = []

    async def listens(events: object) -> None:
        told.extend(event.message for event in events if isinstance(event, ev.JobNotice))  # type: ignore[attr-defined]
        if not world.store.warnings:
            world.store.warnings.append("the disk failed to sync")

    world.observers = [listens]
    world.run()
    assert told == ["the disk failed to sync"]


def test_a_key_that_a_server_repeats_never_reaches_the_journal() -> None:
    key = "sk-ant-api03-" + "x" * 40
    leaky = SessionResult(
        outcome="error", exit_code=1, api_status=401, error_text=f"invalid key {key}", stderr_tail=key, has_result=True
    )
    world = World(outcomes={1: [leaky]})
    state = world.run()
    assert state.job.reason == "invalid key sk-ant…[masked]"
    assert key not in "".join(ev.encode_event(event).decode() for event in world.store.durable)


def test_a_key_in_an_answer_that_outlived_its_host_never_reaches_the_journal_either() -> None:
    key = "sk-ant-api03-" + "x1" * 20
    leaky = SessionResult(
        outcome="error", exit_code=1, api_status=401, error_text=f"invalid key {key}", has_result=True
    )
    world = World(outcomes={1: [leaky]})
    world.run()
    finished = next(n for n, event in enumerate(world.store.durable) if isinstance(event, ev.SessionFinished))
    other = world.crash(finished, orphan=True)
    assert other.run().status == "failed"
    assert any(isinstance(event, ev.SessionFinished) for event in other.store.durable)
    assert key not in "".join(ev.encode_event(event).decode() for event in other.store.durable)


def test_a_notice_is_told_without_secrets() -> None:
    world, told = World(), []

    async def listens(events: object) -> None:
        told.extend(event.message for event in events if isinstance(event, ev.JobNotice))  # type: ignore[attr-defined]

    world.observers = [listens]
    world.store.warnings.append("cannot read https://ada:hunter2@example.com")
    world.run()
    assert told == ["cannot read https://ada:…[masked]@example.com"]


def test_a_refusal_of_the_same_burst_that_names_a_later_time_prolongs_the_one_wait() -> None:
    world = World(
        batches=3,
        outcomes={1: [refused(retry_after=2), OK], 2: [refused(retry_after=40), OK]},
        parallel={"enabled": True, "max_concurrent": 2},
    )
    state = world.run()
    first, second = world.all(ev.LimitHit)
    assert (first.number, second.number) == (1, 1)
    assert second.until > first.until
    assert all(at >= second.until for at, _ in world.backend.started_at[2:])
    assert state.job.limit_waits == 1
    assert state.job.status == "completed"


def test_an_exhausted_budget_pauses_a_job_that_may_heal_itself_as_well() -> None:
    broke = msgspec.structs.replace(failed(402), error_kind="billing_error")
    world = World(batches=3, outcomes={n: [broke] for n in (1, 2, 3)})
    state = world.run(self_healing=True)
    assert (state.job.status, state.job.code) == ("paused", "E506")
    assert len(world.backend.sent) == 1
