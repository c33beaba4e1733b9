"""The threads behind the handlers: so many at once, so many waiting, and no answer lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mozart_nb.jupyter.server.workers import CrowdedError, Workers


async def test_a_blocking_function_runs_aside_and_gives_what_it_returns_or_raises() -> None:
    workers = Workers()
    assert await workers.run(threading.get_ident) != threading.get_ident()
    assert await workers.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await workers.run(divmod, 7, 0)
    workers.close()


async def test_more_than_threads_and_places_to_wait_are_turned_away_and_let_in_again_later() -> None:
    workers, gate = Workers(threads=2, waiting=3), threading.Event()
    held = [asyncio.ensure_future(workers.run(gate.wait, 30)) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(CrowdedError):
        await workers.run(int)
    gate.set()
    assert await asyncio.gather(*held) == [True] * 5
    assert await workers.run(int) == 0
    workers.close()


async def test_what_was_begun_counts_until_it_ends_also_when_nobody_waits_for_it_any_more() -> None:
    workers, gate = Workers(threads=1, waiting=0), threading.Event()
    waiting = asyncio.ensure_future(workers.run(gate.wait, 30))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(CrowdedError):
        await workers.run(int)
    gate.set()
    async with asyncio.timeout(30):
        while True:
            try:
                assert await workers.run(int) == 0
                break
            except CrowdedError:
                await asyncio.sleep(0.01)
    workers.close()
