"""Backups become small: compressed in a thread of their own, while the log goes on.

The packed file gets its name when it is complete and synced, and only then is the other one removed. Whoever is killed
in between leaves a draft, or both; whoever packs next clears that up. `zlib` lets other threads run meanwhile.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import portalocker

from mozart_nb.consumers.log.files import BINARY, PRIVATE, Backup, backups, locked, part_of, parts

CHUNK_BYTES: Final = 1 << 18
_LEVEL: Final = 6


class Packer:
    """Packs whatever backups of `file` are not packed yet. `failed` hears, in the packer's thread, what went wrong."""

    def __init__(self, file: Path, failed: Callable[[OSError], None]) -> None:
        self._file = file
        self._failed = failed
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look for work, in a thread; returns at once."""
        self._wanted.set()
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._work, name="mozart-log-packer", daemon=True)
                self._thread.start()

    def stop(self, seconds: float) -> None:
        """Give it up if it is not done within so many seconds: the next one goes on with it."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        self._stopping.set()

    def _work(self) -> None:
        while True:
            self._wanted.clear()
            try:
                pack(self._file, lambda: not self._stopping.is_set())
            except OSError as error:
                self._failed(error)
                self._wanted.clear()
            with self._lock:
                if not self._wanted.is_set() or self._stopping.is_set():
                    self._thread = None
                    return


def pack(file: Path, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Pack all backups that are not, the oldest first. Raises `OSError`."""
    _clear_up(file)
    passed: set[int] = set()
    while goes_on():
        backup = next((one for one in reversed(backups(file)) if not one.is_packed and _inode(one) not in passed), None)
        if backup is None:
            return
        passed.add(_inode(backup))
        _pack(file, backup, goes_on)


def _pack(file: Path, backup: Backup, goes_on: Callable[[], bool]) -> None:
    """Pack one backup, unless somebody is at it."""
    with contextlib.ExitStack() as stack:
        try:
            source = stack.enter_context(backup.path.open("rb"))
            portalocker.lock(source, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except (FileNotFoundError, portalocker.LockException):
            return
        inode = os.fstat(source.fileno()).st_ino
        part = part_of(file, inode)
        draft = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, PRIVATE)
        try:
            with os.fdopen(draft, "wb") as target:
                with gzip.GzipFile(file.name, "wb", _LEVEL, target) as packed:
                    while goes_on() and (chunk := source.read(CHUNK_BYTES)):
                        packed.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            if not goes_on() or not _put(file, inode, part):
                part.unlink(missing_ok=True)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def _put(file: Path, inode: int, part: Path) -> bool:
    """Give the packed file the name of the other one, whatever number that has by now, and remove that."""
    with locked(file):
        for backup in backups(file):
            if not backup.is_packed and _inode(backup) == inode:
                part.rename(backup.path.with_name(f"{backup.path.name}.gz"))
                backup.path.unlink()
                return True
    return False


def _clear_up(file: Path) -> None:
    """Remove what those who were killed have left: drafts of what is gone, and backups that are packed already."""
    with locked(file):
        present = backups(file)
        for backup in present:
            if backup.is_packed:
                backup.path.with_suffix("").unlink(missing_ok=True)
        inodes = {_inode(backup) for backup in present}
        for inode, part in parts(file):
            if inode not in inodes:
                part.unlink(missing_ok=True)


def _inode(backup: Backup) -> int:
    try:
        return backup.path.stat().st_ino
    except FileNotFoundError:
        return 0
