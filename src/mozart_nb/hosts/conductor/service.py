"""The conductor: takes jobs up, runs them beside each other, and lets go of them when it stops.

Its jobs are runs like those of a kernel or a command, on one loop (`hosts.channel`). What it adds is that it keeps
account of them on disk, so that the next conductor goes on with them. All of this happens on the loop; what blocks
happens in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from mozart_nb import events as ev
from mozart_nb.checkpoint.control import drop
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner, owner
from mozart_nb.engine.confirm import AnsweredFromAfar
from mozart_nb.engine.ports import Confirmations, Request
from mozart_nb.errors import ConductorError, JobBusyError, MisuseError, MozartError
from mozart_nb.hosts.channel import Channel, channel_of
from mozart_nb.hosts.conductor.beginning import Beginning, beginning, going_on
from mozart_nb.hosts.conductor.carried import Carried, Phase, Register, key_of
from mozart_nb.hosts.conductor.faults import RESOURCE_EXHAUSTED, SHUTTING_DOWN
from mozart_nb.hosts.conductor.log import Log
from mozart_nb.hosts.conductor.settings import ConductorSettings
from mozart_nb.hosts.conductor.wanted import Wanted
from mozart_nb.hosts.local_run import Wish
from mozart_nb.hosts.loops import Host

BY: Final = "conductor"
MOST_CARRIED: Final = 1_000
THREADS: Final = 8
LOOK_SECONDS: Final = 30.0
"""Between two looks at what was held up, and at jobs whose host died."""
HANDOVER_LOOK_SECONDS: Final = 0.25
DETACH_SECONDS: Final = 20.0
"""How long ending sessions may take once the time for finishing them is over."""

T = TypeVar("T")


@dataclass
class Running:
    """A job that runs here."""

    carried: Carried
    channel: Channel
    wish: Wish
    disconnect: Callable[[], None] = lambda: None


class _Lock(asyncio.Lock):
    """One that can be referred to weakly."""


class Conductor:
    """Carries jobs. Methods are called on its loop."""

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
        self.is_stopping = False
        self.started_at = time.time()
        self._threads = ThreadPoolExecutor(THREADS, "mozart conductor")
        self._deciding: WeakValueDictionary[str, _Lock] = WeakValueDictionary()
        self._saving = asyncio.Lock()
        self._saved = b""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """What `function` returns, which may block."""
        return await self.host.loop.run_in_executor(self._threads, function, *arguments)

    def spawn(self, work: Any) -> None:
        """Have `work` done meanwhile; what goes wrong in it is told."""
        task = self.host.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.tell("conductor.error", "error", message=f"{type(error).__name__}: {error}")

    # --- taking jobs up -----------------------------------------------------------------------------------------------

    async def submit(self, wanted: Wanted) -> dict[str, Any]:
        """Run a job, or go on with it. Raises what `mozart run` and `mozart resume` raise."""
        self.require_open()
        found = await self.in_thread(beginning, wanted, self.confirmations)
        if found.kind == "notebook":
            hint = "run it in a notebook that has them"
            raise MisuseError(f"the conductor cannot run this job: {found.said}", hint=hint, job_id=found.layout.job_id)
        async with self._alone_with(found.layout):
            self.require_open()
            return await self._take(found, wanted)

    def require_open(self) -> None:
        """Raises `ConductorError` while it stops, and where it carries more than it can keep account of."""
        if self.is_stopping:
            raise ConductorError("the conductor is stopping", number=SHUTTING_DOWN, hint="`mozart restart`")
        if len(self.register) >= MOST_CARRIED:
            raise ConductorError(f"the conductor carries {MOST_CARRIED:,} jobs already", number=RESOURCE_EXHAUSTED)

    async def _take(self, found: Beginning, wanted: Wanted) -> dict[str, Any]:
        layout, kind = found.layout, found.kind
        here = self.running.get(key_of(layout))
        if here is not None:
            return self._runs_here(here, found, wanted)
        if kind == "nothing":
            await self.let_go(layout)
            return _told(found, "nothing")
        if kind == "attach":
            if not wanted.handover:
                return _told(found, "attach")
            one = await self._carry(found, wanted, "handover", "waits until whoever runs it has let go of it")
            self.spawn(self._take_over(one))
            said = f"job `{layout.job_id}` is taken over as soon as {found.found.owner} lets go of it"
            return _told(found, "queued", said)
        if self._is_full and not found.prepared.rehearsed:
            await self._carry(found, wanted, "queued", f"{len(self.running)} other jobs run")
            said = f"job `{layout.job_id}` waits in the queue: {len(self.running)} other jobs run"
            return _told(found, "queued", said)
        await self._begin(found, await self._carry(found, wanted, "running"))
        return _told(found, "run")

    @property
    def _is_full(self) -> bool:
        return sum(one.phase == "running" for one in self.register) >= self.settings.max_jobs

    def _runs_here(self, here: Running, found: Beginning, wanted: Wanted) -> dict[str, Any]:
        if wanted.fresh:
            raise JobBusyError(found.layout.job_id, "in the conductor")
        if found.wish is not None and found.wish.how.get("reload") is not None:
            hint = f"`mozart modify {found.layout.job_id}` pauses it first"
            raise MisuseError(f"job `{found.layout.job_id}` runs: its config cannot change now", hint=hint)
        if wanted.job_id and found.wish is not None:
            here.channel.want_back(found.wish)
        return _told(found, "attach", f"job `{found.layout.job_id}` is run by the conductor already")

    async def _carry(self, found: Beginning, wanted: Wanted, phase: Phase, reason: str = "") -> Carried:
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
        await self.save()
        self.log.tell(f"job.{phase}", job_id=one.job_id, folder=one.folder, reason=reason)
        return one

    async def _begin(self, found: Beginning, carried: Carried) -> None:
        """Its place in the register is on disk by now. Raises what keeps the run from beginning."""
        assert found.wish is not None
        channel = channel_of(found.layout, lambda: self.host)
        running = Running(carried, channel, found.wish)
        self.prioritise(found.layout, carried.priority)
        try:
            channel.begin(found.wish)
        except MozartError:
            await self.let_go(found.layout)
            raise
        self.running[carried.key] = running
        running.disconnect = channel.observe(lambda events: self._hear(running, events))

    def _hear(self, running: Running, events: Sequence[ev.Event]) -> None:
        carried = running.carried
        if running.channel.run is None:
            if self.running.pop(carried.key, None) is running:
                running.disconnect()
                self._note_end(running)
                self.spawn(self._save_and_fill())
        elif not carried.has_begun and any(event.seq for event in events):
            carried.note_begun()
            self.spawn(self.save())

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
        if not goes_on and self.register.get(carried.layout) is carried:
            self.register.drop(carried)
        self.ended.append({"job_id": carried.job_id, "folder": carried.folder, "status": status, "at": time.time()})
        self.log.tell("job.over", job_id=carried.job_id, status=status, reason=reason, is_carried_on=goes_on)

    async def _save_and_fill(self) -> None:
        await self.save()
        await self.fill()

    # --- the queue ----------------------------------------------------------------------------------------------------

    async def fill(self) -> None:
        """Begin what waits, as far as there is room."""
        while not self.is_stopping and not self._is_full:
            waiting = [one for one in self.register if one.phase == "queued"]
            if not waiting:
                return
            await self.take_up(min(waiting, key=lambda one: (one.priority, one.since)))

    async def take_up(self, carried: Carried) -> None:
        """Have a job go on that is carried and does not run; where that cannot be, it is held, and says why."""
        async with self._alone_with(carried.layout):
            if self.is_stopping or carried.key in self.running or self.register.get(carried.layout) is not carried:
                return
            try:
                found = await self.in_thread(going_on, carried, self.confirmations)
                await self._go_on(carried, found)
            except MozartError as error:
                self._hold(carried, error.message)
            except OSError as error:
                self._hold(carried, str(error))
            await self.save()

    async def _go_on(self, carried: Carried, found: Beginning) -> None:
        if found.kind == "nothing":
            self.register.drop(carried)
            self.log.tell("job.over", job_id=carried.job_id, reason=found.said)
        elif found.kind == "attach":
            self._hold(carried, found.said)
        elif found.kind == "notebook":
            self._move(carried, "notebook", found.said)
        elif self._is_full:
            self._move(carried, "queued", "waits for room")
        else:
            self._move(carried, "running", found.said)
            await self.save()
            await self._begin(found, carried)
            carried.was_stopped = False

    def _hold(self, carried: Carried, reason: str) -> None:
        self._move(carried, "held", reason)

    def _move(self, carried: Carried, phase: Phase, reason: str) -> None:
        if (carried.phase, carried.reason) != (phase, reason):
            carried.phase, carried.reason = phase, reason
            self.log.tell(f"job.{phase}", job_id=carried.job_id, folder=carried.folder, reason=reason)

    async def begin_again(self) -> None:
        """What the last conductor carried goes on, waits for a word of a person, or is let go: as the settings say."""
        for carried in self.register:
            if carried.phase in ("handover", "notebook"):
                continue
            if self.settings.resume == "never":
                self.register.drop(carried)
                self.log.tell("job.dropped", job_id=carried.job_id, reason="`resume: never`")
            elif self.settings.resume == "ask":
                self._hold(carried, WAITS_FOR_WORD)
            else:
                carried.phase, carried.reason = "queued", "was carried by the last conductor"
        await self.save()
        await self.fill()

    async def release(self, layouts: Iterable[Layout] = ()) -> list[str]:
        """Held jobs go on, these or all; returns their ids."""
        keys = {key_of(layout) for layout in layouts}
        held = [one for one in self.register if one.phase == "held" and (not keys or one.key in keys)]
        for one in held:
            self._move(one, "queued", "waits for room")
        await self.fill()
        return [one.job_id for one in held]

    async def look_around(self) -> None:
        """What could not go on is tried again, and hosts that were asked to let go are looked at."""
        for one in self.register:
            if one.phase == "handover":
                self.spawn(self._take_over(one))
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for one in self.register:
                if one.phase == "held" and one.reason != WAITS_FOR_WORD:
                    await self.take_up(one)
            await self.fill()

    # --- from other hosts ---------------------------------------------------------------------------------------------

    async def _take_over(self, carried: Carried) -> None:
        """Ask whoever runs it to let go, and go on with it then."""
        asked = ""
        while not self.is_stopping and self.register.get(carried.layout) is carried and carried.phase == "handover":
            holder = await self.in_thread(living, carried.layout)
            if holder is None:
                carried.note_begun()
                carried.was_stopped = True  # that it is paused now is our doing
                self._move(carried, "queued", "its host has let go of it")
                await self.fill()
                return
            if holder.run_id != asked:
                asked = holder.run_id
                request = Request(kind="handover", by=BY, reason="the conductor takes it over", run_id=asked)
                with contextlib.suppress(MozartError):
                    await self.in_thread(drop, carried.layout, request)
            await asyncio.sleep(HANDOVER_LOOK_SECONDS)

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
        await self.save()
        self._request_all("handover")
        if not await self._are_over(seconds):
            self.log.tell("conductor.detaching", "warning", jobs=sorted(self.running))
            self._request_all("detach")
            await self._are_over(DETACH_SECONDS)
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(MozartError):
            await self.save()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _request_all(self, kind: Any) -> None:
        for running in list(self.running.values()):
            with contextlib.suppress(MozartError):
                running.channel.request(Request(kind=kind, by=BY, reason="the conductor stops; its next start goes on"))

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

    def _alone_with(self, layout: Layout) -> _Lock:
        """One decision about a job at a time."""
        key = key_of(layout)
        lock = self._deciding.get(key)
        if lock is None:
            lock = self._deciding[key] = _Lock()
        return lock


WAITS_FOR_WORD: Final = "the conductor was started again, and its settings say to ask before it goes on"


def living(layout: Layout) -> Owner | None:
    """Who runs the job at this moment."""
    found = owner(layout)
    return found if found is not None and found.alive is not False else None


def _told(found: Beginning, decision: str, said: str = "") -> dict[str, Any]:
    return {
        "job_id": found.layout.job_id,
        "workspace": str(found.prepared.places.workspace),
        "decision": decision,
        "said": said or found.said,
        "notices": list(found.notices),
    }
