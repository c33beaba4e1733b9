"""What all jobs of the conductor share: its seats, dealt out in turn, and the machine, which is looked at all the time.

async with Sharing(TurnLimits(sessions=20), MachineLimits(), tell=log) as sharing:
    host.supplies = sharing.supplies
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.hosts.conductor.carried import key_of
from mozart_nb.hosts.conductor.pressure import MB, Level, MachineLimits, Pressure, PressureChanged, Sample, Verdict
from mozart_nb.hosts.conductor.resources import Resources
from mozart_nb.hosts.conductor.seats import DEFAULT_PRIORITY, PRIORITIES, Granted, JobTurns, TurnLimits, nobody
from mozart_nb.hosts.conductor.turns import Conducting
from mozart_nb.plans.prepared import Prepared

EVERY_SECONDS: Final = 5.0
FAULTS_TO_TELL: Final = 5
"""So many looks in a row must fail before it is said that the machine's figures are not known."""


class _Run(NamedTuple):
    """A run of a job, from the moment it was given its turns: it may end without having taken any."""

    job_id: str
    workspace: Path
    turns: weakref.ref[JobTurns]

    @property
    def is_over(self) -> bool:
        turns = self.turns()
        return turns is None or turns.is_over


class Sharing:
    """Gives every job its turns and keeps them within what the machine can take. For one event loop.

    `tell` hears of every session that had to wait for its turn, and of every change of the pressure.
    """

    def __init__(
        self,
        turns: TurnLimits | None = None,
        machine: MachineLimits | None = None,
        *,
        tell: Callable[[Granted | PressureChanged], None] = nobody,
        every_seconds: float = EVERY_SECONDS,
        resources: Resources | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._every_seconds = every_seconds
        self._resources = resources or Resources()
        self._pressure = Pressure(machine or MachineLimits())
        self._seats = Conducting(turns or TurnLimits(), self._loop.time, alarm=self._wake_at, tell=tell)
        self._priorities: dict[str, int] = {}
        self._runs: dict[str, _Run] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._sample = Sample(at=0.0)
        self._verdict: Verdict | None = None
        self._faults = 0
        self._looking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.look()
        self._watching = asyncio.create_task(self._watch(), name="mozart resources")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._alarm is not None:
            self._alarm.cancel()

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def supplies(self, prepared: Prepared) -> Mapping[str, Any]:
        """What a run of that job is given (`Host.supplies`): its turns."""
        return {"turns": self.turns(prepared)}

    def turns(self, prepared: Prepared) -> JobTurns:
        """The turns of one run of a job."""
        key = key_of(prepared.layout)
        light = prepared.is_rehearsal or prepared.loaded.config.backend.type != "claude_cli"
        turns = self._seats.job(key, priority=self._priorities.get(key, DEFAULT_PRIORITY), light=light)
        self._runs = {name: run for name, run in self._runs.items() if not run.is_over}
        self._runs[key] = _Run(prepared.job_id, prepared.places.workspace, weakref.ref(turns))
        return turns

    def prioritise(self, layout: Layout, priority: int) -> None:
        """Let the job come sooner (a lower number) or later, also while it runs. Beyond `PRIORITIES` is the same as at
        their end."""
        key = key_of(layout)
        self._priorities[key] = min(max(priority, PRIORITIES[0]), PRIORITIES[1])
        self._seats.prioritise(key, self._priorities[key])

    def forget(self, layout: Layout) -> None:
        """The job will not come again."""
        self._priorities.pop(key_of(layout), None)

    def waits(self, layout: Layout) -> str:
        """What the job waits for among the others, for people; empty when it does not."""
        return self._seats.waits(key_of(layout))

    def configure(self, turns: TurnLimits, machine: MachineLimits, *, every_seconds: float = EVERY_SECONDS) -> None:
        """Other limits from now on."""
        self._pressure.limits = machine
        self._every_seconds = every_seconds
        self._seats.configure(turns)

    # --- the machine --------------------------------------------------------------------------------------------------

    @property
    def level(self) -> Level:
        """How hard the machine is pressed."""
        return self._pressure.level

    async def look(self) -> None:
        """Look at the machine now; what was seen earlier never replaces what was seen later."""
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        folders = {name: run.workspace for name, run in self._runs.items() if not run.is_over}
        sample = await asyncio.to_thread(self._resources.look, self._loop.time(), folders)
        before = self._pressure.level
        self._faults = self._faults + 1 if sample.fault else 0
        self._verdict = self._pressure.judge(sample, self._seats.processes)
        self._sample = sample
        self._seats.restrain(self._verdict.restraint)
        self._seats.tick()
        if self._verdict.level != before:
            self._tell(self._change(before, self._verdict))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                await self.look()
            except (
                Exception
            ) as error:  # a mistake of ours must not end the looking: nothing would be held back any more
                self._loop.call_exception_handler({"message": "looking at the machine failed", "exception": error})

    def _change(self, before: Level, verdict: Verdict) -> PressureChanged:
        sample = self._sample
        return PressureChanged(
            level=verdict.level,
            before=before,
            why=verdict.why,
            memory_percent=round(sample.memory_percent, 1),
            cpu_percent=sample.cpu_percent,
            processes=sample.processes,
        )

    def _wake_at(self, seconds: float) -> None:
        at = self._loop.time() + seconds
        if self._alarm is not None and not self._alarm.cancelled() and self._loop.time() < self._alarm.when() <= at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(at, self._seats.tick)

    # --- figures ------------------------------------------------------------------------------------------------------

    def numbers(self) -> dict[str, Any]:
        """Seats, pressure and the machine, as plain data. Sizes in MB."""
        seats = self._seats.numbers()
        for job in seats["jobs"]:
            run = self._runs.get(job["job"])
            job["job_id"] = run.job_id if run is not None else ""
        return {"seats": seats, "pressure": self._pressure_numbers(), "machine": self._machine_numbers()}

    def _pressure_numbers(self) -> dict[str, Any]:
        verdict = self._verdict
        if verdict is None:
            return {"level": "none", "why": ""}
        return {
            "level": verdict.level,
            "why": verdict.why,
            "spacing_seconds": verdict.restraint.spacing_seconds,
            "session_mb": verdict.session_bytes // MB,
            "held": dict(verdict.restraint.held),
        }

    def _machine_numbers(self) -> dict[str, Any]:
        sample = self._sample
        fault = sample.fault if self._faults >= FAULTS_TO_TELL else ""
        return {
            "memory_mb": sample.memory_total // MB,
            "memory_available_mb": sample.memory_available // MB,
            "memory_percent": round(sample.memory_percent, 1),
            "cpu_percent": sample.cpu_percent,
            "own_mb": sample.own_bytes // MB,
            "session_processes": sample.processes,
            "sessions_mb": sum(sample.sessions.values()) // MB,
            "least_free_disk_mb": min(sample.free.values(), default=0) // MB,
            "fault": fault,
        }


def as_document(told: Granted | PressureChanged) -> dict[str, Any]:
    """What was told, as plain data with `type`. A level is its `pressure`: an event has a `level` of another kind."""
    document: dict[str, Any] = msgspec.to_builtins(told)
    if isinstance(told, PressureChanged):
        document["pressure"] = document.pop("level")
    return document
