"""Opening `history.db` (and the mirrors of single jobs): private files, WAL, migrations, damage. Imported late.

    with opened(path) as database:
        with database.writing() as connection: ...

What is in these files can be made again from the journals of the jobs. So a damaged one is moved aside, never mended,
and the first to notice begins an empty one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from mozart_nb.consumers.history.migrations import MIGRATIONS, Migration, apply_one, names_applied, require_known

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700

BUSY_SECONDS: Final = 5.0
"""How long another process that writes is waited for."""

CHECKED_BYTES: Final = 64 << 20
"""Up to this size a database is looked through when it is opened, which takes well under a second."""

_SLICE_SECONDS: Final = 0.1
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OTHERS: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PRIMARY: Final = 0xFF

Patience = Callable[[], bool]
"""Whether it is still worth waiting for another process; asked about ten times per second."""


def patience(seconds: float = BUSY_SECONDS) -> Patience:
    """Patience that ends after so many seconds."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


class Database:
    """An open database. Used by one thread at a time; everything may raise `sqlalchemy.exc.DBAPIError`."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine

    @contextlib.contextmanager
    def writing(self, waits: Patience | None = None) -> Iterator[Connection]:
        """A transaction that sees what every other process has written, and keeps them from writing meanwhile."""
        with self._engine.connect() as connection:
            _begin(connection, waits or patience())
            with _ended(connection):
                yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """One view of the data, whatever others write meanwhile."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            with _ended(connection):
                yield connection

    def close(self) -> None:
        self._engine.dispose()


@contextlib.contextmanager
def _ended(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(DBAPIError):  # SQLite has given up the transaction itself, as on a full disk
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _begin(connection: Connection, waits: Patience) -> None:
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except DBAPIError as error:
            if not (is_busy(error) and waits()):
                raise
        else:
            return


# --- opening ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(path: Path, *, migrations: Sequence[Migration] = MIGRATIONS) -> Iterator[Database]:
    """The database at `path`, made if it is not there, closed on leaving. Raises as `open_database`."""
    database = open_database(path, migrations=migrations)
    try:
        yield database
    finally:
        database.close()


def open_database(
    path: Path, *, migrations: Sequence[Migration] = MIGRATIONS, waits: Patience | None = None
) -> Database:
    """Open the database, make or bring up to date its tables.

    Raises `WorldError` for one that a newer version has written, `DBAPIError` for one that is damaged (`is_damage`), in
    use, or cannot be written, and `OSError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    # SQLite gives the files beside it the rights of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
    database = Database(path, _engine(path))
    try:
        _prepare(database, migrations, waits or patience())
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: Database, migrations: Sequence[Migration], waits: Patience) -> None:
    with database.reading() as connection:
        _require_whole(connection, database.path)
        applied = names_applied(connection)
    require_known(applied, migrations)
    for migration in migrations:
        if migration[0] not in applied:
            with database.writing(waits) as connection:
                require_known(names_applied(connection), migrations)
                apply_one(connection, migration)


def _require_whole(connection: Connection, path: Path) -> None:
    if path.stat().st_size > CHECKED_BYTES:
        return  # damage is noticed where it is read
    [found] = connection.exec_driver_sql("PRAGMA quick_check(1)").one()
    if found != "ok":
        said = sqlite3.DatabaseError(str(found))
        said.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise DBAPIError("PRAGMA quick_check", None, said)


def _engine(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        # No transactions of the driver's own making: `writing` and `reading` say where they begin.
        connection = sqlite3.connect(path, timeout=_SLICE_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool, skip_autocommit_rollback=True)
    event.listen(engine, "reset", _nothing)
    return engine


def _nothing(*_: Any) -> None:
    """Transactions are ended where they begin."""


# --- damage -----------------------------------------------------------------------------------------------------------


def _code(error: BaseException) -> int:
    origin = error.orig if isinstance(error, DBAPIError) else error
    return int(getattr(origin, "sqlite_errorcode", 0) or 0) & _PRIMARY


def is_damage(error: BaseException) -> bool:
    """Whether the file itself is at fault, not its disk or who else uses it."""
    return _code(error) in _DAMAGE


def is_busy(error: BaseException) -> bool:
    """Whether another process held the database for too long."""
    return _code(error) in _OTHERS


def set_aside(path: Path) -> Path:
    """Move a damaged database out of the way, under a name that says when. Returns where it went. Raises `OSError`."""
    place = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    path.replace(place)
    for suffix in ("-wal", "-shm"):
        if not path.exists():  # nobody has begun another one: what is left belongs to the damaged file
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    return place
