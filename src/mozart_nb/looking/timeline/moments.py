"""Random access to the past of a job, from any event loop: a worker thread reads, the latest request wins."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import Final, Literal

from mozart_nb import events as ev
from mozart_nb.checkpoint.journal import Tip
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.codes import lookup
from mozart_nb.engine.state import JobState
from mozart_nb.errors import CheckpointCorruptError
from mozart_nb.looking.timeline.catching_up import CatchingUp, GoesOn, InterruptedReadError, Slices, always
from mozart_nb.looking.timeline.keyframes import INTERVAL, MOST_COPIES, Keyframes
from mozart_nb.words import one_line, roughly

MarkKind = Literal["planned", "run", "wait", "pausing", "paused", "completed", "failed", "cancelled"]

MOST_MARKS: Final = 400
"""Marks that are kept; of a job with more, every second wait is left out, again and again."""

_LABEL_WIDTH: Final = 120
_TRIES: Final = 4


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

    All reading happens in a worker thread; the first request reads the whole journal once, later ones a few hundred
    events. Every method that reads raises `UnknownJobError`, `CheckpointCorruptError` and `CheckpointTooNewError`.
    """

    def __init__(self, layout: Layout, *, interval: int = INTERVAL, most_copies: int = MOST_COPIES) -> None:
        self._past = _Past(Keyframes(interval=interval, most_copies=most_copies))
        self._reader = CatchingUp(layout, self._past)
        self._lock = threading.Lock()
        self._request = 0
        self._closings = 0

    async def moments(self) -> Moments:
        """What is known; reads the journal when nothing is known yet."""
        return await asyncio.to_thread(self._moments, self._while_open(), refresh=False)

    async def refresh(self) -> Moments:
        """The same, after reading what has been written since."""
        return await asyncio.to_thread(self._moments, self._while_open(), refresh=True)

    async def at(self, position: int) -> JobState | None:
        """The state after event `position` (cut to 0..last_seq). No later request changes it; do not fold on it.

        Of several requests the latest wins: those before it return None, soon.
        """
        self._request += 1
        mine, is_open = self._request, self._while_open()
        try:
            state = await asyncio.to_thread(self.state_at, position, lambda: mine == self._request and is_open())
        except InterruptedReadError:
            return None
        except asyncio.CancelledError:
            self._request += mine == self._request  # its thread need not go on
            raise
        return state if mine == self._request else None

    async def seq_at(self, time: float) -> int:
        """The last event at or before `time` (epoch seconds); 0 when the job began later."""
        await self.moments()
        return self._past.frames.seq_at(time)

    async def time_at(self, position: int) -> float:
        """When event `position` happened, epoch seconds; 0.0 where there is no such event."""
        await self.moments()
        return self._past.frames.time_at(position)

    async def changed(self, one: int, other: int) -> frozenset[int] | None:
        """Batches whose looks may differ between two positions; None when it may be any (the plan changed)."""
        await self.moments()
        return await asyncio.to_thread(self._changed, one, other)

    def close(self) -> None:
        """Let go: what is under way ends soon, `at` with None. The timeline may be used again afterwards."""
        self._closings += 1

    def state_at(self, position: int, goes_on: GoesOn = always) -> JobState:
        """The same as `at` for threads: it blocks, and raises `InterruptedReadError` once `goes_on()` is false."""
        with self._lock:
            if not goes_on():
                raise InterruptedReadError
            for _ in range(_TRIES - 1):
                with contextlib.suppress(CheckpointCorruptError, FileNotFoundError):
                    return self._read_state(position, goes_on)
            return self._read_state(position, goes_on)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _while_open(self) -> GoesOn:
        closings = self._closings
        return lambda: self._closings == closings

    def _moments(self, goes_on: GoesOn, *, refresh: bool) -> Moments:
        with self._lock:
            if refresh or not self._past.frames.last_seq:
                with contextlib.suppress(InterruptedReadError):
                    self._reader.catch_up(goes_on)
            return self._past.moments(self._reader.record)

    def _changed(self, one: int, other: int) -> frozenset[int] | None:
        with self._lock:
            return self._past.frames.changed(one, other)

    def _read_state(self, position: int, goes_on: GoesOn) -> JobState:
        """Raises `CheckpointCorruptError` also when the journal changed meanwhile: another look will tell."""
        frames = self._past.frames
        if position > frames.last_seq or not self._reader.check():
            self._reader.catch_up(goes_on)
        seq = max(0, min(position, frames.last_seq))
        scan = self._reader.scan(frames.before(seq))
        try:
            return frames.state_at(seq, scan, Slices(goes_on))
        except (ValueError, LookupError) as error:
            raise scan.broken_after_tip(error) from error


