"""The host of the command line: an event loop of its own, and signals as requests.

The first Ctrl-C or SIGTERM pauses: running attempts finish, everything is saved. A second one, or the end of the grace
time after SIGTERM, detaches: sessions that can be picked up again go on by themselves, the others are ended.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from mozart_nb.engine.driver import Driver
from mozart_nb.engine.ports import Request
from mozart_nb.engine.state import JobState
from mozart_nb.events import RunOptions
from mozart_nb.hooks import HookResult, hooks_of, run_hooks
from mozart_nb.runtime import OnStart, Prepared, run_job

GRACE_SECONDS = 30.0
"""How long after SIGTERM running attempts may take to finish; service managers kill soon after."""

COLLECTOR_THRESHOLDS = (50_000, 20, 100)
"""New objects before a collection, and collections of one generation before the next: see `gc.set_threshold`."""

_POLITE = ("SIGTERM", "SIGHUP")

T = TypeVar("T")


def run_headless(
    prepared: Prepared, options: RunOptions, *, grace_seconds: float = GRACE_SECONDS, **run: Any
) -> JobState:
    """Run a job until it settles, from a program without an event loop. `run` is passed on to `run_job`.

    Raises what `run_job` raises.
    """
    return asyncio.run(_host(prepared, options, grace_seconds, run))


@dataclass(frozen=True)
class Aftermath:
    """What became of a job's hooks. `is_interrupted`: a stop signal ended them before they were through."""

    hooks: list[HookResult]
    is_interrupted: bool = False


def finish_headless(prepared: Prepared, state: JobState, say: Callable[[str], None]) -> Aftermath:
    """Run the hooks of a completed job, from a program without an event loop. A stop signal ends them.

    Raises what `run_hooks` raises.
    """
    return asyncio.run(_finish(prepared, state, say))


async def _finish(prepared: Prepared, state: JobState, say: Callable[[str], None]) -> Aftermath:
    work = asyncio.ensure_future(run_hooks(prepared, state, say=say))

    def stop(name: str) -> None:
        say(f"{'Ctrl-C' if name == 'SIGINT' else name}: the hooks are ended; once more ends them at once")
        work.cancel()

    with _signals(stop):
        await asyncio.wait([work])
    if not work.cancelled():
        return Aftermath(work.result())
    left = await asyncio.to_thread(hooks_of, prepared.layout, prepared.loaded.config, state)
    pending = sum(result.status == "pending" for result in left)
    if pending:
        say(f"{pending} hooks have not run; `mozart resume {prepared.job_id}` runs them")
    return Aftermath([result for result in left if result.status != "pending"], is_interrupted=True)


def run_briefly(work: Coroutine[Any, Any, T]) -> T:
    """Run something short from a program without an event loop; Ctrl-C ends it."""
    return asyncio.run(work)


async def _host(prepared: Prepared, options: RunOptions, grace_seconds: float, run: dict[str, Any]) -> JobState:
    stops = _Stops(asyncio.get_running_loop(), grace_seconds, run.pop("on_start", None))
    with _signals(stops.stop), _seldom_collected():
        try:
            return await run_job(prepared, options, on_start=stops.attach, **run)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            stops.close()


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let the garbage collector run seldom: this process does nothing but the job.

    Dozens of sessions under way are tens of thousands of objects, and nearly all go without a collector's help. With
    the usual thresholds it would look at them hundreds of times a second and at every imported module now and then,
    which costs a sixth of the CPU of a job of short API calls and holds up the loop for a tenth of a second.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class _Stops:
    """Turns stop signals into requests, also those that come before there is a driver."""

    def __init__(self, loop: asyncio.AbstractEventLoop, grace_seconds: float, on_start: OnStart | None) -> None:
        self._loop = loop
        self._grace_seconds = grace_seconds
        self._on_start = on_start
        self._driver: Driver | None = None
        self._waiting: list[Request] = []
        self._asked = False
        self._work = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None

    def attach(self, driver: Driver) -> None:
        self._driver = driver
        for request in self._waiting:
            driver.request(request)
        if self._on_start is not None:
            self._on_start(driver)

    def stop(self, name: str) -> None:
        if self._asked and self._driver is None and self._work is not None:
            self._work.cancel()  # whatever it takes so long to make ready: a git worktree of a million files
            return
        if self._asked:
            self._request(Request(kind="detach", by=name))
            return
        self._asked = True
        self._request(Request(kind="pause", by="Ctrl-C" if name == "SIGINT" else name))
        if name in _POLITE:
            end = Request(kind="detach", by=f"{self._grace_seconds:.0f} s after {name}")
            self._timer = self._loop.call_later(self._grace_seconds, self._request, end)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _request(self, request: Request) -> None:
        if self._driver is None:
            self._waiting.append(request)
        else:
            self._driver.request(request)


@contextmanager
def _signals(stop: Callable[[str], None]) -> Iterator[None]:
    """Call `stop(name)` on the loop for every stop signal; what was there before is put back."""
    loop = asyncio.get_running_loop()
    names = [name for name in ("SIGINT", *_POLITE) if hasattr(signal, name)]
    before = {}
    for name in names:
        number = getattr(signal, name)

        def handle(_: int, __: Any, name: str = name) -> None:
            loop.call_soon_threadsafe(stop, name)

        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
