"""The snapshot: the state after one event, as readable JSON with one batch per line.

It only saves time at the next load; the journal is the truth. `SnapshotEncoder` (on the event loop) turns a state that
keeps changing into the text of the state at the moment it was begun, a few batches at a time: before an event changes
a batch whose line is not written yet, the line is encoded as it was. `SnapshotFile` (in the journal's thread) puts the
text on disk, and `read_snapshot` reads it back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import msgspec

from mozart_nb import events as ev
from mozart_nb.checkpoint.files import Files, write_all
from mozart_nb.checkpoint.journal import CHUNK_BYTES, Tip
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.state import BatchState, JobRecord, JobState

SNAPSHOT_FORMAT = 1
"""To be raised whenever records change their meaning or the fold its results: older snapshots are then left aside."""

PRESERVED_AT_ONCE = 1024
"""An event that changes more unwritten batches than this ends the snapshot instead: it would hold up the loop."""

VISITS_PER_BATCH = 16

_encode = msgspec.json.Encoder().encode
_decode_batch = msgspec.json.Decoder(BatchState).decode


class SnapshotEncoder:
    """One snapshot being taken. `highest` is at least the number of the highest batch with a record."""

    def __init__(self, state: JobState, highest: int) -> None:
        self.job = state.job.still()
        self._cursor = 0
        self._last = highest
        self._preserved: dict[int, bytes | None] = {}
        self._separator = b""

    @property
    def finished(self) -> bool:
        return self._cursor >= self._last

    def preserve(self, event: ev.Event, state: JobState) -> bool:
        """Keep what `event`, about to be applied, will change. False when that is too much: drop this snapshot."""
        numbers = [n for n in changed_by(event, state) if self._cursor < n <= self._last and n not in self._preserved]
        if len(numbers) > PRESERVED_AT_ONCE:
            return False
        for number in numbers:
            batch = state.batches.get(number)
            self._preserved[number] = None if batch is None else _encode(batch)
        return True

    def take(self, state: JobState, count: int) -> bytes:
        """The next lines: at most `count` batches, fewer where most of the plan is untouched."""
        lines = []
        visits = count * VISITS_PER_BATCH
        while count > 0 and visits > 0 and self._cursor < self._last:
            self._cursor += 1
            visits -= 1
            document = self._document(state, self._cursor)
            if document is not None:
                lines.append(b'%b"%d": %b' % (self._separator, self._cursor, document))
                self._separator = b",\n"
                count -= 1
        return b"".join(lines)

    def _document(self, state: JobState, number: int) -> bytes | None:
        if number in self._preserved:
            return self._preserved.pop(number)
        batch = state.batches.get(number)
        return None if batch is None else _encode(batch)


def changed_by(event: ev.Event, state: JobState) -> Iterable[int]:
    """The batches whose records `apply(state, event)` changes or creates."""
    batches = state.batches
    if isinstance(event, ev.BatchBlocked):
        return event.batches
    if isinstance(event, ev.BatchSkipped) and event.last:
        return ()
    if isinstance(event, ev.BatchRenewed):
        behind = [n for n, batch in batches.items() if batch.status == "blocked" and batch.blocked_by in event.batches]
        return (*event.batches, *behind)
    if isinstance(event, ev.BatchCompleted):
        return (event.batch, *_blocked_behind(event.batch, state))
    if isinstance(event, ev.JobResumed):
        again = [n for n, batch in batches.items() if batch.status in ("failed", "blocked", "cancelled")]
        return [*again, *state.job.questions]
    if isinstance(event, ev.ConfigReloaded):
        return [n for n, batch in batches.items() if batch.edited]
    if isinstance(event, ev.JobIsolated):
        return [n for n, batch in batches.items() if event.made and batch.baseline is not None]
    if isinstance(event, ev.JobCancelled):
        return [n for n, batch in batches.items() if batch.status in ("running", "waiting", "pending")]
    if isinstance(event, ev.JobPaused | ev.JobCompleted | ev.JobFailed):
        waiting = (*state.agenda.due_times, *state.agenda.queued)
        return [*state.job.questions, *(n for n in waiting if n in batches and batches[n].status == "waiting")]
    number = getattr(event, "batch", 0)
    return (number,) if number else ()


def _blocked_behind(number: int, state: JobState) -> list[int]:
    batch = state.batches.get(number)
    if batch is None or batch.status != "failed":
        return []
    return [n for n, other in state.batches.items() if other.status == "blocked" and other.blocked_by == number]


# --- on disk ----------------------------------------------------------------------------------------------------------


class _Head(msgspec.Struct):
    job_id: str
    job_name: str
    status: str
    format: int
    seq: int
    segment: int
    offset: int
    line: str
    job: JobRecord


_decode_head = msgspec.json.Decoder(_Head).decode
_BATCHES_BEGIN = b'"batches": {\n'
_BATCHES_END = b"},\n"


def _last_line(checksum: int) -> bytes:
    """`checksum` is the CRC-32 of everything before this line."""
    return b'"checksum": "%08x"}\n' % checksum


def _head(job: JobRecord, tip: Tip) -> bytes:
    grepped = {"job_id": job.job_id, "job_name": job.name, "status": job.status}
    place = {"format": SNAPSHOT_FORMAT, "seq": tip.seq, "segment": tip.segment, "offset": tip.offset, "line": tip.line}
    lines = [_encode(grepped)[1:-1].replace(b'":"', b'": "').replace(b',"', b', "'), _encode(place)[1:-1]]
    return b"{" + b",\n".join([*lines, b'"job": ' + _encode(job)]) + b",\n" + _BATCHES_BEGIN


class SnapshotFile:
    """Writes one snapshot at a time into a draft that takes the old one's place when it is complete."""

    def __init__(self, layout: Layout, files: Files) -> None:
        self._layout = layout
        self._files = files
        self._handle: int | None = None
        self._checksum = 0
        self._size = 0

    @property
    def is_open(self) -> bool:
        return self._handle is not None

    def begin(self, job: JobRecord, tip: Tip) -> None:
        self.abandon()
        self._checksum = self._size = 0
        self._handle = self._files.open_fresh(self._layout.snapshot_draft)
        self.add(_head(job, tip))

    def add(self, text: bytes) -> None:
        if text and self._handle is not None:
            write_all(self._files, self._handle, text)
            self._checksum = crc32(text, self._checksum)
            self._size += len(text)

    def finish(self) -> int:
        """Publish; returns the size in bytes."""
        assert self._handle is not None
        self.add(b"\n" + _BATCHES_END)
        self.add(_last_line(self._checksum))
        self._files.sync(self._handle)
        handle, self._handle = self._handle, None
        self._files.close(handle)
        self._files.replace(self._layout.snapshot_draft, self._layout.snapshot)
        self._files.sync_folder(self._layout.workspace)
        return self._size

    def abandon(self) -> None:
        """Forget what was begun, and give its room back."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            with contextlib.suppress(OSError):
                self._files.close(handle)
        with contextlib.suppress(OSError):
            self._files.remove(self._layout.snapshot_draft)


# --- reading ----------------------------------------------------------------------------------------------------------


class UnusableSnapshotError(Exception):
    """Why the journal has to be read from its beginning."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot read back."""

    job: JobRecord
    batches: dict[int, BatchState]
    tip: Tip
    size: int


