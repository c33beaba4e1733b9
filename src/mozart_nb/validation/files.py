"""Files as validation rules see them: where they may be, whether they changed, what is in them. Everything blocks."""

from __future__ import annotations

import hashlib
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

MAX_CONTENT_BYTES: Final = 32 << 20
"""How much of a file is searched, from its start."""

_SAMPLED_BYTES: Final = 64 * 1024
# O_NONBLOCK: a named pipe in the place of a file must not hold the check up.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Places:
    """The folders of a job that rules may look into.

    With `root`, the scratch folder of a rehearsal, an absolute path from outside is looked for below the working
    directory: that is where the rehearsed session had to write it.
    """

    def __init__(self, workspace: Path, working_directory: Path, root: Path | None) -> None:
        self.workspace = os.path.normpath(workspace.absolute())
        self.working_directory = os.path.normpath(working_directory.absolute())
        self._is_rehearsal = root is not None
        self._fence: Fence | None = None

    def locate(self, path: str) -> str:
        """The absolute path meant by `path`; relative ones start at the working directory. No look at the disk."""
        located = Path(self.working_directory, path)
        if self._is_rehearsal and Path(path).is_absolute() and not self._holds(str(located)):
            return str(Path(self.working_directory, *located.parts[1:]))
        return str(located)

    def shown(self, located: str) -> str:
        """A located path as people write it: relative where it is inside."""
        for folder in (self.working_directory, self.workspace):
            if _is_inside(located, folder):
                return os.path.relpath(located, folder)
        return located

    def fence(self) -> Fence:
        """The folders with links resolved. Found out once: a session cannot move the fence by replacing a folder."""
        if self._fence is None:
            self._fence = Fence(os.path.realpath(self.workspace), os.path.realpath(self.working_directory))
        return self._fence

    def _holds(self, located: str) -> bool:
        return _is_inside(located, self.working_directory) or _is_inside(located, self.workspace)


class Fence(NamedTuple):
    """Workspace and working directory with links resolved."""

    workspace: str
    working_directory: str

    def resolve(self, located: str) -> str | None:
        """The path with links resolved, None when it leads outside. Raises `OSError` or `ValueError`."""
        real = os.path.realpath(located)
        inside = _is_inside(real, self.working_directory) or _is_inside(real, self.workspace)
        return real if inside else None


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def signature(real: str) -> str:
    """Changes whenever the file is written; "" when there is no regular file.

    Modification times alone miss a file rewritten at the same length within one tick of the file system's clock, so a
    digest is part of it: of the whole file up to 128 KiB, of its beginning and end above. The inode is not: some
    network file systems give out new ones at will.
    """
    try:
        with _open(real) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                return ""
            return f"{facts.st_mtime_ns}:{facts.st_size}:{_digest(file, facts.st_size)}"
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError:
        return _unread_signature(real)


def _digest(file: BinaryIO, size: int) -> str:
    digest = hashlib.blake2b(file.read(_SAMPLED_BYTES), digest_size=8)
    if size > _SAMPLED_BYTES:
        file.seek(max(_SAMPLED_BYTES, size - _SAMPLED_BYTES))
        digest.update(file.read(_SAMPLED_BYTES))
    return digest.hexdigest()


def _unread_signature(real: str) -> str:
    # A file that may not be read can still be seen to change.
    try:
        facts = os.stat(real)  # noqa: PTH116
    except OSError:
        return ""
    return f"{facts.st_mtime_ns}:{facts.st_size}:" if stat.S_ISREG(facts.st_mode) else ""


def what_is_there(real: str) -> str:
    """What stands in the place of a file, for people."""
    try:
        facts = os.stat(real)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return "nothing is there"
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"
    if stat.S_ISDIR(facts.st_mode):
        return "a folder is there"
    if not stat.S_ISREG(facts.st_mode):
        return "something that is no regular file is there"
    changed = datetime.fromtimestamp(facts.st_mtime, UTC)
    return f"{facts.st_size:,} bytes, last changed {changed:%Y-%m-%d %H:%M:%S} UTC"


class Content(NamedTuple):
    """The searched part of a file as text, and the size of all of it in bytes."""

    text: str
    size: int

    @property
    def is_whole(self) -> bool:
        return self.size <= MAX_CONTENT_BYTES


def read(real: str) -> Content:
    """The file's beginning, decoded as UTF-8 with replacement characters and plain newlines. Raises `OSError`."""
    with _open(real) as file:
        data = file.read(MAX_CONTENT_BYTES)
        size = max(len(data), os.fstat(file.fileno()).st_size)
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Content(text, size)


def _open(real: str) -> BinaryIO:
    return open(os.open(real, _FLAGS), "rb")
