"""Hours of waiting in milliseconds: an event loop whose time jumps to the next timer when nothing else is ready.

    result, elapsed = run_virtual(engine_under_test())

`elapsed` is the virtual time that passed, in seconds. Everything that waits on the loop (`asyncio.sleep`, `timeout`,
`wait`, `call_later`) follows virtual time. Time stands still while a call of `asyncio.to_thread` or `run_in_executor`
is in flight. Work that the loop cannot see (a thread of one's own, a child process) must be wrapped in
`with loop.busy():`, or the timers beside it fire at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_700_000_000.0
"""Wall-clock time at which a virtual run begins unless it says otherwise: 2023-11-14 22:13:20 UTC."""

PATIENCE_SECONDS = 5.0
"""How long (really) a run with no timer left is given before it counts as stuck."""


class StuckError(RuntimeError):
    """The code under test waits for something that no timer, thread or socket will ever bring."""


class _JumpingSelector(selectors.BaseSelector):
    """Instead of waiting, moves the loop's time on by what would have been waited."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0
        self.in_flight = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.in_flight:
            return self._real.select(0.05)
        if timeout is None:
            return self._wait_for_the_unseen()
        self.now += timeout
        return []

    def _wait_for_the_unseen(self) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(PATIENCE_SECONDS)
        if not ready:
            raise StuckError("nothing is scheduled and nothing arrived: the code under test would wait forever")
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        return self._real.get_map()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time; `time()` counts seconds from 0. `start` is the wall-clock time of that 0."""

    def __init__(self, start: float = EPOCH) -> None:
        self._jumping = _JumpingSelector()
        self.start = start
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Time stands still inside: something is at work that the loop cannot see."""
        self._jumping.in_flight += 1
        try:
            yield
        finally:
            self._jumping.in_flight -= 1

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self._jumping.in_flight += 1
        future.add_done_callback(self._landed)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        # From Python 3.12 on this gives up after a while, which would be at once.
        with self.busy():
            await super().shutdown_default_executor(*args, **kwargs)

    def _landed(self, _: asyncio.Future[Any]) -> None:
        self._jumping.in_flight -= 1


class VirtualClock:
    """The engine's clock port in virtual time.

    Must run on a `VirtualLoop`. The wall clock can be set back or forward with `jump`, as people and time servers do;
    the fair clock never jumps.
    """

    def __init__(self, start: float | None = None) -> None:
        self._start = start
        self._offset = 0.0

    def wall(self) -> float:
        loop = _running()
        start = loop.start if self._start is None else self._start
        return start + loop.time() + self._offset

    def fair(self) -> float:
        return _running().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward (or back, if negative)."""
        self._offset += seconds


def _running() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise TypeError("VirtualClock needs a VirtualLoop: start the test with run_virtual()")
    return loop


def run_virtual(coro: Coroutine[Any, Any, T], start: float = EPOCH) -> tuple[T, float]:
    """Run `coro` to its end in virtual time; returns its result and the virtual seconds it took."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        result = runner.run(coro)
        return result, runner.get_loop().time()
