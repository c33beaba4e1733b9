"""Running jobs and keeping account of them on disk, so that whatever ends the conductor, the next one goes on.

Its jobs are runs like those of a kernel or a command, on one loop (`hosts.channel`). All of this happens on that loop;
what blocks happens in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.confirm import AnsweredFromAfar
from mozart_nb.engine.ports import Confirmations, Request, RequestKind
from mozart_nb.errors import AmbiguousJobError, ConductorError, MozartError, UnknownJobError, WorldError
from mozart_nb.hosts.channel import Channel, channel_of
from mozart_nb.hosts.conductor.beginning import LEAVING, Beginning, is_a_persons, located
from mozart_nb.hosts.conductor.carried import Carried, Phase, Register, key_of
from mozart_nb.hosts.conductor.faults import SHUTTING_DOWN
from mozart_nb.hosts.conductor.log import Log
from mozart_nb.hosts.conductor.settings import ConductorSettings
from mozart_nb.hosts.conductor.wanted import Wanted
from mozart_nb.hosts.local_run import Wish
from mozart_nb.hosts.loops import Host

BY: Final = "conductor"
THREADS: Final = 8
DETACH_SECONDS: Final = 20.0
"""How long ending sessions may take once the time for finishing them is over."""

T = TypeVar("T")


@dataclass
class Running:
    """A job that runs here. `key` is what it was known by when it began: its path may lead elsewhere by now."""

    key: str
    carried: Carried
    channel: Channel
    wish: Wish
    disconnect: Callable[[], None] = lambda: None

    @property
    def is_over(self) -> bool:
        """Whether the job has settled: its hooks may still run."""
        return self.channel.run is not None and self.channel.run.is_over


class _Lock(asyncio.Lock):
    """One that can be referred to weakly."""


class Carrier:
    """Runs jobs, and notes which. Methods are called on its loop."""

    def __init__(self, host: Host, register: Register, settings: ConductorSettings, log: Log) -> None:
        self.host = host
        self.register = register
        self.settings = settings
        self.log = log
        self.confirmations: Confirmations = AnsweredFromAfar()
        self.prioritise: Callable[[Layout, int], None] = lambda layout, priority: None
        """Told of a job's priority before it begins."""
        self.forget: Callable[[Layout], None] = lambda layout: None
        """Told that a job does not run any more."""
        self.running: dict[str, Running] = {}
        self.ended: deque[dict[str, Any]] = deque(maxlen=200)
        self.orphans_seen: tuple[float, list[Layout]] = (float("-inf"), [])
        """When jobs of dead hosts were last looked for (monotonic seconds), and which there were."""
        self.is_stopping = False
        self.started_at = time.time()
        self._threads = ThreadPoolExecutor(THREADS, "mozart conductor")
        self._readers = ThreadPoolExecutor(THREADS, "mozart reader")
        self._is_over = False
        self._deciding: WeakValueDictionary[str, _Lock] = WeakValueDictionary()
        self._saving = asyncio.Lock()
        self._saved = b""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """What `function` returns, which may block."""
        return await self._in(self._threads, function, *arguments)

    async def in_reader(self, function: Callable[..., T], *arguments: Any) -> T:
        """The same for what only looks: however much of that is asked for, jobs do not wait behind it."""
        return await self._in(self._readers, function, *arguments)

    async def _in(self, pool: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> T:
        if self._is_over:
            raise ConductorError(
                "the conductor has stopped", number=SHUTTING_DOWN, hint="`mozart start` starts it again"
            )
        return await self.host.loop.run_in_executor(pool, function, *arguments)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have `work` done meanwhile; what goes wrong in it is told."""
        task = self.host.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.tell("conductor.error", "error", message=f"{type(error).__name__}: {error}")

    async def fill(self) -> None:
        """Begin what waits, as far as there is room: for whoever decides that."""

    # --- jobs that run ------------------------------------------------------------------------------------------------

    async def carry(self, found: Beginning, wanted: Wanted, phase: Phase, reason: str = "") -> Carried:
        """Take the job into the account; it is on disk when this returns. Raises `WorldError`."""
        layout = found.layout
        state = found.found.state
        known = self.register.get(layout)
        wish = wanted.plain()
        if wanted.job_id:
            wish |= {"job_id": layout.job_id, "workspace": str(layout.workspace)}
        one = Carried(
            layout.job_id,
            str(layout.workspace.absolute()),
            phase,
            known.since if known is not None else time.time(),
            wish,
            wanted.priority or self.settings.priority,
            reason,
            state.count("completed") + state.count("skipped") if state is not None else 0,
        )
        self.register.put(one)
        try:
            await self.save()
        except WorldError:
            self.register.drop(one)
            if known is not None:  # as it was carried before, it goes on being carried
                self.register.put(known)
            raise
        self.log.tell(f"job.{phase}", job_id=one.job_id, folder=one.folder, reason=reason)
        return one

    async def begin(self, found: Beginning, carried: Carried) -> None:
        """Its place in the register is on disk by now. Raises what keeps the run from beginning."""
        assert found.wish is not None
        if self.is_stopping:
            return  # it is noted, and the next conductor begins it
        channel = channel_of(found.layout, lambda: self.host)
        running = Running(carried.key, carried, channel, found.wish)
        self.prioritise(found.layout, carried.priority)
        found.wish.chain = str(carried.wish.get("chain", ""))
        channel.begin(found.wish)
        if found.asked is not None:
            channel.request(found.asked)
        self.running[running.key] = running
        running.disconnect = channel.observe(lambda events: self._hear(running, events))

    def _hear(self, running: Running, events: Sequence[ev.Event]) -> None:
        carried = running.carried
        if running.channel.run is None:
            if self.running.pop(running.key, None) is running:
                running.disconnect()
                self._note_end(running)
                self.spawn(self._save_and_fill())
        elif not carried.has_begun and any(event.seq for event in events):
            carried.note_begun()
            self.spawn(self.save_if_possible())

    def _note_end(self, running: Running) -> None:
        """It does not run here any more: settled, or its run ended."""
        carried, error = running.carried, running.channel.error
        state = running.channel.known
        status = state.status if state is not None and state.is_settled else "interrupted"
        reason = state.job.reason if state is not None else ""
        if error is not None:
            reason = error.message if isinstance(error, MozartError) else f"{type(error).__name__}: {error}"
        self.forget(carried.layout)
        goes_on = self.is_stopping and carried.was_stopped and status in ("paused", "interrupted")
        goes_on = goes_on and (state is None or not is_a_persons(state.job.stop))
        if goes_on and state is not None:
            carried.stopped_at = state.job.seq
        if not goes_on:
            self.register.drop(carried)
        about = {"job_id": carried.job_id, "folder": carried.folder, "status": status}
        self.ended.append({**about, "key": running.key, "at": time.time()})
        self.log.tell("job.over", job_id=carried.job_id, status=status, reason=reason, is_carried_on=goes_on)

    async def _save_and_fill(self) -> None:
        await self.save_if_possible()
        await self.fill()

    def hold(self, carried: Carried, reason: str) -> None:
        """It does not go on for now, and says why."""
        self.move(carried, "held", reason)

    def move(self, carried: Carried, phase: Phase, reason: str) -> None:
        """Another phase from now on; on disk with the next `save`."""
        if (carried.phase, carried.reason) != (phase, reason):
            carried.phase, carried.reason = phase, reason
            self.log.tell(f"job.{phase}", job_id=carried.job_id, folder=carried.folder, reason=reason)

    # --- letting go ---------------------------------------------------------------------------------------------------

    async def let_go(self, layout: Layout) -> Carried | None:
        """Carry the job no longer; what runs goes on running. Returns what was carried."""
        if (one := self.register.get(layout)) is not None:
            self.register.drop(one)
            await self.save()
        return one

    async def stop(self, seconds: float) -> None:
        """Let go of everything so that the next conductor goes on with it. Sessions that outlive their host go on by
        themselves, the others have `seconds` to finish. Called again it does not wait any longer."""
        if self.is_stopping:
            self._request_all("detach")
            return
        self.is_stopping = True
        for running in self.running.values():
            running.carried.was_stopped = True
        await self.save_if_possible()
        self._request_all("handover")
        if not await self._are_over(seconds):
            self.log.tell("conductor.detaching", "warning", jobs=sorted(self.running))
            self._request_all("detach")
            await self._are_over(DETACH_SECONDS)
        for task in self._tasks:
            task.cancel()
        await self.save_if_possible()
        self._is_over = True
        for pool in (self._threads, self._readers):
            pool.shutdown(wait=False, cancel_futures=True)

    def _request_all(self, kind: RequestKind) -> None:
        for running in list(self.running.values()):
            with contextlib.suppress(MozartError):
                running.channel.request(Request(kind=kind, by=BY, reason=LEAVING))

    async def _are_over(self, seconds: float) -> bool:
        """Whether everything has ended within that time."""
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:  # noqa: ASYNC110 - they end one by one, and in no order
            await asyncio.sleep(0.05)
        await asyncio.sleep(0)  # what they leave is noted
        return not self.running

    # --- the account --------------------------------------------------------------------------------------------------

    async def save(self) -> None:
        """What is carried is on disk when this returns. Raises `WorldError`."""
        async with self._saving:
            data = self.register.packed()
            if data != self._saved:
                await self.in_thread(self.register.write, data)
                self._saved = data

    async def save_if_possible(self) -> None:
        """The same where a disk that is full, or gone, must not keep anybody from going on: it is tried again later."""
        try:
            await self.save()
        except MozartError as error:
            self.log.tell("carried.not_noted", "error", message=error.message)

    def locate(self, job_id: str, folder: Path | None = None) -> Layout:
        """Where a job is, also one that is carried and has not begun. Blocks; safe in any thread.

        Raises `UnknownJobError`, `AmbiguousJobError`.
        """
        try:
            return located(job_id, folder)
        except UnknownJobError:
            carried = self.register.named(job_id, folder)
            if not carried:
                raise
            if len(carried) > 1:
                raise AmbiguousJobError(job_id, sorted(one.folder for one in carried)) from None
            return carried[0].layout

    def alone_with(self, layout: Layout) -> _Lock:
        """One decision about a job at a time."""
        key = key_of(layout)
        lock = self._deciding.get(key)
        if lock is None:
            lock = self._deciding[key] = _Lock()
        return lock
