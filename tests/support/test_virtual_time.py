from __future__ import annotations

import asyncio
import threading
import time

import pytest
from support.virtual_time import EPOCH, StuckError, VirtualClock, run_virtual


def test_hours_pass_in_milliseconds_and_are_counted():
    async def nap() -> str:
        await asyncio.sleep(12 * 3600)
        return "rested"

    began = time.perf_counter()
    assert run_virtual(nap()) == ("rested", 12 * 3600)
    assert time.perf_counter() - began < 1


def test_timers_fire_in_order_of_their_time():
    async def race() -> list[int]:
        order: list[int] = []

        async def after(seconds: int) -> None:
            await asyncio.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(after(300), after(7), after(86_400 * 30))
        return order

    assert run_virtual(race()) == ([7, 300, 86_400 * 30], 86_400 * 30)


def test_a_timeout_fires_at_its_virtual_time():
    async def impatient() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1800):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(impatient())[0] == 1800


def test_time_stands_still_while_a_thread_works():
    async def beside_a_thread() -> str:
        async with asyncio.timeout(10):
            return await asyncio.to_thread(lambda: time.sleep(0.05) or "done")

    assert run_virtual(beside_a_thread()) == ("done", 0)


def test_work_the_loop_cannot_see_is_waited_for_inside_busy():
    async def own_thread() -> float:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(done.set)).start()
        with loop.busy():
            async with asyncio.timeout(10):
                await done.wait()
        return loop.time()

    assert run_virtual(own_thread())[0] == 0


def test_waiting_for_nothing_is_reported_instead_of_hanging(monkeypatch):
    monkeypatch.setattr("support.virtual_time.PATIENCE_SECONDS", 0.05)

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StuckError, match="wait forever"):
        run_virtual(forever())


def test_the_wall_clock_can_be_set_back_while_the_fair_clock_goes_on():
    async def set_back() -> tuple[float, float, float]:
        clock = VirtualClock()
        first = clock.wall()
        await clock.sleep(60)
        clock.jump(-3600)
        return first, clock.wall(), clock.fair()

    assert run_virtual(set_back())[0] == (EPOCH, EPOCH + 60 - 3600, 60)


def test_the_start_of_the_wall_clock_can_be_chosen():
    async def wall() -> float:
        return VirtualClock().wall()

    assert run_virtual(wall(), start=1000)[0] == 1000
