"""A file that whole lines are appended to, by several processes if need be, and that begins anew at a certain size.

Everything happens under the log's lock, so nobody writes into a file that is being renamed. A rotation is renames
only, the last of which makes it complete: whoever is killed in between leaves a gap in the numbers and loses nothing.
Packing the backup comes afterwards and elsewhere (`packing`).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mozart_nb.consumers.log.files import BINARY, PRIVATE, backups, locked

_TAIL_BYTES: Final = 1 << 16
_OURS = re.compile(rb'\{"|\d{4}-\d\d-\d\dT|(?:DEBUG|INFO|WARNING|ERROR) ')
"""How lines of ours begin. What else stands at the end of a file is somebody's text and stays."""


class RotatingFile:
    """Appends to `path`; at `limit` bytes it becomes backup 1, of which `keep` are kept. For one thread.

    `rotated` is called after each rotation.
    """

    def __init__(self, path: Path, *, limit: int, keep: int, rotated: Callable[[], None]) -> None:
        self._path = path
        self._limit = limit
        self._keep = keep
        self._rotated = rotated
        self._handle = -1

    def write(self, lines: bytearray) -> None:
        """Append whole lines, and take from `lines` what was written. Raises `OSError`; what is left can wait."""
        has_rotated = False
        try:
            with locked(self._path):
                while lines:
                    size = self._open()
                    count = _fitting(lines, self._limit - size, is_empty=not size)
                    if count:
                        self._append(lines, count, size)
                    else:
                        self._rotate()
                        has_rotated = True
        finally:
            if has_rotated:
                self._rotated()

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    # --- the file -----------------------------------------------------------------------------------------------------

    def _open(self) -> int:
        """Make sure that the handle is of the file at the path, and return its size."""
        if self._handle >= 0:
            here = os.fstat(self._handle)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(here, self._path.stat()):
                    return here.st_size
            self.close()  # renamed, or removed
        self._handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | BINARY, PRIVATE)
        found = os.fstat(self._handle)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise OSError(f"{self._path} is not a file")
        return self._mended(found.st_size)

    def _mended(self, size: int) -> int:
        """A line that somebody was killed in is taken away, as nobody could read it; returns the size then."""
        begin = max(0, size - _TAIL_BYTES)
        with os.fdopen(os.dup(self._handle), "rb") as file:
            file.seek(begin)
            tail = file.read()
        if not tail or tail.endswith(b"\n"):
            return size
        start = tail.rfind(b"\n") + 1
        if (start or not begin) and _OURS.match(tail, start):
            os.ftruncate(self._handle, begin + start)
            return begin + start
        return size + os.write(self._handle, b"\n")

    def _append(self, lines: bytearray, count: int, size: int) -> None:
        written = 0
        try:
            with memoryview(lines) as whole:
                while written < count:
                    written += os.write(self._handle, whole[written:count])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, size)  # nobody else can have written here meanwhile
            raise
        del lines[:count]

    # --- rotation -----------------------------------------------------------------------------------------------------

    def _rotate(self) -> None:
        self.close()
        found = {backup.number: backup.path for backup in backups(self._path)}
        for number in sorted(found):
            if number >= max(1, self._keep):
                found.pop(number).unlink(missing_ok=True)
        last = next(number for number in range(1, len(found) + 2) if number not in found)
        for number in range(last - 1, 0, -1):  # only what stands in the way: gaps are filled
            found[number].rename(_numbered(self._path, number + 1, found[number].suffix == ".gz"))
        if self._keep:
            self._path.rename(_numbered(self._path, 1, is_packed=False))
        else:
            self._path.unlink(missing_ok=True)


def _numbered(path: Path, number: int, is_packed: bool) -> Path:
    return path.with_name(f"{path.name}.{number}{'.gz' if is_packed else ''}")


def _fitting(lines: bytearray, room: int, *, is_empty: bool) -> int:
    """How many bytes of whole lines go into `room`; one line does in any case where the file is empty."""
    if len(lines) <= room:
        return len(lines)
    count = lines.rfind(b"\n", 0, max(0, room)) + 1
    return count if count or not is_empty else lines.find(b"\n") + 1 or len(lines)
