"""The journal's own time: wall time that never runs backwards within one job.

A retry that is due in ten seconds must not wait an hour because somebody set the clock back, and events must stay in
order. So the journal's time is the later of the wall clock and of the last known time plus the monotonic seconds since.
A clock that is set forward can only bring an early probe, which uses no budget.
"""

from __future__ import annotations

from collections.abc import Callable

from mozart_nb.engine.ports import Clock

NOTABLE_JUMP_SECONDS = 30.0


class JournalClock:
    """Reads the journal's time. `floor` is the time of the last journaled event, `monotonic` the loop's clock."""

    def __init__(self, clock: Clock, monotonic: Callable[[], float], floor: float) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._seen = monotonic()
        self._time = max(floor, clock.wall())
        self._offset = self._time - clock.wall()

    def now(self) -> float:
        """Epoch seconds, never less than before."""
        mark = self._monotonic()
        steady = self._time + mark - self._seen
        self._time, self._seen = max(steady, self._clock.wall()), mark
        return self._time

    def jumped_back(self) -> float:
        """Seconds by which the wall clock went back since the last call; 0 unless it is worth telling."""
        offset = self.now() - self._clock.wall()
        jump, self._offset = offset - self._offset, offset
        return jump if jump > NOTABLE_JUMP_SECONDS else 0.0
