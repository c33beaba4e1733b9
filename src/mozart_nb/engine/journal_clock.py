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

    def notices(self, *, at_start: bool = False) -> list[str]:
        """What people should know: the wall clock went back since the last call, or before this run began."""
        offset = self.now() - self._clock.wall()
        jump, self._offset = offset - (0.0 if at_start else self._offset), offset
        if jump <= NOTABLE_JUMP_SECONDS:
            return []
        what = f"is {jump:.0f} s behind the job's last event" if at_start else f"went back by {jump:.0f} s"
        return [f"the system clock {what}; the job goes on with its own time, and nothing is lost"]
