"""Waiting for a job from code that cannot await."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

from mozart_nb.errors import MisuseError
from mozart_nb.hosts.kernel import in_kernel
from mozart_nb.hosts.loops import Host, background_host, running_host

SLICE_SECONDS: Final = 0.1
"""Python handles an interrupt between two waits only."""


def wait_for(settled: Callable[[], Coroutine[Any, Any, None]], host: Host, timeout: float | None = None) -> None:
    """Return when `settled()` is through; it is run on `host`. `timeout` in seconds.

    Raises `TimeoutError`, and `MisuseError` where blocking would stop the very loop that the job runs on and that is
    not a notebook's.
    """
    here = running_host()
    if here is None or here.loop is not host.loop:
        if not host.loop.is_running():
            host = background_host()  # nobody turns that loop any more: the job is over, or another process runs it
        _block(host.spawn(settled()), timeout)
    elif in_kernel():
        _turn(here.loop, settled, timeout)
    else:
        raise MisuseError("`job.wait()` would block the event loop that the job runs on", hint="use `await job`")


def _block(finished: Future[None], timeout: float | None) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = SLICE_SECONDS if deadline is None else min(SLICE_SECONDS, deadline - time.monotonic())
        try:
            return finished.result(max(0.0, left))
        except TimeoutError:
            if finished.done():
                raise
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"the job has not settled within {timeout:g} s; it goes on") from None


def _turn(
    loop: asyncio.AbstractEventLoop, settled: Callable[[], Coroutine[Any, Any, None]], timeout: float | None
) -> None:
    """Turn the kernel's loop from inside a cell. Clicks in the browser are handled after the cell."""
    import nest_asyncio2  # patches asyncio, so only for whoever waits like this

    nest_asyncio2.apply(loop)
    work = loop.create_task(asyncio.wait_for(settled(), timeout))
    with _interrupts(lambda: loop.call_soon_threadsafe(work.cancel)) as was_interrupted:
        try:
            loop.run_until_complete(work)
        except asyncio.CancelledError:
            if was_interrupted():
                raise KeyboardInterrupt from None
            raise


@contextmanager
def _interrupts(then: Callable[[], object]) -> Iterator[Callable[[], bool]]:
    """Have an interrupt of the kernel call `then`, where it would be raised in whatever turns at that moment.

    That might be the very job that is waited for. Yields whether there was one.
    """
    came: list[int] = []

    def handle(number: int, frame: object) -> None:
        came.append(number)
        then()

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
