"""A file that only grows, and what is known to be on the disk of it.

After a failed sync nobody knows which of the written pages reached the disk, and the kernel may have marked all of
them clean: syncing again would report a success that means nothing (https://wiki.postgresql.org/wiki/Fsync_Errors).
So such a file counts as `tainted`: nothing is appended to it before its unproven part has been cut off and the handle
given up, and what was there is written anew, by whoever still has it in memory.
"""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

from mozart_nb.checkpoint.files import Files, write_all


class SyncFailedError(OSError):
    """The data were written, but nobody knows whether they will stay."""


class AppendOnlyFile:
    """Appends blocks of whole lines; `good` bytes are known to be durable.

    Used by one thread at a time.
    """

    def __init__(self, path: Path, files: Files, good: int) -> None:
        self.path = path
        self.good = good
        self.tainted = False
        self._files = files
        self._handle: int | None = None
        self._folder_synced = False

    def append(self, block: bytes) -> None:
        """Write and sync `block`; on return it is durable. Raises `OSError`, and then `good` is what it was.

        After a failed write the file is cut back to its last good line. After a failed sync it is `tainted`.
        """
        if self.tainted:
            raise SyncFailedError(f"{self.path.name} has a part that cannot be proven durable")
        handle = self._open()
        self._check_untouched()
        try:
            write_all(self._files, handle, block)
        except OSError:
            self._cut()
            raise
        try:
            self._files.sync(handle)
            if not self._folder_synced:
                self._files.sync_folder(self.path.parent)
        except OSError as error:
            self._give_up()
            raise SyncFailedError(*error.args) from error
        self._folder_synced = True
        self.good += len(block)

    def mend(self) -> None:
        """Cut a tainted file back to what is durable, through a new handle, so that it can be appended to again."""
        handle = self._open()
        try:
            self._files.truncate(handle, self.good)
            self._files.sync(handle)
        except OSError:
            self._give_up()
            raise
        self.tainted = False

    def close(self) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            with contextlib.suppress(OSError):  # everything that matters has been synced
                self._files.close(handle)

    def _check_untouched(self) -> None:
        """Nobody else may have written to it, moved or removed it: what we add would be lost or in the wrong place."""
        if self._files.size(self.path) != self.good:
            raise OSError(errno.ESTALE, f"something else has changed {self.path.name}")

    def _open(self) -> int:
        if self._handle is None:
            self._handle = self._files.open_append(self.path)
        return self._handle

    def _cut(self) -> None:
        try:
            self._files.truncate(self._open(), self.good)
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """Drop the unproven part if that is still possible, so that no later reader takes it for durable."""
        self.tainted = True
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self._files.truncate(self._handle, self.good)
        self.close()
