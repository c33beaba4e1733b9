"""How much memory sessions take: all processes of the machine that carry a session's marker, whoever started them."""

from __future__ import annotations

import os
import time

import psutil

from mozart_nb.backends._marked import MARKER

SETTLED_SECONDS = 10.0
"""A process that has lived for so long and carries no marker is looked at no more: what starts a program does so within
that time, and the environment that it was given shows from then on."""


class SessionMemory:
    """Looks at the machine's processes; each is asked only once whether it belongs to a session. For one thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, float], str] = {}

    def look(self) -> dict[str, tuple[int, int]]:
        """Bytes of memory and number of processes of every session that has any, by marker. Blocks for some ten ms.

        Memory that processes share counts for each of them: it is rather too much than too little.
        """
        found: dict[str, tuple[int, int]] = {}
        seen: dict[tuple[int, float], str] = {}
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            marker = self._marker(process, seen)
            if marker and (size := _memory(process)):
                taken, processes = found.get(marker, (0, 0))
                found[marker] = (taken + size, processes + 1)
        self._known = seen
        return found

    def _marker(self, process: psutil.Process, seen: dict[tuple[int, float], str]) -> str:
        try:
            key = (process.pid, process.create_time())
            marker = self._known.get(key)
            if marker is None:
                marker = process.environ().get(MARKER, "")
        except (psutil.NoSuchProcess, ProcessLookupError):
            return ""
        except (psutil.Error, OSError):
            marker = ""  # somebody else's
        else:
            if not marker and time.time() - key[1] < SETTLED_SECONDS:
                return ""
        seen[key] = marker
        return marker


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except (psutil.Error, OSError):
        return 0
