"""What happened to a job on its way: waits for limits, the breaker, crashes."""

from __future__ import annotations

from dataclasses import dataclass, field

from mozart_nb import events as ev
from mozart_nb.engine.state import JobState
from mozart_nb.looking.diagnosis.findings import Crashes, Waits


@dataclass
class _Hold:
    """A rate limit that held the job back since then."""

    code: str
    since: float


@dataclass
class Journey:
    """Takes the events of a job in order and sums up what held it back."""

    held: dict[str, tuple[int, float]] = field(default_factory=dict)
    hold: _Hold | None = None
    number: int = 0
    longest: float = 0.0
    breaker_opened: int = 0
    crashed_runs: int = 0
    lost_sessions: int = 0
    crashed_at: float = 0.0

    def take(self, event: ev.Event, before: float) -> None:
        """`before` is when the event before this one happened, whatever it was (epoch seconds)."""
        match event:
            case ev.LimitHit():
                self._hit(event)
            case ev.LimitCleared() | ev.JobPaused() | ev.JobFailed() | ev.JobCancelled() | ev.JobCompleted():
                self._release(event.at)
            case ev.BreakerOpened():
                self.breaker_opened += 1
            case ev.JobResumed() if event.crashed:
                self._release(before)
                self.crashed_runs += 1
                self.crashed_at = before
            case ev.SessionAbandoned():
                self.lost_sessions += 1
            case _:
                pass

    def _hit(self, event: ev.LimitHit) -> None:
        hits, seconds = self.held.get(event.code, (0, 0.0))
        self.held[event.code] = (hits + (event.number > self.number), seconds)
        self.number = max(self.number, event.number)
        self.hold = self.hold or _Hold(event.code, event.at)

    def _release(self, at: float) -> None:
        if self.hold is None:
            return
        hits, seconds = self.held[self.hold.code]
        lasted = max(0.0, at - self.hold.since)
        self.held[self.hold.code] = (hits, seconds + lasted)
        self.longest = max(self.longest, lasted)
        self.hold = None

    def waits(self, state: JobState, is_live: bool, now: float) -> Waits:
        """`now` ends what still holds a job that runs."""
        last_at = state.job.at
        self._release(max(now, last_at) if is_live else last_at)
        by_code = tuple((code, hits, seconds) for code, (hits, seconds) in self.held.items())
        return Waits(
            hits=sum(hits for _, hits, _ in by_code),
            seconds=sum(seconds for _, _, seconds in by_code),
            longest_seconds=self.longest,
            by_code=by_code,
            breaker_opened=self.breaker_opened,
            until=state.job.limit.until if state.job.limit is not None and is_live else 0.0,
        )

    def crashes(self, state: JobState, *, is_interrupted: bool) -> Crashes:
        """Runs that ended without settling, with the one that nobody has noticed yet."""
        last_at = state.job.at if is_interrupted else self.crashed_at
        runs = self.crashed_runs + is_interrupted
        return Crashes(runs, state.job.crashes + is_interrupted, self.lost_sessions, last_at)
