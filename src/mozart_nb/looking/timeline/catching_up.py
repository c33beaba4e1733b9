"""Reading a growing journal from a worker thread, a slice at a time, so that nobody who shares the process notices.

A listener hears every event once, in order, with the place where its line ends. When the journal is no longer the one
that was read (the job was started over, or its host wrote its last lines again after a crash), the listener is told to
forget everything and hears it all again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.journal import JournalScan, Tip, first_line
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import stands_in_journal
from mozart_nb.errors import CheckpointCorruptError, UnknownJobError
from mozart_nb.events import Event

SLICE_SECONDS: Final = 0.003
"""How long a thread works on before it lets others have the interpreter."""

_PAUSE_SECONDS: Final = 0.0004
_PATIENCE_SECONDS: Final = 0.02
_TRIES: Final = 4

GoesOn = Callable[[], bool]


class Listener(Protocol):
    """Whoever is told what a journal holds."""

    def take(self, event: Event, tip: Tip) -> None:
        """The next event; its line ends at `tip`. Raises `ValueError` or `LookupError` when it cannot follow."""

    def forget(self) -> None:
        """Everything heard so far counts no more; it begins anew."""


class InterruptedReadError(Exception):
    """Nobody waits for the result any more."""


def always() -> bool:
    return True


class Slices:
    """Cuts long work into slices: call `rest` often.

    A thread that computes gives up the interpreter only when another asks, after 5 ms; a loop that asks many times per
    turn would stand still. So a worker thread itself pauses, sooner and for longer than the loop needs to notice. The
    main thread does not: whoever reads there blocks its own loop anyway, and should get through.
    """

    def __init__(self, goes_on: GoesOn = always) -> None:
        self._goes_on = goes_on
        self._gives_way = threading.current_thread() is not threading.main_thread()
        self._until = time.monotonic() + SLICE_SECONDS

    def rest(self) -> None:
        """Pause when the slice is used up. Raises `InterruptedReadError` when nobody waits any more."""
        if time.monotonic() >= self._until:
            if not self._goes_on():
                raise InterruptedReadError
            if self._gives_way:
                time.sleep(_PAUSE_SECONDS)
            self._until = time.monotonic() + SLICE_SECONDS


class CatchingUp:
    """Keeps one listener up to date. Used by one thread at a time.

    `tip` is the last event heard; `record` counts how often the job was started over meanwhile.
    """

    def __init__(self, layout: Layout, listener: Listener) -> None:
        self.tip = Tip()
        self.record = 0
        self._layout = layout
        self._listener = listener
        self._files = DiskFiles()
        self._first_line = ""

    def catch_up(self, goes_on: GoesOn = always) -> None:
        """Hear what has been written since.

        Raises `InterruptedReadError` (the next call goes on from there), `UnknownJobError`, `CheckpointCorruptError`,
        `CheckpointTooNewError`.
        """
        for again in reversed(range(_TRIES)):
            self.check()
            try:
                self._hear(Slices(goes_on))
                break
            except (CheckpointCorruptError, FileNotFoundError):
                self._forget()
                if not again:
                    raise
            # The host may be in the middle of mending its file, or of moving it away.
            time.sleep(_PATIENCE_SECONDS)

    def check(self) -> bool:
        """Whether what was heard still stands; else it is forgotten. Raises `UnknownJobError`."""
        if not self._layout.exists:
            job_id, workspace = self._layout.job_id, self._layout.workspace
            raise UnknownJobError(f"there is no job `{job_id}` in {workspace}", job_id=job_id)
        if not self.tip.seq:
            self._first_line = self._read_first_line()
            return True
        if self._read_first_line() != self._first_line:
            self.record += 1
        elif stands_in_journal(self.tip, self._layout, self._files):
            return True
        self._forget()
        return False

    def scan(self, after: Tip) -> JournalScan:
        """The events from a place that was heard of before."""
        return JournalScan(self._layout, self._files, after)

    def _hear(self, slices: Slices) -> None:
        scan = self.scan(self.tip)
        for event in scan:
            try:
                self._listener.take(event, scan.tip)
            except (ValueError, LookupError) as error:
                raise scan.broken_after_tip(error) from error
            self.tip = scan.tip
            slices.rest()

    def _forget(self) -> None:
        self.tip = Tip()
        self._first_line = self._read_first_line()
        self._listener.forget()

    def _read_first_line(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            line = first_line(self._files, self._layout, 1)
            return line.checksum if line is not None else ""
        return ""
