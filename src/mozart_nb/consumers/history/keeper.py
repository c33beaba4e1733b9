"""Keeps the history in step with a run: an observer that copies on the loop and writes in a thread of its own.

    keeper = HistoryKeeper(database=home() / "history.db", state=driver.state, ...)
    observers = [*observers, keeper.observe]
    await keeper.close()                        after the observers are drained

On the loop it notes which batches were touched and, every second or so, copies what stands about them. Everything else
happens in the thread: importing SQLAlchemy, opening, catching up with the journal, writing. What could not be written
is caught up with next time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from mozart_nb import events as ev
from mozart_nb.consumers.history.identity import SETTLING, SWEEPING, SWEPT, journal_of, named_by, sweeps
from mozart_nb.consumers.history.parcel import Answer, Delivery, Parcel, ReadSince
from mozart_nb.consumers.history.section import JobIdentity, Section
from mozart_nb.consumers.history.thread import LooseThread
from mozart_nb.engine.state import JobState

if TYPE_CHECKING:
    from mozart_nb.consumers.history.recorder import Recorder

FLUSH_SECONDS: Final = 2.0
"""So much time lies between two writes, but for the last ones of a run."""

COPIED_AT_ONCE: Final = 2_000
"""Batches that are copied for one write: that takes the loop about a millisecond."""

EVENTS_AT_ONCE: Final = 10_000
"""So many events are written before the time has come."""

MOST_EVENTS: Final = 50_000
"""Events that are kept for a write that takes long; beyond it they are read from the journal."""

CLOSE_SECONDS: Final = 0.5
"""How long another process that writes is waited for when the run is over."""

LONGEST_CLOSE_SECONDS: Final = 3.0
"""How long the last batches may take to be written, as after the end of a run with a hundred thousand of them."""


_copy: Final = msgspec.structs.replace


def _no_deliveries() -> Iterable[Delivery]:
    return ()


class HistoryKeeper:
    """Observes one run of a job. Cheap to make; the first write starts the thread.

    `state` is the driver's, read on its loop only. `mirror` is where the job's mirror goes, None without one.
    `read_since` and `deliveries` are called in the thread. `tell` is called from there, at most once per trouble.
    """

    def __init__(
        self,
        *,
        database: Path | None,
        mirror: Path | None,
        state: JobState,
        identity: JobIdentity,
        read_since: ReadSince,
        tell: Callable[[str], None],
        sections: Sequence[Section] = (),
        deliveries: Callable[[], Iterable[Delivery]] = _no_deliveries,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        """`database` None: there is only the mirror, as for a job that is no part of the history."""
        self._state = state
        self._identity = identity
        self._places = (database, mirror)
        self._read_since = read_since
        self._sections = tuple(sections)
        self._deliveries = deliveries
        self._tell = tell
        self._flush_seconds = flush_seconds
        self._events: list[ev.Event] = []
        self._touched: set[int] = set()
        self._is_swept = True
        self._since = -1
        self._seq = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flight: asyncio.Future[Answer] | None = None
        self._is_urgent = False
        self._is_closed = False
        self._is_off = False
        self._executor: LooseThread | None = None
        self._recorder: Recorder | None = None
        self._patient_until = self._reads_until = float("inf")

    # --- on the event loop --------------------------------------------------------------------------------------------

    async def observe(self, events: Sequence[ev.Event]) -> None:
        """Take a burst; returns at once and never raises."""
        heard = [event for event in events if event.seq]
        if not heard or self._is_off:
            return
        if self._since < 0:
            self._since = heard[0].seq - 1
        self._seq = heard[-1].seq
        self._note(heard)
        if self._flight is None and (self._is_urgent or len(self._events) >= EVENTS_AT_ONCE):
            self._flush()
        elif self._flight is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._flush_seconds, self._flush)

    def _note(self, heard: Sequence[ev.Event]) -> None:
        touched = self._touched
        for event in heard:
            number = getattr(event, "batch", 0)
            if number:
                touched.add(number)
            if type(event) in _UNUSUAL:
                touched.update(named_by(event))
                self._is_swept = self._is_swept and not sweeps(event)
                self._is_urgent = self._is_urgent or isinstance(event, SETTLING)
        self._events += heard
        if len(self._events) > MOST_EVENTS:
            self._events = []

    def _flush(self) -> None:
        """Copy what is new and have it written; what comes meanwhile waits for the next time."""
        self._cancel_timer()
        if self._flight is not None:
            return
        self._is_urgent = False
        parcel = self._parcel()
        if self._executor is None:
            self._executor = LooseThread("mozart-history")
        self._flight = asyncio.get_running_loop().run_in_executor(self._executor, self._write, parcel)
        self._flight.add_done_callback(lambda done: self._landed(done, is_last=parcel.drained))

    def _parcel(self) -> Parcel:
        state = self._state
        if not self._is_swept:
            self._sweep()
        taken = [self._touched.pop() for _ in range(min(COPIED_AT_ONCE, len(self._touched)))]
        batches = [_copy(state.batches[number]) for number in taken if number in state.batches]
        events, self._events = self._events, []
        return Parcel(
            identity=self._identity,
            journal=journal_of(state.job),
            seq=self._seq,
            record=state.job.still(),
            events=events,
            batches=batches,
            since=self._since,
            drained=not self._touched,
        )

    def _sweep(self) -> None:
        batches = self._state.batches
        self._touched.update([number for number, batch in batches.items() if batch.status in SWEPT])
        self._is_swept = True

    def _landed(self, done: asyncio.Future[Answer], *, is_last: bool) -> None:
        self._flight = None
        if done.cancelled() or done.exception() is not None or done.result().is_off:
            self._is_off, self._is_swept, self._is_urgent = True, True, False
            self._events, self._touched = [], set()
            return
        for missing in done.result().missing:
            self._touched |= missing.numbers
            self._is_swept = self._is_swept and not missing.sweep
            self._since = min(self._since, missing.since)
        if self._is_closed:
            return  # `close` sees to what is left
        if self._is_urgent or not is_last or done.result().missing:
            self._flush()
        elif self._has_more and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._flush_seconds, self._flush)

    @property
    def _has_more(self) -> bool:
        return bool(self._events or self._touched) or not self._is_swept or self._is_urgent

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        """Write what is left. Never raises; what takes too long is caught up with next time."""
        self._is_closed = True
        self._cancel_timer()
        closed_at = time.monotonic()
        self._patient_until, self._reads_until = closed_at + CLOSE_SECONDS, closed_at + LONGEST_CLOSE_SECONDS
        while (self._flight or self._has_more) and time.monotonic() < self._reads_until:
            if self._flight is None:
                self._flush()
            if self._flight is not None:
                await asyncio.wait([self._flight], timeout=LONGEST_CLOSE_SECONDS)
        if self._executor is not None:
            ended = asyncio.get_running_loop().run_in_executor(self._executor, self._end)
            await asyncio.wait([ended], timeout=LONGEST_CLOSE_SECONDS)
            self._executor.shutdown(wait=False)

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _write(self, parcel: Parcel) -> Answer:
        if self._recorder is None:
            from mozart_nb.consumers.history.recorder import Recorder

            database, mirror = self._places
            self._recorder = Recorder(
                database,
                mirror,
                self._read_since,
                self._sections,
                self._tell,
                is_patient=self._is_patient,
                has_time=self._has_time,
            )
        return self._recorder.write(parcel)

    def _end(self) -> None:
        if self._recorder is not None:
            self._recorder.close(self._deliveries)

    def _is_patient(self) -> bool:
        """Whether there is time to wait for another process that writes."""
        return time.monotonic() < self._patient_until

    def _has_time(self) -> bool:
        """Whether there is time to read the journal."""
        return time.monotonic() < self._reads_until


_UNUSUAL: Final = frozenset(
    kind for kind in ev.event_types() if issubclass(kind, (ev.BatchBlocked, ev.BatchCompleted, *SWEEPING))
)
"""Kinds of events that may have changed more than one batch, or end the run."""
