"""A job's events as they happen: the last ones first, then whatever its journal gets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import JournalReader
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import owner
from mozart_nb.errors import CheckpointCorruptError, UnknownJobError
from mozart_nb.looking.logs.filters import EVERYTHING, LogFilter
from mozart_nb.looking.logs.journal import end_of, last_events

GRACE_SECONDS: Final = 1.0
"""How long a job may have no host, or no record, before that counts: it may be about to be started over."""


class LogFollower:
    """Follows the journal of a job, through new segments, a new start and its removal. For one thread.

    Ask `poll` a few times a second until `is_over`. Each poll costs as much as was written meanwhile.
    """

    def __init__(
        self,
        layout: Layout,
        wanted: LogFilter = EVERYTHING,
        count: int = 50,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begins with the last `count` events that are wanted; 0 means all. Raises `UnknownJobError`."""
        self.is_over = False
        """Nobody runs the job any more, and all of it was handed out."""
        self.is_gone = False
        """The record of the job was removed."""
        self.notices: list[str] = []
        """What people should know about the lines to begin with."""
        self._layout = layout
        self._wanted = wanted
        self._now = now
        self._idle_since: float | None = None
        end = end_of(layout) if layout.exists else None
        self._earlier = last_events(layout, count, wanted, up_to=end.seq if end else 0, notices=self.notices)
        self._reader: JournalReader | None = JournalReader(layout, end)

    def poll(self) -> list[ev.Event]:
        """What is new and wanted. Raises `CheckpointCorruptError` and `CheckpointTooNewError`."""
        found, self._earlier = self._earlier, []
        found += [event for event in self._read() if self._wanted.wants(event)]
        if self._is_idle() and not found:
            found = [event for event in self._read() if self._wanted.wants(event)]  # its last words
            self.is_over, self.is_gone = True, not self._layout.exists
        return found

    def _read(self) -> list[ev.Event]:
        if not self._layout.exists:
            self._reader = None
            return []
        if self._reader is None:
            self._reader = JournalReader(self._layout)  # it is another one than before
        try:
            return self._reader.poll()
        except (CheckpointCorruptError, UnknownJobError, OSError):
            if self._layout.exists:
                raise
            self._reader = None
            return []  # it was moved away while we read

    def _is_idle(self) -> bool:
        """Whether nobody has run the job for a while."""
        if self._is_alive():
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = self._now()
        return self._now() - self._idle_since >= GRACE_SECONDS

    def _is_alive(self) -> bool:
        with contextlib.suppress(OSError):
            found = owner(self._layout)
            return found is not None and found.alive is not False
        return False
