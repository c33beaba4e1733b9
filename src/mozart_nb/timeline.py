"""Any moment of a job's past: the state as it was after any of its events.

timeline = Timeline(layout)
moments = await timeline.moments()          # how long the slider is, and its marks
state = await timeline.at(moments.last_seq // 2)
if state is not None: ...                   # None: a newer request has taken this one's place
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.state import JobState

MarkKind = Literal["planned", "run", "wait", "pausing", "paused", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment worth a mark on the slider: `run` begins a run, `wait` a rate limit or an open circuit breaker."""

    seq: int
    at: float
    kind: MarkKind
    label: str


@dataclass(frozen=True, slots=True)
class Moments:
    """How far the past reaches: positions are the `seq` of events, 1 to `last_seq`. Times in epoch seconds.

    `record` counts how often the job has been started over while it was looked at: positions of another record mean
    nothing in this one. A job without events has `last_seq` 0.
    """

    last_seq: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    marks: tuple[Mark, ...] = ()
    record: int = 0


class Timeline:
    """Random access to the states of a job, finished or running. Methods may be called from any event loop.

    All reading happens in a worker thread; the first request reads the whole journal once. Raises
    `UnknownJobError`, `CheckpointCorruptError` and `CheckpointTooNewError` from every method that reads.
    """

    def __init__(self, layout: Layout) -> None:
        raise NotImplementedError

    async def moments(self) -> Moments:
        """What is known; reads the journal when nothing is known yet."""
        raise NotImplementedError

    async def refresh(self) -> Moments:
        """The same, after reading what has been written since."""
        raise NotImplementedError

    async def at(self, position: int) -> JobState | None:
        """The state after event `position` (cut to 0..last_seq); a state of its own that nothing changes later.

        Of several requests the latest wins: the others return None, at once.
        """
        raise NotImplementedError

    async def seq_at(self, time: float) -> int:
        """The last event at or before `time` (epoch seconds); 0 when the job began later."""
        raise NotImplementedError

    async def time_at(self, position: int) -> float:
        """When event `position` happened, epoch seconds; 0.0 for position 0."""
        raise NotImplementedError

    async def changed(self, one: int, other: int) -> frozenset[int] | None:
        """Batches whose looks may differ between two positions; None when everything may (the plan changed)."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go: a request under way returns None. The timeline may be used again afterwards."""
        raise NotImplementedError
