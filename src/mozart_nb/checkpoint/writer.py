"""Everything that writes to a job's folder while it runs. Lives in the journal's own thread."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mozart_nb.checkpoint.appending import AppendOnlyFile, SyncFailedError
from mozart_nb.checkpoint.files import FULL, Files, unwritable
from mozart_nb.checkpoint.frames import ANSWERS
from mozart_nb.checkpoint.journal import Journal, Record, Tip
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.snapshot import SnapshotFile
from mozart_nb.engine.state import JobRecord
from mozart_nb.errors import CheckpointUnwritableError

RESERVE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Work:
    """One errand: save answers and events, then go on with the snapshot.

    `begin` is the head of a snapshot of the state right after the last of `records`; `text` its next lines.
    """

    answers: Sequence[bytes] = ()
    records: Sequence[Record] = ()
    begin: JobRecord | None = None
    text: bytes = b""
    finish: bool = False
    abandon: bool = False


SnapshotProgress = Literal["none", "open", "published", "failed"]


@dataclass(frozen=True, slots=True)
class Done:
    """How an errand went. `error`: what was to be saved is kept here and saved by the next errand, if that can."""

    error: CheckpointUnwritableError | None
    snapshot: SnapshotProgress
    snapshot_bytes: int = 0


class Writer:
    """Saves in order, keeps what could not be saved, and never lets a snapshot stand in the way.

    `warnings` grows by what people should know; `pressure` says why the job should pause although everything is saved.
    Both are read from other threads and written by this one.
    """

    def __init__(self, layout: Layout, files: Files, tip: Tip, answers_bytes: int, *, segment_bytes: int) -> None:
        self.warnings: list[str] = []
        self.pressure = ""
        self._layout = layout
        self._files = files
        self._journal = Journal(layout, files, tip, segment_bytes=segment_bytes)
        self._answers = AppendOnlyFile(layout.answers, files, answers_bytes)
        self._snapshot = SnapshotFile(layout, files)
        self._unsaved_answers: deque[bytes] = deque()
        self._unsaved_records: deque[Record] = deque()
        self._has_reserve = False
        self._said: set[str] = set()
        self._make_reserve()

    def run(self, work: Work) -> Done:
        """Do one errand. Never raises for what a disk can do."""
        self._unsaved_answers.extend(ANSWERS.wrap(document) for document in work.answers)
        self._unsaved_records.extend(work.records)
        error = self._save()
        if error is not None:
            was_open = self._snapshot.is_open
            self._snapshot.abandon()  # gives its room back
            return Done(error, "failed" if was_open or work.begin else "none")
        return self._go_on_with_snapshot(work)

    def close(self) -> None:
        """Give back handles and room."""
        self._journal.close()
        self._answers.close()
        self._snapshot.abandon()
        with contextlib.suppress(OSError):
            self._files.remove(self._layout.reserve)

    # --- saving -------------------------------------------------------------------------------------------------------

    def _save(self) -> CheckpointUnwritableError | None:
        try:
            self._flush()
        except SyncFailedError as error:
            return self._write_anew(error)
        except OSError as error:
            return self._use_reserve(error)
        return None

    def _flush(self) -> None:
        if self._unsaved_answers:
            if self._answers.tainted:
                self._answers.mend()
            self._answers.append(b"".join(self._unsaved_answers))
            self._unsaved_answers.clear()
        if self._unsaved_records:
            self._journal.append(self._unsaved_records)
            self._unsaved_records.clear()

    def _write_anew(self, error: SyncFailedError) -> CheckpointUnwritableError | None:
        """A sync failed: write what is unproven once more, elsewhere (journal) or after cutting it off (answers)."""
        if error.errno in FULL:
            return self._use_reserve(error)
        try:
            self._flush()
        except OSError as again:
            return self._refusal(again)
        self._say(f"the disk failed to sync ({error}); what was in doubt was written again and is safe")
        return None

    def _use_reserve(self, error: OSError) -> CheckpointUnwritableError | None:
        """On a full disk the reserve makes room for what is in flight: enough for the job to pause."""
        refusal = self._refusal(error)
        if error.errno not in FULL or not self._release_reserve():
            return refusal
        self._snapshot.abandon()
        try:
            self._flush()
        except OSError as again:
            return self._refusal(again)
        self.pressure = refusal.message
        return None

    def _refusal(self, error: OSError) -> CheckpointUnwritableError:
        return unwritable(error, self._layout.root, self._layout.job_id)

    def _make_reserve(self) -> None:
        try:
            self._files.allocate(self._layout.reserve, RESERVE_BYTES)
            self._has_reserve = True
        except OSError:
            self._release_reserve()

    def _release_reserve(self) -> bool:
        """Whether that made room."""
        had, self._has_reserve = self._has_reserve, False
        with contextlib.suppress(OSError):
            self._files.remove(self._layout.reserve)
        return had

    # --- the snapshot -------------------------------------------------------------------------------------------------

    def _go_on_with_snapshot(self, work: Work) -> Done:
        try:
            if work.abandon:
                self._snapshot.abandon()
            if work.begin is not None and not self.pressure:
                self._snapshot.begin(work.begin, self._journal.tip)
            if not self._snapshot.is_open:
                return Done(None, "none")
            self._snapshot.add(work.text)
            if not work.finish:
                return Done(None, "open")
            return Done(None, "published", self._snapshot.finish())
        except OSError as error:
            self._snapshot.abandon()
            reason = unwritable(error, self._layout.snapshot).message
            self._say(f"{reason}; nothing is lost, the journal has everything")
            return Done(None, "failed")

    def _say(self, warning: str) -> None:
        if warning not in self._said:
            self._said.add(warning)
            self.warnings.append(warning)
