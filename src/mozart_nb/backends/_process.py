"""Follows the program of a session to its end and leaves nothing behind.

The host reads along while the program writes its files. Ending a session is a ladder: SIGINT, a grace time, SIGKILL,
then every process that carries the session's marker, looked for until none is left. The last step also follows a
normal end, because what a tool started in the background would live on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable

from mozart_nb.backends._marked import children_of, kill, reap
from mozart_nb.backends._offload import in_thread, outlast
from mozart_nb.backends._outcome import Cause, Ended
from mozart_nb.backends._spawn import Adopted, Child, Files, Launch, Running, SpawnFailure, spawn
from mozart_nb.engine.ports import Clock

POLL_SECONDS = 0.04
"""How often a running session is looked at."""

_CHUNK = 256 * 1024
_INTERRUPT_SECONDS = 1.0
_KILL_SECONDS = 2.0
_REAP_SECONDS = 3.0
_TICK = 0.01


def end(process: Running, launch: Launch) -> bool:
    """End a session and everything it started; True when SIGKILL was needed. Blocks, bounded in time."""
    # Descendants that shed the marker (`env -i`, programs whose environment macOS hides) are known only until it ends.
    descendants = [child for pid in process.pids() if not process.has_ended() for child in children_of(pid)]
    forced = not _interrupt(process, launch.grace_seconds)
    if forced:
        process.send(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    kill(descendants)
    reap(launch.marker, launch.session_id, _REAP_SECONDS)
    _wait(process, _KILL_SECONDS)
    return forced


def _interrupt(process: Running, grace_seconds: float) -> bool:
    """Send SIGINT and wait; True when it ended in time.

    Once a second it is sent again: `claude` 2.1.197 swallows one that comes in the moment (about 0.4 s after its start)
    in which it takes up its work.
    """
    deadline = time.monotonic() + grace_seconds
    while (left := deadline - time.monotonic()) > 0:
        process.send(signal.SIGINT)
        if _wait(process, min(left, _INTERRUPT_SECONDS)):
            return True
    return process.has_ended()


def _wait(process: Running, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not process.has_ended():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_TICK)
    return True


class Tail:
    """Reads a file while another process writes it."""

    def __init__(self, files: Files) -> None:
        self._out = open(files.out, "rb")  # noqa: SIM115 - closed by `close`, it lives as long as the session
        self._err = files.err

    def read(self) -> bytes:
        """The next bytes of standard output; empty when there are none now."""
        return self._out.read(_CHUNK)

    def size(self) -> int:
        """Bytes of both outputs so far."""
        try:
            return os.fstat(self._out.fileno()).st_size + self._err.stat().st_size
        except OSError:
            return 0

    def unread(self) -> int:
        """Bytes of standard output that are there and were not read yet."""
        return os.fstat(self._out.fileno()).st_size - self._out.tell()

    def close(self) -> None:
        self._out.close()


async def run_process(
    launch: Launch, clock: Clock, hear: Callable[[bytes], None], is_detached: Callable[[], bool]
) -> Ended | SpawnFailure:
    """Start the program, follow it to its end, and see to it that nothing is left.

    `hear` gets standard output in chunks. When cancelled, the session is ended before `CancelledError` leaves,
    however often that is repeated, unless `is_detached` says that it shall go on without us.
    """
    process, cancelled = await outlast(in_thread(spawn, launch))
    if isinstance(process, SpawnFailure):
        if cancelled is not None:
            raise cancelled
        return process
    if cancelled is not None:
        await part(process, launch, is_detached())
        raise cancelled
    return await accompany(process, launch, clock, hear, is_detached)


async def accompany(
    process: Running,
    launch: Launch,
    clock: Clock,
    hear: Callable[[bytes], None],
    is_detached: Callable[[], bool],
    announce: Callable[[], Awaitable[None]] | None = None,
) -> Ended:
    """Follow a running process to its end; limits count from now. Cancellation as in `run_process`.

    `announce` is awaited first, when a cancellation already has to end the session.
    """
    began = clock.fair()
    tail = Tail(launch.files)
    try:
        if announce is not None:
            await announce()
        cause = await _follow(process, tail, launch, clock, hear)
        forced = await _settle(process, launch, cause)
        await _drain(tail, hear)
    except GeneratorExit:
        raise  # the loop is gone: nothing can be awaited any more, and the session can be picked up again
    except BaseException:
        await part(process, launch, is_detached())
        raise
    finally:
        tail.close()
    code = process.exit_code() if cause == "exited" else None
    adopted = cause == "exited" and isinstance(process, Adopted)
    lacked_memory = cause == "exited" and isinstance(process, Child) and process.lacked_memory()
    return Ended("adopted" if adopted else cause, code, forced, clock.fair() - began, lacked_memory)


async def part(process: Running, launch: Launch, detached: bool) -> None:
    """Leave a session: to itself when `detached`, else by ending it, however often we are cancelled meanwhile."""
    if not detached:
        await outlast(in_thread(end, process, launch))
    elif isinstance(process, Child):
        process.leave()


async def _settle(process: Running, launch: Launch, cause: Cause) -> bool:
    """Leave nothing behind; True when the program had to be killed."""
    if cause == "exited":
        _, cancelled = await outlast(in_thread(reap, launch.marker, launch.session_id, _REAP_SECONDS))
        forced = False
    else:
        forced, cancelled = await outlast(in_thread(end, process, launch))
    if cancelled is not None:
        raise cancelled
    return forced


async def _follow(process: Running, tail: Tail, launch: Launch, clock: Clock, hear: Callable[[bytes], None]) -> Cause:
    began = heard = clock.fair()
    size = 0
    while not process.has_ended():
        if chunk := tail.read():
            hear(chunk)
        now = clock.fair()
        if (grown := tail.size()) != size:
            size, heard = grown, now
        if now - began >= launch.timeout_seconds:
            return "timeout"
        if launch.idle_timeout_seconds and now - heard >= launch.idle_timeout_seconds:
            return "stale"
        await asyncio.sleep(0 if chunk else POLL_SECONDS)
    return "exited"


async def _drain(tail: Tail, hear: Callable[[bytes], None]) -> None:
    """Read what is there now, and no more: a stranger that inherited the file may write for ever."""
    left = tail.unread()
    while left > 0 and (chunk := tail.read()):
        left -= len(chunk)
        hear(chunk)
        await asyncio.sleep(0)


async def read_files(files: Files, hear: Callable[[bytes], None]) -> None:
    """Read the standard output of a session that has ended. Raises OSError when there is none."""
    tail = Tail(files)
    try:
        await _drain(tail, hear)
    finally:
        tail.close()
