from __future__ import annotations

import asyncio
import time

import pytest

from mozart_nb.clock import HEARTBEAT_SECONDS, SystemClock
from mozart_nb.engine.ports import Clock


def test_the_system_clock_serves_as_the_clock_port():
    clock: Clock = SystemClock()
    assert abs(clock.wall() - time.time()) < 1


def test_time_in_which_the_loop_was_blocked_does_not_count():
    async def blocked_cell() -> tuple[float, float]:
        async with SystemClock() as clock:
            began = clock.fair()
            time.sleep(0.6)  # noqa: ASYNC251 - the blocked loop is what is tested
            at_once = clock.fair() - began
            await asyncio.sleep(0.05)
            return at_once, clock.fair() - began

    at_once, later = asyncio.run(blocked_cell())
    assert at_once <= 2 * HEARTBEAT_SECONDS + 0.02
    assert at_once <= later <= 0.4


def test_time_in_which_the_loop_was_alive_counts_in_full():
    async def idle() -> float:
        async with SystemClock() as clock:
            began = clock.fair()
            await clock.sleep(0.25)
            return clock.fair() - began

    assert asyncio.run(idle()) == pytest.approx(0.25, abs=0.08)


def test_blocked_seconds_say_how_long_the_loop_was_busy():
    async def busy() -> float:
        async with SystemClock() as clock:
            time.sleep(0.5)  # noqa: ASYNC251
            await asyncio.sleep(0.02)
            return clock.blocked_seconds

    assert asyncio.run(busy()) == pytest.approx(0.3, abs=0.1)


def test_the_fair_clock_never_runs_backwards():
    async def observe() -> list[float]:
        clock = SystemClock()
        seen = [clock.fair()]
        async with clock:
            for _ in range(6):
                time.sleep(0.06)  # noqa: ASYNC251
                seen.append(clock.fair())
                await asyncio.sleep(0.03)
                seen.append(clock.fair())
            time.sleep(0.3)  # noqa: ASYNC251
            seen.append(clock.fair())
        seen.append(clock.fair())
        return seen

    seen = asyncio.run(observe())
    assert seen == sorted(seen)


def test_a_clock_that_nobody_entered_runs_like_monotonic_time():
    clock = SystemClock()
    began = clock.fair()
    time.sleep(0.05)
    assert clock.fair() - began == pytest.approx(0.05, abs=0.04)
    assert clock.blocked_seconds == 0


def test_one_clock_can_be_entered_by_several_jobs_and_stops_with_the_last():
    async def jobs() -> tuple[bool, bool]:
        clock = SystemClock()
        async with clock:
            async with clock:
                pass
            began = clock.fair()
            time.sleep(0.4)  # noqa: ASYNC251
            still_fair = clock.fair() - began < 0.3
        began = clock.fair()
        time.sleep(0.4)  # noqa: ASYNC251
        return still_fair, clock.fair() - began > 0.35

    assert asyncio.run(jobs()) == (True, True)


def test_leaving_the_clock_leaves_nothing_on_the_loop():
    async def use() -> int:
        async with SystemClock():
            pass
        return len(asyncio.all_tasks())

    assert asyncio.run(use()) == 1
