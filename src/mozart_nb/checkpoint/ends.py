"""Both ends of a journal, read without what lies between: who it belongs to, how far it has come, what came last."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.journal import first_line, read_lines, segments, too_new
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import MozartError
from mozart_nb.events import Event, JobPlanned, decode_event

_TAIL_BYTES: Final = 1 << 16


class _Seq(msgspec.Struct):
    seq: int = 0


_decode_seq: Final = msgspec.json.Decoder(_Seq).decode


def planned_in(layout: Layout) -> JobPlanned | None:
    """The first event of a journal; None when it cannot be read."""
    with contextlib.suppress(OSError, msgspec.DecodeError, ValueError):
        line = first_line(DiskFiles(), layout, 1)
        if line is not None and line.document is not None:
            event = decode_event(line.document)
            return event if isinstance(event, JobPlanned) else None
    return None


def last_seq(layout: Layout) -> int:
    """The number of the last whole event at the end of a journal; 0 when it cannot be read."""
    files = DiskFiles()
    with contextlib.suppress(OSError, MozartError):
        for number in reversed(segments(files, layout)):
            path = layout.segment(number)
            size = files.size(path)
            lines = files.read(path, max(0, size - _TAIL_BYTES)).split(b"\n")
            documents = (EVENTS.unwrap(line) for line in reversed(lines))
            last = next((document for document in documents if document is not None), None)
            if last is not None:
                return _decode_seq(last).seq
    return 0


# --- the end of it ----------------------------------------------------------------------------------------------------

_STRIDE: Final = 1 << 16
_SEQ: Final = re.compile(rb'\n\{"crc":"[0-9a-f]{8}","event":\{"kind":"[a-z_.]+","seq":(\d+)')


def events_since(layout: Layout, seq: int) -> Iterator[Event]:
    """The events after number `seq`, oldest first; what is before them is not read, however long it is.

    Lines that are not whole are passed over, and so is what a later segment holds again. Raises
    `CheckpointCorruptError` when a segment is missing, `CheckpointTooNewError` for an event that only a newer version
    can read, and `OSError`.
    """
    files = DiskFiles()
    numbers = segments(files, layout)
    firsts = {number: _first_seq(layout, number) for number in numbers}
    for number in numbers:
        end = min((firsts[later] for later in numbers if later > number), default=float("inf"))
        if end <= seq + 1:
            continue
        for line in read_lines(files, layout, number, _offset_before(layout, number, seq)):
            if line.document is None:
                continue
            try:
                event: Event = decode_event(line.document)
            except (msgspec.DecodeError, ValueError) as error:
                raise too_new(layout, f"{layout.journal}: unknown form of an event ({error})") from error
            if seq < event.seq < end:
                yield event


def _first_seq(layout: Layout, number: int) -> float:
    """The number of the event that a segment begins with; infinite for one without any."""
    line = first_line(DiskFiles(), layout, number)
    return _decode_seq(line.document).seq if line is not None and line.document is not None else float("inf")


def _offset_before(layout: Layout, number: int, seq: int) -> int:
    """A byte at which a line of the segment begins, at most some dozens of lines before event `seq + 1`."""
    files, path = DiskFiles(), layout.segment(number)
    low, high = 0, files.size(path)
    while high - low > _STRIDE:
        middle = (low + high) // 2
        found = _SEQ.search(files.read(path, middle, _STRIDE))
        if found is None or int(found[1]) > seq:
            high = middle
        else:
            low = middle + found.start() + 1
    return low
