"""The last events of a job, read from the end of its journal: no more of it than is needed.

Lines that cannot be wanted are passed over at the speed of a search in bytes, and whole blocks that lie outside the
wanted time are not even searched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from mozart_nb import events as ev
from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.journal import Tip, first_line, line_checksum, segments, too_new
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.scan import Unread
from mozart_nb.consumers.lines import line_of
from mozart_nb.errors import UnknownJobError
from mozart_nb.looking.logs.filters import EVERYTHING, LogFilter

FIRST_BLOCK_BYTES: Final = 64 * 1024
LARGEST_BLOCK_BYTES: Final = 4 << 20

_SEVERAL: Final = ("batch.blocked", "batch.renewed", "batch.skipped", "remote.submitting")
"""Events about more than one batch: the number alone does not find them."""

_FAILED_ONLY: Final = "session.finished"


def last_events(
    layout: Layout,
    count: int,
    wanted: LogFilter = EVERYTHING,
    *,
    up_to: float = 0,
    notices: list[str] | None = None,
) -> list[ev.Event]:
    """The last `count` events that are wanted, oldest first; 0 means all of them. `up_to`: none after this number.

    Lines that are not whole are passed over; `notices` gets how many of them were met. Raises `UnknownJobError`, and
    `CheckpointTooNewError` for an event that only a newer version can read.
    """
    if not layout.exists:
        raise UnknownJobError(f"there is no job `{layout.job_id}` in {layout.workspace}", job_id=layout.job_id)
    found: list[ev.Event] = []
    unread = Unread()
    for event in _backwards(layout, wanted, up_to or float("inf"), unread):
        if wanted.wants(event):
            found.append(event)
            if len(found) == count:
                break
    if notices is not None:
        notices += unread.notices()
    return found[::-1]


def log_lines(layout: Layout, count: int = 50, wanted: LogFilter = EVERYTHING) -> list[str]:
    """The same as lines of text."""
    return [line_of(event) for event in last_events(layout, count, wanted)]


def end_of(layout: Layout) -> Tip:
    """Where the journal ends now: its last whole line."""
    for number in reversed(segments(DiskFiles(), layout)):
        for begin, block in _blocks(layout.segment(number)):
            end = begin + len(block)
            for line in reversed(block.split(b"\n")):
                document = EVENTS.unwrap(line)
                if document is not None:
                    return Tip(_head(layout, document).seq, number, end + 1, line_checksum(line))
                end -= len(line) + 1
    return Tip()


# --- backwards --------------------------------------------------------------------------------------------------------


def _backwards(layout: Layout, wanted: LogFilter, up_to: float, unread: Unread) -> Iterator[ev.Event]:
    """Events that may be wanted, newest first. What a later segment holds again does not count in an earlier one."""
    if not wanted.kinds:
        return
    patterns = _patterns(wanted)
    last = up_to
    for number in reversed(segments(DiskFiles(), layout)):
        for index, (_, block) in enumerate(_blocks(layout.segment(number))):
            begins_at = _time_of(layout, block)
            for line in _candidates(block, patterns) if begins_at <= wanted.until else ():
                document = EVENTS.unwrap(line)
                if document is None:
                    if line and (index or not block.endswith(line)):  # else it is being written, or its host died
                        unread.meet()
                    continue
                event = _decoded(layout, document)
                unread.settle(counts=event.seq < last)
                if event.seq <= last:
                    yield event
            if 0 < begins_at < wanted.since:
                return  # the clock of a journal never runs backwards
        unread.settle(counts=True)
        last = min(last, _first_of(layout, number) - 1)


def _patterns(wanted: LogFilter) -> list[re.Pattern[bytes]]:
    """What a line must hold one of to be wanted; nothing where most of them are."""
    names = sorted(wanted.kinds)
    if wanted.batch:
        return [re.compile(rb'"batch":%d[,}]' % wanted.batch), *_of_kinds(set(_SEVERAL).intersection(names))]
    if not wanted.events and wanted.level in ("DEBUG", "INFO"):
        return []
    if wanted.level in ("WARNING", "ERROR") and _FAILED_ONLY in names:
        names.remove(_FAILED_ONLY)
        return [*_of_kinds(names), *_of_kinds([_FAILED_ONLY], rb'[^\n]*"code":"')]
    return _of_kinds(names)


def _of_kinds(names: Collection[str], more: bytes = b"") -> list[re.Pattern[bytes]]:
    alternatives = b"|".join(re.escape(name.encode()) for name in names)
    return [re.compile(rb'"event":\{"kind":"(?:' + alternatives + rb')"' + more)] if names else []


def _candidates(block: bytes, patterns: list[re.Pattern[bytes]]) -> Iterator[bytes]:
    """Lines of a block, the last one first."""
    if not patterns:
        yield from reversed(block.split(b"\n"))
        return
    begins = {block.rfind(b"\n", 0, found.start()) + 1 for one in patterns for found in one.finditer(block)}
    for begin in sorted(begins, reverse=True):
        end = block.find(b"\n", begin)
        yield block[begin:] if end < 0 else block[begin:end]


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines from the end of a file, a block of them at a time, each with the byte it begins at.

    Blocks have no newline at their end. The first one may end with a line that is not whole.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        yield from _blocks_of(file)


def _blocks_of(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    begin, rest, size = file.seek(0, os.SEEK_END), b"", FIRST_BLOCK_BYTES
    while begin:
        begin -= (size := min(size, begin))
        file.seek(begin)
        block = file.read(size) + rest
        rest = block
        if begin:
            first = block.find(b"\n")
            if first >= 0:
                rest = block[:first]
                yield begin + first + 1, block[first + 1 :]
        else:
            yield 0, block
        size = min(size * 2, LARGEST_BLOCK_BYTES)


# --- lines ------------------------------------------------------------------------------------------------------------


class _Head(msgspec.Struct):
    """What every event begins with."""

    seq: int = 0
    at: float = 0.0


_read_head = msgspec.json.Decoder(_Head).decode


def _head(layout: Layout, document: bytes) -> _Head:
    try:
        return _read_head(document)
    except (msgspec.DecodeError, ValueError) as error:
        raise _too_new(layout, error) from error


def _time_of(layout: Layout, block: bytes) -> float:
    """When the first event in these lines happened; 0.0 where that cannot be seen."""
    document = EVENTS.unwrap(block[: block.find(b"\n")] if b"\n" in block else block)
    return _head(layout, document).at if document is not None else 0.0


def _first_of(layout: Layout, number: int) -> float:
    """The number of the event that a segment begins with; infinite where it has none."""
    line = first_line(DiskFiles(), layout, number)
    return _head(layout, line.document).seq if line is not None and line.document is not None else float("inf")


def _decoded(layout: Layout, document: bytes) -> ev.Event:
    try:
        event: ev.Event = ev.decode_event(document)
    except (msgspec.DecodeError, ValueError) as error:
        raise _too_new(layout, error) from error
    return event


def _too_new(layout: Layout, error: Exception) -> Exception:
    return too_new(layout, f"{layout.journal}: unknown form of an event ({error})")
