"""What a dashboard looks at: the job as it is now, or as it was at some moment of its past."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.progress import Progress, progress_of
from mozart_nb.engine.state import JobState
from mozart_nb.events import Event
from mozart_nb.job.model import JobConfig
from mozart_nb.jupyter.dashboard.batch_index import BatchIndex
from mozart_nb.jupyter.dashboard.watched import Watched
from mozart_nb.looking.details import AttemptIndex, BatchDetails, Limits, LogTail, batch_details, log_tail
from mozart_nb.looking.timeline import Timeline
from mozart_nb.plans.prepared import Prepared

SHOWN = Limits(characters=3_000, rows=5, attempts=12, lines=30)
"""How much of a batch is shown: its details are one message, and with a kilobyte per text it stays a small one."""


class Scene(Protocol):
    """A state with its batches by status. Only touched on the host's thread."""

    @property
    def state(self) -> JobState: ...
    @property
    def index(self) -> BatchIndex: ...
    def progress(self) -> Progress:
        """How the job is, or was, getting on."""


class Now:
    """The job as it is. `hear` must be told of every event."""

    def __init__(self, job: Watched) -> None:
        self._job = job
        self.index = BatchIndex(job.state)
        self._doubts = 0

    @property
    def state(self) -> JobState:
        return self._job.state

    def progress(self) -> Progress:
        return self._job.progress()

    def hear(self, events: Sequence[Event]) -> set[int]:
        """The batches to which something happened."""
        if self.index.total != self.state.total:
            self.index.rebuild(self.state)
        return self.index.hear(self.state, events)

    def check(self) -> bool:
        """Look at everything anew when the counts stay wrong from one call to the next; whether that was so.

        They are wrong for a moment whenever events are still on their way here.
        """
        self._doubts = 0 if self.index.agrees(self.state) else self._doubts + 1
        if self._doubts < 2:
            return False
        self._doubts = 0
        self.index.rebuild(self.state)
        return True


class Then:
    """The job as it was after event `position` of `last`."""

    def __init__(self, state: JobState, config: JobConfig | None, position: int, last: int) -> None:
        self.state = state
        self.index = BatchIndex(state)
        self.position = position
        self.last = last
        self._progress = progress_of(state, config, state.job.at)

    @property
    def at(self) -> float:
        """Epoch seconds."""
        return self.state.job.at

    def progress(self) -> Progress:
        return self._progress


class Travel:
    """Fetches moments of a job's past. Lives on the host's loop; `arrived` is called there."""

    def __init__(self, job: Watched, arrived: Callable[[Then | Exception], None]) -> None:
        self._job = job
        self._arrived = arrived
        self._timeline = Timeline(job.layout)
        self._wish = 0

    def seek(self, share: float) -> None:
        """Fetch the moment at that share (0–1) of the past."""
        self._wish += 1
        self._job.host.spawn(self._fetch(self._wish, lambda last: max(1, round(share * last))))

    def step(self, position: int) -> None:
        """Fetch the moment after event `position`; below 1 it counts from the last one back."""
        self._wish += 1
        self._job.host.spawn(self._fetch(self._wish, lambda last: position if position > 0 else last + position))

    def stay(self) -> None:
        """Whatever is on its way is not wanted any more."""
        self._wish += 1
        self._timeline.close()

    async def _fetch(self, wish: int, position_of: Callable[[int], int]) -> None:
        try:
            moments = await self._timeline.refresh()
            position = min(max(1, position_of(moments.last_seq)), moments.last_seq)
            state = await self._timeline.at(position) if wish == self._wish and moments.last_seq else None
            if state is None or wish != self._wish:
                return
            # In a thread: the index of a large job takes some milliseconds, and a slider is dragged over many states.
            then = await asyncio.to_thread(Then, state, self._job.config, position, moments.last_seq)
            if wish == self._wish:
                self._arrived(then)
        except Exception as error:
            if wish == self._wish:
                self._arrived(error)


class Inspector:
    """Fetches everything about the batch that is open. Lives on the host's loop; `changed` is called there."""

    def __init__(self, job: Watched, scene: Callable[[], Scene], changed: Callable[[], None]) -> None:
        self._job = job
        self._scene = scene
        self._changed = changed
        self._attempts: AttemptIndex | None = None
        self._is_loading = False
        self._wants_more = False
        self.number = 0
        self.details: BatchDetails | None = None
        self.log: LogTail | None = None
        self.error: Exception | None = None

    def open(self, number: int) -> None:
        """Show this batch; 0 shows none."""
        if number != self.number:
            self.details, self.log, self.error = None, None, None
        self.number = number
        self.refresh()

    def refresh(self) -> None:
        """Something may have happened to it."""
        if not self.number:
            return
        if self._is_loading:
            self._wants_more = True
            return
        self._is_loading = True
        self._job.host.spawn(self._load())

    def pulse(self) -> None:
        """Look whether its session has written more."""
        details = self.details
        if details is not None and details.status == "running" and not self._is_loading:
            self._is_loading = True
            self._job.host.spawn(self._follow(details))

    async def _load(self) -> None:
        try:
            self._wants_more = True
            while self._wants_more and self.number:
                self._wants_more = False
                await self._load_once(self.number)
        finally:
            self._is_loading = False

    async def _load_once(self, number: int) -> None:
        try:
            if self._attempts is None:
                self._attempts = await asyncio.to_thread(AttemptIndex, self._job.layout)
            state = self._scene().state
            source = _described(self._job, state)
            found = await batch_details(source, state, number, attempts=self._attempts, limits=SHOWN)
        except Exception as error:
            if number == self.number:
                self.error = error
        else:
            if number == self.number:
                self.details, self.log, self.error = found, found.log, None
        self._changed()

    async def _follow(self, details: BatchDetails) -> None:
        try:
            attempt = details.record.attempts
            tail = await log_tail(self._job.layout, details.number, attempt, lines=SHOWN.lines, known=self.log)
            if tail is not self.log and self.number == details.number and self.details is details:
                self.log = tail
                self._changed()
        finally:
            self._is_loading = False
        if self._wants_more:
            self.refresh()


def _described(job: Watched, state: JobState) -> Prepared | Layout:
    """What tells the prompts and rows of `state`: this handle's config, unless others have given the job another."""
    prepared = job.prepared
    if prepared is None or state.job.config_digest not in ("", prepared.digest):
        return job.layout
    return prepared
