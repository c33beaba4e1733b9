"""Somebody else's code, run beside the event loop and never on it.

A thread cannot be ended from outside. So each call gets a thread of its own that nothing waits for, not even the end of
the process: one that never comes back takes nothing away from the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How a call ended: what it returned, or what it raised."""

    value: Any = None
    error: BaseException | None = None


async def run_aside(call: Callable[[], Any], *, seconds: float, fair: Callable[[], float] = time.monotonic) -> Ended:
    """Run `call` in a thread. Raises `TimeoutError` after `seconds` on the `fair` clock; the thread is then left alone.

    So it is on cancellation. Whatever the call raises, `SystemExit` included, is in the result, and so is what keeps a
    thread from being started.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Ended] = loop.create_future()

    def work() -> None:
        found = _ended(call)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is interested any more
            loop.call_soon_threadsafe(tell, found)

    def tell(found: Ended) -> None:
        if not ended.done():
            ended.set_result(found)

    try:
        threading.Thread(target=work, name="mozart-rule", daemon=True).start()
    except RuntimeError as error:
        return Ended(error=error)
    began = fair()
    while not ended.done():
        left = seconds - (fair() - began)
        if left <= 0 and not await _has_just_ended(ended):
            raise TimeoutError
        await asyncio.wait([ended], timeout=max(left, 0))
    return ended.result()


def _ended(call: Callable[[], Any]) -> Ended:
    try:
        return Ended(call())
    except BaseException as error:
        return Ended(error=error)


async def _has_just_ended(ended: asyncio.Future[Ended]) -> bool:
    # On a loop that was blocked the news may be queued behind the timer that woke us.
    for _ in range(3):
        await asyncio.sleep(0)
    return ended.done()
