"""What one job has of the seats that all jobs of a process share, what it wants of them, and what it was due.

A seat is the right to have one session open. See `turns` for how they are dealt out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import msgspec

DEFAULT_PRIORITY: Final = 100
PRIORITIES: Final = (10, 1000)
"""The soonest and the latest; lower is sooner. A job of priority 50 is due twice the share of one of 100. Beyond these
nothing changes: no job is due more than a hundred times what another one is."""

LONG_SESSION_SECONDS: Final = 30.0
"""Sessions that last longer on average must leave the reserved seats to jobs that have none."""

Why = Literal["order", "full", "reserved", "job", "disk", "processes", "spacing", "machine"]
"""Why a session may not begin: another job comes first; all seats are taken; the last ones are kept for newcomers; the
job has as many as one job may; its disk is full; there is no memory for another process; sessions begin one by one,
with time between them; the machine can take no more."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """How many sessions at once: of all jobs, of one job (None: as many), and how many seats are kept for newcomers."""

    sessions: int = 10
    per_job: int | None = None
    reserved: int = 1


@dataclass(frozen=True, slots=True)
class Restraint:
    """What the machine allows. Sessions that begin are `spacing_seconds` apart, `light` ones, which start no process,
    `light_spacing_seconds`; at most `processes` others are open (None: no limit), but always one; `is_full`: no more
    than one session of any kind. `held` says by job which of them must not begin any session, and why.
    """

    spacing_seconds: float = 0.0
    light_spacing_seconds: float = 0.0
    processes: int | None = None
    is_full: bool = False
    why: str = ""
    held: Mapping[str, str] = field(default_factory=dict)

    def spacing(self, *, light: bool) -> float:
        """Seconds between two sessions that begin."""
        return self.light_spacing_seconds if light else self.spacing_seconds


class Granted(msgspec.Struct, frozen=True, kw_only=True, tag="turn.granted"):
    """A session that had to wait for its turn may begin now; told, not journaled. `open` counts it."""

    job: str
    batch: int
    waited_seconds: float
    open: int
    open_of_all: int


def nobody(*_: object) -> None:
    """Nobody listens."""


class Dealer(Protocol):
    """Whoever deals out the seats."""

    def enter(self, job: JobTurns) -> None:
        """A run begins."""

    def ask(self, job: JobTurns, open_sessions: int, batch: int) -> bool:
        """Whether a session of that job may begin now, besides those that are open."""

    def settle(self, job: JobTurns, open_sessions: int, wanting: bool) -> None:
        """So many sessions of it are open, and it wants another one or does not."""

    def leave(self, job: JobTurns) -> None:
        """A run is over."""


class JobTurns:
    """One job's turns (`engine.ports.Turns`): what it has open, wants, and has had so far. See `Conducting.job`."""

    def __init__(self, dealer: Dealer, name: str, *, priority: int, most: int | None, light: bool) -> None:
        self.name = name
        self.most = most
        self.light = light
        self.open = 0
        self.granted = 0
        self.number = 0
        self.refused: Why | None = None
        self.wanting_since: float | None = None
        self.offered_at: float | None = None
        self.idle_since: float | None = None
        self.is_away = False
        self.is_over = False
        self.seat_seconds = 0.0
        self.wake: Callable[[], None] = nobody
        self._dealer = dealer
        self._priority = priority
        self._service = 0.0
        self._counted_at = 0.0
        self._began = 0

    # --- the port -----------------------------------------------------------------------------------------------------

    def begin(self, wake: Callable[[], None]) -> None:
        """As the port says."""
        self.wake = wake
        self._dealer.enter(self)

    def may_start(self, open_sessions: int, batch: int) -> bool:
        """As the port says."""
        return self._dealer.ask(self, open_sessions, batch)

    def settle(self, open_sessions: int, wanting: bool) -> None:
        """As the port says."""
        self._dealer.settle(self, open_sessions, wanting)

    def close(self) -> None:
        """As the port says."""
        self.is_over = True
        self._dealer.leave(self)

    # --- what is known of it ------------------------------------------------------------------------------------------

    @property
    def priority(self) -> int:
        """Lower comes sooner."""
        return self._priority

    @property
    def weight(self) -> float:
        """Its share in proportion to others'."""
        return DEFAULT_PRIORITY / min(max(self._priority, PRIORITIES[0]), PRIORITIES[1])

    @property
    def is_wanting(self) -> bool:
        """Whether a session of it would begin if it were its turn."""
        return self.wanting_since is not None

    @property
    def is_offered(self) -> bool:
        """Whether a seat is kept for it that it was woken for."""
        return self.offered_at is not None

    @property
    def is_live(self) -> bool:
        """Whether it has a session open or wants one."""
        return self.open > 0 or self.is_wanting

    @property
    def taken(self) -> int:
        """Seats that it has or that are kept for it."""
        return self.open + self.is_offered

    def service(self, now: float) -> float:
        """Seat-seconds it has had, divided by its weight."""
        return self._service + self.open * (now - self._counted_at) / self.weight

    def had_seconds(self, now: float) -> float:
        """Seat-seconds it has had."""
        return self.seat_seconds + self.open * (now - self._counted_at)

    def session_seconds(self, now: float) -> float:
        """How long its sessions last on average, as far as is known: those that are open count as if they ended now."""
        return self.had_seconds(now) / max(1, self._began)

    def has_long_sessions(self, now: float) -> bool:
        """Whether its sessions keep their seats for long. Those that start a process do until the contrary is known."""
        if not self.light and self._began - self.open < 3:
            return True
        return self.session_seconds(now) >= LONG_SESSION_SECONDS

    # --- what changes it, called by the dealer only -----------------------------------------------------------------

    def count(self, open_sessions: int, now: float) -> int:
        """So many are open now; returns how many more that is."""
        self._count_time(now)
        more, self.open = open_sessions - self.open, open_sessions
        self._began += max(0, more)
        return more

    def keep_above(self, least: float, now: float) -> None:
        """Let it count as having had no less."""
        self._count_time(now)
        self._service = max(self._service, least)

    def keep_below(self, most: float, now: float) -> None:
        """Let it count as having had no more."""
        self._count_time(now)
        self._service = min(self._service, most)

    def set_priority(self, priority: int, now: float) -> None:
        """From now on; what it has had stays as it was counted."""
        self._count_time(now)
        self._priority = priority

    def _count_time(self, now: float) -> None:
        seat_seconds = self.open * (now - self._counted_at)
        self.seat_seconds += seat_seconds
        self._service += seat_seconds / self.weight
        self._counted_at = now


def dues(wanted: Sequence[tuple[float, float]], seats: float) -> list[float]:
    """How many of `seats` each is due by weighted max-min fairness, of (wanted, weight): nobody more than it wants,
    and what some do not want is shared by the others in proportion to their weights."""
    found = [0.0] * len(wanted)
    open_ones = sorted(range(len(wanted)), key=lambda i: wanted[i][0] / wanted[i][1])
    weight = sum(wanted[i][1] for i in open_ones)
    for i in open_ones:
        most, own = wanted[i]
        found[i] = min(most, seats * own / weight)
        seats, weight = seats - found[i], weight - own
    return found