class Marks:
    """The marks that the events of a job leave on the slider. Events of other kinds than `KINDS` leave none."""

    KINDS: Final = tuple(
        ev.kind_of(kind)
        for kind in (
            ev.JobPlanned,
            ev.JobStarted,
            ev.JobResumed,
            ev.LimitHit,
            ev.BreakerOpened,
            ev.JobPausing,
            ev.JobPaused,
            ev.JobCompleted,
            ev.JobFailed,
            ev.JobCancelled,
        )
    )

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Another journal begins."""
        self.found: list[Mark] = []
        self._runs = 0
        self._waits = 0

    def hear(self, event: ev.Event) -> None:
        """The next event."""
        mark = self._mark(event)
        if mark is not None:
            self.found.append(mark)
            if len(self.found) > MOST_MARKS:
                self.found = _thinned(self.found)

    def _mark(self, event: ev.Event) -> Mark | None:
        match event:
            case ev.JobPlanned():
                return _mark(event, "planned", "planned")
            case ev.JobStarted() | ev.JobResumed():
                self._runs += 1
                crashed = isinstance(event, ev.JobResumed) and event.crashed
                return _mark(event, "run", f"run {self._runs}{', after a crash' if crashed else ''}")
            case ev.LimitHit() if event.number > self._waits:  # a burst of refusals is one wait
                self._waits = event.number
                return _mark(event, "wait", f"{event.code} {lookup(event.code).meaning}: {roughly(event.wait_seconds)}")
            case ev.BreakerOpened():
                return _mark(event, "wait", f"circuit breaker: {event.failures} failures in a row")
            case ev.JobPausing():
                return _mark(event, "pausing", event.reason)
            case ev.JobPaused():
                return _mark(event, "paused", event.reason)
            case ev.JobCompleted():
                return _mark(event, "completed", "")
            case ev.JobFailed():
                return _mark(event, "failed", event.reason)
            case ev.JobCancelled():
                return _mark(event, "cancelled", "")
            case _:
                return None


class _Past:
    """What is remembered of the events read: keyframes, and the marks of the slider."""

    def __init__(self, frames: Keyframes) -> None:
        self.frames = frames
        self._marks = Marks()

    def take(self, event: ev.Event, tip: Tip) -> None:
        self.frames.take(event, tip)
        self._marks.hear(event)

    def forget(self) -> None:
        self.frames.forget()
        self._marks.forget()

    def moments(self, record: int) -> Moments:
        last = self.frames.last_seq
        return Moments(last, self.frames.time_at(1), self.frames.time_at(last), tuple(self._marks.found), record)


def _mark(event: ev.Event, kind: MarkKind, label: str) -> Mark:
    return Mark(event.seq, event.at, kind, one_line(label, _LABEL_WIDTH) or kind)


def _thinned(marks: list[Mark]) -> list[Mark]:
    """Every second wait is left out; where that is not enough, every second of all."""
    kept = [mark for index, mark in enumerate(marks) if index % 2 or mark.kind not in ("wait", "pausing")]
    return kept if len(kept) <= MOST_MARKS else kept[::2]
