"""A job that another process runs, followed through its journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import JournalReader, load_for_reading
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import owner
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import JobState

POLL_SECONDS: Final = 0.25
OWNER_EVERY: Final = 8
"""Polls between two looks at whether the host still lives."""


class Follower:
    """A copy of a job's state that follows its journal."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        loaded = load_for_reading(layout)
        self.state: JobState = loaded.state
        self._reader = JournalReader(layout, loaded.tip)

    def poll(self) -> list[ev.Event]:
        """What happened since the last call, applied to `state`."""
        events = self.fetch()
        self.take(events)
        return events

    def fetch(self) -> list[ev.Event]:
        """What happened since the last call, not yet applied; blocks while it reads, so call it in a thread."""
        return self._reader.poll()

    def take(self, events: Sequence[ev.Event]) -> None:
        """Apply what was fetched, in that order."""
        for event in events:
            if event.seq == 1:
                self.state = JobState()  # started over
            apply(self.state, event)

    @property
    def is_alive(self) -> bool:
        """Whether a host runs the job; other machines are believed."""
        found = owner(self.layout)
        return found is not None and found.alive is not False


def follow(
    follower: Follower,
    hear: Callable[[list[ev.Event]], None],
    *,
    until: Callable[[JobState], bool] = lambda state: state.is_settled,
    seconds: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Poll until `until` holds (True), or the host is gone or `seconds` are over (False). `hear` gets every poll."""
    deadline = None if seconds is None else time.monotonic() + seconds
    polls = 0
    while True:
        hear(follower.poll())
        if until(follower.state):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False
        polls += 1
        if polls % OWNER_EVERY == 0 and not follower.is_alive:
            hear(follower.poll())  # its last words
            return until(follower.state)
        sleep(POLL_SECONDS)
