"""Starting the courier: a process with a session of its own, which outlives the run that started it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import msgspec
import portalocker

from mozart_nb.detached import finding_ours, let_go, our_program
from mozart_nb.job.notifications import NotificationConfig

LOCK: Final = "courier.lock"
TAKE_OVER: Final = "--take-over"
_EXCLUSIVE: Final = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING

_PROGRAM: Final = "from mozart_nb.consumers.notify.courier import main; sys.exit(main(sys.argv[1:]))"


class Running(Protocol):
    """A courier that was started."""

    def poll(self) -> int | None:
        """Its exit code; None while it lives."""


Launch = Callable[[Path, Sequence[NotificationConfig], bool], Running | None]
"""Starts a courier for a folder and channels; True: it takes the place of one that is at work."""


def start_courier(folder: Path, channels: Sequence[NotificationConfig], take_over: bool) -> subprocess.Popen[bytes]:
    """Start a courier and let it go. Blocks for some milliseconds. Raises `OSError`.

    The channels go through a pipe, because addresses may stand in them: neither the disk nor the list of processes
    shows them.
    """
    flags = [TAKE_OVER] if take_over else []
    command = our_program(_PROGRAM, str(folder), *flags, polite=True)
    return let_go(command, environ=finding_ours(os.environ), told=packed(channels))


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
