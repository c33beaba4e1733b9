"""One job, read once for everybody who looks at it, and followed from there."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner, owner
from mozart_nb.consumers.progress import Progress, progress_of
from mozart_nb.engine.state import JobState
from mozart_nb.errors import CheckpointCorruptError, MozartError, OutOfReachError, UnknownJobError
from mozart_nb.job.model import JobConfig
from mozart_nb.looking.board.attempts import PatientAttempts
from mozart_nb.looking.following import Follower
from mozart_nb.looking.timeline import Timeline
from mozart_nb.plans.prepared import Prepared, opened

REFRESH_SECONDS: Final = 0.2
"""Requests that come closer together than this see the same state."""

OWNER_SECONDS: Final = 1.0
"""How long it is believed who runs a job."""

SMALL: Final = 5_000
"""Batches of a job of which everything is made quickly."""

IDLE_SECONDS: Final = 900.0
"""How long a job is kept in memory that nobody asks for."""

MOST_KEPT: Final = 24
"""Results that are kept per job: sorted lists of batches, failures, a diagnosis."""

T = TypeVar("T")


@contextlib.contextmanager
def reaching(layout: Layout) -> Iterator[None]:
    """Raises `OutOfReachError` for what the operating system refuses."""
    try:
        yield
    except OSError as error:
        said = f"{error.strerror or error}: {error.filename or layout.root}"
        hint = "see whether its disk is there, and whom the files belong to"
        raise OutOfReachError(f"the job cannot be read: {said}", hint=hint, job_id=layout.job_id) from error


@dataclass(frozen=True, slots=True)
class Reading:
    """A job at one moment, valid while `Watched.reading` is open: the state is the shared one and must not be kept."""

    state: JobState
    prepared: Prepared | None
    owner: Owner | None
    version: str
    record: str
    now: float

    @property
    def config(self) -> JobConfig | None:
        return self.prepared.loaded.config if self.prepared is not None else None

    @property
    def progress(self) -> Progress:
        return progress_of(self.state, self.config, self.now, is_live=self.owner is not None)

    @property
    def questions(self) -> int:
        """How many wait for an answer."""
        return len(self.state.job.questions)

    def version_for(self, seconds: float) -> str:
        """The version for what takes long to make: of a large job that runs, one lasts for so many seconds."""
        if self.owner is None or self.state.total <= SMALL:
            return self.version
        return f"{self.record}.{self.now // seconds}"


Hear = Callable[[list[ev.Event]], None]


class Watched:
    """One job on disk. Safe in any thread; everything blocks.

    State changes in one method, `_poll`, under the lock; whoever hears the events is told there too.
    """

    def __init__(self, layout: Layout, *, now: Callable[[], float] = time.time) -> None:
        self.layout = layout
        self.attempts = PatientAttempts(layout)
        self.timeline = Timeline(layout)
        self._now = now
        self._lock = threading.RLock()
        self._follower: Follower | None = None
        self._polled_at = float("-inf")
        self._owner: Owner | None = None
        self._owner_at = float("-inf")
        self._prepared: Prepared | None = None
        self._plan_stamp: Hashable = None
        self._hearers: list[Hear] = []
        self._kept: OrderedDict[Hashable, tuple[str, Any]] = OrderedDict()
        self.used_at = time.monotonic()

    @property
    def weight(self) -> int:
        """How many records of batches it keeps in memory."""
        follower = self._follower
        return len(follower.state.batches) if follower is not None else 0

    @property
    def is_heard(self) -> bool:
        """Whether somebody listens."""
        return bool(self._hearers)

    @contextlib.contextmanager
    def reading(self, age: float = REFRESH_SECONDS) -> Iterator[Reading]:
        """The job, not older than `age` seconds; nothing changes before the block ends.

        Raises `UnknownJobError`, `CheckpointCorruptError`, `CheckpointTooNewError`, `OutOfReachError`.
        """
        with self._lock:
            state = self._poll(age)
            prepared, holder = self._plan(), self._holder(age)
            record = record_of(state)
            version = f"{record}.{state.job.seq:x}.{_liveness(holder)}"
            yield Reading(state, prepared, holder, version, record, self._now())

    def hear(self, take: Hear) -> Callable[[], None]:
        """Have every burst of events told to `take`, from whichever thread read it; returns what ends that."""
        with self._lock:
            self._hearers.append(take)

        def leave() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._hearers.remove(take)

        return leave

    def kept(self, name: Hashable, version: str, make: Callable[[], T]) -> T:
        """What `make` made for this version, made again only when there is another one. Two may make it at once."""
        with self._lock:
            known = self._kept.get(name)
            if known is not None and known[0] == version:
                self._kept.move_to_end(name)
                found: T = known[1]
                return found
        made = make()
        with self._lock:
            self._kept[name] = (version, made)
            self._kept.move_to_end(name)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return made

    def close(self) -> None:
        self.timeline.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _poll(self, age: float) -> JobState:
        moment = time.monotonic()
        if self._follower is not None and moment - self._polled_at < age:
            return self._follower.state
        if not self.layout.exists:
            self._follower = None
            raise UnknownJobError(f"there is no job `{self.layout.job_id}` any more", job_id=self.layout.job_id)
        with reaching(self.layout):
            if self._follower is None:
                self._follower = Follower(self.layout)
            else:
                self._follow(self._follower)
        self._polled_at = moment
        return self._follower.state

    def _follow(self, follower: Follower) -> None:
        try:
            events = follower.poll()
        except (CheckpointCorruptError, FileNotFoundError, ValueError, LookupError):
            # Its host cut back what a full disk did not take, or the job is being started over.
            self._follower = None
            self._follower = Follower(self.layout)
            return
        if events:
            for take in self._hearers:
                take(events)

    def _holder(self, age: float) -> Owner | None:
        moment = time.monotonic()
        if moment - self._owner_at >= max(age, OWNER_SECONDS) or not age:
            found = owner(self.layout)
            self._owner = found if found is not None and found.alive is not False else None
            self._owner_at = moment
        return self._owner

    def _plan(self) -> Prepared | None:
        stamp = _stamp(self.layout)
        if stamp != self._plan_stamp:
            try:
                self._prepared = opened(self.layout)
            except (MozartError, OSError):
                self._prepared = None  # the state can be shown without it
            self._plan_stamp = stamp
        return self._prepared


def record_of(state: JobState) -> str:
    """Names the journal: a job that is started over has another one."""
    return f"{round(state.job.created_at * 1000):x}"


def _liveness(holder: Owner | None) -> str:
    return f"{holder.pid:x}-{round(holder.started_at):x}" if holder is not None else "0"


def _stamp(layout: Layout) -> Hashable:
    """Changes when the frozen plan does."""
    with contextlib.suppress(OSError):
        found = os.stat(layout.plan / "config.json")  # noqa: PTH116 - asked for with every look
        return (found.st_mtime_ns, found.st_size, found.st_ino)
    return None


class Shelf:
    """The jobs that are kept in memory: those somebody listens to, and of the others the last used ones."""

    def __init__(self, most_batches: int, most_jobs: int, *, now: Callable[[], float] = time.time) -> None:
        self._most_batches = most_batches
        self._most_jobs = most_jobs
        self._now = now
        self._lock = threading.Lock()
        self._jobs: OrderedDict[Layout, Watched] = OrderedDict()

    def take(self, layout: Layout) -> Watched:
        """The one object for this job."""
        with self._lock:
            found = self._jobs.get(layout)
            if found is None:
                found = self._jobs[layout] = Watched(layout, now=self._now)
            found.used_at = time.monotonic()
            self._jobs.move_to_end(layout)
            self._make_room()
            return found

    def known(self, layout: Layout) -> Watched | None:
        """The same if it is kept already and has been read; it does not count as a use."""
        with self._lock:
            found = self._jobs.get(layout)
            return found if found is not None and found.weight else None

    def close(self) -> None:
        """Let go of all of them."""
        with self._lock:
            for watched in self._jobs.values():
                watched.close()
            self._jobs.clear()

    def _make_room(self) -> None:
        """The newest stays, whatever it weighs. The others stand in the order in which they were asked for."""
        weight = sum(watched.weight for watched in self._jobs.values())
        idle_before = time.monotonic() - IDLE_SECONDS
        for layout, watched in list(self._jobs.items())[:-1]:
            has_room = weight <= self._most_batches and len(self._jobs) <= self._most_jobs
            if has_room and watched.used_at >= idle_before:
                return
            if not watched.is_heard:
                weight -= watched.weight
                watched.close()
                del self._jobs[layout]
