"""Runs the program of a session: spawned off the loop, its output in files, ended without leaving anything behind.

Standard input comes from a file and both outputs go straight to files, so a session needs nothing of its host once it
runs and survives the host's death. The host reads along. Ending a session is a ladder: SIGINT, a grace time, SIGKILL,
then every process that carries the session's marker, looked for until none is left. The last step also follows a
normal end, because what a tool started in the background would live on.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import psutil

from mozart_nb.backends._marked import children_of, find_writers, is_gone, kill, reap
from mozart_nb.backends._offload import in_thread, outlast
from mozart_nb.backends._outcome import Cause, Ended
from mozart_nb.engine.ports import Clock

POLL_SECONDS = 0.04
"""How often a running session is looked at."""

_CHUNK = 256 * 1024
_KILL_SECONDS = 2.0
_REAP_SECONDS = 3.0
_TICK = 0.01
_SCARCE = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})


@dataclass(frozen=True, slots=True)
class Files:
    """Where one attempt keeps what goes in and what comes out."""

    prompt: Path
    out: Path
    err: Path

    @classmethod
    def of(cls, log: str) -> Files:
        return cls(Path(f"{log}.prompt"), Path(f"{log}.out"), Path(f"{log}.err"))


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything there is to know about a session's process. Times in seconds; an idle limit of 0 means none."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    working_directory: str
    files: Files
    prompt: bytes
    marker: str
    session_id: str
    timeout_seconds: float
    idle_timeout_seconds: float
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class SpawnFailure:
    """Nothing was started. `kind` is one of the words that `engine.classify` knows."""

    kind: str
    text: str
    exception: str


class Running(Protocol):
    """A process that was started by us or found again. Blocking calls, all of them quick."""

    def has_ended(self) -> bool:
        """Whether it is gone."""

    def exit_code(self) -> int | None:
        """Its exit code once it has ended; None if that cannot be known."""

    def send(self, number: int) -> None:
        """Send a signal, unless it is gone."""

    def pids(self) -> Sequence[int]:
        """The processes it consists of."""


class Child:
    """A process that we started, and whose group it leads."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def exit_code(self) -> int | None:
        return self._popen.poll()

    def send(self, number: int) -> None:
        if self.has_ended():
            return
        if sys.platform == "win32":
            self._popen.terminate()
            return
        try:
            # To the group, so that it also reaches the program behind a wrapper script.
            os.killpg(self._popen.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # it ended in this moment

    def pids(self) -> Sequence[int]:
        return [self._popen.pid]

    def leave(self) -> None:
        """Let it run on without us."""
        _left_behind.append(self._popen)


class Adopted:
    """Processes that another host started: the program, and a wrapper script around it if there is one."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes

    def has_ended(self) -> bool:
        return all(is_gone(process) for process in self._processes)

    def exit_code(self) -> int | None:
        return None

    def send(self, number: int) -> None:
        for process in self._processes:
            try:
                process.send_signal(number)
            except psutil.Error:
                continue  # it ended in this moment

    def pids(self) -> Sequence[int]:
        return [process.pid for process in self._processes]


_left_behind: list[subprocess.Popen[bytes]] = []
# Sessions that were left to themselves while this process lives on: waited for in passing, so that none stays a zombie.


def spawn(launch: Launch) -> Child | SpawnFailure:
    """Start the program. Blocks for some milliseconds; everything that can go wrong comes back as `SpawnFailure`."""
    _left_behind[:] = [popen for popen in _left_behind if popen.poll() is None]
    if not Path(launch.working_directory).is_dir():
        text = f"the working directory {launch.working_directory} does not exist"
        return SpawnFailure("working_directory", text, "NotADirectoryError")
    try:
        _set_aside(launch.files)
        _make_private(launch.files.prompt.parent)
        _write_private(launch.files.prompt, launch.prompt)
    except OSError as error:
        return SpawnFailure("log_unwritable", f"the session's log cannot be written: {error}", type(error).__name__)
    try:
        return _start(launch)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return explain(error, launch)


def _start(launch: Launch) -> Child:
    files = launch.files
    with open(files.prompt, "rb") as stdin, _create(files.out) as stdout, _create(files.err) as stderr:
        popen = subprocess.Popen(
            list(launch.argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=launch.working_directory,
            env=dict(launch.environment),
            start_new_session=True,
        )
    return Child(popen)


def explain(error: Exception, launch: Launch) -> SpawnFailure:
    """What an exception of the spawn means."""
    number = error.errno if isinstance(error, OSError) else None
    name = type(error).__name__
    if isinstance(error, OSError) and error.filename == launch.working_directory != launch.argv[0]:
        return SpawnFailure("working_directory", f"the working directory cannot be entered: {error}", name)
    if number in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ELOOP):
        return SpawnFailure("program_not_found", f"{launch.argv[0]} cannot be started: {error}", name)
    if number == errno.E2BIG:
        return SpawnFailure("arguments_too_long", f"arguments or environment are too long: {error}", name)
    if number in _SCARCE:
        return SpawnFailure("resources", f"the program could not be started just now: {error}", name)
    return SpawnFailure("arguments" if isinstance(error, ValueError) else "spawn", str(error), name)


def _make_private(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


def _create(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _write_private(path: Path, data: bytes) -> None:
    with _create(path) as file:
        file.write(data)


def _set_aside(files: Files) -> None:
    # An attempt's number is used once; should its files be there all the same, somebody's output is not overwritten.
    for path in (files.prompt, files.out, files.err):
        if os.path.lexists(path):
            taken = sum(1 for _ in path.parent.glob(f"{path.name}.old*"))
            path.rename(path.with_name(f"{path.name}.old{taken + 1}"))


def end(process: Running, launch: Launch) -> bool:
    """End a session and everything it started; True when SIGKILL was needed. Blocks, bounded in time."""
    # Descendants that shed the marker (`env -i`, programs whose environment macOS hides) are known only until it ends.
    descendants = [child for pid in process.pids() if not process.has_ended() for child in children_of(pid)]
    process.send(signal.SIGINT)
    forced = not _wait(process, launch.grace_seconds)
    if forced:
        process.send(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    kill(descendants)
    reap(launch.marker, launch.session_id, _REAP_SECONDS)
    _wait(process, _KILL_SECONDS)
    return forced


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


def adopt(launch: Launch) -> Adopted | None:
    """The session's program as another host started it, if it still runs. Blocks for some milliseconds."""
    processes = find_writers(launch.marker, launch.files.out)
    return Adopted(processes) if processes else None


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
    return Ended("adopted" if adopted else cause, code, forced, clock.fair() - began)


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
