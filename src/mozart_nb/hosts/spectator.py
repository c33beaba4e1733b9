"""A job of another process, followed through its journal for as long as somebody here wants to know about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner, owner
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MozartError, UnknownJobError
from mozart_nb.hosts.carriage import Carriage
from mozart_nb.hosts.conductor.carried import Carried
from mozart_nb.hosts.loops import Host
from mozart_nb.looking.following import OWNER_EVERY, POLL_SECONDS, Follower

IDLE_SECONDS: Final = 1.0
"""Between two looks at the journal of a job that nobody runs."""

MEND_SECONDS: Final = 5.0
"""Between two tries to read a journal that cannot be read."""

SLICE: Final = 500
"""Events that are applied before the loop gets its turn."""


class Spectator:
    """Watches one job while `is_wanted` says so. Its state is touched in the host's thread only.

    `hear` gets every burst of events once it is applied, and an event that is not journaled when the journal cannot be
    read.
    """

    def __init__(
        self,
        layout: Layout,
        host: Host,
        carriage: Carriage,
        is_wanted: Callable[[], bool],
        hear: Callable[[Sequence[ev.Event]], None],
    ) -> None:
        self.owner: Owner | None = None
        """Who runs it, as it was last seen."""
        self.carried: Carried | None = None
        self._looks = 0  # those of others: what was seen before one of them never replaces what it saw
        """How the conductor had it, if it is going to run it, before the journal was last read."""
        self._layout = layout
        self._carriage = carriage
        self._host = host
        self._is_wanted = is_wanted
        self._hear = hear
        self._follower: Follower | None = None
        self._following: Future[None] | None = None
        self._trouble = ""

    @property
    def is_watching(self) -> bool:
        return self._following is not None and not self._following.done()

    @property
    def state(self) -> JobState | None:
        """As it was when the journal was last read; None before that."""
        return self._follower.state if self._follower is not None else None

    def refreshed(self) -> JobState:
        """As the journal has it now; an empty state for a job that is not there. Blocks while it reads."""
        try:
            if self._follower is None:
                self._follower = Follower(self._layout)
            self._follower.poll()
        except (UnknownJobError, FileNotFoundError):  # it is not there, or being moved away at this moment
            return self.state or JobState()
        return self._follower.state

    def look(self) -> Owner | None:
        """Who runs it at this moment, as the disk says it; and whether the conductor is going to."""
        self._looks += 1
        self.owner, self.carried = living_owner(self._layout), self._carriage.coming
        return self.owner

    def forget(self, *, owner_too: bool = False) -> None:
        """What was read is out of date: this very process has written since."""
        self._follower = None
        if owner_too:
            self.owner = None

    def watch_if_wanted(self) -> None:
        if self._is_wanted() and not self.is_watching:
            self.look()
            self._following = self._host.spawn(self._watch())

    async def _watch(self) -> None:
        polls = 0
        while self._is_wanted():
            # Before the journal is read: what the conductor has let go of is told in full there.
            carried, looks = self._carriage.coming, self._looks
            try:
                await self._catch_up()
                self._trouble = ""
            except (UnknownJobError, OSError):
                self._trouble = ""  # whoever took the lock has written nothing yet, or somebody deleted it
            except Exception as error:
                self._lose_track(error)
            if polls % OWNER_EVERY == 0 or self.owner is None:
                await self._look_for_owner()
            polls += 1
            if looks == self._looks:
                self.carried = carried
            rest = POLL_SECONDS if self.owner is not None or self.carried is not None else IDLE_SECONDS
            await asyncio.sleep(MEND_SECONDS if self._trouble else rest)

    def _lose_track(self, error: Exception) -> None:
        """Its journal cannot be read: said once, and tried again from the beginning."""
        self._follower = None
        if self._trouble != str(error):
            self._trouble = str(error)
            self._hear([ev.JobNotice(message=f"the job cannot be followed: {in_words(error)}")])

    async def _catch_up(self) -> None:
        follower = self._follower
        if follower is None:
            follower = await asyncio.to_thread(Follower, self._layout)
            if not self._is_wanted():
                return
            self._follower = follower
        events = await asyncio.to_thread(follower.fetch)
        if events and self.owner is None:  # before anybody wonders who wrote them
            await self._look_for_owner()
        for start in range(0, len(events), SLICE):
            if not self._is_wanted():
                return
            part = events[start : start + SLICE]
            follower.take(part)
            self._hear(part)
            await asyncio.sleep(0)
        if follower.state.is_settled and self.owner is not None:
            await self._look_for_owner()

    async def _look_for_owner(self) -> None:
        looks = self._looks
        found = await asyncio.to_thread(living_owner, self._layout)
        if looks == self._looks:
            self.owner = found


def living_owner(layout: Layout) -> Owner | None:
    """Who runs the job now; other machines are believed."""
    found = owner(layout)
    return found if found is not None and found.alive is not False else None


def in_words(error: BaseException) -> str:
    """What went wrong, and what to do about it where that is known."""
    if isinstance(error, MozartError):
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return f"{type(error).__name__}: {error}"
