"""When attempts ran and when nothing could: the times of a job, taken from its events in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from mozart_nb import events as ev
from mozart_nb.codes import Category, lookup
from mozart_nb.consumers.rows import AttemptRecord, Attempts

Result = Literal["passed", "failed", "rate limited", "abandoned", "running"]
BandKind = Literal["rate limit", "circuit breaker", "not running"]


@dataclass(frozen=True, slots=True)
class Band:
    """A time (epoch seconds) in which no attempt could begin."""

    kind: BandKind
    start: float
    end: float


@dataclass
class Spans:
    """Attempts and waits of a job. `last_at` is the time of the newest event, where whatever still goes on ends."""

    attempts: dict[tuple[int, int], AttemptRecord] = field(default_factory=dict)
    bands: list[Band] = field(default_factory=list)
    last_at: float = 0.0

    def end_of(self, attempt: AttemptRecord) -> float:
        """When its session ended; now, where it has not."""
        return max(attempt.started_at, attempt.finished_at or self.last_at)


def result_of(attempt: AttemptRecord) -> Result:
    """How an attempt ended, as a picture shows it."""
    if attempt.outcome == "abandoned":
        return "abandoned"
    if attempt.passed:
        return "passed"
    if attempt.code:
        return "rate limited" if lookup(attempt.code).category is Category.RATE_LIMIT else "failed"
    return "failed" if attempt.passed is False else "running"


def spans_of(events: Iterable[ev.Event]) -> Spans:
    """The times of a whole journal."""
    attempts = Attempts()
    watch = _Watch()
    for event in events:
        watch.hear(event)
        attempts.hear((event,))
    return Spans(attempts.records, watch.finished(), watch.last_at)


class _Watch:
    """Opens and closes bands while events go by."""

    def __init__(self) -> None:
        self.bands: list[Band] = []
        self.last_at = 0.0
        self._open: dict[BandKind, float] = {}

    def hear(self, event: ev.Event) -> None:
        match event:
            case ev.LimitHit():
                self._begin("rate limit", event.at)
            case ev.LimitCleared():
                self._end("rate limit", event.at)
            case ev.BreakerOpened():
                self._begin("circuit breaker", event.at)
            case ev.BreakerHalfOpen() | ev.BreakerClosed():
                self._end("circuit breaker", event.at)
            case ev.JobPaused() | ev.JobFailed() | ev.JobCancelled() | ev.JobCompleted():
                self._stop(event.at)
            case ev.JobResumed():
                self._begin("not running", self.last_at)
                self._end("not running", event.at)
            case _:
                pass
        self.last_at = max(self.last_at, event.at)

    def finished(self) -> list[Band]:
        """All bands in order; what is still open lasts until the newest event."""
        for kind in list(self._open):
            self._end(kind, self.last_at)
        return sorted(self.bands, key=lambda band: band.start)

    def _stop(self, at: float) -> None:
        for kind in list(self._open):
            self._end(kind, at)

    def _begin(self, kind: BandKind, at: float) -> None:
        self._open.setdefault(kind, at)

    def _end(self, kind: BandKind, at: float) -> None:
        start = self._open.pop(kind, None)
        if start is not None and at > start:
            self.bands.append(Band(kind, start, at))
