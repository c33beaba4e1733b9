"""A log file as it grows: through rotation, truncation, removal and a new beginning, as `tail -F` does, and better.

When the file was renamed, what is left of it is read from the old one, then the backups that came after it, packed or
not, and then the new file: nothing is missed as long as the backups are kept.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from mozart_nb.consumers.log import LogLine, open_family, read_line
from mozart_nb.looking.logs.files import all_of, last_of
from mozart_nb.looking.logs.filters import EVERYTHING, LogFilter

CHUNK_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 256
"""A file is known again by what it begins with, also when it was packed, and so got another inode."""


class FileFollower:
    """Follows a log file. For one thread; use it as a context manager, or `close` it.

    Ask `poll` a few times a second. Each poll costs as much as was written meanwhile.
    """

    def __init__(self, file: Path, wanted: LogFilter = EVERYTHING, count: int = 50) -> None:
        """Begins with the last `count` lines that are wanted, backups included; 0 means all. A file that is not there
        is waited for. Raises `OSError`."""
        self._path = Path(os.path.realpath(file))
        self._wanted = wanted
        self._handle = -1
        self._offset = 0
        self._head = b""
        self._rest = b""
        self._earlier: list[LogLine] = []
        with open_family(self._path) as opened:
            end = None
            if opened and opened[0][0] == self._path:
                self._take(opened[0][1])
                self._offset = end = _end_of_lines(self._handle)
            self._is_new = not opened
            self._earlier = last_of(opened, count, wanted, end)

    @property
    def is_there(self) -> bool:
        """Whether the file has been seen."""
        return self._handle >= 0

    def poll(self) -> list[LogLine]:
        """Lines that are new and wanted. Raises `OSError`."""
        found, self._earlier = self._earlier, []
        found += self._read()
        if not self._is_current():
            found += self._read()  # what came in before it was renamed
            found += self._move_on()
        return found

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> FileFollower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- one file -----------------------------------------------------------------------------------------------------

    def _take(self, handle: int) -> None:
        """Follow this file from its beginning on."""
        self.close()
        self._handle = os.dup(handle)
        self._offset, self._rest = 0, b""
        self._head = _read_at(self._handle, 0, _HEAD_BYTES)

    def _read(self) -> list[LogLine]:
        if self._handle < 0:
            return []
        self._notice_truncation()
        found: list[LogLine] = []
        while chunk := _read_at(self._handle, self._offset, CHUNK_BYTES):
            self._offset += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            found += [line for raw in lines if self._wanted.wants_line(line := _line(raw))]
        return found

    def _notice_truncation(self) -> None:
        """Begin again where somebody has emptied the file, or written another one in its place."""
        head = _read_at(self._handle, 0, _HEAD_BYTES)
        if os.fstat(self._handle).st_size < self._offset or not head.startswith(self._head):
            self._offset, self._rest = 0, b""
        self._head = head

    def _is_current(self) -> bool:
        if self._handle < 0:
            return False
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._handle))
        except OSError:
            return False

    # --- from one file to the next ------------------------------------------------------------------------------------

    def _move_on(self) -> list[LogLine]:
        """Read the backups that came after the old file, and take up the new one if it is there already."""
        with open_family(self._path) as opened:
            if not opened or opened[0][0] != self._path:
                return []
            between = opened[1 : self._place_among(opened)]
            found = [line for _, handle in reversed(between) for line in all_of(handle, self._wanted)]
            self._take(opened[0][1])
            return found + self._read()

    def _place_among(self, opened: list[tuple[Path, int]]) -> int:
        """Which of these is the old file; the first backup when it is none of them any more, so that none is read.

        The one behind the last where there was none before: then all of them are new.
        """
        if self._handle < 0:
            return len(opened) if self._is_new else 1
        mine = os.fstat(self._handle)
        for index, (_, handle) in enumerate(opened[1:], 1):
            if os.path.samestat(mine, os.fstat(handle)) or (self._head and _begins_with(handle, self._head)):
                return index
        return 1


def _begins_with(handle: int, head: bytes) -> bool:
    import gzip  # only now: most files are never renamed

    with contextlib.suppress(OSError, EOFError), os.fdopen(os.dup(handle), "rb") as source:
        source.seek(0)
        is_packed = source.read(2) == b"\x1f\x8b"
        source.seek(0)
        return (gzip.GzipFile(fileobj=source) if is_packed else source).read(len(head)) == head
    return False


def _read_at(handle: int, offset: int, size: int) -> bytes:
    os.lseek(handle, offset, os.SEEK_SET)  # `os.pread` is not everywhere
    return os.read(handle, size)


def _end_of_lines(handle: int) -> int:
    """The byte behind the last newline."""
    end = os.fstat(handle).st_size
    while end:
        begin = max(0, end - CHUNK_BYTES)
        found = _read_at(handle, begin, end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _line(raw: bytes) -> LogLine:
    return read_line(raw.decode("utf-8", "replace").rstrip("\r"))
