"""Whose session is next, among all jobs of one process.

Seats are what there is too little of: a session takes one while it is open. Whoever has had the least gets the next
one, counted in two ways at once: seats held now, and seat-seconds had so far, both divided by the job's weight. So the
shares are even at any moment as far as whole seats allow, and even over time where they do not; a job that waits falls
behind with every second and therefore comes to its turn. This is weighted max-min fairness: what one job does not want
the others share.

Nothing here waits or measures: the time is an argument, the drivers say how many sessions they have open, and whoever
watches the machine says what it allows (`Restraint`). For one event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median_low
from typing import Any, Final

from mozart_nb.hosts.conductor.seats import (
    DEFAULT_PRIORITY,
    Granted,
    JobTurns,
    Restraint,
    TurnLimits,
    Why,
    dues,
    nobody,
)

EVEN_WITHIN_SECONDS: Final = 1.0
"""A seat held now weighs as much as having had one for so long."""

MOST_AHEAD_SECONDS: Final = 6.0
"""So many seconds of its fair share a job is at most ahead of whoever had the least, or as much as one of its sessions
takes. What is more is forgotten: seats that nobody else wanted, or long sessions, are not paid for by getting nothing
for minutes; and no minute is further from even than by a tenth."""

IDLE_SECONDS: Final = 5.0
"""Who wanted nothing for so long begins with the others, and has no claim to what it did not want."""

FEWEST_TO_RESERVE: Final = 4
"""Of fewer seats none is kept free."""

OFFER_SECONDS: Final = 5.0
"""A seat that was offered and not taken goes to the next one: whoever it was offered to is stuck."""


class Conducting:
    """Deals out the seats. `alarm(seconds)` asks for a call of `tick` by then, `tell` hears of grants."""

    def __init__(
        self,
        limits: TurnLimits,
        now: Callable[[], float],
        *,
        alarm: Callable[[float], None] = nobody,
        tell: Callable[[Granted], None] = nobody,
    ) -> None:
        self.limits = limits
        self.restraint = Restraint()
        self._now = now
        self._alarm = alarm
        self._tell = tell
        self._jobs: list[JobTurns] = []
        self._open = {True: 0, False: 0}
        """Seats taken or kept, by whether their sessions are light."""
        self._began_at = {True: float("-inf"), False: float("-inf")}
        self._wanting = 0
        self._entered = 0

    def job(
        self, name: str, *, priority: int = DEFAULT_PRIORITY, most: int | None = None, light: bool = False
    ) -> JobTurns:
        """The turns of one run of a job, for `run_job(turns=...)`. `most`: as many seats as it may have at once;
        `light`: its sessions start no process here."""
        return JobTurns(self, name, priority=priority, most=most, light=light)

    @property
    def jobs(self) -> Sequence[JobTurns]:
        """Those that run now."""
        return self._jobs

    @property
    def taken(self) -> int:
        """Seats that are taken, or kept for somebody who was woken for them."""
        return self._open[True] + self._open[False]

    @property
    def processes(self) -> int:
        """Of these, those whose sessions start a process here."""
        return self._open[False]

    # --- what jobs say ------------------------------------------------------------------------------------------------

    def enter(self, job: JobTurns) -> None:
        """A run begins."""
        job.idle_since = float("-inf")
        job.count(0, self._now())
        self._entered += 1
        job.number = self._entered
        self._jobs.append(job)

    def ask(self, job: JobTurns, open_sessions: int, batch: int) -> bool:
        """Whether a session of that job may begin now."""
        now = self._now()
        job.is_away = False
        self._count(job, open_sessions, now)
        self._join(job, now)
        job.refused = self._limited(job, now) or (None if job.is_offered else self._comes_later(job, now))
        if job.refused is None:
            self._grant(job, batch, now)
            return True
        self._withdraw(job)
        if job.refused == "job":
            self._want_nothing(job)  # of what the others have: it is woken by its own sessions
        else:
            self._want(job, now)
        self._deal(now)
        return False

    def settle(self, job: JobTurns, open_sessions: int, wanting: bool) -> None:
        """That many sessions are open, and it wants another one or does not."""
        now = self._now()
        self._count(job, open_sessions, now)
        if not wanting:
            self._withdraw(job)
            self._want_nothing(job)
            job.refused = None
            if not job.open and job.idle_since is None:
                job.idle_since = now
        self._deal(now)

    def leave(self, job: JobTurns) -> None:
        """A run is over."""
        if job in self._jobs:
            now = self._now()
            self._withdraw(job)
            self._want_nothing(job)
            self._count(job, 0, now)
            self._jobs.remove(job)
            self._deal(now)

    # --- what others say ----------------------------------------------------------------------------------------------

    def configure(self, limits: TurnLimits) -> None:
        """Other limits from now on; what is open stays open."""
        self.limits = limits
        for job in self._jobs:
            job.wake()

    def restrain(self, restraint: Restraint) -> None:
        """What the machine allows from now on."""
        self.restraint = restraint
        self._deal(self._now())

    def prioritise(self, name: str, priority: int) -> None:
        """The job has another priority from now on."""
        now = self._now()
        for job in self._jobs:
            if job.name == name:
                job.set_priority(priority, now)

    def tick(self) -> None:
        """Look again: time has passed."""
        now = self._now()
        for job in self._jobs:
            if job.offered_at is not None and now >= job.offered_at + OFFER_SECONDS:
                self._withdraw(job)
                job.is_away = True
        self._deal(now)

    # --- deciding -----------------------------------------------------------------------------------------------------

    def _limited(self, job: JobTurns, now: float) -> Why | None:
        """What keeps the job from one more seat, whoever else wants one."""
        restraint, others = self.restraint, self.taken - job.is_offered
        if job.open >= self._most(job):
            return "job"
        if job.name in restraint.held:
            return "disk"
        if others >= self.limits.sessions:
            return "full"
        if job.open and others >= self._unreserved and job.has_long_sessions(now):
            return "reserved"
        if restraint.is_full and others:
            return "machine"
        if not job.light and self._open[False] - job.is_offered >= self._most_processes:
            return "processes"
        if restraint.spacing(light=job.light) and (now < self._next_at(job) or self._is_next(job)):
            return "spacing"
        return None

    def _comes_later(self, job: JobTurns, now: float) -> Why | None:
        """Whether somebody else who could take a seat has had less."""
        if self._wanting - job.is_wanting <= 0:
            return None
        self._even_out(now)
        mine = self._rank(job, now)
        for other in self._jobs:
            if other is job or not other.is_wanting or other.is_away:
                continue
            if self._rank(other, now) < mine and (other.is_offered or self._limited(other, now) is None):
                return "order"
        return None

    def _rank(self, job: JobTurns, now: float) -> tuple[float, float, int]:
        """Lower comes first. Among equals whoever waits longest, then whoever came first."""
        had = job.taken / job.weight + job.service(now) / EVEN_WITHIN_SECONDS
        since = job.wanting_since if job.wanting_since is not None else now
        return (round(had, 9), since, job.number)

    def _even_out(self, now: float) -> None:
        """Bound what anybody is ahead of those who wait."""
        least = min(job.service(now) for job in self._jobs if job.is_wanting)
        live = [job for job in self._jobs if job.is_live]
        share = MOST_AHEAD_SECONDS * self.limits.sessions / sum(job.weight for job in live)
        for job in live:
            job.keep_below(least + max(share, job.session_seconds(now) / job.weight), now)

    @property
    def _unreserved(self) -> int:
        """Seats that anybody may take."""
        seats = self.limits.sessions
        return seats - min(self.limits.reserved, seats // 2) if seats >= FEWEST_TO_RESERVE else seats

    @property
    def _most_processes(self) -> float:
        return float("inf") if self.restraint.processes is None else max(1, self.restraint.processes)

    def _most(self, job: JobTurns) -> int:
        return min(most for most in (job.most, self.limits.per_job, self.limits.sessions) if most is not None)

    def _next_at(self, job: JobTurns) -> float:
        return self._began_at[job.light] + self.restraint.spacing(light=job.light)

    def _is_next(self, job: JobTurns) -> bool:
        """Whether somebody else will begin a session of that kind any moment: a seat is kept for it."""
        return any(other.is_offered for other in self._jobs if other is not job and other.light == job.light)

    # --- dealing out --------------------------------------------------------------------------------------------------

    def _deal(self, now: float) -> None:
        """Keep every free seat for whoever comes first, and wake them."""
        while self._wanting:
            waiting = [job for job in self._jobs if job.is_wanting and not job.is_offered and not job.is_away]
            reasons = [(job, self._limited(job, now)) for job in waiting]
            free = [job for job, why in reasons if why is None]
            if not free:
                self._look_again(now, [job for job, why in reasons if why == "spacing"])
                return
            self._even_out(now)
            chosen = min(free, key=lambda job: self._rank(job, now))
            chosen.offered_at = now
            self._open[chosen.light] += 1
            chosen.wake()

    def _look_again(self, now: float, spaced: Sequence[JobTurns]) -> None:
        waits = [wait for job in spaced if (wait := self._next_at(job) - now) > 0]
        if waits:
            self._alarm(min(waits))

    def _grant(self, job: JobTurns, batch: int, now: float) -> None:
        self._withdraw(job)
        waited = now - job.wanting_since if job.wanting_since is not None else 0.0
        self._want_nothing(job)
        self._count(job, job.open + 1, now)
        self._began_at[job.light] = now
        job.granted += 1
        if waited > 0:
            self._tell(Granted(job=job.name, batch=batch, waited_seconds=waited, open=job.open, open_of_all=self.taken))

    def _count(self, job: JobTurns, open_sessions: int, now: float) -> None:
        self._open[job.light] += job.count(open_sessions, now)

    def _join(self, job: JobTurns, now: float) -> None:
        """Who comes anew, or after a rest, begins where the others are."""
        rested, job.idle_since = job.idle_since, None
        if rested is None or now - rested < IDLE_SECONDS:
            return
        others = [other for other in self._jobs if other is not job and other.is_live]
        waiting = [other.service(now) for other in others if other.is_wanting]
        if others:
            # Who wants little has had little, and says nothing about what those who want more were given.
            start = median_low(waiting) if waiting else max(other.service(now) for other in others)
            job.keep_above(start, now)

    def _want(self, job: JobTurns, now: float) -> None:
        if job.wanting_since is None:
            job.wanting_since = now
            self._wanting += 1

    def _want_nothing(self, job: JobTurns) -> None:
        if job.wanting_since is not None:
            job.wanting_since = None
            self._wanting -= 1

    def _withdraw(self, job: JobTurns) -> None:
        """Take back a seat that was kept for the job."""
        if job.offered_at is not None:
            job.offered_at = None
            self._open[job.light] -= 1

    # --- figures ------------------------------------------------------------------------------------------------------

    def waits(self, name: str) -> str:
        """What the job waits for, for people; empty when it waits for nothing that is decided here."""
        job = next((job for job in self._jobs if job.name == name), None)
        if job is None or job.refused is None:
            return ""
        match job.refused:
            case "job":
                return f"has {job.open} sessions open, as many as one job may"
            case "reserved":
                return f"has {job.open} sessions open; the last seat is kept for jobs that have none"
            case "disk":
                return f"waits for room on its disk: {self.restraint.held.get(name, '')}"
            case "machine" | "processes" | "spacing":
                return f"waits for the machine: {self.restraint.why}"
            case _:
                others = sum(other.open for other in self._jobs if other is not job)
                return f"waits for its turn: {others} of {self.limits.sessions} sessions open by other jobs"

    def numbers(self) -> dict[str, Any]:
        """What there is, who has it, and who waits."""
        now = self._now()
        due = dues(
            [(self._most(job) if job.is_wanting else job.open, job.weight) for job in self._jobs],
            self.limits.sessions,
        )
        return {
            "sessions": sum(job.open for job in self._jobs),
            "most_sessions": self.limits.sessions,
            "most_per_job": self.limits.per_job,
            "reserved": self.limits.sessions - self._unreserved,
            "processes": sum(job.open for job in self._jobs if not job.light),
            "most_processes": self.restraint.processes,
            "jobs": [self._numbers_of(job, share, now) for job, share in zip(self._jobs, due, strict=True)],
        }

    def _numbers_of(self, job: JobTurns, due: float, now: float) -> dict[str, Any]:
        waiting = now - job.wanting_since if job.wanting_since is not None else 0.0
        return {
            "job": job.name,
            "priority": job.priority,
            "open": job.open,
            "due": round(due, 2),
            "granted": job.granted,
            "seat_seconds": round(job.had_seconds(now), 1),
            "waiting_seconds": round(waiting, 1),
            "waits": self.waits(job.name),
        }
