"""Reading a log file with its backups: the last lines that are wanted, or all of them."""

from __future__ import annotations

import gzip
import os
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.log import LogLine, json_sibling, log_file, open_family, read_line
from mozart_nb.errors import MisuseError
from mozart_nb.looking.logs.filters import EVERYTHING, LogFilter
from mozart_nb.plans.frozen import read_frozen, workspace_of

BLOCK_BYTES: Final = 256 * 1024
_GZIP: Final = b"\x1f\x8b"


def log_file_of(layout: Layout, *, as_json: bool = False) -> Path:
    """The log file of a job, as its frozen plan says; with `as_json` the one with JSON lines, where there are two.

    Raises what reading the plan raises; the file itself may not be there.
    """
    frozen = read_frozen(layout)
    config = frozen.loaded.config.logging
    file = log_file(config, workspace_of(frozen, layout))
    return json_sibling(file) if as_json and config.format == "both" else file


def last_lines(file: Path, count: int, wanted: LogFilter = EVERYTHING) -> list[LogLine]:
    """The last `count` lines that are wanted, oldest first; 0 means all. Raises `MisuseError` without a file."""
    if not count:
        return list(read_lines(file, wanted))
    with open_family(Path(os.path.realpath(file))) as opened:
        _require(file, opened)
        return last_of(opened, count, wanted)


def last_of(opened: Sequence[tuple[Path, int]], count: int, wanted: LogFilter, end: int | None = None) -> list[LogLine]:
    """The same from files that are open (path and descriptor, the newest first), of which the first is read to `end`.

    `count` 0 means all.
    """
    found: list[LogLine] = []
    for index, (_, handle) in enumerate(opened):
        missing = count - len(found) if count else 0
        with _reading(handle) as source:
            begins_at = next(_forwards(source), LogLine("")).at
            if _is_packed(source):
                lines = deque((line for line in _forwards(source) if wanted.wants_line(line)), maxlen=missing or None)
                found = [*lines, *found]
            else:
                found = _backwards(source, missing, wanted, None if index else end) + found
        if 0 < begins_at < wanted.since or 0 < count <= len(found):
            break
    return found


def read_lines(file: Path, wanted: LogFilter = EVERYTHING) -> Iterator[LogLine]:
    """Every line that is wanted, oldest first, from the oldest backup on. Raises `MisuseError` without a file."""
    with open_family(Path(os.path.realpath(file))) as opened:
        _require(file, opened)
        for _, handle in reversed(opened):
            yield from all_of(handle, wanted)


def all_of(handle: int, wanted: LogFilter) -> Iterator[LogLine]:
    """The lines of one open file, packed or not, that are wanted."""
    with _reading(handle) as source:
        yield from (line for line in _forwards(source) if wanted.wants_line(line))


def _require(file: Path, opened: list[tuple[Path, int]]) -> None:
    if not opened:
        hint = "the first event of a run makes it; `mozart logs ID` shows the journal, which has everything"
        raise MisuseError(f"there is no log file {file}", hint=hint)


def _reading(handle: int) -> BinaryIO:
    return os.fdopen(os.dup(handle), "rb")


def _is_packed(source: BinaryIO) -> bool:
    source.seek(0)
    head = source.read(2)
    source.seek(0)
    return head == _GZIP


def _forwards(source: BinaryIO) -> Iterator[LogLine]:
    source.seek(0)
    try:
        for line in gzip.GzipFile(fileobj=source) if _is_packed(source) else source:
            yield _line(line)
    except (EOFError, OSError, zlib.error) as error:
        yield LogLine(f"(the rest of this backup cannot be read: {error})")


def _backwards(source: BinaryIO, count: int, wanted: LogFilter, end: int | None) -> list[LogLine]:
    found: list[LogLine] = []
    for raw in _raw_lines_backwards(source, end):
        line = _line(raw)
        if wanted.wants_line(line):
            found.append(line)
            if len(found) == count:
                break
    return found[::-1]


def _raw_lines_backwards(source: BinaryIO, end: int | None) -> Iterator[bytes]:
    begin, rest = source.seek(0, os.SEEK_END) if end is None else end, b""
    is_end = True
    while begin:
        begin -= (size := min(BLOCK_BYTES, begin))
        source.seek(begin)
        first, *lines = (source.read(size) + rest).split(b"\n")
        if lines and is_end and not lines[-1]:
            lines.pop()  # what stands behind the last newline is no line
        is_end = is_end and not lines
        yield from reversed(lines)
        rest = first
    if rest:
        yield rest


def _line(raw: bytes) -> LogLine:
    return read_line(raw.decode("utf-8", "replace").rstrip("\r\n"))
