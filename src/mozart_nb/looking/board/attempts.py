"""The attempts of a batch without waiting for an index of a whole night's journal."""

from __future__ import annotations

import threading
from typing import Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.looking.details.attempts import MOST_EVENTS, AttemptIndex
from mozart_nb.looking.logs import LogFilter, last_events

SMALL_BYTES: Final = 8 << 20
"""A journal up to this size is indexed at once, in about a sixth of a second."""


class PatientAttempts(AttemptIndex):
    """An index that is made in the background where the journal is long; a search answers as long as it is not there.

    A search through 140 MB takes under half a second, the index of them three seconds, and then half a millisecond.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._place = layout
        self._making: threading.Thread | None = None
        self._is_made = False
        self._guard = threading.Lock()

    def events(self, number: int) -> list[ev.Event]:
        if self._is_made or self._is_small():
            return super().events(number)
        self._begin()
        found = last_events(self._place, MOST_EVENTS, LogFilter(batch=number))
        return [event for event in found if getattr(event, "batch", 0) == number]

    def _is_small(self) -> bool:
        try:
            size = sum(path.stat().st_size for path in self._place.journal.iterdir())
        except OSError:
            return True
        self._is_made = size <= SMALL_BYTES
        return self._is_made

    def _begin(self) -> None:
        with self._guard:
            if self._making is None or not self._making.is_alive():
                self._making = threading.Thread(target=self._make, name="mozart-attempts", daemon=True)
                self._making.start()

    def _make(self) -> None:
        try:
            super().events(0)
        except Exception:
            return
        self._is_made = True
