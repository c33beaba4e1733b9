"""`answers.db`: which line of which job's `answers.jsonl` holds the accepted answer of a request.

An index and nothing more: every row can be made again from the records of the workspace's jobs (`kept_sources`), so it
is never synced, and a file that is damaged or of another version is thrown away.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mozart_nb.checkpoint.files import PRIVATE_FILE

VERSION = 1
BUSY_SECONDS = 2.0
"""How long another process that writes is waited for."""

_PREFIX_BYTES = 8

_TABLES = f"""
CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY,
    journal TEXT NOT NULL UNIQUE,
    folder TEXT NOT NULL,
    seq INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS answers (
    content BLOB NOT NULL,
    occurrence INTEGER NOT NULL,
    source INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    place INTEGER NOT NULL,
    size INTEGER NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (content, occurrence)
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""

_PUT_SOURCE = """
INSERT INTO sources (journal, folder, seq) VALUES (?, ?, ?)
ON CONFLICT (journal) DO UPDATE SET folder = excluded.folder, seq = max(seq, excluded.seq)
"""

_PUT_ROW = """
INSERT INTO answers (content, occurrence, source, batch, place, size, at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (content, occurrence) DO UPDATE SET
    source = excluded.source, batch = excluded.batch, place = excluded.place, size = excluded.size, at = excluded.at
WHERE excluded.at >= answers.at
"""

_FIND = """
SELECT folder, place, size FROM answers JOIN sources ON sources.id = answers.source
WHERE content = ? AND occurrence = ?
"""


@dataclass(frozen=True, slots=True)
class Source:
    """The journal of one job, past or present.

    `journal` is its identity, `folder` where it is now (relative to `.mozart`), `seq` the number of the event up to
    which the index knows what it completed.
    """

    journal: str
    folder: str
    seq: int


@dataclass(frozen=True, slots=True)
class Row:
    """An accepted answer: whose request, and where its line stands (bytes). `at` is epoch seconds."""

    content: str
    occurrence: int
    batch: int
    place: int
    size: int
    at: float


class Contents:
    """The beginnings of all content hashes that were kept when the index was opened: eight bytes each."""

    __slots__ = ("_prefixes",)

    def __init__(self, prefixes: Iterable[int] = ()) -> None:
        """`prefixes` are sorted."""
        self._prefixes = array("Q", prefixes)

    def may_hold(self, content: str) -> bool:
        """False when nothing is kept for that content, for certain."""
        prefix = int(content[: 2 * _PREFIX_BYTES], 16)
        found = bisect_left(self._prefixes, prefix)
        return found < len(self._prefixes) and self._prefixes[found] == prefix


class AnswerIndex:
    """The open index. Used by one thread at a time; everything may raise `sqlite3.Error`."""

    def __init__(self, path: Path) -> None:
        """Open it, or make an empty one for the user alone. Raises `OSError` as well."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
        self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        [version] = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"the index has version {version}")
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")

    def close(self) -> None:
        self._db.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def sources(self) -> dict[str, Source]:
        """Every journal that is known, by its identity."""
        rows = self._db.execute("SELECT journal, folder, seq FROM sources")
        return {journal: Source(journal, folder, seq) for journal, folder, seq in rows}

    def contents(self) -> Contents:
        """The hashes of everything that is kept."""
        rows = self._db.execute("SELECT content FROM answers ORDER BY content")
        return Contents(int.from_bytes(content[:_PREFIX_BYTES], "big") for (content,) in rows)

    def rows_of(self, journal: str) -> Iterator[tuple[str, int, int]]:
        """Content, occurrence and place of every answer that stands in the file of that journal."""
        found = self._db.execute(
            "SELECT content, occurrence, place FROM answers WHERE source = (SELECT id FROM sources WHERE journal = ?)",
            (journal,),
        )
        return ((content.hex(), occurrence, place) for content, occurrence, place in found)

    def find(self, content: str, occurrence: int) -> tuple[str, int, int] | None:
        """Folder of the job, place and size of the answer's line."""
        found: tuple[str, int, int] | None = self._db.execute(_FIND, (bytes.fromhex(content), occurrence)).fetchone()
        return found

    # --- writing ------------------------------------------------------------------------------------------------------

    def put(self, source: Source, rows: Iterable[Row]) -> None:
        """Add rows and say up to where their journal is known, in one transaction. The newer answer stands."""
        with self._transaction():
            self._db.execute(_PUT_SOURCE, (source.journal, source.folder, source.seq))
            [number] = self._db.execute("SELECT id FROM sources WHERE journal = ?", (source.journal,)).fetchone()
            self._db.executemany(
                _PUT_ROW,
                (
                    (bytes.fromhex(row.content), row.occurrence, number, row.batch, row.place, row.size, row.at)
                    for row in rows
                ),
            )

    def move(self, journal: str, folder: str) -> None:
        """That journal stands elsewhere now."""
        with self._transaction():
            self._db.execute("UPDATE sources SET folder = ? WHERE journal = ?", (folder, journal))

    def forget(self, journal: str) -> None:
        """That journal is gone, and its answers with it."""
        with self._transaction():
            known = "(SELECT id FROM sources WHERE journal = ?)"
            self._db.execute(f"DELETE FROM answers WHERE source = {known}", (journal,))
            self._db.execute("DELETE FROM sources WHERE journal = ?", (journal,))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def is_damage(error: Exception) -> bool:
    """Whether the file itself is at fault, not its disk or who else uses it."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


def discard(path: Path) -> None:
    """Throw an index away. Raises `OSError`."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
