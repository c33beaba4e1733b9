"""Where everything arrives that can influence a running job."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mozart_nb import events as ev
from mozart_nb.engine.ports import Request

SHORTEST_SECONDS = 0.001


@dataclass(slots=True)
class Message:
    """An event that happened, or a request. `done` is resolved once the event is durable."""

    event: ev.Event | None = None
    answer: ev.Answer | None = None
    request: Request | None = None
    done: asyncio.Future[None] | None = None


class Inbox:
    """Messages in the order in which they came, and a bell. For one loop."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._bell = asyncio.Event()

    def post(self, message: Message) -> None:
        """Put a message in and ring."""
        self._messages.append(message)
        self._bell.set()

    def ring(self) -> None:
        """Have the driver look again although nothing came."""
        self._bell.set()

    def take(self) -> list[Message]:
        """All that has come since the last time."""
        self._bell.clear()
        messages, self._messages = self._messages, []
        return messages

    async def wait(self, seconds: float | None) -> None:
        """Until something comes, but no longer than `seconds`; not at all if something is there."""
        timer = None
        if seconds is not None:
            # Never no time at all: a moment that rounding leaves a hair ahead would be waited for again and again.
            timer = asyncio.get_running_loop().call_later(max(SHORTEST_SECONDS, seconds), self._bell.set)
        try:
            await self._bell.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def __len__(self) -> int:
        return len(self._messages)
