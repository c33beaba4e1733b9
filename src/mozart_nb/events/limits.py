"""What holds the work back: rate limits and the circuit breaker."""

from __future__ import annotations

from mozart_nb.events.base import Event


class LimitHit(Event, frozen=True, kw_only=True, tag="limit.hit"):
    """The account is over a limit; nothing starts before `until`, then one attempt probes.

    `source` says where the time came from: `retry-after`, `reset time in the message`, `back-off`,
    `rate_limit.wait_minutes`, `another job`. `number` counts the waits of the job; a burst of refusals is one wait.
    """

    code: str
    until: float
    wait_seconds: float
    source: str
    number: int
    message: str = ""


class LimitCleared(Event, frozen=True, kw_only=True, tag="limit.cleared"):
    """The account answers again, or somebody cleared the wait."""

    by: str = ""


class BreakerOpened(Event, frozen=True, kw_only=True, tag="breaker.opened"):
    """Too many attempts failed in a row; nothing starts before `until`."""

    until: float
    failures: int


class BreakerHalfOpen(Event, frozen=True, kw_only=True, tag="breaker.half_open"):
    """The pause is over: one attempt tries."""


class BreakerClosed(Event, frozen=True, kw_only=True, tag="breaker.closed"):
    """An attempt succeeded; back to normal."""
