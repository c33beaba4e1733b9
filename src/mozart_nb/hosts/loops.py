"""Event loops that jobs run on inside a program that has other things to do: a kernel's own, or one in a thread.

A job is a guest there. It starts with an empty context, so that what it shows belongs to whichever cell is executed
at that moment; whatever goes wrong ends in a future and never in the loop; and other threads ask it for things instead
of touching its state.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from mozart_nb.plans.prepared import Prepared  # not at run time: loading the extension must be quick

T = TypeVar("T")


def _nothing(prepared: Prepared) -> Mapping[str, Any]:
    return {}


class Host:
    """One event loop and the thread it runs in. Every method may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_id: int, name: str) -> None:
        self.loop = loop
        self.name = name
        self.supplies: Callable[[Prepared], Mapping[str, Any]] = _nothing
        """What every job that runs here is given besides what it was asked to do: arguments of `runtime.run_job`."""
        self._thread_id = thread_id
        self._pid = os.getpid()
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Host {self.name}>"

    @property
    def is_here(self) -> bool:
        """Whether the caller is in the loop's thread."""
        return threading.get_ident() == self._thread_id

    @property
    def is_gone(self) -> bool:
        """Whether nobody will ever turn the loop again: it is closed, or was left behind by a fork."""
        return self.loop.is_closed() or self._pid != os.getpid()

    def call_soon(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have the loop call this soon; what it raises is dropped, and so is the call when the loop is gone."""

        def guarded() -> None:
            with contextlib.suppress(Exception):
                function(*arguments)

        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(guarded, context=Context())

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns in the loop's thread; waits for that where the caller is in another one."""
        if self.is_here or self.is_gone or not self.loop.is_running():
            return function()
        result: Future[T] = Future()

        def answer() -> None:
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)

        self.loop.call_soon_threadsafe(answer, context=Context())
        return result.result()

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run `work` as a task of the loop. Whatever it raises, `KeyboardInterrupt` too, is in the future only.

        An interrupt raised in a task would end the whole kernel.
        """
        finished: Future[T] = Future()

        def begin() -> None:
            task = self.loop.create_task(_guarded(work, finished), context=Context())
            self._tasks.add(task)  # the loop itself keeps weak references only
            task.add_done_callback(self._tasks.discard)

        if self.loop.is_closed():
            work.close()
            raise RuntimeError("the event loop is closed")
        if self.is_here:
            begin()
        else:
            self.loop.call_soon_threadsafe(begin, context=Context())
        return finished


async def _guarded(work: Coroutine[Any, Any, T], finished: Future[T]) -> None:
    try:
        result = await work
    except BaseException as error:
        if not finished.done():
            finished.set_exception(error)
    else:
        if not finished.done():
            finished.set_result(result)


def running_host() -> Host | None:
    """The loop that runs in this thread; None where there is none."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return host_of(loop, threading.get_ident(), "running loop")


_hosts: dict[int, Host] = {}
_lock = threading.Lock()


def host_of(loop: asyncio.AbstractEventLoop, thread_id: int, name: str) -> Host:
    """The one `Host` of a loop."""
    with _lock:
        for key, host in list(_hosts.items()):
            if host.is_gone:
                del _hosts[key]
        found = _hosts.get(id(loop))
        if found is None:
            found = _hosts[id(loop)] = Host(loop, thread_id, name)
        return found


_chosen: Host | None = None


def serve_on(host: Host | None) -> None:
    """Every job that begins in this process from now on runs on `host`; None: where it is begun, as usual."""
    global _chosen
    _chosen = host


def chosen_host() -> Host | None:
    """The host that `serve_on` named, for as long as its loop is there."""
    return _chosen if _chosen is not None and not _chosen.is_gone else None


_background: Host | None = None


def background_host() -> Host:
    """A loop in a daemon thread, the same for all jobs: goes on while cells compute and prompts are idle."""
    global _background
    with _lock:
        if _background is None or _background.is_gone:
            _background = _start_thread()
        return _background


def _start_thread() -> Host:
    started: Future[Host] = Future()

    def run() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.call_soon(lambda: started.set_result(Host(loop, threading.get_ident(), "thread")))
        loop.run_forever()

    threading.Thread(target=run, daemon=True, name="mozart jobs").start()
    return started.result()
