"""Who is told what happened, after it is durable.

Every observer has its own queue and task: a slow one is late, a broken one is reported once and then left alone, and
neither can hurt the run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from mozart_nb.events import Event, JobNotice

Observer = Callable[[Sequence[Event]], Awaitable[None]]


class Bus:
    """Hands bursts of events to observers."""

    def __init__(self) -> None:
        self._queues: dict[Observer, asyncio.Queue[Sequence[Event] | None]] = {}
        self._tasks: dict[Observer, asyncio.Task[None]] = {}
        self.broken: dict[str, str] = {}
        """Observers that raised: name to error."""

    @contextlib.asynccontextmanager
    async def subscribe(self, observer: Observer) -> AsyncIterator[None]:
        """Tell `observer` of every burst from now on; on leaving, it gets what is still queued."""
        queue: asyncio.Queue[Sequence[Event] | None] = asyncio.Queue()
        self._queues[observer] = queue
        self._tasks[observer] = asyncio.create_task(self._pump(observer, queue))
        try:
            yield
        finally:
            queue.put_nowait(None)
            self._queues.pop(observer, None)
            await self._tasks.pop(observer)

    def publish(self, events: Sequence[Event]) -> None:
        """Queue a burst for every observer; never blocks, never raises."""
        for queue in self._queues.values():
            queue.put_nowait(events)

    async def _pump(self, observer: Observer, queue: asyncio.Queue[Sequence[Event] | None]) -> None:
        while (burst := await queue.get()) is not None:
            try:
                await observer(burst)
            except Exception as error:
                self._report(observer, error)
                return

    def _report(self, observer: Observer, error: Exception) -> None:
        name = getattr(observer, "__qualname__", type(observer).__name__)
        self.broken[name] = f"{type(error).__name__}: {error}"
        self._queues.pop(observer, None)
        self.publish([JobNotice(message=f"{name} stopped working ({self.broken[name]}); the job goes on without it")])
