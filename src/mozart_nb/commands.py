"""Runs a shell command that a job file names, and leaves nothing of it behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import psutil

KEPT_BYTES: Final = 64 * 1024
"""How much of a command's output is kept, from its end."""

_UNHURRIED_BYTES: Final = 1 << 20
_PAUSE_SECONDS: Final = 0.002
# A command that prints without end is read with pauses after this much, so that it cannot keep the loop busy.

_REAP_SECONDS: Final = 1.0


class CommandResult(NamedTuple):
    """How a command ended. `exit_code` is negative for a signal and None when it never ended by itself.

    `problem` says why it could not run, or that it took too long; empty otherwise. `output` is the end of what it
    printed, standard output and errors as they came.
    """

    exit_code: int | None
    output: str = ""
    problem: str = ""


async def run_command(
    command: str,
    *,
    cwd: str,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    fair: Callable[[], float] = time.monotonic,
    grace_seconds: float = 0.0,
) -> CommandResult:
    """Run `sh -c command` in `cwd` without standard input, in a process group of its own.

    Every process of that group is killed before this returns: after a time-out, after a cancellation, and after a
    normal end, when something was left running in the background. With `grace_seconds` it is asked to end first
    (SIGTERM) and has so long to do it; a second cancellation cuts that short. `fair` is the clock of the time limit
    (seconds); without `environment` the command sees ours. Never raises for what the command does.
    """
    try:
        running = await _spawn(command, cwd, environment)
    except OSError as error:
        about_folder = error.filename == cwd
        return CommandResult(
            None, problem=f"cannot work in {cwd}: {error.strerror}" if about_folder else _unstarted(error)
        )
    except (ValueError, NotImplementedError) as error:
        return CommandResult(None, problem=_unstarted(error))
    try:
        in_time = await running.ends_within(timeout_seconds, fair)
        if not in_time:
            await running.ends_when_asked(grace_seconds, fair)
    except asyncio.CancelledError:
        await running.ends_when_asked(grace_seconds, fair)
        raise
    finally:
        await running.finish()
    if not in_time:
        return CommandResult(None, running.output, f"it was ended after {timeout_seconds:g} seconds")
    return CommandResult(running.exit_code, running.output)


def _unstarted(error: Exception) -> str:
    return f"the shell could not be started: {error}"


async def _spawn(command: str, cwd: str, environment: Mapping[str, str] | None) -> _Running:
    loop = asyncio.get_running_loop()
    spawning = asyncio.ensure_future(
        loop.subprocess_exec(
            lambda: _Running(loop),
            "sh",
            "-c",
            command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
    )
    try:
        _, running = await asyncio.shield(spawning)
    except asyncio.CancelledError:
        # The shell may have started others already, which asyncio alone would not end.
        with contextlib.suppress(OSError, ValueError, NotImplementedError):
            _, running = await spawning
            await running.finish()
        raise
    return running


class _Running(asyncio.SubprocessProtocol):
    """A command that runs.

    Follows the transport directly: `Process.wait` of some Python versions waits for the pipes as well, which a process
    left in the background keeps open.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._exited: asyncio.Future[None] = loop.create_future()
        self._silent: asyncio.Future[None] = loop.create_future()
        self._tail = bytearray()
        self._received = 0

    # --- what asyncio tells -------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.SubprocessTransport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._tail += data
        del self._tail[:-KEPT_BYTES]
        self._received += len(data)
        if self._received > _UNHURRIED_BYTES:
            self._pause(self._transport.get_pipe_transport(fd))

    def _pause(self, pipe: Any) -> None:
        pipe.pause_reading()
        self._loop.call_later(_PAUSE_SECONDS, pipe.resume_reading)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if not self._silent.done():
            self._silent.set_result(None)

    def process_exited(self) -> None:
        if not self._exited.done():
            self._exited.set_result(None)

    # --- what the caller asks -----------------------------------------------------------------------------------------

    @property
    def exit_code(self) -> int | None:
        return self._transport.get_returncode()

    @property
    def output(self) -> str:
        return self._tail.decode("utf-8", "replace")

    async def ends_within(self, seconds: float, fair: Callable[[], float]) -> bool:
        """Whether it ended by itself before `seconds` had passed on the `fair` clock."""
        began = fair()
        while not self._exited.done():
            left = seconds - (fair() - began)
            if left <= 0:
                return await self._has_just_ended()
            await asyncio.wait([self._exited], timeout=left)
        return True

    async def _has_just_ended(self) -> bool:
        # On a loop that was blocked the news of the end may be queued behind the timer that woke us.
        for _ in range(3):
            await asyncio.sleep(0)
        return self._exited.done()

    async def ends_when_asked(self, seconds: float, fair: Callable[[], float]) -> None:
        """Ask the group to end, and return when it has, or after `seconds`."""
        if seconds > 0:
            self._send(signal.SIGTERM)
            await self.ends_within(seconds, fair)

    async def finish(self) -> None:
        """End what is left of the group and take in the rest of the output."""
        self._send(signal.SIGKILL)
        try:
            await asyncio.wait([self._exited, self._silent], timeout=_REAP_SECONDS)
        finally:
            self._transport.close()

    def _send(self, number: int) -> None:
        """Send a signal to the whole group."""
        pid = self._transport.get_pid()
        # A group keeps its number from being used again. So if the shell is over and yet there is a process of that
        # number, the group was empty and the number is somebody else's by now.
        if self.exit_code is not None and psutil.pid_exists(pid):
            return
        # ProcessLookupError: nothing is left. PermissionError: on macOS, only zombies are.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
