"""The conductor: takes jobs up, has them wait where there is no room, and goes on with those of its predecessor."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Any, Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.control import drop
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner, owner
from mozart_nb.engine.ports import Request
from mozart_nb.errors import ConductorError, JobBusyError, MisuseError, MozartError
from mozart_nb.hosts.conductor.beginning import Beginning, beginning, going_on
from mozart_nb.hosts.conductor.carried import Carried, key_of
from mozart_nb.hosts.conductor.carrying import BY, Carrier, Running
from mozart_nb.hosts.conductor.faults import RESOURCE_EXHAUSTED, SHUTTING_DOWN
from mozart_nb.hosts.conductor.inheriting import inherited
from mozart_nb.hosts.conductor.memory import give_back
from mozart_nb.hosts.conductor.wanted import Wanted
from mozart_nb.looking.logs import last_events

MOST_CARRIED: Final = 1_000
LOOK_SECONDS: Final = 30.0
"""Between two looks at what was held up."""
HANDOVER_LOOK_SECONDS: Final = 0.25
WAITS_FOR_WORD: Final = "the conductor was started again, and its settings say to ask before it goes on"


class Conductor(Carrier):
    """Carries jobs. Methods are called on its loop."""

    # --- taking jobs up -----------------------------------------------------------------------------------------------

    async def submit(self, wanted: Wanted, *, is_adopted: bool = False) -> dict[str, Any]:
        """Run a job, or go on with it. Raises what `mozart run` and `mozart resume` raise.

        One that calls functions of a notebook is refused, or kept until a notebook takes it where it `is_adopted`.
        """
        self.require_open()
        asked_at = time.time()
        found = await self.in_thread(beginning, wanted, self.confirmations)
        if found.kind == "notebook" and not is_adopted:
            hint = "run it in a notebook that has them"
            raise MisuseError(f"the conductor cannot run this job: {found.said}", hint=hint, job_id=found.layout.job_id)
        async with self.alone_with(found.layout):
            self.require_open()
            if any(one["key"] == key_of(found.layout) and one["at"] >= asked_at for one in self.ended):
                found = await self.in_thread(beginning, wanted, self.confirmations)
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
        if kind == "notebook":
            await self.carry(found, wanted, "notebook", found.said)
            return _told(found, "queued", f"job `{layout.job_id}` waits for a notebook: {found.said}")
        if kind == "attach":
            if not wanted.handover:
                return _told(found, "attach")
            one = await self.carry(found, wanted, "handover", "waits until whoever runs it has let go of it")
            self.spawn(self._take_over(one))
            said = f"job `{layout.job_id}` is taken over as soon as {found.found.owner} lets go of it"
            return _told(found, "queued", said)
        if self._is_full and not found.prepared.rehearsed:
            await self.carry(found, wanted, "queued", f"{len(self.running)} other jobs run")
            said = f"job `{layout.job_id}` waits in the queue: {len(self.running)} other jobs run"
            return _told(found, "queued", said)
        carried = await self.carry(found, wanted, "running")
        try:
            await self.begin(found, carried)
        except Exception:
            await self.let_go(layout)
            raise
        return _told(found, "run")

    @property
    def _is_full(self) -> bool:
        """Jobs of which only the hooks are left take no room: such a hook may wait for the job that is next."""
        begun = sum(one.phase == "running" for one in self.register)
        return begun - sum(one.is_over for one in self.running.values()) >= self.settings.max_jobs

    def _runs_here(self, here: Running, found: Beginning, wanted: Wanted) -> dict[str, Any]:
        if found.kind == "nothing" and here.is_over and not wanted.fresh:
            return _told(found, "nothing")  # a hook of it that waited for it would wait for itself
        if wanted.fresh:
            raise JobBusyError(found.layout.job_id, "in the conductor")
        if found.wish is not None and found.wish.how.get("reload") is not None:
            hint = f"`mozart modify {found.layout.job_id}` pauses it first"
            raise MisuseError(f"job `{found.layout.job_id}` runs: its config cannot change now", hint=hint)
        if wanted.job_id and found.wish is not None:
            found.wish.chain = str(here.carried.wish.get("chain", ""))
            here.channel.want_back(found.wish)
        return _told(found, "attach", f"job `{found.layout.job_id}` is run by the conductor already")

    # --- the queue ----------------------------------------------------------------------------------------------------

    async def fill(self) -> None:
        """Begin what waits, as far as there is room."""
        tried: list[Carried] = []  # each once, so that this ends whatever becomes of them
        while not self.is_stopping and not self._is_full:
            waiting = [one for one in self.register if one.phase == "queued" and not any(one is seen for seen in tried)]
            if not waiting:
                return
            tried.append(min(waiting, key=lambda one: (one.priority, one.since)))
            await self.take_up(tried[-1])

    async def take_up(self, carried: Carried) -> None:
        """Have a job go on that is carried and does not run; where that cannot be, it is held, and says why."""
        async with self.alone_with(carried.layout):
            if self.is_stopping or carried.key in self.running or not self.register.has(carried):
                return
            try:
                found = await self.in_thread(going_on, carried, self.confirmations)
                if not self.is_stopping:
                    await self._go_on(carried, found)
            except MozartError as error:
                self.hold(carried, error.message)
            except OSError as error:
                self.hold(carried, str(error))
            except Exception as error:  # one job that cannot be loaded must not keep the others from going on
                self.hold(carried, f"{type(error).__name__}: {error}")
            await self.save_if_possible()

    async def _go_on(self, carried: Carried, found: Beginning) -> None:
        if not self.register.has(carried):
            return  # somebody has taken it out meanwhile
        if found.kind == "nothing":
            self.register.drop(carried)
            self.log.tell("job.over", job_id=carried.job_id, reason=found.said)
        elif found.kind == "attach":  # it belongs to whoever runs it
            self.register.drop(carried)
            self.log.tell("job.let_go", job_id=carried.job_id, reason=found.said)
        elif found.kind == "notebook":
            self.move(carried, "notebook", found.said)
        elif self._is_full:
            self.move(carried, "queued", "waits for room")
        else:
            self.move(carried, "running", found.said)
            await self.save()
            await self.begin(found, carried)
            carried.was_stopped, carried.stopped_at = False, 0

    async def begin_again(self) -> None:
        """What the last conductor carried goes on, waits for a word of a person, or is let go: as the settings say."""
        for carried in self.register:
            if carried.phase in ("handover", "notebook"):
                continue
            if self.settings.resume == "never":
                self.register.drop(carried)
                self.log.tell("job.dropped", job_id=carried.job_id, reason="`resume: never`")
            elif self.settings.resume == "ask":
                self.hold(carried, WAITS_FOR_WORD)
            else:
                carried.phase, carried.reason = "queued", "was carried by the last conductor"
        await self.save_if_possible()
        await self.fill()

    async def release(self, layouts: Iterable[Layout] = ()) -> list[str]:
        """Held jobs go on, these or all; returns their ids."""
        keys = {key_of(layout) for layout in layouts}
        held = [one for one in self.register if one.phase == "held" and (not keys or one.key in keys)]
        for one in held:
            self.move(one, "queued", "waits for room")
        await self.fill()
        return [one.job_id for one in held]

    async def look_around(self) -> None:
        """What could not go on is tried again, and hosts that were asked to let go are looked at."""
        for one in self.register:
            if one.phase == "handover":
                self.spawn(self._take_over(one))
        last: dict[str, Any] | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.save_if_possible()  # a disk that was full may have room again
            if self.ended and self.ended[-1] is not last:
                last = self.ended[-1]
                await self.in_thread(give_back)
            for one in self.register:
                if (one.phase == "held" and one.reason != WAITS_FOR_WORD) or one.phase == "notebook":
                    await self.take_up(one)
            await self.fill()

    # --- from other hosts ---------------------------------------------------------------------------------------------

    async def _take_over(self, carried: Carried) -> None:
        """Ask whoever runs it to let go, and go on with it then."""
        asked = ""
        while not self.is_stopping and self.register.get(carried.layout) is carried and carried.phase == "handover":
            holder = await self.in_thread(living, carried.layout)
            if holder is None:
                left = await self.in_thread(inherited, carried)
                if left.ended:
                    self.register.drop(carried)
                    self.log.tell("job.let_go", job_id=carried.job_id, reason=left.ended)
                    await self.save()
                    return
                carried.note_begun()
                carried.wish, carried.done_before = {**carried.wish, **left.wish}, left.done
                carried.was_stopped = True  # that it is paused now is our doing
                carried.stopped_at = await self.in_thread(_paused_at, carried.layout)
                self.move(carried, "queued", "its host has let go of it")
                await self.fill()
                return
            if holder.run_id != asked:
                asked = holder.run_id
                request = Request(kind="handover", by=BY, reason="the conductor takes it over", run_id=asked)
                with contextlib.suppress(MozartError):
                    await self.in_thread(drop, carried.layout, request)
            await asyncio.sleep(HANDOVER_LOOK_SECONDS)


def living(layout: Layout) -> Owner | None:
    """Who runs the job at this moment."""
    found = owner(layout)
    return found if found is not None and found.alive is not False else None


def _paused_at(layout: Layout) -> int:
    """The number of the event with which the job paused; 0 where that is not the last thing that it did."""
    last = last_events(layout, 1)
    return last[0].seq if last and isinstance(last[0], ev.JobPaused) else 0


def _told(found: Beginning, decision: str, said: str = "") -> dict[str, Any]:
    return {
        "job_id": found.layout.job_id,
        "workspace": str(found.prepared.places.workspace),
        "decision": decision,
        "said": said or found.said,
        "notices": list(found.notices),
    }
