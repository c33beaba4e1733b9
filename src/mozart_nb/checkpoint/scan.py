"""Reading few kinds of events out of a long journal: lines of other kinds are passed over without being parsed.

A hundred thousand batches leave hundreds of megabytes. Whoever wants to know what failed needs a few thousand lines of
them, and those are found at the speed of a search in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec

from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.journal import first_line, segments, too_new
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import UnknownJobError
from mozart_nb.events import Event, decode_event, event_types, kind_of
from mozart_nb.words import plural

CHUNK_BYTES: Final = 256 << 10

_KIND_AT: Final = len(b'{"crc":"00000000","event":{"kind":"')
"""Where in its line the kind of an event begins."""

_BEHIND: Final = b'","seq":'
"""What stands behind the kind of every event."""

_NEWLINE: Final = ord("\n")
_KINDS: Final = frozenset(kind_of(event) for event in event_types())


class Unread:
    """Counts lines of a journal that could not be read.

    What a write that failed left at the end of a segment does not count, as a later segment holds it again.
    """

    def __init__(self) -> None:
        self.lines = 0
        self._doubtful = 0

    def meet(self) -> None:
        """A line that is not whole."""
        self._doubtful += 1

    def settle(self, *, counts: bool) -> None:
        """Whether the lines met since the last time belong to what counts of their segment."""
        self.lines += self._doubtful * counts
        self._doubtful = 0

    def notices(self) -> list[str]:
        """What people should know; nothing when all lines were whole."""
        return [f"{plural(self.lines, 'line')} of the journal could not be read"] if self.lines else []


def scan(
    layout: Layout,
    kinds: Collection[str] | Mapping[str, bytes | re.Pattern[bytes]],
    *,
    since_seq: int = 0,
    unread: Unread | None = None,
) -> Iterator[Event]:
    """The events of these kinds after `since_seq`, oldest first.

    A mapping narrows a kind down to lines that hold some bytes: `{"session.finished": b'"code":"'}` are the sessions
    that did not end well, as empty fields are not written. A pattern is compared with what follows the kind, which is
    much faster: fields come in the order of their declaration, see `events_of`. Lines that are not whole are passed
    over, and so is what a later segment holds again; whether the journal is sound is for whoever loads the state to
    find out. `unread` counts those of the lines asked for that turn out not to be whole.

    Raises `UnknownJobError`, `CheckpointCorruptError` when a segment is missing, `CheckpointTooNewError` for an event
    that only a newer version can read, and `ValueError` for a kind that does not exist.
    """
    if not layout.exists:
        raise UnknownJobError(f"there is no job `{layout.job_id}` in {layout.workspace}", job_id=layout.job_id)
    if unknown := set(kinds) - _KINDS:
        raise ValueError(f"no such kinds of events: {', '.join(sorted(unknown))}")
    needles = kinds if isinstance(kinds, Mapping) else dict.fromkeys(kinds, b"")
    if not needles:
        return
    pattern = _pattern(needles)
    # Most lines are told apart by the first characters of their kind: comparing those is all that most lines cost.
    width = min(map(len, needles)) + len(_BEHIND)
    begins = frozenset((kind.encode() + _BEHIND)[:width] for kind in needles)
    numbers = segments(DiskFiles(), layout)
    ends = _ends(layout, numbers)
    unread = unread or Unread()
    for number in numbers:
        for line in _lines(layout, number, pattern, begins, width):
            document = EVENTS.unwrap(line)
            if document is None:
                unread.meet()
                continue
            event = _decoded(layout, document)
            unread.settle(counts=event.seq < ends[number])
            if since_seq < event.seq < ends[number]:
                yield event
        unread.settle(counts=ends[number] == float("inf"))


def events_of(batches: Collection[int], *more: bytes) -> re.Pattern[bytes]:
    """What follows the kind in events of these batches, and (`more`) in those of any batch whose next fields fit."""
    numbers = b"|".join(b"%d" % number for number in sorted(batches))
    ways = [*([rb"(?:%b)[,}]" % numbers] if numbers else []), *(rb"\d+,%b" % way for way in more)]
    return re.compile(rb',"seq":\d+,"at":[^,]+,"batch":(?:%b)' % b"|".join(ways) if ways else rb"(?!)")


def times_of(layout: Layout, numbers: Collection[int]) -> dict[int, float]:
    """When the events with these numbers (`seq`) happened, in epoch seconds, whatever they are."""
    if not numbers:
        return {}
    wanted = b"|".join(b"%d" % number for number in sorted(numbers))
    pattern = re.compile(rb'[a-z_.]+","seq":(?:%b),"at":' % wanted)
    lines = (line for number in segments(DiskFiles(), layout) for line in _lines(layout, number, pattern))
    events = map(_document, lines)
    return {event.seq: event.at for event in events if event is not None}  # the last segment's word counts


def _document(line: bytes) -> _Moment | None:
    document = EVENTS.unwrap(line)
    return None if document is None else _decode_moment(document)


class _Moment(msgspec.Struct, gc=False):
    seq: int = 0
    at: float = 0.0


_decode_moment = msgspec.json.Decoder(_Moment).decode


def _pattern(needles: Mapping[str, bytes | re.Pattern[bytes]]) -> re.Pattern[bytes]:
    """What stands in a wanted line from its kind on."""
    ways = []
    for kind, needle in needles.items():
        more = needle.pattern if isinstance(needle, re.Pattern) else rb".*" + re.escape(needle) if needle else b""
        ways.append(re.escape(kind.encode()) + b'"' + more)
    return re.compile(b"|".join(ways))


def _lines(
    layout: Layout, number: int, pattern: re.Pattern[bytes], begins: frozenset[bytes] = frozenset(), width: int = 0
) -> Iterator[bytes]:
    """The lines of a segment that the pattern fits, without their newline; `begins` are what it may begin with."""
    try:
        file = layout.segment(number).open("rb", buffering=CHUNK_BYTES)
    except FileNotFoundError:
        return  # the job is being started over at this moment
    fits, end = pattern.match, _KIND_AT + width
    with file:
        for line in file:
            if (not begins or line[_KIND_AT:end] in begins) and fits(line, _KIND_AT) and line[-1] == _NEWLINE:
                yield line[:-1]


def _ends(layout: Layout, numbers: list[int]) -> dict[int, float]:
    """For each segment the number of the event from which on a later one counts."""
    ends: dict[int, float] = {}
    end = float("inf")
    for number in reversed(numbers):
        ends[number] = end
        line = first_line(DiskFiles(), layout, number)
        if line is not None and line.document is not None:
            end = min(end, _decoded(layout, line.document).seq)
    return ends


def _decoded(layout: Layout, document: bytes) -> Event:
    try:
        event: Event = decode_event(document)
    except (msgspec.DecodeError, ValueError) as error:
        raise too_new(layout, f"{layout.journal}: unknown form of an event ({error})") from error
    return event
