"""Finding the processes of a session by a variable that they all inherited.

The tools of `claude` start their shells in sessions and process groups of their own, so that ending the program, or
its whole group, leaves them running. What they cannot shed is their environment (short of `env -i`): a process belongs
to a session when it was started with exactly our marker, or with the session's id as `claude` hands it to its tools.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

MARKER = "MOZART_NB_MARKER"
"""The variable that every process of a session carries."""

_SESSION = "CLAUDE_CODE_SESSION_ID"
_PROC = Path("/proc")
_RESCAN_SECONDS = 0.02


def find(marker: str, session_id: str = "") -> list[psutil.Process]:
    """Living processes of the session, ourselves left out. An empty `marker` or `session_id` matches nothing."""
    wanted = {name: value for name, value in ((MARKER, marker), (_SESSION, session_id)) if value}
    if not wanted:
        return []
    pids = _search_proc(wanted) if sys.platform == "linux" else _search_psutil(wanted)
    return [process for pid in pids if (process := _living(pid)) is not None]


def find_writers(marker: str, path: Path) -> list[psutil.Process]:
    """Processes of the session whose standard output is the file `path`: the program itself, none of its tools."""
    return [process for process in find(marker) if _writes_to(process, path)]


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def children_of(pid: int) -> list[psutil.Process]:
    """All descendants of a process, at this moment."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def kill(processes: Iterable[psutil.Process]) -> None:
    """End processes at once. One that is gone meanwhile is left alone, also when its number went to another."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def reap(marker: str, session_id: str, within_seconds: float) -> bool:
    """Kill every process of the session; True when none is left. Blocks for `within_seconds` at most, plus one scan."""
    deadline = time.monotonic() + within_seconds
    killed_some = False
    while True:
        left = find(marker, session_id)
        kill(left)
        if not left and not killed_some:
            return True
        # After a kill, look once more: a process may have been between fork and exec, where it shows no environment.
        killed_some = bool(left)
        if time.monotonic() >= deadline:
            return not left
        time.sleep(_RESCAN_SECONDS)


def _search_proc(wanted: dict[str, str]) -> Iterator[int]:
    # Reading the raw blocks is an order of magnitude cheaper than parsing each into a mapping.
    entries = tuple(f"{name}={value}".encode() for name, value in wanted.items())
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                block = (folder / "environ").read_bytes()
            except OSError:
                continue  # gone meanwhile, or somebody else's
            if any(entry in block for entry in entries) and not set(entries).isdisjoint(block.split(b"\0")):
                yield int(folder.name)


def _search_psutil(wanted: dict[str, str]) -> Iterator[int]:
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            environ = process.environ()
        except (psutil.Error, OSError):
            continue
        if any(environ.get(name) == value for name, value in wanted.items()):
            yield process.pid


def _living(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
    except psutil.Error:
        return None
    return None if is_gone(process) else process


def _writes_to(process: psutil.Process, path: Path) -> bool:
    try:
        if sys.platform == "linux":
            return path.samefile(_PROC / str(process.pid) / "fd" / "1")
        return any(file.fd == 1 and path.samefile(file.path) for file in process.open_files())
    except (psutil.Error, OSError):
        return False
