"""A place of its own for what the sessions of a job do to files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from mozart_nb.events import Event

Ending = Literal["completed", "failed", "cancelled"]
"""How a job is about to settle; one that only pauses leaves its worktree as it is."""


class Isolation(Protocol):
    """The worktree that a run works in, from its first session to its last."""

    def wind_up(self, ending: Ending, note: Callable[[Event], None]) -> None:
        """Keep or remove the worktree, now that nothing runs in it any more; returns at once.

        `note` is called on the loop, once, with what became of it: the job settles then. Called again meanwhile, this
        does nothing.
        """

    async def close(self) -> None:
        """The run is over: bring what is under way to its end and let go of the worktree. Bounded in time."""
