"""Where the conductor of this user keeps what is its own, and who it is at this moment.

Everything stands in one folder below the user's home of mozart_nb. The lock file in it is held for as long as a
conductor runs, and says which process that is and at which socket it answers: so a client finds it whatever its
settings were when it was started.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import portalocker

from mozart_nb.checkpoint.files import PRIVATE_FOLDER
from mozart_nb.checkpoint.index import home
from mozart_nb.errors import WorldError

LONGEST_SOCKET_PATH: Final = 103
"""Bytes of a path that every system takes: `sun_path` has 108 on Linux and 104 on macOS, one of them for the end."""

SOCKET: Final = "conductor.sock"

_LOCAL_DISK: Final = "set MOZART_NB_HOME to a folder on a local disk"


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """A conductor as its lock file names it. `started_at` is epoch seconds, `host` the name of its machine."""

    pid: int
    socket: str
    started_at: float
    version: str = ""
    host: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine: homes may be shared by several."""
        return self.host in ("", socket.gethostname())


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one conductor."""

    folder: Path

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def carried(self) -> Path:
        """The jobs that it carries."""
        return self.folder / "carried.json"

    @property
    def log(self) -> Path:
        """What it did, as JSON Lines."""
        return self.folder / "conductor.log"

    @property
    def output(self) -> Path:
        """What a conductor in the background printed: nothing, unless it could not start."""
        return self.folder / "output.log"

    @property
    def socket(self) -> Path:
        """Where it listens unless its settings say else: here if the path is short enough, else in a short folder."""
        found = self.folder / SOCKET
        return found if _fits(found) else _short_folder(self.folder) / SOCKET

    def make(self) -> None:
        """Create the folder for the user alone. Raises `WorldError` where that cannot be done."""
        try:
            self.folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            self.folder.chmod(PRIVATE_FOLDER)
        except OSError as error:
            raise WorldError(
                f"the conductor cannot keep anything in {self.folder} ({error.strerror})",
                hint="set MOZART_NB_HOME to a folder that can be written to",
            ) from error

    def identity(self) -> Identity | None:
        """The conductor that runs now; None when none does."""
        return _identity(self.lock) if self.is_held() else None

    def is_held(self) -> bool:
        """Whether a conductor holds the lock. Looking takes it for an instant where nobody has it."""
        with contextlib.suppress(OSError), self.lock.open("rb") as file:
            try:
                portalocker.lock(file, portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING)
            except portalocker.LockException:
                return True
            portalocker.unlock(file)
        return False


def require_sockets() -> None:
    """Raises `WorldError` where the system has no Unix sockets, as on Windows."""
    if not hasattr(socket, "AF_UNIX") or not hasattr(os, "getuid"):
        raise WorldError("the conductor needs Unix sockets, which this system does not have", hint="run jobs in place")


def place() -> Place:
    """That of this user: below `MOZART_NB_HOME`, or where the platform keeps data of users."""
    return Place(home().absolute() / "conductor")


def _identity(lock: Path) -> Identity | None:
    try:
        return msgspec.json.decode(lock.read_bytes(), type=Identity)
    except (OSError, msgspec.DecodeError):
        return None  # it has the lock since a moment ago, and has not said who it is


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH


def _short_folder(folder: Path) -> Path:
    """A name that everybody who knows `folder` comes to; nobody else may own it."""
    mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    parent = Path(base) if base and Path(base).is_dir() else Path(tempfile.gettempdir())
    found = parent / f"mozart-nb-{os.getuid()}-{mark}"
    return found if _fits(found / SOCKET) else Path("/tmp") / found.name


def private_folder(folder: Path) -> None:
    """Make sure that `folder` is there and that only this user can put anything into it. Raises `WorldError`.

    It may stand where everybody can create things: one that somebody else has put there is not used.
    """
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=PRIVATE_FOLDER, parents=True)
        found = folder.lstat()
    except OSError as error:
        raise WorldError(f"the folder of the conductor's socket cannot be made: {folder} ({error.strerror})") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise WorldError(
            f"others than this user can write to {folder}, so the conductor does not put its socket there",
            hint="remove it, or set `socket` in conductor.yaml to a path in a private folder",
        )


@contextlib.contextmanager
def held(place: Place, *, seconds: float = 1.0) -> Iterator[BinaryIO | None]:
    """The lock for as long as the block takes; None where another conductor has it, or gets it within `seconds`.

    Raises `WorldError` where the lock cannot be taken at all.
    """
    place.make()
    try:
        file = os.fdopen(os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b", buffering=0)
    except OSError as error:
        raise WorldError(f"the conductor cannot open its lock {place.lock} ({error.strerror})") from error
    with file:
        if not _lock(file, seconds):
            yield None
            return
        try:
            yield file
        finally:
            file.truncate(0)
            portalocker.unlock(file)  # closing is not enough where a process was forked meanwhile


def _lock(file: BinaryIO, seconds: float) -> bool:
    """Whoever looks whether it is held holds it for an instant, so a refusal is not believed at once."""
    end = time.monotonic() + seconds
    while True:
        try:
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.AlreadyLocked:
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
        except portalocker.LockException as error:
            raise WorldError(
                f"the conductor's lock cannot be taken: this file system knows no locks ({error})"
            ) from error
        else:
            return True


def sign(file: BinaryIO, identity: Identity) -> None:
    """Write into the lock who holds it."""
    file.truncate(0)
    file.seek(0)
    file.write(msgspec.json.encode(identity) + b"\n")
