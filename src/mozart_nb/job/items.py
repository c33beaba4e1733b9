"""Where the rows of a job come from, and how they are kept. Every row is plain JSON data."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import signal
import subprocess
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, overload

import msgspec

from mozart_nb.errors import CheckpointCorruptError
from mozart_nb.job.model import ItemsConfig
from mozart_nb.job.regular import require_regular
from mozart_nb.job.row_formats import READERS, Source, read_lines

COMMAND_TIMEOUT_SECONDS: Final = 300.0
"""Seconds `items.command` may take."""
_STDERR_SHOWN: Final = 800
_KILL_WAIT_SECONDS: Final = 5.0


def read_items(items: ItemsConfig, base_dir: Path, *, timeout_seconds: float = COMMAND_TIMEOUT_SECONDS) -> list[Any]:
    """The rows that `items` names; relative paths and commands start in `base_dir`.

    CSV rows are mappings of texts, lines and paths are texts, the rest is what the file holds. Blocks; a command may
    take `timeout_seconds`. Raises `ConfigError`, also when there is not a single row.
    """
    if items.file is not None:
        return _from_file(items.file, base_dir)
    if items.glob is not None:
        return _from_glob(items.glob, base_dir)
    return _from_command(items.command or "", base_dir, timeout_seconds)


# --- files ------------------------------------------------------------------------------------------------------------


def _from_file(name: str, base_dir: Path) -> list[Any]:
    path = base_dir / Path(name).expanduser()
    source = Source("file", str(path))
    read = READERS.get(path.suffix.lower())
    if read is None:
        source.refuse("this kind of file is not known", value=path.suffix or name, allowed=", ".join(READERS))
    try:
        require_regular(path)
        data = path.read_bytes()
    except OSError as error:
        source.refuse(f"the items cannot be read: {error.strerror or error}")
    return read(data, source) or source.refuse("there are no items in it")


# --- globs ------------------------------------------------------------------------------------------------------------


def _from_glob(pattern: str, base_dir: Path) -> list[Any]:
    """Paths as the pattern has them: relative to `base_dir`, or absolute. Folders only where it ends in `/`."""
    source = Source("glob")
    rooted = str(Path(pattern).expanduser()) if pattern.startswith("~") else pattern
    # In pathlib `**` changed its meaning with Python 3.13; here it means the same in every version.
    found = set(glob.glob(rooted, root_dir=base_dir, recursive=True))  # noqa: PTH207
    wants_folders = pattern.endswith("/")
    paths = [path for path in found if wants_folders or (base_dir / path).is_file()]
    if not paths:
        hint = "it matches folders only; end it with `/` to have those" if found else f"it starts in {base_dir}"
        source.refuse("no file matches", value=pattern, hint=hint)
    for path in paths:
        if any("\ud800" <= char <= "\udfff" for char in path):
            source.refuse("the name of a file is not UTF-8", value=ascii(path))
    return sorted(path.replace(os.sep, "/") for path in paths)


# --- commands ---------------------------------------------------------------------------------------------------------


def _from_command(command: str, base_dir: Path, timeout_seconds: float) -> list[Any]:
    source = Source("command")
    try:
        process = subprocess.Popen(
            command,
            shell=True,
            cwd=base_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        source.refuse(f"the command cannot be started: {error}", value=command)
    try:
        output, errors = process.communicate(timeout=timeout_seconds)
    except BaseException as error:
        _end(process)
        if isinstance(error, subprocess.TimeoutExpired):
            source.refuse(f"the command took longer than {timeout_seconds:g} s", value=command)
        raise
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip()[-_STDERR_SHOWN:]
        source.refuse(f"the command {_ending(process.returncode)}{f': {said}' if said else ''}", value=command)
    return read_lines(output, source) or source.refuse("the command printed no item", value=command)


def _ending(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """The command and everything it started, unless that left its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_KILL_WAIT_SECONDS)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


# --- frozen rows ------------------------------------------------------------------------------------------------------


def dump_items(rows: Iterable[Any]) -> Iterator[bytes]:
    """The rows as JSON lines. The same rows always give the same bytes."""
    if isinstance(rows, ItemTable):
        yield from rows.lines()
        return
    for row in rows:
        yield msgspec.json.encode(row) + b"\n"


class ItemTable(Sequence[Any]):
    """The rows of a text of JSON lines, decoded when asked for: 100,000 rows weigh little more than their text.

    Indexes count from 0, as everywhere in Python; `rows` counts from 1, as batches do.
    """

    __slots__ = ("_data", "_ends")

    def __init__(self, data: bytes) -> None:
        self._data = data if not data or data.endswith(b"\n") else data + b"\n"
        self._ends = array("Q", (found.end() for found in re.finditer(rb"\n", self._data)))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        numbers = range(len(self))[index]
        return self._row(numbers) if isinstance(numbers, int) else [self._row(number) for number in numbers]

    def rows(self, first: int, last: int) -> list[Any]:
        """Rows `first` to `last`, both included, counted from 1."""
        return self[first - 1 : last]

    def lines(self) -> Iterator[bytes]:
        """Each row as it stands, with its newline."""
        return (self._line(number) for number in range(len(self)))

    def _line(self, number: int) -> bytes:
        return self._data[self._ends[number - 1] if number else 0 : self._ends[number]]

    def _row(self, number: int) -> Any:
        try:
            return msgspec.json.decode(self._line(number))
        except msgspec.DecodeError as error:
            raise CheckpointCorruptError(
                f"row {number + 1} of the frozen items cannot be read: {error}",
                hint="restore it from a backup, or start over with --fresh",
                code="E701",
            ) from error
