"""How many sessions run at once while the service bears fewer than the job file allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import OK, ScriptedBackend, World, failed, refused

from mozart_nb import events as ev
from mozart_nb.engine.adaptive import SHRINK, Window, after_session, after_start, is_congestion
from mozart_nb.engine.fold import fold
from mozart_nb.engine.policy.starting import concurrency
from mozart_nb.engine.ports import Report, SessionRequest, SessionResult

OVERLOADED = SessionResult(
    outcome="error", api_status=529, error_kind="overloaded_error", error_text="Overloaded", has_result=True, cost_usd=0
)


@dataclass
class Crowded(ScriptedBackend):
    """Bears so many sessions at once, by the second of the run; each one beyond is refused at once."""

    bears: Any = lambda second: 10
    refusal: SessionResult = OVERLOADED
    refusals: int = 0
    began_at: float | None = None

    async def run(self, request: SessionRequest, report: Report) -> SessionResult:
        now = self.clock.wall()
        self.began_at = self.began_at or now
        if len(self.running) >= self.bears(now - self.began_at):
            await report.opened(request.session_id)
            self.refusals += 1
            return self.refusal
        return await super().run(request, report)


def crowded(batches: int, bears: Any, *, most: int = 64, adaptive: bool = True, refusal: Any = OVERLOADED) -> World:
    world = World(
        batches,
        parallel={"enabled": True, "max_concurrent": most, "adaptive": adaptive, "fail_fast": False},
        circuit_breaker={"enabled": False},
        retry={"max_retries": 100, "base_delay_seconds": 1, "exponential_base": 1.5, "max_delay_seconds": 5},
    )
    world.backend = Crowded({}, world.clock, bears=bears, refusal=refusal)
    return world


def refusals_of(world: World) -> int:
    assert isinstance(world.backend, Crowded)
    return world.backend.refusals


def test_a_job_begins_with_as_many_sessions_as_it_may() -> None:
    world = crowded(64, lambda second: 1000)
    assert world.run().status == "completed"
    assert world.backend.most_at_once == 64
    assert world.state.job.window.size == 0


def test_an_overloaded_service_is_asked_for_less_until_it_bears_it() -> None:
    gentle, stubborn = (crowded(600, lambda second: 10, adaptive=adaptive) for adaptive in (True, False))

    assert gentle.run().status == stubborn.run().status == "completed"

    assert refusals_of(gentle) < refusals_of(stubborn) / 3
    assert gentle.elapsed <= stubborn.elapsed * 1.15
    assert 5 <= concurrency(gentle.state, gentle.config) <= 20


def test_sessions_come_back_when_the_service_bears_them_again() -> None:
    world = crowded(3000, lambda second: 8 if second < 20 else 1000)
    assert world.run().status == "completed"
    assert concurrency(world.state, world.config) > 50
    assert world.backend.most_at_once >= 50


def test_rate_limits_shrink_the_window_as_well() -> None:
    world = crowded(200, lambda second: 16, most=32, refusal=refused(retry_after=2))
    assert world.run().status == "completed"
    assert world.state.job.window.size < 32


def test_refusals_of_sessions_that_were_under_way_together_count_once() -> None:
    world = World(8, {n: [refused(retry_after=1), OK] for n in range(1, 9)}, parallel=parallel(8))
    world.run()
    assert len(world.all(ev.LimitHit)) == 1
    cut = 8 * SHRINK
    assert world.state.job.window.size >= cut


def test_a_job_that_wants_no_adaption_keeps_its_concurrency() -> None:
    world = crowded(50, lambda second: 4, most=8, adaptive=False)
    world.run()
    assert concurrency(world.state, world.config) == 8


def test_a_resumed_run_begins_with_as_many_sessions_as_it_may() -> None:
    world = crowded(40, lambda second: 4, most=16)
    world.run(limit=20)
    assert concurrency(world.state, world.config) < 16
    world.backend = ScriptedBackend({}, world.clock)
    world.run()
    assert world.backend.most_at_once == 16


def test_a_refused_probe_tells_nothing_about_how_many_may_run() -> None:
    script = [refused(retry_after=5), refused(retry_after=5), refused(retry_after=5), OK]
    world = World(1, {1: script}, parallel=parallel(4))
    world.run()
    assert [started.probe for started in world.all(ev.BatchStarted)] == [False, True, True, True]
    assert world.state.job.window.cut_at < world.all(ev.LimitHit)[1].at


def parallel(most: int) -> dict[str, Any]:
    return {"enabled": True, "max_concurrent": most}


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("E101", "", True),
        ("E103", "", True),
        ("E102", "usage limit", False),
        ("E003", "API Error: 529 Overloaded", True),
        ("E003", "overloaded_error: Overloaded", True),
        ("E003", "internal server error (500)", False),
        ("E001", "", False),
        ("", "", False),
    ],
)
def test_only_a_lack_of_capacity_counts(code: str, message: str, expected: bool) -> None:
    assert is_congestion(code, message) is expected


def test_an_internal_error_of_the_service_changes_nothing() -> None:
    world = World(4, {1: [failed(500), OK]}, parallel=parallel(4), circuit_breaker={"enabled": False})
    world.run()
    assert world.state.job.window.size == 0


happenings = st.lists(
    st.tuples(st.sampled_from(["start", "", "E101", "E102", "E103", "E001"]), st.integers(0, 40)), max_size=200
)


@settings(deadline=None)
@given(happenings, st.integers(1, 50), st.integers(0, 200))
def test_the_window_stays_between_one_and_the_most_whatever_happens(
    story: list[tuple[str, int]], most: int, cut: int
) -> None:
    def follow(window: Window, part: list[tuple[int, tuple[str, int]]]) -> Window:
        for at, (code, number) in part:
            if code == "start":
                window = after_start(window, min(number, window.within(most)))
            else:
                window = after_session(window, code, "", began_at=at - number, now=float(at))
            assert 1 <= window.within(most) <= most
        return window

    told = list(enumerate(story, start=1))
    kept = follow(Window(), told[:cut])
    assert follow(kept, told[cut:]) == follow(Window(), told)


def test_the_window_is_the_same_for_a_reader_of_the_journal() -> None:
    world = crowded(60, lambda second: 5, most=20)
    world.run()
    for keep in range(0, len(world.store.durable), 7):
        state = fold(world.store.durable[:keep])
        assert fold(world.store.durable[keep:], state).job.window == world.state.job.window
