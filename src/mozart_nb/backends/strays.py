"""Sessions of a job that nobody follows any more: found by their marker and the log they write to, and ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from mozart_nb.backends._marked import MARKER, find, reap
from mozart_nb.engine.ports import Stray

REAP_SECONDS = 5.0
"""How long ending all processes of a session may take."""


class LoggedSessions:
    """The sessions whose programs write their output below `logs`, also when that folder was removed meanwhile."""

    def __init__(self, logs: Path) -> None:
        self._folders = tuple({f"{folder}{os.sep}" for folder in (logs.absolute(), logs.resolve())})

    def all(self) -> list[Stray]:
        """Every such session that still runs. Blocks for some milliseconds."""
        found: dict[str, tuple[str, list[int]]] = {}
        for process in psutil.process_iter():
            log = _output(process)
            if log.startswith(self._folders) and (marker := _marker(process)):
                found.setdefault(marker, (log, []))[1].append(process.pid)
        return [Stray(marker, tuple(pids), log) for marker, (log, pids) in sorted(found.items())]

    def left_of(self, marker: str) -> Stray | None:
        """What still runs of the session with this marker, tools included; None when nothing does."""
        pids = tuple(process.pid for process in find(marker))
        return Stray(marker, pids) if pids else None

    def end(self, stray: Stray) -> bool:
        """End it with all its tools; True when nothing is left. Blocks for up to `REAP_SECONDS`."""
        return reap(stray.marker, "", REAP_SECONDS)


def _marker(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARKER, "")
    except (psutil.Error, OSError):
        return ""


def _output(process: psutil.Process) -> str:
    """The file that the process's standard output goes to; "" where that cannot be seen."""
    if process.pid == os.getpid():
        return ""
    try:
        if sys.platform == "linux":
            # Of a file that was removed this still names where it stood.
            return os.readlink(f"/proc/{process.pid}/fd/1")  # noqa: PTH115
        return next(_first_outputs(process), "")
    except (psutil.Error, OSError):
        return ""


def _first_outputs(process: psutil.Process) -> Iterator[str]:
    return (file.path for file in process.open_files() if file.fd == 1)
