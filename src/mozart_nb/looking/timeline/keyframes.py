"""The fold of a job's events with copies of it at intervals, so that any state of the past is a few events away.

A keyframe does not hold a whole state, only the records of batches that changed since the one before; copies share
whatever cannot change. A state handed out shares unchanged records with the keyframes, which never change them, and
gets its own copy of a record before an event of its tail changes it.
"""

from __future__ import annotations

import copy
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.journal import Tip
from mozart_nb.checkpoint.snapshot import changed_by
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import BatchState, JobRecord, JobState
from mozart_nb.looking.timeline.catching_up import Slices

INTERVAL: Final = 256
"""Events between two keyframes at first; doubled whenever they take too much room."""

MOST_COPIES: Final = 60_000
"""Copies of batch records, each of about half a kilobyte, before every second keyframe is dropped."""

_ROOM: Final = 3
_MOST_LISTED: Final = 4096
"""Batches changed by one event that are remembered one by one; of more, that anything may have changed."""

_NONE: Final = 0
_SEVERAL: Final = -1


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A state as it was when the journal ended at `tip`: the job's own record, and what changed since the last one."""

    tip: Tip
    job: JobRecord
    changed: dict[int, BatchState]


class Keyframes:
    """Folds events as they are taken. No I/O; used by one thread at a time."""

    def __init__(self, *, interval: int = INTERVAL, most_copies: int = MOST_COPIES) -> None:
        self._first_interval = interval
        self._most_copies = most_copies
        self.forget()

    def forget(self) -> None:
        """Begin anew, with no events."""
        self._state = JobState()
        self._interval = self._first_interval
        self._frames: list[Keyframe] = []
        self._dirty: set[int] = set()
        self._copies = 0
        self._times = array("d")
        self._touched = array("l")
        self._several: dict[int, tuple[int, ...] | None] = {}

    @property
    def last_seq(self) -> int:
        return len(self._times)

    def take(self, event: ev.Event, tip: Tip) -> None:
        """Fold `event`, whose line ends at `tip`. Raises `ValueError` or `LookupError` when it cannot follow."""
        numbers = tuple(changed_by(event, self._state))
        self._dirty.update(numbers)
        apply(self._state, event)
        self._times.append(self._state.job.at)
        self._remember(event, numbers)
        if not event.seq % self._interval:
            self._keep(tip)

    # --- questions ----------------------------------------------------------------------------------------------------

    def time_at(self, seq: int) -> float:
        """When event `seq` happened; 0.0 for an event that did not."""
        return self._times[seq - 1] if 1 <= seq <= self.last_seq else 0.0

    def seq_at(self, time: float) -> int:
        """The last event at or before `time`."""
        return bisect_right(self._times, time)

    def before(self, seq: int) -> Tip:
        """Where to read on to get from the last keyframe to event `seq`."""
        frames = self._up_to(seq)
        return frames[-1].tip if frames else Tip()

    def state_at(self, seq: int, tail: Iterable[ev.Event], slices: Slices) -> JobState:
        """The state after event `seq`; `tail` are the events after `before(seq)`, as many as there are.

        Raises `LookupError` when the tail ends too early, `ValueError` when it does not follow.
        """
        state = self._restored(self._up_to(seq), slices)
        own: set[int] = set()
        for event in tail if state.job.seq < seq else ():
            _disown(state, event, own)
            apply(state, event)
            if event.seq == seq:
                return state
            slices.rest()
        if state.job.seq < seq:
            raise LookupError(f"the journal ends before event {seq}")
        return state

    def changed(self, one: int, other: int) -> frozenset[int] | None:
        """Batches that the events between two positions changed; None when it may be any."""
        low, high = max(0, min(one, other)), min(max(one, other), self.last_seq)
        found = set(self._touched[low:high])
        if _SEVERAL in found:
            for index in range(low, high):
                if self._touched[index] == _SEVERAL:
                    numbers = self._several[index + 1]
                    if numbers is None:
                        return None
                    found.update(numbers)
        return frozenset(found - {_SEVERAL, _NONE})

    # --- inside -------------------------------------------------------------------------------------------------------

    def _remember(self, event: ev.Event, numbers: tuple[int, ...]) -> None:
        """Which batches look different after `event`, which changed the records of `numbers`."""
        several: tuple[int, ...] | None = numbers
        if isinstance(event, ev.JobPlanned | ev.ConfigReloaded):
            several = None
        elif isinstance(event, ev.BatchSkipped) and event.last:
            several = tuple(range(event.batch, min(event.last, event.batch + _MOST_LISTED) + 1))
        if several is not None and len(several) <= 1:
            self._touched.append(several[0] if several else _NONE)
            return
        self._touched.append(_SEVERAL)
        self._several[self.last_seq] = several if several is not None and len(several) <= _MOST_LISTED else None

    def _keep(self, tip: Tip) -> None:
        batches = self._state.batches
        changed = {number: copy.copy(batches[number]) for number in self._dirty if number in batches}
        self._dirty.clear()
        self._frames.append(Keyframe(tip, self._state.job.still(), changed))
        self._copies += len(changed)
        if self._copies > max(self._most_copies, _ROOM * len(batches)):
            self._thin()

    def _thin(self) -> None:
        """Drop every second keyframe, and the copies that only it needed."""
        self._interval *= 2
        kept: list[Keyframe] = []
        changed: dict[int, BatchState] = {}
        for frame in self._frames:
            changed.update(frame.changed)
            if not frame.tip.seq % self._interval:
                kept.append(Keyframe(frame.tip, frame.job, changed))
                changed = {}
        self._dirty.update(changed)
        self._frames = kept
        self._copies = sum(len(frame.changed) for frame in kept)

    def _up_to(self, seq: int) -> list[Keyframe]:
        return self._frames[: max(0, seq) // self._interval]

    def _restored(self, frames: list[Keyframe], slices: Slices) -> JobState:
        if not frames:
            return JobState()
        batches: dict[int, BatchState] = {}
        for frame in frames:
            batches.update(frame.changed)
            slices.rest()
        return JobState(frames[-1].job.still(), batches)


def _disown(state: JobState, event: ev.Event, own: set[int]) -> None:
    """Replace shared records that `event` is about to change by copies."""
    for number in changed_by(event, state):
        batch = state.batches.get(number)
        if batch is not None and number not in own:
            state.batches[number] = copy.copy(batch)
        own.add(number)
