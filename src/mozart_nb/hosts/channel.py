"""What this process knows of one job: whether it runs it itself, what its journal says otherwise, and who listens.

All handles of a job share one channel, so a job is never started twice here, and whoever shows it goes on showing it
whichever process takes it up. State is touched in the host's thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Literal, TypeVar
from weakref import WeakValueDictionary

import msgspec

from mozart_nb import events as ev
from mozart_nb.checkpoint.control import drop
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner
from mozart_nb.clock import SystemClock
from mozart_nb.consumers.progress import Pulse, Pulses
from mozart_nb.engine.ports import Request
from mozart_nb.engine.state import JobState
from mozart_nb.errors import JobBusyError, MisuseError, MozartError
from mozart_nb.hooks import run_hooks
from mozart_nb.hosts.carriage import Carriage, ask_conductor
from mozart_nb.hosts.conductor.carried import Carried
from mozart_nb.hosts.local_run import LocalRun, Wish
from mozart_nb.hosts.loops import Host
from mozart_nb.hosts.spectator import Spectator, in_words, living_owner
from mozart_nb.looking.following import POLL_SECONDS
from mozart_nb.runtime import run_job

Listener = Callable[[Sequence[ev.Event]], None]
T = TypeVar("T")


class Channel:
    """One job as this process knows it. Methods may be called from any thread unless they say otherwise."""

    def __init__(self, layout: Layout, host: Host) -> None:
        self.layout = layout
        self.host = host
        self.run: LocalRun | None = None
        self.error: BaseException | None = None
        self.clock = SystemClock()
        self._pulses = Pulses()
        self._listeners: list[Listener] = []
        self._waiting = 0
        self._finished: Future[None] | None = None
        self._carriage = Carriage(layout)
        self._spectator = Spectator(layout, host, self._carriage, self._is_watched, self._hear_elsewhere)
        self._kept: tuple[JobState, tuple[int, int]] | None = None
        self._lock = threading.Lock()

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def pulses(self) -> Mapping[int, Pulse]:
        return self._pulses.latest

    @property
    def is_live(self) -> bool:
        """Whether a host runs the job, here or elsewhere, or the conductor is going to."""
        return self.run is not None or self.owner is not None or self.carried is not None

    @property
    def carried(self) -> Carried | None:
        """How the conductor has a job that nobody runs at this moment; None where it has not, or is gone for good."""
        if self.run is not None or self.owner is not None:
            return None
        spectator = self._spectator
        return spectator.carried if spectator.is_watching else self._carriage.coming

    @property
    def beginning(self) -> Literal["running", "pausing", "waiting"] | None:
        """What a run comes to that was asked for, here or of the conductor, and has not said anything yet."""
        run = self.run
        if run is None:
            carried = self.carried
            return "waiting" if carried is not None and not carried.has_begun else None
        if run.driver is not None:
            return None
        return "pausing" if run.is_to_stop else "running"

    @property
    def owner(self) -> Owner | None:
        """Who else runs it; None where nobody does."""
        if self.run is not None:
            return None
        spectator = self._spectator
        return spectator.owner if spectator.is_watching else living_owner(self.layout)

    def read(self, of: Callable[[JobState], T]) -> T:
        """What `of` makes of the state, in the host's thread. `of` must not change it or keep it."""
        return self.host.call(lambda: of(self.state))

    @property
    def state(self) -> JobState:
        """The state as it is now; in the host's thread only. An empty one before the job's first event."""
        if self.run is not None and self.run.driver is not None:
            return self.run.driver.state
        spectator = self._spectator
        if spectator.is_watching and spectator.state is not None:
            return spectator.state
        if self._kept is not None and self._kept[1] == _last_change(self.layout):
            return self._kept[0]
        self._kept = None
        return spectator.refreshed()

    @property
    def known(self) -> JobState | None:
        """The state as it was when it was last looked at, without looking at the disk; None before that."""
        if self.run is not None and self.run.driver is not None:
            return self.run.driver.state
        if self._spectator.state is not None:
            return self._spectator.state
        return self._kept[0] if self._kept is not None else None

    # --- listening ----------------------------------------------------------------------------------------------------

    def observe(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called on the host's loop with every burst of events; returns the disconnect."""

        def begin() -> None:
            self._listeners.append(listener)
            self._spectator.watch_if_wanted()

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        self.host.call(begin)
        return lambda: self.host.call_soon(end)

    def tell(self, message: str) -> None:
        """Tell whoever listens something that is not journaled."""
        self.host.call_soon(self._publish, [ev.JobNotice(message=message)])

    def _publish(self, events: Sequence[ev.Event]) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(events)
            except Exception as error:  # whoever shows a job must not hurt it
                if listener in self._listeners:
                    self._listeners.remove(listener)
                self.tell(f"a display stopped working ({type(error).__name__}: {error}); the job goes on without it")

    # --- running it here ----------------------------------------------------------------------------------------------

    def begin(self, wish: Wish) -> None:
        """Run the job here: at once, or when the run is put away that has just settled.

        Raises `MisuseError` when it runs here already.
        """
        with self._lock:
            if self.run is None:
                self._launch(wish)
                return
            if not self.run.is_over:
                raise MisuseError(f"job `{self.layout.job_id}` runs here already", job_id=self.layout.job_id)
        self.want_back(wish)

    def _launch(self, wish: Wish) -> None:
        self.run, self.error = LocalRun(wish), None
        _running.add(self)
        try:
            self._finished = self.host.spawn(self._drive(self.run))
        except RuntimeError:  # the loop has just been closed
            self.run = None
            _running.discard(self)
            raise

    async def _drive(self, run: LocalRun) -> None:
        wish: Wish | None = run.wish
        goes_on = True
        try:
            while wish is not None:
                state = await run_job(
                    wish.prepared,
                    wish.options,
                    observers=[self._hear],
                    on_start=run.attach,
                    clock=self.clock,
                    **{**self.host.supplies(wish.job), **wish.how},
                )
                wish = run.next(state.status)
                if wish is None:
                    self._kept = (state, _last_change(self.layout))
                    self._spectator.forget()
                    hooks = run_hooks(run.wish.job, state, environ=run.wish.environ, say=self.tell)
                    await run.finish(hooks, self.tell)
                    wish = run.next(state.status)  # somebody may have asked meanwhile
        except BaseException as error:
            self.error = None if self._is_lost_race(error, run) else error
            said = "" if isinstance(error, MozartError) else "the run ended with "
            self._publish([ev.JobNotice(message=said + in_words(error))])
            if not isinstance(error, (Exception, KeyboardInterrupt, SystemExit)):
                goes_on = False
                raise  # the loop goes away
        finally:
            self._spectator.forget(owner_too=True)
            self.run = None
            _running.discard(self)
            self._publish([])
            if goes_on:
                self._spectator.watch_if_wanted()

    def _is_lost_race(self, error: BaseException, run: LocalRun) -> bool:
        """Whether another process was faster: then the job is fine, and what was asked of it is asked there."""
        if not isinstance(error, JobBusyError) or run.wish.is_special or living_owner(self.layout) is None:
            return False
        for request in run.left():
            with contextlib.suppress(MozartError):
                self._ask_elsewhere(request)
        return True

    async def _hear(self, events: Sequence[ev.Event]) -> None:
        self._pulses.hear(events, time.time())
        run = self.run
        if run is not None and any(isinstance(event, ev.JobPauseWithdrawn) for event in events):
            run.withdrawn()
        self._publish(events)

    # --- asking -------------------------------------------------------------------------------------------------------

    def request(self, request: Request) -> None:
        """Ask something of whoever runs the job. Raises `MisuseError` when nobody does, or it has just settled."""
        run = self.run
        if run is None:
            self._ask_elsewhere(request)
        elif run.takes(request.kind):
            self.host.call_soon(run.request, request)
        else:
            state = run.driver.state.status if run.driver is not None else "settled"
            raise MisuseError(f"job `{self.layout.job_id}` is {state} already", job_id=self.layout.job_id)

    def _ask_elsewhere(self, request: Request) -> None:
        holder = living_owner(self.layout)
        if holder is not None:
            drop(self.layout, msgspec.structs.replace(request, run_id=holder.run_id))
        elif self.carried is not None:
            ask_conductor(self.layout, request.kind)
        else:
            raise MisuseError(f"job `{self.layout.job_id}` is not running", job_id=self.layout.job_id)

    def want_back(self, wish: Wish) -> bool:
        """Withdraw a pause, or begin again once it has settled; False when the job does not run here."""
        if self.run is None:
            return False
        self.host.call_soon(self._take_back, wish)
        return True

    def _take_back(self, wish: Wish) -> None:
        """In the host's thread, where nothing settles meanwhile."""
        with self._lock:
            if self.run is not None:
                self.run.want_back(wish)
            else:
                self._launch(wish)

    def look(self) -> Owner | None:
        """Who else runs it at this moment, as the disk says it."""
        if self.run is not None:
            return None
        return self._spectator.look()

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Until nobody runs the job any more, nor is going to; on any loop. Cancelling the wait does nothing to it."""
        while self.is_live:
            finished = self._finished
            if self.run is not None and finished is not None:
                await _patiently(finished)
            else:
                await self._gone()

    async def _gone(self) -> None:
        """Another process runs it: until it has settled or that process is gone."""
        self.host.call(lambda: self._wait(1))
        try:
            while self.run is None and self.is_live:  # noqa: ASYNC110 - looking keeps a kernel's loop awake
                await asyncio.sleep(POLL_SECONDS / 2)
        finally:
            self.host.call_soon(self._wait, -1)

    def _wait(self, change: int) -> None:
        self._waiting += change
        self._spectator.watch_if_wanted()

    # --- hearing of another process's run -----------------------------------------------------------------------------

    def _is_watched(self) -> bool:
        """Whether somebody here wants to know of a job that does not run here."""
        return bool(self._listeners or self._waiting) and self.run is None

    def _hear_elsewhere(self, events: Sequence[ev.Event]) -> None:
        if self._spectator.state is not None:
            self._kept = None
        self._pulses.hear(events, time.time())
        self._publish(events)


async def _patiently(finished: Future[None]) -> None:
    """Wait for a future of another thread, or of this loop, keeping the loop awake.

    A kernel that is interrupted wakes its loop only at the next timer.
    """
    waiter = asyncio.ensure_future(asyncio.wrap_future(finished))
    while not waiter.done():
        await asyncio.wait([waiter], timeout=0.1)
    with contextlib.suppress(asyncio.CancelledError):
        waiter.exception()


def _last_change(layout: Layout) -> tuple[int, int]:
    """When anything was last written to the journal, and its size: some file systems know seconds only."""
    with contextlib.suppress(OSError):
        found = [path.stat() for path in layout.journal.iterdir()]
        return max((one.st_mtime_ns for one in found), default=0), sum(one.st_size for one in found)
    return 0, 0


_channels: WeakValueDictionary[str, Channel] = WeakValueDictionary()
_running: set[Channel] = set()
_registering = threading.Lock()


def channel_of(layout: Layout, host: Callable[[], Host]) -> Channel:
    """The one channel of a job. `host` says where it lives, if it is new or its loop is gone."""
    key = str(layout.root.resolve())
    with _registering:
        channel = _channels.get(key)
        if channel is None or channel.host.is_gone:
            error = channel.error if channel is not None else None
            channel = _channels[key] = Channel(layout, host())
            channel.error = error
        return channel


def running_here() -> list[Channel]:
    """The jobs that this process runs now."""
    return [channel for channel in _running if not channel.host.is_gone]
