"""Ends what takes too long, or says nothing for too long, in time that does not run while the event loop is blocked."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Literal, Self

from mozart_nb.engine.ports import Clock

Cause = Literal["", "timeout", "stale"]


class Deadline:
    """Cancels the block it surrounds and swallows that cancellation; `cause` then says why.

    `total_seconds` is for the whole block, `idle_seconds` (0: off) for the time since it began or `heard` was called.
    Nothing is scheduled per call of `heard`. A cancellation from elsewhere goes through.
    """

    def __init__(self, clock: Clock, total_seconds: float, idle_seconds: float = 0.0) -> None:
        self.cause: Cause = ""
        self._clock = clock
        self._idle = idle_seconds
        self._end = clock.fair() + total_seconds
        self._last = clock.fair()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def heard(self) -> None:
        """Something was said."""
        self._last = self._clock.fair()

    def shorten(self, seconds: float) -> None:
        """Allow at most so many more seconds from now."""
        self._end = min(self._end, self._clock.fair() + seconds)
        self._arm()

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._last = self._clock.fair()
        self._arm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        if not self.cause or self._task is None:
            return False
        ours = self._task.uncancel() <= self._cancelling
        return ours and kind is not None and issubclass(kind, asyncio.CancelledError)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = min(self._end, self._last + self._idle) if self._idle else self._end
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - self._clock.fair()), self._on_time)

    def _on_time(self) -> None:
        now = self._clock.fair()
        if now >= self._end:
            self.cause = "timeout"
        elif self._idle and now >= self._last + self._idle:
            self.cause = "stale"
        else:
            self._arm()  # something was said meanwhile, or the loop was blocked
            return
        assert self._task is not None
        self._task.cancel()
