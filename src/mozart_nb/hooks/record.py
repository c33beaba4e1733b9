"""What became of a job's hooks, one line per step, beside its journal.

The file is also the lock of whoever runs the hooks: it belongs to the open file, so a job that starts itself over may
move it into the archive while its hook still runs, and what comes of the hook is written where it belongs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec
import portalocker

from mozart_nb.checkpoint.files import DiskFiles, unwritable
from mozart_nb.checkpoint.layout import Layout

HookStatus = Literal[
    "started", "running", "succeeded", "failed", "detached", "skipped", "interrupted", "unknown", "pending"
]

_LOCK_TRIES: Final = 5
_LOCK_PAUSE_SECONDS: Final = 0.05
# A reader holds the lock for the blink of an eye, to see whether anybody does.

_LOCKED = (portalocker.AlreadyLocked, portalocker.LockException)


class HookResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One hook of one completion of a job, as it stands.

    `completion` is the run in which the job completed, `hook` the number in `on_success` from 1. `at` is epoch seconds,
    `seconds` how long it took, `output` the end of what it printed, `log` the file of a detached hook, relative to the
    folder that holds the job's state.
    `unknown`: it had started when its host died. `pending`: it has not run yet. `started` is on disk only; it is shown
    as `running` or `unknown`.
    """

    completion: str
    hook: int
    type: str
    status: HookStatus
    what: str = ""
    at: float = 0.0
    seconds: float = 0.0
    exit_code: int | None = None
    message: str = ""
    output: str = ""
    log: str = ""
    pid: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(HookResult).decode


def record_path(layout: Layout) -> Path:
    """Where the record of a job's hooks stands."""
    return layout.root / "hooks.jsonl"


def read_hooks(layout: Layout) -> list[HookResult]:
    """What became of the hooks of the last completion, in their order; empty when none has run. Never raises."""
    path = record_path(layout)
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    results = _parse(lines)
    if not results:
        return []
    last = [result for result in results if result.completion == results[-1].completion]
    found = _latest(last)
    if any(result.status == "started" for result in found.values()):
        now: HookStatus = "running" if _is_locked(path) else "unknown"
        found = {n: shown(result, now) for n, result in found.items()}
    return [found[number] for number in sorted(found)]


def shown(result: HookResult, status: HookStatus) -> HookResult:
    """A hook that has started and of which nothing more is written, with what that means now."""
    return msgspec.structs.replace(result, status=status) if result.status == "started" else result


def _parse(lines: Iterable[bytes]) -> list[HookResult]:
    results = []
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):  # the last line of a host that died, or of a full disk
            results.append(_decode(line))
    return results


def _latest(results: Iterable[HookResult]) -> dict[int, HookResult]:
    """The last word on each hook. `pending` takes back a start that came to nothing."""
    found = {result.hook: result for result in results}
    return {number: result for number, result in found.items() if result.status != "pending"}


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            portalocker.lock(file, portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING)
            portalocker.unlock(file)
    except (OSError, *_LOCKED):
        return True
    return False


class HookRecord:
    """The record of a job's hooks, held by whoever runs them. Blocking calls, all of them quick."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path = record_path(layout)
        self._file: BinaryIO | None = None

    def open(self) -> bool:
        """Take the record; False when another process has it. Raises `CheckpointUnwritableError`."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            file = os.fdopen(handle, "r+b", buffering=0)
        except OSError as error:
            raise unwritable(error, self._path, self._layout.job_id) from error
        if not self._lock(file):
            file.close()
            return False
        self._file = file
        with contextlib.suppress(OSError):
            DiskFiles().sync_folder(self._path.parent)
        return True

    def _lock(self, file: BinaryIO) -> bool:
        for _ in range(_LOCK_TRIES):
            with contextlib.suppress(*_LOCKED):
                portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
                return self._is_in_place(file)
            time.sleep(_LOCK_PAUSE_SECONDS)
        return False

    def _is_in_place(self, file: BinaryIO) -> bool:
        """False when the job was started over meanwhile."""
        with contextlib.suppress(OSError):
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        return False

    def of(self, completion: str) -> dict[int, HookResult]:
        """What is known of the hooks of a completion, by number."""
        assert self._file is not None, "the record is not open"
        self._file.seek(0)
        lines = self._file.read().splitlines()
        return _latest(result for result in _parse(lines) if result.completion == completion)

    def add(self, result: HookResult) -> None:
        """Append, durably on return. Raises `CheckpointUnwritableError`."""
        assert self._file is not None, "the record is not open"
        line = _encode(result) + b"\n"
        try:
            size = self._file.seek(0, os.SEEK_END)
            if size:
                self._file.seek(size - 1)
                line = line if self._file.read(1) == b"\n" else b"\n" + line
            self._file.write(line)
            DiskFiles().sync(self._file.fileno())
        except OSError as error:
            raise unwritable(error, self._path, self._layout.job_id) from error

    def close(self) -> None:
        """Give the record back."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
