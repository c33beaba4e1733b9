"""The one place that touches the disk for checkpoint data.

`Files` is what the journal needs from a file system; tests replace it by one that fails on purpose. Every method
raises `OSError` and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Protocol

from mozart_nb.errors import CheckpointUnwritableError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The disk or the quota is used up: making room helps."""


class Files(Protocol):
    """File operations as the operating system offers them, one call each. Handles are file descriptors."""

    def open_append(self, path: Path) -> int:
        """Open for appending; created for the user alone if it does not exist."""

    def open_fresh(self, path: Path) -> int:
        """Open for writing an empty file, whatever was there."""

    def write(self, handle: int, data: bytes | memoryview) -> int:
        """Write and return how many bytes went in, which may be fewer than given."""

    def sync(self, handle: int) -> None:
        """Return when the file's data are on stable storage."""

    def close(self, handle: int) -> None:
        """Give the handle back."""

    def truncate(self, handle: int, size: int) -> None:
        """Cut to `size` bytes."""

    def allocate(self, path: Path, size: int) -> None:
        """Make a file that really occupies `size` bytes."""

    def replace(self, source: Path, target: Path) -> None:
        """Rename, atomically replacing `target`."""

    def sync_folder(self, path: Path) -> None:
        """Return when the folder's entries are on stable storage."""

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        """Up to `size` bytes from `offset`; all the rest by default."""

    def size(self, path: Path) -> int:
        """Size in bytes."""

    def make_folder(self, path: Path) -> bool:
        """Create a folder for the user alone; False when it is there already."""

    def names(self, path: Path) -> list[str]:
        """Names in a folder, sorted; none when there is no such folder."""

    def remove(self, path: Path) -> None:
        """Remove a file; nothing happens when there is none."""


class DiskFiles:
    """The real file system."""

    def open_append(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _BINARY, PRIVATE_FILE)

    def open_fresh(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CREAT | _BINARY, PRIVATE_FILE)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        _sync(handle)

    def close(self, handle: int) -> None:
        os.close(handle)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def allocate(self, path: Path, size: int) -> None:
        handle = self.open_fresh(path)
        try:
            if sys.platform == "linux":
                os.posix_fallocate(handle, 0, size)
            else:
                write_all(self, handle, bytes(size))
        finally:
            os.close(handle)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)  # noqa: PTH105  # the system call by its name

    def sync_folder(self, path: Path) -> None:
        if os.name == "nt":  # folders cannot be opened there; NTFS journals its own entries
            return
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            return file.readall() if size < 0 else _read_up_to(file.fileno(), size)

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def make_folder(self, path: Path) -> bool:
        try:
            path.mkdir(PRIVATE_FOLDER)
        except FileExistsError:
            if not path.is_dir():
                raise
            return False
        return True

    def names(self, path: Path) -> list[str]:
        try:
            return sorted(os.listdir(path))  # noqa: PTH208  # names, not paths
        except FileNotFoundError:
            return []

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)


_BINARY = getattr(os, "O_BINARY", 0)

if sys.platform == "darwin":
    import fcntl

    def _sync(handle: int) -> None:
        # fsync(2) there leaves the data in the drive's own cache; see its manual page.
        try:
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
            os.fsync(handle)

elif hasattr(os, "fdatasync"):
    _sync = os.fdatasync
else:
    _sync = os.fsync


def _read_up_to(handle: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(handle, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts) if len(parts) != 1 else parts[0]


def write_all(files: Files, handle: int, data: bytes) -> None:
    """Write all of `data`, however many calls that takes."""
    rest = memoryview(data)
    while rest:
        written = files.write(handle, rest)
        if written <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def write_synced(files: Files, path: Path, data: bytes) -> None:
    """Write a whole file and sync it (not its folder)."""
    handle = files.open_fresh(path)
    try:
        write_all(files, handle, data)
        files.sync(handle)
    finally:
        files.close(handle)


def write_atomically(files: Files, path: Path, data: bytes, draft: Path) -> None:
    """Put `data` at `path` so that readers see the old file or the new one; `draft` is on the same file system."""
    try:
        write_synced(files, draft, data)
        files.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            files.remove(draft)
        raise
    files.sync_folder(path.parent)


_REASONS = {
    errno.ENOSPC: ("the disk is full", "make room, then resume the job: what was saved before is safe"),
    errno.EDQUOT: ("the disk quota is used up", "make room, then resume the job: what was saved before is safe"),
    errno.EROFS: ("the file system is read-only", "choose another workspace, or mount this one for writing"),
    errno.EACCES: ("permission denied", "choose a workspace that you may write to, or mend its permissions"),
    errno.EPERM: ("permission denied", "choose a workspace that you may write to, or mend its permissions"),
    errno.EIO: ("the disk reports an error", "check the disk, then resume the job or copy the workspace elsewhere"),
}


def unwritable(error: OSError, path: Path, job_id: str | None = None) -> CheckpointUnwritableError:
    """`error` as something a person can act on (E703)."""
    known = _REASONS.get(error.errno or 0)
    reason, hint = known or (error.strerror or str(error), "see whether the workspace is still there and writable")
    refused = CheckpointUnwritableError(f"cannot write {path}: {reason}", hint=hint, job_id=job_id, code="E703")
    refused.__cause__ = error
    return refused
