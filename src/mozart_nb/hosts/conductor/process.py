"""The conductor as a process that runs: its settings, and when it stops."""

from __future__ import annotations

import asyncio
from typing import Any

from mozart_nb.errors import ConfigError
from mozart_nb.hosts.conductor.log import Log
from mozart_nb.hosts.conductor.pressure import MB, MachineLimits
from mozart_nb.hosts.conductor.seats import TurnLimits
from mozart_nb.hosts.conductor.service import Conductor
from mozart_nb.hosts.conductor.settings import FIXED, ConductorSettings, Read, read_settings
from mozart_nb.hosts.conductor.sharing import Sharing


class Process:
    """A conductor that runs: what its methods work with."""

    def __init__(self, conductor: Conductor, sharing: Sharing, log: Log, read: Read) -> None:
        self.conductor = conductor
        self.sharing = sharing
        self.log = log
        self.read = read
        self._stopping: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._reading = asyncio.Lock()

    @property
    def settings(self) -> ConductorSettings:
        return self.conductor.settings

    def stop(self, by: str, seconds: float | None = None) -> None:
        """Let go of all jobs and end; the second time at once."""
        self.log.tell("conductor.stopping", by=by, is_repeated=self._stopping is not None)
        patience = self.settings.shutdown_seconds if seconds is None else seconds
        if self._stopping is not None:
            self.conductor.spawn(self.conductor.stop(patience))
            return
        self._stopping = asyncio.get_running_loop().create_task(self.conductor.stop(patience))
        self._stopping.add_done_callback(lambda _: self._stopped.set())

    async def until_stopped(self) -> None:
        """Until everything has been let go of."""
        await self._stopped.wait()
        if self._stopping is not None:
            await self._stopping

    async def reload(self) -> dict[str, Any]:
        """Read the settings again. Raises `ConfigError` for settings that are wrong: then nothing is changed."""
        async with self._reading:  # of several that ask at once the last one has read last
            return await self._reload()

    async def _reload(self) -> dict[str, Any]:
        try:
            read = await self.conductor.in_thread(read_settings, self.read.file)
        except ConfigError as error:
            self.log.tell("settings.refused", "error", message=error.message)
            raise
        new, old = read.settings.model_dump(), self.settings.model_dump()
        changed = {name: value for name, value in new.items() if value != old[name]}
        later = sorted(set(changed) & set(FIXED))
        kept = {name: old[name] for name in later}
        self._take(Read(read.settings.model_copy(update=kept), read.file, read.warnings))
        taken = {name: value for name, value in changed.items() if name not in later}
        self.log.tell("settings.read", changed=taken, after_restart=later)
        self.conductor.spawn(self.conductor.fill())
        return {"changed": taken, "after_restart": later, "warnings": list(read.warnings)}

    def _take(self, read: Read) -> None:
        self.read, self.conductor.settings = read, read.settings
        self.log.level = read.settings.log_level
        turns, machine = limits_of(read.settings)
        self.sharing.configure(turns, machine, every_seconds=read.settings.monitor_interval_seconds)


def limits_of(settings: ConductorSettings) -> tuple[TurnLimits, MachineLimits]:
    """What the settings say about sessions, and about the machine."""
    turns = TurnLimits(sessions=settings.max_sessions, per_job=settings.max_sessions_per_job)
    machine = MachineLimits(
        memory_percent=settings.max_memory_percent,
        session_bytes=settings.session_memory_mb * MB,
        reserve_bytes=settings.memory_reserve_mb * MB,
        min_free_disk_bytes=settings.min_free_disk_mb * MB,
        processes=settings.max_processes,
    )
    return turns, machine
