"""Jobs that take turns, in simulated time: what `Conducting` decides, without drivers, disks or waiting.

hall = Hall(TurnLimits(sessions=10))
short, long = hall.job("short", seconds=1), hall.job("long", seconds=600)
hall.run(60)
assert short.seat_seconds == ...
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from mozart_nb.hosts.conductor.seats import Granted, JobTurns, TurnLimits
from mozart_nb.hosts.conductor.turns import Conducting


@dataclass
class Guest:
    """One job: `left` batches, `at_once` at most, sessions of `seconds`. `turn_seconds`: how slow its driver is."""

    turns: JobTurns
    seconds: float
    left: int
    at_once: int
    turn_seconds: float = 0.001
    open: int = 0
    seat_seconds: float = 0.0
    begun: list[float] = field(default_factory=list)
    longest_wait: float = 0.0
    wanting_since: float | None = None
    is_woken: bool = False
    is_gone: bool = False


class Hall:
    """Everybody, and the time. Checks after every turn that no limit is broken and nobody is forgotten."""

    def __init__(self, limits: TurnLimits) -> None:
        self.now = 0.0
        self.guests: list[Guest] = []
        self.told: list[Granted] = []
        self.seats = Conducting(limits, lambda: self.now, alarm=self._alarm, tell=self.told.append)
        self.most_open = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def job(
        self,
        name: str,
        *,
        seconds: float = 1.0,
        left: int = 10**9,
        at_once: int = 10**9,
        at: float = 0.0,
        turn_seconds: float = 0.001,
        priority: int = 100,
        most: int | None = None,
        light: bool = True,
    ) -> Guest:
        turns = self.seats.job(name, priority=priority, most=most, light=light)
        guest = Guest(turns, seconds, left, at_once, turn_seconds)
        self.guests.append(guest)
        self.at(at, lambda: self._enter(guest))
        return guest

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), what))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            when, _, what = heapq.heappop(self._events)
            self._pass(when)
            what()
            self._check()
        self._pass(until)

    def wake(self, guest: Guest) -> None:
        if not guest.is_woken and not guest.is_gone:
            guest.is_woken = True
            self.at(self.now + guest.turn_seconds, lambda: self._turn(guest))

    def leave(self, guest: Guest) -> None:
        """The run ends, whatever is open."""
        guest.is_gone, guest.open, guest.wanting_since = True, 0, None
        guest.turns.close()

    def _enter(self, guest: Guest) -> None:
        guest.turns.begin(lambda: self.wake(guest))
        self.wake(guest)

    def _turn(self, guest: Guest) -> None:
        guest.is_woken = False
        if guest.is_gone:
            return
        wanting = False
        while guest.left and guest.open < guest.at_once:
            if not guest.turns.may_start(guest.open, len(guest.begun) + 1):
                wanting = True
                break
            self._begin(guest)
        guest.turns.settle(guest.open, wanting)
        if not wanting:
            guest.wanting_since = None
        elif guest.wanting_since is None:
            guest.wanting_since = self.now

    def _begin(self, guest: Guest) -> None:
        if guest.wanting_since is not None:
            guest.longest_wait = max(guest.longest_wait, self.now - guest.wanting_since)
            guest.wanting_since = None
        guest.left -= 1
        guest.open += 1
        guest.begun.append(self.now)
        self.at(self.now + guest.seconds, lambda: self._end(guest))

    def _end(self, guest: Guest) -> None:
        if not guest.is_gone:
            guest.open -= 1
            self.wake(guest)

    def _pass(self, when: float) -> None:
        for guest in self.guests:
            guest.seat_seconds += guest.open * (when - self.now)
        self.now = when

    def _alarm(self, seconds: float) -> None:
        assert seconds > 0, "an alarm for now would ring for ever"
        self.at(self.now + seconds, self.seats.tick)

    def _check(self) -> None:
        open_now = sum(guest.open for guest in self.guests)
        self.most_open = max(self.most_open, open_now)
        offered = sum(job.is_offered for job in self.seats.jobs)
        assert self.seats.taken == sum(job.open for job in self.seats.jobs) + offered, "a seat has leaked"
