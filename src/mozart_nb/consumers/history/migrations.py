"""How `history.db` came to be what it is: named changes of its schema, applied in this order, each once.

A new database gets all tables as they are declared now. So a migration that only adds a table or a column to what is
declared in `tables` says `create(...)` or `add_missing_columns(...)`: both leave alone what is there already. Never
rename, reorder or remove a migration that was released.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, Table, inspect, select
from sqlalchemy.schema import CreateColumn

from mozart_nb.consumers.history import tables
from mozart_nb.errors import WorldError

Migration = tuple[str, Callable[[Connection], None]]
"""Name of a change, and what makes it within a transaction."""


def create(connection: Connection, *wanted: Table) -> None:
    """Make these tables and their indexes, those that do not exist yet."""
    tables.METADATA.create_all(connection, tables=wanted)


def add_missing_columns(connection: Connection, table: Table) -> None:
    """Add to a table what is declared of it and not there yet."""
    known = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in known:
            text = CreateColumn(column).compile(connection)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {text}")


def _history(connection: Connection) -> None:
    create(connection, tables.JOBS, tables.CURSORS, tables.JOB_RUNS, tables.BATCHES)


def _notifications(connection: Connection) -> None:
    create(connection, tables.NOTIFICATIONS)


def _learning(connection: Connection) -> None:
    from mozart_nb.consumers.learning.tables import OUTCOMES, WATCHES  # they are declared on the tables here

    create(connection, OUTCOMES, WATCHES)


MIGRATIONS: Final[Sequence[Migration]] = (
    ("jobs, runs and batches", _history),
    ("notifications", _notifications),
    ("learning", _learning),
)


def names_applied(connection: Connection) -> list[str]:
    """Which migrations a database has seen, in their order; none for a new one."""
    if not inspect(connection).has_table(tables.MIGRATIONS.name):
        return []
    rows = connection.execute(select(tables.MIGRATIONS.c.name).order_by(tables.MIGRATIONS.c.applied_at))
    return [name for (name,) in rows]


def require_known(applied: Sequence[str], migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Raise `WorldError` for a database that a newer version has changed: nobody here knows what it means."""
    unknown = sorted(set(applied) - {name for name, _ in migrations})
    if unknown:
        said = f"the history was written by a newer version (it has `{unknown[0]}`) and is left alone"
        raise WorldError(said, hint="upgrade mozart_nb")


def apply_one(connection: Connection, migration: Migration) -> None:
    """Make one change and write down that it was made; in the caller's transaction."""
    name, change = migration
    create(connection, tables.MIGRATIONS)
    if name not in names_applied(connection):  # another process may have been quicker
        change(connection)
        connection.execute(tables.MIGRATIONS.insert().values(name=name, applied_at=time.time()))
