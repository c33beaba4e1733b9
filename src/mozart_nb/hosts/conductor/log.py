"""What the conductor itself does, as events: in its log, one JSON object per line, and for those who watch it.

These are no events of jobs, which are in each job's own journal: a job was taken up, let go, refused; the settings were
read; the machine is short of memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mozart_nb.masking import masked

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Final = ("debug", "info", "warning", "error")
MOST_KEPT: Final = 1_000
"""Events that those who come later can still see."""

_UNTOLD: Final = frozenset({"seq", "at", "level", "event"})
_MB: Final = 1 << 20
_encode = msgspec.json.Encoder().encode


class Log:
    """Takes events on the conductor's loop and from no other thread."""

    def __init__(self, *, level: Level = "info", echo: Callable[[str], None] | None = None) -> None:
        """`echo` is told every event in one line: a person may sit at the terminal."""
        self.level: Level = level
        self._echo = echo
        self._file: RotatingFileHandler | None = None
        self._kept: deque[dict[str, Any]] = deque(maxlen=MOST_KEPT)
        self._seq = 0
        self._news = asyncio.Event()
        self._is_over = False

    def write_to(self, path: Path, *, max_mb: int, backups: int) -> None:
        """From now on also into this file, created for the user alone. Raises `OSError`."""
        self._file = _Private(path, maxBytes=max_mb * _MB, backupCount=backups, encoding="utf-8")

    def tell(self, event: str, /, level: Level = "info", **facts: Any) -> None:
        """Something happened: `event` is its name, `facts` are plain data without secrets of ours."""
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        self._seq += 1
        told = {"seq": self._seq, "at": round(time.time(), 3), "event": event, "level": level, **facts}
        self._kept.append(told)
        self._write(told)
        self._news.set()
        self._news = asyncio.Event()

    def _write(self, told: dict[str, Any]) -> None:
        text = masked(_encode(told).decode())
        if self._file is not None:
            with contextlib.suppress(Exception):  # a log that cannot be written stops nobody's job
                self._file.emit(logging.LogRecord("mozart", logging.INFO, "", 0, text, None, None))
        if self._echo is not None:
            facts = " ".join(f"{name}={_short(value)}" for name, value in told.items() if name not in _UNTOLD)
            with contextlib.suppress(OSError):
                self._echo(masked(f"{time.strftime('%H:%M:%S')} {told['event']} {facts}".rstrip()))

    @property
    def seq(self) -> int:
        """The number of the last event."""
        return self._seq

    async def watch(self, since_seq: int = 0) -> AsyncIterator[Sequence[dict[str, Any]]]:
        """Bursts of events after number `since_seq`, as far as they are kept, until `close`."""
        while True:
            news = self._news
            if found := [told for told in self._kept if told["seq"] > since_seq]:
                since_seq = found[-1]["seq"]
                yield found
            elif self._is_over:
                return
            else:
                await news.wait()

    def close(self) -> None:
        """The last event has been told."""
        self._is_over = True
        self._news.set()
        if self._file is not None:
            self._file.close()


class _Private(RotatingFileHandler):
    """Its files are their owner's alone, the later ones too; what cannot be written is not complained about."""

    def _open(self) -> TextIOWrapper:
        return open(os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        """Where the disk is full there is nobody to tell: standard error goes to a file beside it."""


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:199]}…"
