"""Both ends of a journal, read without what lies between: who it belongs to, and how far it has come."""

from __future__ import annotations

import contextlib
from typing import Final

import msgspec

from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.journal import first_line, segments
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import MozartError
from mozart_nb.events import JobPlanned, decode_event

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
