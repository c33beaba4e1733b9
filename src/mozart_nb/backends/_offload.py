"""Blocking work in threads of its own, waited for in a way that no cancellation can cut short."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Start blocking `work` in a thread of its own.

    Neither a busy executor can hold it up, nor the cancellation of all tasks at the end of `asyncio.run` stop it, nor
    the end of the interpreter: ending a session must not depend on any of them.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def body() -> None:
        try:
            result = work(*args, **kwargs)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=body, name=f"mozart-{work.__name__}").start()
    return asyncio.wrap_future(future)


async def outlast(future: asyncio.Future[T]) -> tuple[T, asyncio.CancelledError | None]:
    """Wait for `future` to its end whatever happens to this task.

    Returns its result and the cancellation that came meanwhile, if one did. The caller must raise that cancellation
    again once its own clean-up is done.
    """
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    return future.result(), cancelled
