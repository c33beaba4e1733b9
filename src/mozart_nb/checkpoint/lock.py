"""Who runs a job: an exclusive lock on a file that says so.

The lock belongs to an open file, so the operating system takes it back when its process dies, however it dies. Readers
look at the file's content and at the process it names; they never take the lock.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import portalocker
import psutil

from mozart_nb.checkpoint.files import DiskFiles, unwritable
from mozart_nb.checkpoint.folders import make_job_folders
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.plan import finish_archiving
from mozart_nb.errors import CheckpointUnwritableError, JobBusyError


class Owner(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the lock file says. `started_at` is epoch seconds; `process` tells two processes of one pid apart."""

    host: str
    pid: int
    started_at: float
    run_id: str = ""
    process: str = ""
    handle: int = -1

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool | None:
        """Whether it still runs; None when it is on another machine, so that nobody here can tell."""
        return _process_mark(self.pid) == self.process if self.is_here else None

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.started_at).astimezone()
        return f"host {self.host}, pid {self.pid}, since {since:%Y-%m-%d %H:%M:%S %Z}"


class JobLock:
    """The right to write to a job's folder. Hold it before loading with `holder=True`, and until the store is closed.

    with JobLock(layout) as lock: …
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._file: BinaryIO | None = None

    @property
    def is_held(self) -> bool:
        return self._file is not None

    def acquire(self, run_id: str = "") -> None:
        """Take the lock, creating the job's folders.

        Raises `JobBusyError` when somebody else has it (naming host, pid and start time), `CheckpointUnwritableError`
        when the workspace cannot be written to or its file system knows no locks.
        """
        make_job_folders(self._layout, DiskFiles())
        file = self._open()
        try:
            self._lock(file)
            _write_owner(file, run_id)
            finish_archiving(self._layout)
        except OSError as error:
            file.close()
            raise unwritable(error, self._layout.lock, self._layout.job_id) from error
        except BaseException:
            file.close()
            raise
        self._file = file

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError, portalocker.LockException), file:
            file.truncate(0)  # an empty file says that nobody runs the job
            portalocker.unlock(file)  # closing is not enough where a process was forked meanwhile: it has the file, too

    def __enter__(self) -> JobLock:
        if not self.is_held:
            self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _open(self) -> BinaryIO:
        try:
            handle = os.open(self._layout.lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise unwritable(error, self._layout.lock, self._layout.job_id) from error
        return open(handle, "r+b", buffering=0)

    def _lock(self, file: BinaryIO) -> None:
        try:
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.AlreadyLocked as error:
            raise self._busy() from error
        except portalocker.LockException as error:
            raise CheckpointUnwritableError(
                f"cannot lock {self._layout.lock}: this file system does not seem to support locks ({error})",
                hint="use a workspace on a local disk",
                job_id=self._layout.job_id,
                code="E703",
            ) from error
        if not _is_same_file(file, self._layout.lock):  # the folder was moved away or removed in between
            raise self._busy()

    def _busy(self) -> JobBusyError:
        found = owner(self._layout)
        if found is None:
            return JobBusyError(self._layout.job_id, "it is just being started or stopped")
        if found.alive is False:
            return JobBusyError(self._layout.job_id, f"{found} is gone, but a process it started still holds the lock")
        return JobBusyError(self._layout.job_id, str(found))


def owner(layout: Layout) -> Owner | None:
    """Who holds the job's lock, or died holding it (`alive` is False); None when nobody runs the job."""
    try:
        content = layout.lock.read_bytes()
        found = msgspec.json.decode(content, type=Owner)
    except (OSError, msgspec.DecodeError):
        return None
    if found.alive and not _still_holds(found, layout.lock):
        return None
    return found


def is_running(layout: Layout) -> bool:
    """Whether a host runs the job now, as far as can be told from here: other machines are believed."""
    found = owner(layout)
    return found is not None and found.alive is not False


def is_unheld(layout: Layout) -> bool:
    """Whether nobody holds the lock now, as far as this file system knows, whoever is named in it."""
    return _try(layout, lambda file: True)


def forget_owner(layout: Layout, found: Owner) -> bool:
    """Take the name of a dead host out of the lock; False when it is held, or names another host by now.

    For hosts of other machines. One of this machine needs no such help: its lock went with its process.
    """

    def forget(file: BinaryIO) -> bool:
        if owner(layout) != found:
            return False
        file.truncate(0)
        return True

    return _try(layout, forget)


def _try(layout: Layout, then: Callable[[BinaryIO], bool]) -> bool:
    """Hold the lock for as long as `then` takes, if that is possible at once."""
    try:
        with layout.lock.open("r+b", buffering=0) as file:
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            return then(file)
    except (OSError, portalocker.LockException):
        return False


def _write_owner(file: BinaryIO, run_id: str) -> None:
    pid = os.getpid()
    record = Owner(socket.gethostname(), pid, time.time(), run_id, _process_mark(pid), file.fileno())
    file.truncate(0)
    file.seek(0)
    file.write(msgspec.json.encode(record) + b"\n")


def _is_same_file(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _process_mark(pid: int) -> str:
    """Differs between two processes that had the same pid; "" when there is no such process.

    On Linux it does not depend on the wall clock, which may be set while a job runs: the boot's id and the process's
    start in ticks since then (proc(5): /proc/sys/kernel/random/boot_id, field 22 of /proc/pid/stat).
    """
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""
        return "" if fields[0] in (b"Z", b"X") else f"{boot}/{fields[19].decode()}"
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.1f}"
    except psutil.Error:
        return ""


def _still_holds(found: Owner, path: Path) -> bool:
    """Whether the living process still has the lock (fdinfo of proc(5) tells); True where that cannot be seen."""
    if sys.platform != "linux":
        return True
    try:
        held = Path(f"/proc/{found.pid}/fd/{found.handle}").stat()
        info = Path(f"/proc/{found.pid}/fdinfo/{found.handle}").read_text()
        return os.path.samestat(held, path.stat()) and "FLOCK" in info
    except FileNotFoundError:
        return False
    except OSError:
        return True
