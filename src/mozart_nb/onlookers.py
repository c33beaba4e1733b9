"""Who listens to a run besides its host: log file, history, notifications. They see events only, and cannot hurt it.

Each hands what it hears to a thread or a process of its own. Its `close` puts away what is left, in bounded time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from mozart_nb.engine.state import JobState
from mozart_nb.events import Event
from mozart_nb.plans.prepared import Prepared

Tell = Callable[[str], None]
"""Says something to whoever watches the run, once; may be called from any thread."""


class Onlooker(Protocol):
    """One who listens."""

    async def observe(self, events: Sequence[Event]) -> None:
        """Hear a burst of events; returns at once."""

    async def close(self) -> None:
        """The run is over: put away what is left. Never raises."""


def onlookers(prepared: Prepared, state: JobState, tell: Tell) -> list[Onlooker]:
    """Who listens to this run. Call it on the job's loop; `state` is the driver's and may be read there only."""
    return []


def from_any_thread(tell: Tell) -> Tell:
    """`tell` of the present loop, for others; what comes after the loop's end is said to nobody."""
    loop = asyncio.get_running_loop()

    def said(text: str) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, text)

    return said
