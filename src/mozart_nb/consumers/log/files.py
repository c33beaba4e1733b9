"""The files that a log consists of, by name.

mozart.log            the newest lines
mozart.log.1.gz …     older ones, the higher the number the older; without `.gz` until they are packed
mozart.jsonl          beside it with `format: both`: the same events as JSON lines, with backups of its own
.mozart.log.lock      empty; held for moments by whoever writes or renames
.mozart.log.….part    a backup that is being packed
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import portalocker

from mozart_nb.job.outputs import LoggingConfig

DEFAULT_NAME: Final = "mozart.log"
PRIVATE: Final = 0o600
LOCK_SECONDS: Final = 2.0
_TRY_AGAIN_SECONDS: Final = 0.005
BINARY: Final = getattr(os, "O_BINARY", 0)


def log_file(config: LoggingConfig, workspace: Path, root: str = "") -> Path:
    """Where a job's log is: `file_path`, relative to the workspace, `{workspace}` being that.

    `root`: the folder of a rehearsal, which nothing leaves; another place is then mapped into the workspace there.
    """
    if config.file_path is None:
        return workspace / DEFAULT_NAME
    given = os.path.expanduser(config.file_path.replace("{workspace}", str(workspace)))  # noqa: PTH111
    # `Path.expanduser` raises for a user that does not exist.
    file = Path(os.path.normpath(workspace / given))
    if root and not file.is_relative_to(root) and file != Path(os.devnull):
        return workspace / file.name
    return file


def json_sibling(file: Path) -> Path:
    """Where `format: both` puts the JSON lines: `mozart.log` → `mozart.jsonl`."""
    return file.with_suffix(".jsonl") if file.suffix != ".jsonl" else file.with_name(f"{file.name}.jsonl")


def lock_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.lock")


def part_of(file: Path, inode: int) -> Path:
    """Where the backup with that inode is packed into."""
    return file.with_name(f".{file.name}.{inode}.part")


@dataclass(frozen=True, slots=True)
class Backup:
    """An older part of a log. Number 1 is the newest of them."""

    number: int
    path: Path
    is_packed: bool


def backups(file: Path) -> list[Backup]:
    """The backups of a log, the newest first. Raises `OSError`."""
    pattern = re.compile(re.escape(file.name) + r"\.([1-9]\d{0,5})(\.gz)?")
    found: dict[int, Backup] = {}
    for name in _names(file.parent):
        match = pattern.fullmatch(name)
        if match is not None:
            number = int(match[1])
            # Both forms: somebody died after the packed one was complete, and before the other one was removed.
            if number not in found or match[2]:
                found[number] = Backup(number, file.parent / name, bool(match[2]))
    return [found[number] for number in sorted(found)]


def parts(file: Path) -> Iterator[tuple[int, Path]]:
    """Drafts of packed backups, with the inode of what is being packed."""
    pattern = re.compile(re.escape(f".{file.name}.") + r"(\d+)\.part")
    for name in _names(file.parent):
        match = pattern.fullmatch(name)
        if match is not None:
            yield int(match[1]), file.parent / name


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  # names, not paths
    except (FileNotFoundError, NotADirectoryError):
        return []


def log_family(file: Path) -> set[Path]:
    """Every file there is of a log, that of its JSON lines included. Raises `OSError`."""
    found: set[Path] = set()
    for one in (file, json_sibling(file)):
        packed = [backup.path for backup in backups(one)]
        unpacked = [path.with_suffix("") for path in packed if path.suffix == ".gz"]
        candidates = [one, lock_of(one), *packed, *unpacked, *(path for _, path in parts(one))]
        found.update(path for path in candidates if path.exists())
    return found


def is_log(path: Path, file: Path) -> bool:
    """Whether `path` is, by its name, one of the files of the log `file` or of its JSON lines."""
    names = "|".join(re.escape(one.name) for one in (file, json_sibling(file)))
    pattern = rf"(?:{names})(?:\.\d+(?:\.gz)?)?|\.(?:{names})\.(?:lock|\d+\.part)"
    return path.parent == file.parent and re.fullmatch(pattern, path.name) is not None


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Only one process at a time is in here for that log. Waits for the others, who are in here for moments.

    Raises `OSError`, `TimeoutError` among them.
    """
    path = lock_of(file)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | BINARY, PRIVATE)
        try:
            _lock(handle, path)
            if not _is_at(path, handle):
                continue  # somebody removed it meanwhile: the others lock another one
            yield
            return
        finally:
            with contextlib.suppress(portalocker.LockException):
                portalocker.unlock(handle)
            os.close(handle)


def _lock(handle: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            portalocker.lock(handle, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            return
        except portalocker.AlreadyLocked:
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process holds {path}") from None
            time.sleep(_TRY_AGAIN_SECONDS)
        except portalocker.LockException as error:
            raise OSError(f"{path} cannot be locked: {error}") from error


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False


@contextlib.contextmanager
def open_family(file: Path, *, with_backups: bool = True) -> Iterator[list[tuple[Path, int]]]:
    """What there is of a log, open for reading (path and descriptor), the newest first. For readers: changes nothing.

    While the files are opened nobody renames them, as far as the lock can be had without waiting long.
    """
    with contextlib.ExitStack() as stack:
        with _peaceful(file):
            wanted = [file, *((backup.path for backup in backups(file)) if with_backups else ())]
            opened: list[tuple[Path, int]] = []
            for path in wanted:
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    handle = os.open(path, os.O_RDONLY | BINARY)
                    stack.callback(os.close, handle)
                    opened.append((path, handle))
        yield opened


@contextlib.contextmanager
def _peaceful(file: Path) -> Iterator[None]:
    lock = portalocker.Lock(
        lock_of(file),
        "rb",
        timeout=0.1,
        check_interval=0.01,
        flags=portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING,
    )
    try:
        lock.acquire()
    except (OSError, portalocker.LockException):
        yield  # there is no lock, or whoever has it is busy: take what there is
        return
    try:
        yield
    finally:
        lock.release()
