"""Whether the conductor has a job that nobody runs at this moment: waiting for room, or for the conductor's restart.

Read from what the conductor keeps on disk, without asking it: whoever waits for a job looks several times a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.hosts.conductor.carried import Carried, key_of
from mozart_nb.hosts.conductor.client import ConductorClient
from mozart_nb.hosts.conductor.place import Place, place

RESTART_SECONDS: Final = 20.0
"""How long a conductor that is gone may take to come back before nobody waits for it any more."""

LOOK_SECONDS: Final = 0.5
"""Between two looks whether a conductor runs."""

_COMING: Final = frozenset({"queued", "running", "stopped", "handover"})
"""Phases in which a job goes on without anybody doing anything about it, as long as there is a conductor."""


class Carriage:
    """One job as the conductor has it. May be asked from any thread."""

    def __init__(
        self, layout: Layout, where: Place | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._key = key_of(layout)
        self._place = where
        self._clock = clock
        self._seen_at: float | None = None
        self._looked_at: float | None = None

    @property
    def entry(self) -> Carried | None:
        """What the conductor notes of it; None for a job that it does not carry."""
        return _entries(self._where.carried).get(self._key)

    @property
    def coming(self) -> Carried | None:
        """The same for a job that is going to run there without further ado: its conductor runs, or is restarting.

        None in the conductor itself, which has no need to wait for what it does.
        """
        found = self.entry
        return found if found is not None and found.phase in _COMING and self._is_there() else None

    @property
    def is_there(self) -> bool:
        """Whether a conductor runs."""
        return self._where.is_held()

    def was_running_it(self) -> None:
        """Its conductor ran the job until this moment: if it is gone now, it may be restarting."""
        self._seen_at, self._looked_at = self._clock(), None

    @property
    def _where(self) -> Place:
        return self._place or place()

    def _is_there(self) -> bool:
        now = self._clock()
        if self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            who = self._where.identity()
            if who is not None:
                self._seen_at = now if who.pid != os.getpid() else None
        return self._seen_at is not None and now - self._seen_at < RESTART_SECONDS


def carried_at(where: Place) -> list[Carried]:
    """The jobs that the conductor there carries, or was carrying, as it noted them."""
    return list(_entries(where.carried).values())


class _Listed(msgspec.Struct):
    jobs: list[Carried]


_known: dict[Path, tuple[tuple[int, int, int], dict[str, Carried]]] = {}
# Without a lock: two threads may read the file twice, which does no harm.


def _entries(path: Path) -> dict[str, Carried]:
    """What a conductor's file says, read again when it was replaced. A file that cannot be read says nothing."""
    try:
        found = path.stat()
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        known = _known.get(path)
        if known is not None and known[0] == mark:
            return known[1]
        listed = msgspec.json.decode(path.read_bytes(), type=_Listed)
    except (OSError, msgspec.DecodeError):
        return {}
    entries = {one.key: one for one in listed.jobs}
    _known[path] = (mark, entries)
    return entries


def ask_conductor(layout: Layout, method: str) -> None:
    """Ask something about a job that the conductor has and nobody runs: `pause`, `resume` or `cancel`.

    Raises `ConductorAbsentError` where the conductor is gone, and what it raises.
    """
    with ConductorClient.connect() as conductor:
        conductor.call(method, job_id=layout.job_id, workspace=str(layout.workspace))
