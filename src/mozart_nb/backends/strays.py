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
        return [Stray(tuple(pids), marker=marker, log=log) for marker, (log, pids) in sorted(found.items())]

    def left_of(self, session_id: str) -> Stray | None:
        """The tools that still run of the session with this id; None when there are none."""
        pids = tuple(process.pid for process in find("", session_id))
        return Stray(pids, session_id=session_id) if pids else None

    def end(self, stray: Stray) -> bool:
        """End it with all its tools; True when nothing is left. Blocks for up to `REAP_SECONDS`."""
        return reap(stray.marker, stray.session_id, REAP_SECONDS)


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
