from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import VirtualClock, run_virtual

from mozart_nb.backends._deadline import Deadline


def test_a_block_that_takes_too_long_is_ended_and_its_cause_is_known():
    async def main():
        async with Deadline(VirtualClock(), 10) as deadline:
            await asyncio.sleep(1000)
        return deadline.cause

    assert run_virtual(main()) == ("timeout", 10)


def test_silence_ends_a_block_and_being_heard_puts_that_off():
    async def main():
        async with Deadline(VirtualClock(), 1000, idle_seconds=5) as deadline:
            for _ in range(4):
                await asyncio.sleep(4)
                deadline.heard()
            await asyncio.sleep(1000)
        return deadline.cause

    assert run_virtual(main()) == ("stale", 21)


def test_a_block_that_ends_in_time_is_left_alone():
    async def main():
        async with Deadline(VirtualClock(), 10, idle_seconds=5) as deadline:
            await asyncio.sleep(1)
        await asyncio.sleep(100)
        return deadline.cause

    assert run_virtual(main())[0] == ""


def test_the_time_left_can_be_shortened():
    async def main():
        async with Deadline(VirtualClock(), 1000) as deadline:
            deadline.shorten(2)
            await asyncio.sleep(500)
        return deadline.cause

    assert run_virtual(main()) == ("timeout", 2)


def test_a_cancellation_from_elsewhere_goes_through():
    async def main():
        async def body():
            async with Deadline(VirtualClock(), 10):
                await asyncio.sleep(100)

        task = asyncio.create_task(body())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())


def test_a_cancellation_that_comes_together_with_the_end_of_the_time_is_not_lost():
    async def main():
        async def body():
            async with Deadline(VirtualClock(), 10):
                try:
                    await asyncio.sleep(100)
                finally:
                    await asyncio.sleep(1)

        task = asyncio.create_task(body())
        await asyncio.sleep(10.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())


def test_an_error_of_the_block_is_not_hidden():
    async def main():
        async with Deadline(VirtualClock(), 10):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_virtual(main())


def test_time_in_which_the_clock_stands_still_does_not_count():
    class Blocked(VirtualClock):
        def fair(self):
            return min(super().fair(), 1.0) if super().fair() < 50 else super().fair() - 49

    async def main():
        async with Deadline(Blocked(), 10) as deadline:
            await asyncio.sleep(1000)
        return deadline.cause

    cause, elapsed = run_virtual(main())
    assert cause == "timeout"
    assert elapsed == pytest.approx(59, abs=1)
