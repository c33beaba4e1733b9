"""What the machine has left: memory, processors, processes of sessions, free disk of each workspace.

In a container the container's own limit counts, which the machine's figures do not show.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import psutil

from mozart_nb.backends.session_memory import SessionMemory
from mozart_nb.hosts.conductor.pressure import Sample

CGROUP = Path("/sys/fs/cgroup")


class Resources:
    """Looks at the machine. For one thread; each look blocks for some ten milliseconds."""

    def __init__(self, cgroup: Path = CGROUP) -> None:
        self._cgroup = cgroup
        self._sessions = SessionMemory()
        self._own: psutil.Process | None = None

    def look(self, at: float, workspaces: Mapping[str, Path]) -> Sample:
        """The figures of this moment; a `fault` where they cannot be read. Free disk is looked up by job."""
        try:
            return self._look(at, workspaces)
        except Exception as error:  # whatever keeps us from seeing the machine must not end the looking
            return Sample(at=at, fault=f"{type(error).__name__}: {error}", free=free_disk(workspaces))

    def _look(self, at: float, workspaces: Mapping[str, Path]) -> Sample:
        memory = psutil.virtual_memory()
        total, available = within_container(memory.total, memory.available, self._cgroup)
        sessions = self._sessions.look()
        if self._own is None:
            self._own = psutil.Process()
        return Sample(
            at=at,
            memory_total=total,
            memory_available=available,
            cpu_percent=psutil.cpu_percent(),
            processes=sum(processes for _, processes in sessions.values()),
            own_bytes=self._own.memory_info().rss,
            sessions={marker: size for marker, (size, _) in sessions.items()},
            free=free_disk(workspaces),
        )


def free_disk(workspaces: Mapping[str, Path]) -> dict[str, int]:
    """Free bytes on the disk of each workspace, also of one still to be made; what cannot be seen is left out."""
    found: dict[str, int] = {}
    for job, folder in workspaces.items():
        for place in (folder, *folder.parents):
            try:
                found[job] = shutil.disk_usage(place).free
            except FileNotFoundError:
                continue
            except OSError:
                break
            break
    return found


def within_container(total: int, available: int, cgroup: Path = CGROUP) -> tuple[int, int]:
    """Memory there is and memory left, in bytes, when the control group allows less than the machine has.

    Files that are only cached can be dropped and do not count as used. Source: the kernel's documentation of control
    groups, `memory.max`, `memory.current` and `memory.stat` of version 2, and their names in version 1.
    """
    for limit, usage, stat, cached in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        most = _number(cgroup / limit)
        used = _number(cgroup / usage)
        if most is None or used is None or not 0 < most < total:
            continue
        taken = max(0, used - _cached(cgroup / stat, cached))
        return most, max(0, min(available, most - taken))
    return total, available


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # there is none, or it says "max"
        return None


def _cached(file: Path, name: str) -> int:
    try:
        rows = dict(line.split() for line in file.read_text().splitlines())
        return int(rows.get(name, 0))
    except (OSError, ValueError):
        return 0
