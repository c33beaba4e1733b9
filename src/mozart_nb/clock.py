"""Real time with its two faces: the wall clock, and a fair clock that stands still while the event loop is blocked."""

from __future__ import annotations

import asyncio
import time
from typing import Self

HEARTBEAT_SECONDS = 0.1
"""How often the loop proves that it is alive."""

_TOLERANCE = 2 * HEARTBEAT_SECONDS
# A gap up to this long between two heartbeats counts in full; of a longer one only this much counts.


class SystemClock:
    """The machine's time, as the `Clock` port asks for it.

    Inside `async with` a heartbeat notices when the loop was blocked, and `fair()` leaves that time out: a notebook
    cell that computes for a minute must not turn a session that finished meanwhile into a timeout. Several jobs on one
    loop may enter the same clock. Outside `async with` nobody listens for gaps and `fair()` is plain monotonic time.
    Time during which the machine was suspended does not count either way (Linux and macOS).
    """

    def __init__(self) -> None:
        self._users = 0
        self._beat: asyncio.TimerHandle | None = None
        self._last_beat = 0.0
        self._blocked = 0.0

    def wall(self) -> float:
        """UTC epoch seconds. Jumps when the machine's clock is set."""
        return time.time()

    def fair(self) -> float:
        """Seconds from an arbitrary start, never backwards, without those in which the loop was blocked."""
        now = time.monotonic()
        return now - self._blocked - self._gap(now)

    @property
    def blocked_seconds(self) -> float:
        """Seconds left out so far because the loop was blocked; differences of it tell how busy a kernel was."""
        return self._blocked + self._gap(time.monotonic())

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)

    async def __aenter__(self) -> Self:
        self._users += 1
        if self._users == 1:
            self._last_beat = time.monotonic()
            self._schedule(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._users == 0 and self._beat is not None:
            self._blocked += self._gap(time.monotonic())
            self._beat.cancel()
            self._beat = None

    def _gap(self, now: float) -> float:
        """Seconds since the last heartbeat that count as blocked."""
        return max(0.0, now - self._last_beat - _TOLERANCE) if self._beat is not None else 0.0

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        # A timer handle instead of a task: stopping it needs no await, so leaving the block cannot be interrupted.
        self._beat = loop.call_later(HEARTBEAT_SECONDS, self._on_beat, loop)

    def _on_beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        self._blocked += self._gap(now)
        self._last_beat = now
        self._schedule(loop)
