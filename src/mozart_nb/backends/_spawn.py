"""Starting the program of a session, and finding one that another host started.

Standard input comes from a file and both outputs go straight to files, so that a session needs nothing of its host once
it runs. What can go wrong at the start is a value, not an exception.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import psutil

from mozart_nb.backends._marked import find_writers, is_gone
from mozart_nb.backends._memory import memory_kills

_KILLED = (-9, 137)  # by the kernel's count, and as a shell around the program says it
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
    """A process that we started, and whose group it leads. `memory_kills` is what was counted before it began."""

    def __init__(self, popen: subprocess.Popen[bytes], memory_kills: int | None = None) -> None:
        self._popen = popen
        self._memory_kills = memory_kills

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

    def lacked_memory(self) -> bool:
        """Whether the kernel, and not a person, is who probably killed it: it did so for lack of memory meanwhile."""
        if self._memory_kills is None or self.exit_code() not in _KILLED:
            return False
        return (memory_kills() or 0) > self._memory_kills

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
    files, before = launch.files, memory_kills()
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
    return Child(popen, before)


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


def adopt(launch: Launch) -> Adopted | None:
    """The session's program as another host started it, if it still runs. Blocks for some milliseconds."""
    processes = find_writers(launch.marker, launch.files.out)
    return Adopted(processes) if processes else None
