"""Server-sent events, cut out of a byte stream without any I/O, as the HTML standard frames them.

Bytes go in as they come, complete events come out: an event torn at any byte is the same event. Lines may end with LF,
CR or CR LF; comments and unknown fields mean nothing; several `data` lines are joined by newlines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

EVENT_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of one event at most: a reply that never ends its event must not fill the memory."""

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BOM: Final = b"\xef\xbb\xbf"


class SseError(ValueError):
    """The bytes are no stream of events."""


class SseEvent(NamedTuple):
    """One event: its name, empty when it has none, and its data."""

    name: str
    data: bytes


class SseFramer:
    """Cuts one stream into events."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._rest = b""
        self._is_first = True
        self._after_cr = False
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """The events that `chunk` completes. Raises `SseError` when one is longer than the limit."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        text = self._rest + chunk if self._rest else chunk
        if not text:
            return
        if b"\r" in text:
            lines = _LINE_END.split(text)
            self._after_cr = text.endswith(b"\r")  # its LF may be the next byte
        else:
            lines = text.split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line:
                self._field(line)
            elif self._data or self._name:
                if self._data:
                    yield SseEvent(self._name.decode("utf-8", "replace"), b"\n".join(self._data))
                self._name, self._data, self._size = b"", [], 0
        if self._size + len(self._rest) > self._limit:
            raise SseError(f"an event of more than {self._limit} bytes")

    def _field(self, line: bytes) -> None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BOM)
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(line)
        elif name == b"event":
            self._name = value.removeprefix(b" ")