def read_snapshot(layout: Layout, files: Files) -> Snapshot:
    """Raises `UnusableSnapshotError` when it is damaged, foreign or newer, `FileNotFoundError` when there is none."""
    text = _Lines(files, layout)
    try:
        head = _read_head(text)
        batches = dict(_read_batches(text))
        text.check_end()
    except (msgspec.DecodeError, ValueError) as error:
        raise UnusableSnapshotError(f"it is damaged ({error})") from error
    if head.job_id != layout.job_id:
        raise UnusableSnapshotError(f"it belongs to job `{head.job_id}`")
    return Snapshot(head.job, batches, Tip(head.seq, head.segment, head.offset, head.line), text.size)


def _read_head(text: _Lines) -> _Head:
    lines = []
    for line in text:
        if line == _BATCHES_BEGIN:
            break
        lines.append(line)
    head = _decode_head(b"".join(lines).removesuffix(b",\n") + b"}")
    if head.format != SNAPSHOT_FORMAT:
        raise UnusableSnapshotError(f"it has format {head.format}")
    return head


def _read_batches(text: _Lines) -> Iterator[tuple[int, BatchState]]:
    for line in text:
        if line == _BATCHES_END:
            return
        if line == b"\n":
            continue
        name, _, document = line.partition(b": ")
        batch = _decode_batch(document[: -2 if document.endswith(b",\n") else -1])
        if name != b'"%d"' % batch.number:
            raise UnusableSnapshotError("its lines are mixed up")
        yield batch.number, batch


class _Lines:
    """The file line by line, with the checksum of what has been read. Ends with `UnusableSnapshotError`."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self.size = 0
        self._checksum = 0
        self._lines = self._read(files, layout.snapshot)

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self._checksum = crc32(line, self._checksum)
            yield line

    def check_end(self) -> None:
        if next(self._lines, b"") != _last_line(self._checksum):
            raise UnusableSnapshotError("its checksum is wrong")

    def _read(self, files: Files, path: Path) -> Iterator[bytes]:
        rest = b""
        while chunk := files.read(path, self.size, CHUNK_BYTES):
            self.size += len(chunk)
            lines = (rest + chunk).splitlines(keepends=True)
            rest = b"" if chunk.endswith(b"\n") else lines.pop()
            yield from lines
        if rest:
            yield rest
        raise UnusableSnapshotError("it is cut off")
