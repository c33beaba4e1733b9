"""The journal: every event of a job, one checksummed line each, in segments that are only appended to.

A segment ends where the next one begins: when a later segment starts with event s, whatever an earlier one holds from
s on is superseded. That is how events whose sync failed are written again without touching the doubtful file: into
a new segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from mozart_nb.checkpoint.appending import AppendOnlyFile
from mozart_nb.checkpoint.files import Files
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import SEGMENT_NAME, Layout
from mozart_nb.errors import CheckpointCorruptError, CheckpointTooNewError
from mozart_nb.events import FORMAT, Event, JobPlanned, decode_event, event_types, kind_of

SEGMENT_BYTES = 64 << 20
"""A segment that has reached this size is left alone and the next one begun."""

CHUNK_BYTES = 1 << 20

_KINDS = frozenset(kind_of(event) for event in event_types())


@dataclass(frozen=True, slots=True)
class Tip:
    """The last durable event: its number, and the segment and offset (bytes) at which its line ends.

    `line` is the checksum in that line, by which a snapshot knows the journal it was taken from.
    """

    seq: int = 0
    segment: int = 1
    offset: int = 0
    line: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One event, encoded."""

    seq: int
    document: bytes


class Journal:
    """Appends events. The lock holder's own; used by one thread at a time."""

    def __init__(self, layout: Layout, files: Files, tip: Tip, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.tip = tip
        self._layout = layout
        self._files = files
        self._segment_bytes = segment_bytes
        self._number, self._file = self._last_segment()

    def append(self, records: Sequence[Record]) -> None:
        """Make `records` durable, all or none of them as far as later appends are concerned. Raises `OSError`."""
        if self._file.tainted or self._file.good >= self._segment_bytes:
            self._begin_segment()
        lines = [EVENTS.wrap(record.document) for record in records]
        self._file.append(b"".join(lines))
        self.tip = Tip(records[-1].seq, self._number, self._file.good, line_checksum(lines[-1]))

    def close(self) -> None:
        self._file.close()

    def _last_segment(self) -> tuple[int, AppendOnlyFile]:
        numbers = segments(self._files, self._layout)
        number = numbers[-1] if numbers else 1
        path = self._layout.segment(number)
        return number, AppendOnlyFile(path, self._files, self._files.size(path) if numbers else 0)

    def _begin_segment(self) -> None:
        self._file.close()
        self._number += 1
        self._file = AppendOnlyFile(self._layout.segment(self._number), self._files, 0)


def line_checksum(line: bytes) -> str:
    return line[8:16].decode("ascii", "replace")


def segments(files: Files, layout: Layout) -> list[int]:
    """Numbers of the segments there are. Raises `CheckpointCorruptError` when one is missing in between."""
    numbers = [int(name[:-6]) for name in files.names(layout.journal) if SEGMENT_NAME.fullmatch(name)]
    if numbers != list(range(1, len(numbers) + 1)):
        missing = next(number for number in range(1, numbers[-1] + 1) if number not in numbers)
        raise corrupt(layout, f"{layout.segment(missing)} is missing")
    return numbers


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a segment: where it begins and ends (bytes, newline included), and its document if it is whole."""

    start: int
    end: int
    document: bytes | None
    checksum: str


def read_lines(
    files: Files, layout: Layout, segment: int, offset: int = 0, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Line]:
    """The lines of one segment from `offset` on, whole or not; what follows the last newline is a line too."""
    path = layout.segment(segment)
    rest, start = b"", offset
    while chunk := files.read(path, start + len(rest), chunk_bytes):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            end = start + len(line) + 1
            yield Line(start, end, EVENTS.unwrap(line), line_checksum(line))
            start = end
    if rest:
        yield Line(start, start + len(rest), None, "")


def first_line(files: Files, layout: Layout, segment: int) -> Line | None:
    """The first line of a segment if it is whole."""
    line = next(read_lines(files, layout, segment, chunk_bytes=1 << 14), None)
    return line if line is not None and line.document is not None else None


@dataclass(frozen=True, slots=True)
class TornLine:
    """An unfinished line of `excess` bytes after the first `keep` bytes of a segment."""

    segment: int
    keep: int
    excess: int


class JournalScan:
    """Reads the events after a position, in order, and knows afterwards where the good part ends.

    After the iteration `tip` is the last event read and `torn` says where the last line is unfinished (in two segments
    when the host died while it wrote doubtful events again). Nothing is changed on disk.

    Raises `CheckpointCorruptError` for a bad line that is not the last one, `CheckpointTooNewError` for an event that
    only a newer version can read.
    """

    def __init__(self, layout: Layout, files: Files, after: Tip = Tip()) -> None:
        self.tip = after
        self.torn: list[TornLine] = []
        self._layout = layout
        self._files = files

    def __iter__(self) -> Iterator[Event]:
        numbers = segments(self._files, self._layout)
        for number in numbers[self.tip.segment - 1 :]:
            begin = self.tip.offset if number == self.tip.segment else 0
            yield from self._segment(number, begin, self._superseded_from(number, numbers))

    def _segment(self, number: int, offset: int, limit: int | None) -> Iterator[Event]:
        bad: Line | None = None
        for line in read_lines(self._files, self._layout, number, offset):
            if limit is not None and self.tip.seq + 1 >= limit:
                return
            if bad is not None or (line.document is None and limit is not None):
                raise self._broken(number, bad or line, "is damaged")
            if line.document is None:
                bad = line
                continue
            event = self._decode(number, line)
            if event.seq != self.tip.seq + 1:
                raise self._broken(number, line, f"holds event {event.seq}, but {self.tip.seq + 1} must follow")
            self.tip = Tip(event.seq, number, line.end, line.checksum)
            yield event
        if bad is not None:
            self.torn.append(TornLine(number, bad.start, bad.end - bad.start))

    def _superseded_from(self, number: int, numbers: list[int]) -> int | None:
        """The event that the next segment with anything in it begins with; None when there is no such segment."""
        for later in numbers[number:]:
            first = first_line(self._files, self._layout, later)
            if first is not None:
                return self._decode(later, first).seq
        return None

    def _decode(self, number: int, line: Line) -> Event:
        assert line.document is not None
        try:
            event: Event = decode_event(line.document)
        except (msgspec.DecodeError, ValueError) as error:
            raise self._unreadable(number, line, error) from error
        if isinstance(event, JobPlanned):
            self._check_origin(event)
        return event

    def _check_origin(self, event: JobPlanned) -> None:
        if event.format > FORMAT:
            raise too_new(self._layout, f"the journal has format {event.format}, this version reads up to {FORMAT}")
        if event.job_id != self._layout.job_id:
            raise corrupt(self._layout, f"{self._layout.journal} belongs to job `{event.job_id}`")

    def _unreadable(self, number: int, line: Line, error: Exception) -> Exception:
        """The checksum is right, so it was written like that: by a version that knows more than we do."""
        kind = _kind_in(line.document or b"")
        where = self._where(number, line)
        if kind and kind not in _KINDS:
            return too_new(self._layout, f"{where}: unknown event `{kind}`")
        return too_new(self._layout, f"{where}: unknown form of `{kind or 'event'}` ({error})")

    def _broken(self, number: int, line: Line, what: str) -> CheckpointCorruptError:
        return corrupt(self._layout, f"{self._where(number, line)} {what}")

    def broken_after_tip(self, error: Exception) -> CheckpointCorruptError:
        """The event just read does not follow from what was before."""
        line = Line(max(self.tip.offset - 1, 0), self.tip.offset, None, "")
        return self._broken(self.tip.segment, line, f"does not follow from what was before ({error})")

    def _where(self, number: int, line: Line) -> str:
        path = self._layout.segment(number)
        before = self._files.read(path, 0, line.start).count(b"\n")
        return f"{path} line {before + 1}"


def _kind_in(document: bytes) -> str:
    try:
        found = msgspec.json.decode(document)
    except msgspec.DecodeError:
        return ""
    return str(found.get("kind", "")) if isinstance(found, dict) else ""


def corrupt(layout: Layout, message: str) -> CheckpointCorruptError:
    return CheckpointCorruptError(
        message,
        hint="nothing was changed; restore the job's folder from a backup, or start over with --fresh",
        job_id=layout.job_id,
        code="E701",
    )


def too_new(layout: Layout, message: str) -> CheckpointTooNewError:
    return CheckpointTooNewError(message, hint="upgrade mozart_nb", job_id=layout.job_id, code="E702")
