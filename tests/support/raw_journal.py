"""What a job's folder holds, read with nothing of the product but its file names.

Lines are checked against their checksums and counted here, so that a mistake of the journal's own reader would show.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mozart_nb.checkpoint.layout import Layout

Row = dict[str, Any]
"""An event, decoded."""


def whole_lines(path: Path) -> bytes:
    """The content of a file up to its last newline: what a reader may rely on."""
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def segments(layout: Layout) -> list[Path]:
    return sorted(layout.journal.glob("*.jsonl")) if layout.journal.is_dir() else []


def read_rows(layout: Layout) -> tuple[Row, ...]:
    """Every event of a job. Raises `ValueError` for a line that is not what it says."""
    return tuple(row for path in segments(layout) for row in documents(whole_lines(path), "event"))


def documents(lines: bytes, key: str) -> Iterator[Row]:
    """What stands in checksummed lines. Raises `ValueError` for a line that is not what it says."""
    for line in lines.splitlines():
        envelope = json.loads(line)
        inner = line[line.index(b":", 10) + 1 : -1]
        if list(envelope) != ["crc", key] or f"{zlib.crc32(inner):08x}" != envelope["crc"]:
            raise ValueError(f"bad line: {line[:200]!r}")
        yield envelope[key]


@dataclass(frozen=True)
class Glance:
    """A job's folder at one moment: its journal (segment → whole lines), its answers, what batches had written."""

    journal: dict[str, bytes]
    answers: bytes
    rows: tuple[Row, ...]
    written: dict[int, tuple[int, int]]

    @classmethod
    def at(cls, layout: Layout, output: Callable[[int], Path]) -> Glance:
        journal = {path.name: whole_lines(path) for path in segments(layout)}
        rows = tuple(row for lines in journal.values() for row in documents(lines, "event"))
        written = {n: _signature(output(n)) for n in completed(rows)}
        return cls(journal, whole_lines(layout.answers), rows, written)

    @property
    def open_sessions(self) -> set[tuple[int, int]]:
        """Sessions that were open: batch and attempt."""
        ended = {"session.finished", "session.abandoned"}
        return _keys(self.rows, "session.opened") - {key_of(row) for row in self.rows if row["kind"] in ended}


def _signature(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def key_of(row: Row) -> tuple[int, int]:
    return row["batch"], row["attempt"]


def _keys(rows: tuple[Row, ...], kind: str) -> set[tuple[int, int]]:
    return {key_of(row) for row in rows if row["kind"] == kind}


def of_kind(rows: tuple[Row, ...], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


def completed(rows: tuple[Row, ...]) -> list[int]:
    return [row["batch"] for row in of_kind(rows, "batch.completed")]
