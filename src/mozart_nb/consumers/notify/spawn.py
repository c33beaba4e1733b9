"""Starting the courier: a process with a session of its own, which outlives the run that started it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import msgspec
import portalocker

from mozart_nb.job.notifications import NotificationConfig

LOCK: Final = "courier.lock"
TAKE_OVER: Final = "--take-over"
_EXCLUSIVE: Final = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING

_PATHS: Final = "MOZART_NB_COURIER_PATHS"
_PROGRAM: Final = f"""\
import os, sys
if hasattr(os, "nice"):
    os.nice(10)
sys.path += os.environ.pop("{_PATHS}", "").split(os.pathsep)
from mozart_nb.consumers.notify.courier import main
sys.exit(main(sys.argv[1:]))
"""
# Polite before it imports anything: the run it comes from has more to do. What that imports from folders of its own, as
# a notebook that extended `sys.path` does, is found there by the courier too, after everything else.
_ON_WINDOWS: Final = ("DETACHED_PROCESS", "CREATE_NEW_PROCESS_GROUP", "BELOW_NORMAL_PRIORITY_CLASS")


class Running(Protocol):
    """A courier that was started."""

    def poll(self) -> int | None:
        """Its exit code; None while it lives."""


Launch = Callable[[Path, Sequence[NotificationConfig], bool], Running | None]
"""Starts a courier for a folder and channels; True: it takes the place of one that is at work."""

_let_go: list[subprocess.Popen[bytes]] = []
# Couriers while this process lives on: waited for in passing, so that none stays a zombie.


def start_courier(folder: Path, channels: Sequence[NotificationConfig], take_over: bool) -> subprocess.Popen[bytes]:
    """Start a courier and let it go. Blocks for some milliseconds. Raises `OSError`.

    The channels go through a pipe, because addresses may stand in them: neither the disk nor the list of processes
    shows them.
    """
    _let_go[:] = [popen for popen in _let_go if popen.poll() is None]
    flags = [TAKE_OVER] if take_over else []
    popen = subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM, str(folder), *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, _PATHS: os.pathsep.join(path for path in sys.path if path)},
        creationflags=sum(getattr(subprocess, name, 0) for name in _ON_WINDOWS),
    )
    _let_go.append(popen)
    assert popen.stdin is not None
    with contextlib.suppress(BrokenPipeError), popen.stdin as pipe:
        pipe.write(packed(channels))
    return popen


def packed(channels: Sequence[NotificationConfig]) -> bytes:
    """Channels as they go through the pipe."""
    return msgspec.json.encode([channel.model_dump(mode="json") for channel in channels])


def unpacked(data: bytes) -> list[NotificationConfig]:
    """The reverse of `packed`."""
    return [NotificationConfig.model_validate(one) for one in msgspec.json.decode(data)]


def take_lock(folder: Path) -> BinaryIO | None:
    """The right to deliver what is in `folder`, until the file is closed; None while somebody has it.

    Raises `OSError`.
    """
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    file = os.fdopen(handle, "r+b", buffering=0)
    try:
        portalocker.lock(file, _EXCLUSIVE)
    except portalocker.LockException:  # AlreadyLocked is one
        file.close()
        return None
    return file


def release(file: BinaryIO) -> None:
    """Give the lock back. Closing alone would not do where a process was forked meanwhile."""
    with contextlib.suppress(OSError, portalocker.LockException):
        portalocker.unlock(file)
    file.close()


def is_at_work(folder: Path) -> bool:
    """Whether a courier delivers what is in `folder`. Raises `OSError`."""
    file = take_lock(folder)
    if file is None:
        return True
    release(file)
    return False
