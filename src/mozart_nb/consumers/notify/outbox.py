"""What is to be sent and what became of it: two files in the job's folder that only ever grow.

`outbox.jsonl` is written by the host of the run and read by the courier, `deliveries.jsonl` the other way round. A line
that was cut short by a crash or a full disk is passed over. Neither file holds an address, a key or a rendered text.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from mozart_nb.consumers.notify.messages import Delivery, Message

OUTBOX: Final = "outbox.jsonl"
DELIVERIES: Final = "deliveries.jsonl"
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


class Covered(msgspec.Struct, frozen=True, tag_field="kind", tag="covered"):
    """Up to which event each channel has been told: number of the channel → `seq`."""

    channels: dict[str, int]


_encode = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(Covered | Message).decode
_decode_delivery = msgspec.json.Decoder(Delivery).decode


class GrowingFile:
    """A file that whole lines are appended to, for the user alone. Every method may raise `OSError`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), _FILE_MODE)
        size = os.fstat(self._handle).st_size
        self._is_torn = bool(size) and self._last_byte(size) != b"\n"

    def append(self, records: Iterable[msgspec.Struct]) -> None:
        """Append the records, a line each; they are on stable storage on return."""
        data = b"".join(_encode(record) + b"\n" for record in records)
        if self._is_torn:
            data = b"\n" + data
        self._is_torn = True
        while data:
            data = data[os.write(self._handle, data) :]
        self._is_torn = False
        os.fsync(self._handle)

    @property
    def is_deleted(self) -> bool:
        """Whether the file has no name any more. One that was moved still has."""
        return os.fstat(self._handle).st_nlink == 0

    def close(self) -> None:
        os.close(self._handle)

    def _last_byte(self, size: int) -> bytes:
        os.lseek(self._handle, size - 1, os.SEEK_SET)
        return os.read(self._handle, 1)


class LineReader:
    """Reads whole lines as they come. The file stays open, so that a folder that is moved away is read to its end."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._handle = -1
        self._offset = offset

    @classmethod
    def at_end(cls, path: Path) -> LineReader:
        """Reads only what is written from now on."""
        return cls(path, path.stat().st_size if path.is_file() else 0)

    def lines(self) -> list[bytes]:
        """What is new. Raises `OSError`, but not for a file that is not there yet."""
        if self._handle < 0:
            try:
                self._handle = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            except FileNotFoundError:
                return []
        size = os.fstat(self._handle).st_size
        if size <= self._offset:
            return []
        os.lseek(self._handle, self._offset, os.SEEK_SET)
        data = os.read(self._handle, size - self._offset)
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read_messages(lines: Iterable[bytes]) -> Iterator[Message | Covered]:
    """The records of lines of an outbox."""
    for line in lines:
        try:
            yield _decode_line(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def read_deliveries(lines: Iterable[bytes]) -> Iterator[Delivery]:
    """The records of lines of `deliveries.jsonl`."""
    for line in lines:
        try:
            yield _decode_delivery(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def messages(folder: Path) -> list[Message]:
    """Every message that was ever put into the outbox in `folder`, in order, each once. Never raises."""
    found = {one.id: one for one in read_messages(_all_lines(folder / OUTBOX)) if isinstance(one, Message)}
    return list(found.values())


def deliveries(folder: Path) -> list[Delivery]:
    """The last word on every message that was dealt with, in the order of those words. Never raises.

    A message that was delivered stays so, whatever another courier has written after that.
    """
    found: dict[str, Delivery] = {}
    for one in read_deliveries(_all_lines(folder / DELIVERIES)):
        before = found.pop(one.id, None)
        found[one.id] = before if before is not None and before.status == "delivered" else one
    return list(found.values())


def unsent(folder: Path) -> list[Message]:
    """The messages that are still to be delivered, in order. Never raises."""
    done = {one.id for one in deliveries(folder) if one.is_final}
    return [one for one in messages(folder) if one.id not in done]


def covered(folder: Path) -> dict[int, int] | None:
    """Up to which event each channel has been told: number → `seq`; None when there is no outbox yet."""
    if not (folder / OUTBOX).is_file():
        return None
    found: dict[int, int] = {}
    for one in read_messages(_all_lines(folder / OUTBOX)):
        pairs = {one.channel: one.seq} if isinstance(one, Message) else {int(n): s for n, s in one.channels.items()}
        for number, seq in pairs.items():
            found[number] = max(seq, found.get(number, 0))
    return found


def _all_lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []
