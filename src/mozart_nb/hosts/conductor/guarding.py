"""A conductor that looks after its own files: others may delete or replace them while it runs.

Without its lock it is nobody any more, for another conductor can have started: it stops, and leaves alone what may be
the other one's. Without its socket nobody reaches it: it makes another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from mozart_nb.errors import MozartError
from mozart_nb.hosts.conductor.process import Process
from mozart_nb.hosts.conductor.server import Server, bound

LOOK_SECONDS: Final = 2.0
"""Between two looks at the files."""

_Mark = tuple[int, int]


class Listening:
    """The socket of a conductor at `path`, and which file of that name is its own. Raises as `bound` does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = bound(path)
        self._mark = _mark(path)

    @property
    def is_there(self) -> bool:
        """Whether whoever connects to `path` still comes to this one."""
        return _mark(self.path) == self._mark

    def renew(self) -> socket.socket:
        """Another one at the same path. Raises `WorldError`."""
        self.socket = bound(self.path)
        self._mark = _mark(self.path)
        return self.socket

    def close(self) -> None:
        """Listen no more; the file goes away if it is still ours."""
        self.socket.close()
        if self.is_there:
            self.path.unlink(missing_ok=True)


def is_ours(lock: BinaryIO, path: Path) -> bool:
    """Whether the file that is locked is the one that others find at `path`; true where that cannot be told."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _mark(path: Path) -> _Mark | None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        return found.st_dev, found.st_ino
    return None


async def guard(
    process: Process, server: Server, lock: BinaryIO, path: Path, listening: Listening, say: Callable[[str], None]
) -> None:
    """Look at the lock at `path` and at the socket for as long as the conductor runs; `say` is told of the end."""
    trouble = ""
    while await process.conductor.in_thread(is_ours, lock, path):
        if not await process.conductor.in_thread(lambda: listening.is_there):
            try:
                await server.start(listening.renew())
                process.log.tell("socket.renewed", "warning", path=str(listening.path))
                trouble = ""
            except MozartError as error:
                if error.message != trouble:
                    trouble = error.message
                    process.log.tell("socket.lost", "error", message=trouble)
        await asyncio.sleep(LOOK_SECONDS)
    process.conductor.register.lose()
    why = f"its lock {path} was deleted or replaced"
    process.log.tell("conductor.lost", "error", message=why)
    say(f"the conductor stops: {why}, so another one may have started")
    process.stop(why)
