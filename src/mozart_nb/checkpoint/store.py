"""The durable record of one job, as the driver uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mozart_nb.checkpoint import answers as answer_file
from mozart_nb.checkpoint.files import DiskFiles, Files
from mozart_nb.checkpoint.frames import ANSWERS, EVENTS
from mozart_nb.checkpoint.journal import SEGMENT_BYTES, Record
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import Loaded
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.checkpoint.snapshot import SnapshotEncoder
from mozart_nb.checkpoint.writer import Done, Work, Writer
from mozart_nb.engine.state import JobState
from mozart_nb.events import Answer, Event, encode_event

SNAPSHOT_AFTER_BYTES = 256 << 10
SNAPSHOT_GROWTH = 1.5
"""A snapshot is due when the journal has grown by so many bytes since the last one, and by so many times its size.

All snapshots of a job together then stay below twice its journal, and a load replays about half of it at most.
"""

BATCHES_PER_COMMIT = 64
BATCHES_PER_EVENT = 4
BATCHES_AT_ONCE = 256
"""So many batches of a snapshot are encoded in one turn of the loop at most: about half a millisecond."""

T = TypeVar("T")


class JobStore:
    """Implements `engine.ports.Store` on a job's folder. One writer: whoever holds the lock.

    The driver calls `append` and `apply` in turn, event by event, then `commit`. Everything that touches the disk
    happens in one thread of its own, in the order of the calls, even when a waiting `commit` is cancelled.

    When `commit` raises, what it could not save stays buffered and the next `commit` saves it: nothing must be
    appended twice. On a full disk the reserve makes room once: then everything is durable and `pressure` says why the
    job should pause all the same. From then on there are no more snapshots.

    `warnings` collects what people should know and what did not stop the job.
    """

    def __init__(
        self,
        layout: Layout,
        loaded: Loaded,
        *,
        files: Files | None = None,
        lock: JobLock | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        snapshot_after_bytes: int = SNAPSHOT_AFTER_BYTES,
    ) -> None:
        self.layout = layout
        self.pressure = ""
        self._files = files or DiskFiles()
        self._lock = lock
        self._writer = Writer(layout, self._files, loaded.tip, loaded.answers_bytes, segment_bytes=segment_bytes)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"journal-{layout.job_id}")
        self._answers: list[bytes] = []
        self._records: list[Record] = []
        self._answers_end = loaded.answers_bytes
        self._appended = loaded.tip.seq
        self._highest = max(loaded.state.batches, default=0)
        self._tail_bytes = loaded.tail_bytes
        self._snapshot_bytes = loaded.snapshot_bytes
        self._snapshot_seq = loaded.tip.seq if loaded.snapshot_bytes and not loaded.tail_bytes else -1
        self._snapshot_after = snapshot_after_bytes
        self._encoder: SnapshotEncoder | None = None
        self._abandoned = False
        self._has_unsaved = False
        self._is_closed = False

    @property
    def warnings(self) -> list[str]:
        return self._writer.warnings

    # --- ports.Store --------------------------------------------------------------------------------------------------

    def add_answer(self, answer: Answer) -> tuple[int, int]:
        """Buffer an answer; returns where its line will stand in `answers.jsonl` (offset, size in bytes)."""
        document = answer_file.encode_answer(answer)
        offset, size = self._answers_end, len(document) + ANSWERS.overhead
        self._answers.append(document)
        self._answers_end += size
        return offset, size

    def append(self, event: Event, state: JobState) -> None:
        """Buffer `event`, which is about to be applied to `state`.

        Raises `ValueError`, and buffers nothing, when the event cannot be written down (a lone surrogate in a text)
        or does not follow the last one.
        """
        if event.seq != self._appended + 1:
            raise ValueError(f"event {event.seq} does not follow {self._appended}")
        document = encode_event(event)
        self._records.append(Record(event.seq, document))
        self._appended = event.seq
        self._tail_bytes += len(document) + EVENTS.overhead
        if self._encoder is not None and not self._encoder.preserve(event, state):
            self._drop_snapshot()
        self._highest = max(self._highest, getattr(event, "batch", 0), *getattr(event, "batches", ()), 0)

    async def commit(self, state: JobState) -> None:
        """Make everything buffered durable, answers first, and go on with the snapshot if one is being taken.

        Raises `CheckpointUnwritableError`; what was durable before still is.
        """
        begin = None
        if self._encoder is None and self._is_snapshot_due(state):
            begin = self._begin_snapshot(state)
        if self._answers or self._records or self._encoder is not None or self._has_unsaved:
            count = BATCHES_PER_COMMIT + BATCHES_PER_EVENT * len(self._records)
            await self._do(state, begin, min(count, BATCHES_AT_ONCE))

    async def checkpoint(self, state: JobState) -> None:
        """Commit, and write a complete snapshot now. A snapshot that fails is a warning, never an error."""
        await self.commit(state)
        while self._snapshot_seq != state.job.seq:
            if self._encoder is not None:
                self._drop_snapshot()
            encoder = self._begin_snapshot(state)
            begin: SnapshotEncoder | None = encoder
            while self._encoder is encoder:
                await self._do(state, begin, BATCHES_AT_ONCE)
                begin = None
                await asyncio.sleep(0)
            if not self._abandoned:
                return

    async def read_answer(self, offset: int, size: int) -> Answer:
        """The answer that stands there. Raises `CheckpointCorruptError` when none does."""
        return await self._in_thread(lambda: answer_file.read_answer(self.layout, self._files, offset, size))

    async def close(self) -> None:
        """Release files and lock. What was not committed is not saved."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._in_thread(self._writer.close)
        finally:
            self._executor.shutdown()
            if self._lock is not None:
                self._lock.release()

    # --- the snapshot -------------------------------------------------------------------------------------------------

    def _is_snapshot_due(self, state: JobState) -> bool:
        grown = self._tail_bytes > max(self._snapshot_after, SNAPSHOT_GROWTH * self._snapshot_bytes)
        return grown and state.job.seq == self._appended

    def _begin_snapshot(self, state: JobState) -> SnapshotEncoder:
        if state.job.seq != self._appended:
            raise ValueError(f"event {self._appended} was appended but not applied")
        self._encoder = SnapshotEncoder(state, self._highest)
        self._tail_bytes = 0
        return self._encoder

    def _drop_snapshot(self) -> None:
        self._encoder = None
        self._abandoned = True

    # --- the thread ---------------------------------------------------------------------------------------------------

    async def _do(self, state: JobState, begin: SnapshotEncoder | None, count: int) -> None:
        """One errand of the writer: everything buffered, and the next slice of the snapshot."""
        encoder = self._encoder
        text = encoder.take(state, count) if encoder is not None else b""
        work = Work(
            answers=self._answers,
            records=self._records,
            begin=begin.job if begin is not None else None,
            text=text,
            finish=encoder is not None and encoder.finished,
            abandon=self._abandoned,
        )
        self._answers, self._records, self._abandoned = [], [], False
        done = await self._in_thread(lambda: self._writer.run(work))
        self._note_snapshot(done, encoder)
        self._has_unsaved = done.error is not None
        self.pressure = self._writer.pressure
        if done.error is not None:
            raise done.error

    def _note_snapshot(self, done: Done, encoder: SnapshotEncoder | None) -> None:
        if encoder is None or done.snapshot == "open":
            return
        if done.snapshot == "published":
            self._snapshot_bytes, self._snapshot_seq = done.snapshot_bytes, encoder.job.seq
        if self._encoder is encoder:
            self._encoder = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Shielded: a cancelled waiter must not take work out of the queue that state already counts on.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, work))
