"""The live attempts of a job, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from mozart_nb import events as ev
from mozart_nb.engine.attempt import Attempt


class Crew:
    """Starts, cancels and ends attempts. What a cancelled one leaves behind is told to `note`."""

    def __init__(self, note: Callable[[ev.Event], None]) -> None:
        self._note = note
        self._attempts: dict[int, tuple[Attempt, asyncio.Task[None]]] = {}
        self._cancelled: set[Attempt] = set()
        self._is_leaving = False

    def launch(self, attempt: Attempt, work: Coroutine[Any, Any, None]) -> None:
        """Let the attempt work; one attempt of a batch at a time."""
        batch = attempt.batch
        task = asyncio.create_task(work, name=f"mozart batch {batch.number} attempt {batch.attempts}")
        self._attempts[batch.number] = (attempt, task)
        task.add_done_callback(lambda _: self._is_over(attempt, task))

    def _is_over(self, attempt: Attempt, task: asyncio.Task[None]) -> None:
        number = attempt.batch.number
        if self._attempts.get(number, (None, None))[1] is task:
            del self._attempts[number]
        self._cancelled.discard(attempt)
        if not task.cancelled():
            return
        if not (self._is_leaving and attempt.detaching and attempt.batch.phase == "opened"):
            self._note(attempt.abandoned("stopped before it was sent" if attempt.is_unsent else "cancelled"))

    def cancel(self, *, unsent_only: bool = False) -> list[asyncio.Task[None]]:
        """Cancel every attempt, or those that have sent nothing yet; once, or their clean-up would be cut short."""
        tasks = []
        for attempt, task in self._attempts.values():
            if unsent_only and not attempt.is_unsent:
                continue
            if attempt not in self._cancelled:
                self._cancelled.add(attempt)
                task.cancel()
            tasks.append(task)
        return tasks

    async def leave(self, *, outlives: bool) -> None:
        """Leave no task behind; with `outlives`, sessions stay that somebody else will pick up."""
        self._is_leaving = True
        for attempt, _ in self._attempts.values():
            attempt.detaching = outlives
        await gather_quietly(self.cancel())


async def gather_quietly(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until every task is over, however it ended."""
    if tasks:
        await asyncio.wait(tasks)
