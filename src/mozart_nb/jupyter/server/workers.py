"""A few threads for all that blocks, so that the server's event loop never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 8
"""Requests that are worked on at once. The loop is shared with the user's whole JupyterLab, and so is the processor."""

WAITING: Final = 64
"""Requests that wait for a thread; more are turned away, so that what waits cannot grow without bound."""


CHECKERS: Final = 2
"""Job files that are checked or rehearsed at once, in threads of their own: what a file names may take for ever."""

CHECKS_WAITING: Final = 6


class CrowdedError(Exception):
    """Too many requests wait already: the caller answers 503."""


class Workers:
    """Runs blocking functions for coroutines, so many at once and so many waiting."""

    def __init__(self, threads: int = THREADS, waiting: int = WAITING) -> None:
        self._most = threads + waiting
        self._under_way = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mozart-web")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns or raises; `CrowdedError` when too many others wait.

        A request whose client has gone is not waited for, but what it started in a thread goes on to its end: it
        counts until then.
        """
        if self._under_way >= self._most:
            raise CrowdedError
        self._under_way += 1
        work = asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *args, **kwargs))
        work.add_done_callback(self._one_less)
        return await asyncio.shield(work)

    def _one_less(self, work: asyncio.Future[T]) -> None:
        self._under_way -= 1
        if not work.cancelled():
            work.exception()  # nobody may be left to ask for it, and asyncio would complain

    def close(self) -> None:
        """What has not begun never will; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
