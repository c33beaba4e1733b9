"""The last events of a job, read from the end of its journal: no more of it than is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from mozart_nb import events as ev
from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.journal import segments, too_new
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.lines import LEVELS, Level, level_of, line_of
from mozart_nb.errors import UnknownJobError

CHUNK_BYTES: Final = 64 * 1024


def last_events(layout: Layout, count: int, *, level: Level = "DEBUG", batch: int = 0) -> list[ev.Event]:
    """The last `count` events of at least `level`, of one batch if that is given, oldest first; 0 means all of them.

    Lines that are not whole are passed over. Raises `UnknownJobError`, and `CheckpointTooNewError` for an event that
    only a newer version can read.
    """
    if not layout.exists:
        raise UnknownJobError(f"there is no job `{layout.job_id}` in {layout.workspace}", job_id=layout.job_id)
    least = LEVELS.index(level)
    found: list[ev.Event] = []
    for event in _backwards(layout):
        if LEVELS.index(level_of(event)) >= least and (not batch or concerns(event, batch)):
            found.append(event)
            if len(found) == count:
                break
    return found[::-1]


def log_lines(layout: Layout, count: int = 50, *, level: Level = "DEBUG", batch: int = 0) -> list[str]:
    """The same as lines of text."""
    return [line_of(event) for event in last_events(layout, count, level=level, batch=batch)]


def concerns(event: ev.Event, batch: int) -> bool:
    """Whether an event is about that batch."""
    match event:
        case ev.BatchBlocked():
            return batch in event.batches or batch == event.by
        case ev.BatchRenewed():
            return batch in event.batches
        case ev.BatchSkipped() if event.last:
            return event.batch <= batch <= event.last
        case _:
            return bool(getattr(event, "batch", 0) == batch)


def _backwards(layout: Layout) -> Iterator[ev.Event]:
    """Every event, the newest first. What a later segment holds again does not count in an earlier one."""
    newest: int | None = None
    for number in reversed(segments(DiskFiles(), layout)):
        for line in _lines_backwards(layout.segment(number)):
            document = EVENTS.unwrap(line)
            if document is None:
                continue
            event = _decoded(layout, document)
            if newest is None or event.seq < newest:
                newest = event.seq
                yield event


def _decoded(layout: Layout, document: bytes) -> ev.Event:
    try:
        event: ev.Event = ev.decode_event(document)
    except (msgspec.DecodeError, ValueError) as error:
        raise too_new(layout, f"{layout.journal}: unknown form of an event ({error})") from error
    return event


def _lines_backwards(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        begin = file.seek(0, os.SEEK_END)
        rest = b""
        while begin:
            size = min(CHUNK_BYTES, begin)
            begin -= size
            file.seek(begin)
            first, *lines = (file.read(size) + rest).split(b"\n")
            yield from reversed(lines)
            rest = first
        yield rest
