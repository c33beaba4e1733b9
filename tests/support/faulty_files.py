"""Disks that fail on purpose.

`FaultyFiles` fails the n-th call of a kind; `SmallDisk` is full at so many bytes; `PowerCut` forgets what was never
synced, and what a failed sync left in doubt.
"""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass
from pathlib import Path

from mozart_nb.checkpoint.files import DiskFiles

MUTATING = ("open_append", "open_fresh", "write", "sync", "truncate", "replace", "sync_folder")


@dataclass(frozen=True)
class Fault:
    """Fail call number `at` (from 1) among `kinds` with `error`; `lasting`: and every one after it.

    `short`: a write that fails lets half of its bytes through first, as a disk does that is just getting full.
    """

    at: int
    error: int = errno.EIO
    kinds: tuple[str, ...] = MUTATING
    lasting: bool = False
    short: bool = False


class FaultyFiles(DiskFiles):
    """The real file system with one fault. `calls` lists what was asked for; `fault` may be set at any time."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault
        self.calls: list[str] = []
        self.failed: list[str] = []
        self._counted = 0

    def break_now(self, fault: Fault) -> None:
        """From here on, counting from 1."""
        self.fault, self._counted = fault, 0

    def mend(self) -> None:
        self.fault = None

    def open_append(self, path: Path) -> int:
        self._may_fail("open_append", path)
        return super().open_append(path)

    def open_fresh(self, path: Path) -> int:
        self._may_fail("open_fresh", path)
        return super().open_fresh(path)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        try:
            self._may_fail("write", handle)
        except OSError:
            if self.fault is not None and self.fault.short and len(data) > 1:
                super().write(handle, memoryview(data)[: len(data) // 2])
            raise
        return super().write(handle, data)

    def sync(self, handle: int) -> None:
        self._may_fail("sync", handle)
        super().sync(handle)

    def truncate(self, handle: int, size: int) -> None:
        self._may_fail("truncate", handle)
        super().truncate(handle, size)

    def allocate(self, path: Path, size: int) -> None:
        self._may_fail("allocate", path)
        super().allocate(path, size)

    def replace(self, source: Path, target: Path) -> None:
        self._may_fail("replace", target)
        super().replace(source, target)

    def sync_folder(self, path: Path) -> None:
        self._may_fail("sync_folder", path)
        super().sync_folder(path)

    def _may_fail(self, kind: str, what: Path | int) -> None:
        self.calls.append(kind)
        fault = self.fault
        if fault is None or kind not in fault.kinds:
            return
        self._counted += 1
        if self._counted == fault.at or (fault.lasting and self._counted > fault.at):
            self.failed.append(f"{kind} {what if isinstance(what, int) else what.name}")
            raise OSError(fault.error, os.strerror(fault.error))


class SmallDisk(DiskFiles):
    """A disk of `capacity` bytes that holds what is below `root`: the last write that fits in part is cut short."""

    def __init__(self, root: Path, capacity: int) -> None:
        self.root = root
        self.capacity = capacity

    @property
    def used(self) -> int:
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def write(self, handle: int, data: bytes | memoryview) -> int:
        room = self.capacity - self.used
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(handle, memoryview(data)[:room])

    def allocate(self, path: Path, size: int) -> None:
        if self.used + size > self.capacity:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(bytes(size))


@dataclass
class _Kept:
    """A file as the disk has it: the first `synced` bytes, but for the ranges that a failed sync left in doubt."""

    synced: int = 0
    doubtful: tuple[tuple[int, int], ...] = ()


class PowerCut(FaultyFiles):
    """Remembers what is safe; `strike` leaves on disk what a loss of power might leave."""

    def __init__(self, fault: Fault | None = None) -> None:
        super().__init__(fault)
        self._paths: dict[int, Path] = {}
        self._kept: dict[Path, _Kept] = {}
        self._new: set[Path] = set()
        self._renamed: dict[Path, bytes | None] = {}

    def open_append(self, path: Path) -> int:
        return self._remember(path, existed=path.exists(), handle=super().open_append(path))

    def open_fresh(self, path: Path) -> int:
        handle = self._remember(path, existed=path.exists(), handle=super().open_fresh(path))
        self._kept[path] = _Kept()
        return handle

    def sync(self, handle: int) -> None:
        path = self._paths[handle]
        kept, size = self._kept[path], path.stat().st_size
        try:
            super().sync(handle)
        except OSError:
            # The pages count as clean from now on, whether they were written or not.
            kept.doubtful += ((kept.synced, size),)
            raise
        finally:
            kept.synced = size

    def truncate(self, handle: int, size: int) -> None:
        super().truncate(handle, size)
        kept = self._kept[self._paths[handle]]
        kept.synced = min(kept.synced, size)
        kept.doubtful = tuple((a, min(b, size)) for a, b in kept.doubtful if a < size)

    def replace(self, source: Path, target: Path) -> None:
        before = target.read_bytes() if target.exists() else None
        super().replace(source, target)
        self._renamed.setdefault(target, before)
        self._kept[target] = self._kept.pop(source, _Kept(target.stat().st_size))
        self._new.discard(source)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self._new = {new for new in self._new if new.parent != path}
        self._renamed = {target: old for target, old in self._renamed.items() if target.parent != path}

    def strike(self, rng: random.Random) -> None:
        """The power fails now."""
        for path, kept in self._kept.items():
            if path.is_file():
                _forget(path, kept, rng)
        for target, before in self._renamed.items():
            if rng.random() < 0.5 and before is not None:
                target.write_bytes(before)
        for path in self._new:
            if rng.random() < 0.5:
                path.unlink(missing_ok=True)

    def _remember(self, path: Path, *, existed: bool, handle: int) -> int:
        self._paths[handle] = path
        self._kept.setdefault(path, _Kept(path.stat().st_size if existed else 0))
        if not existed:
            self._new.add(path)
        return handle


def _forget(path: Path, kept: _Kept, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for begin, end in kept.doubtful:
        if rng.random() < 0.8:
            content[begin:end] = bytes(max(0, min(end, len(content)) - begin))
    size = rng.randint(min(kept.synced, len(content)), len(content))
    path.write_bytes(bytes(content[:size]))
