"""The schema changes by named steps, each made once, whole or not at all, by whichever process comes first."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, inspect
from support.kept_history import Kept, rows_of

from mozart_nb.consumers.history import tables
from mozart_nb.consumers.history.database import opened
from mozart_nb.consumers.history.migrations import MIGRATIONS, Migration, add_missing_columns, names_applied
from mozart_nb.errors import WorldError


def noted(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE notes (text TEXT)")


ONE_MORE: list[Migration] = [*MIGRATIONS, ("notes", noted)]


def test_a_new_database_has_every_table_and_the_names_of_all_steps(tmp_path: Path) -> None:
    with opened(tmp_path / "history.db") as database, database.reading() as connection:
        assert set(inspect(connection).get_table_names()) == set(tables.METADATA.tables)
        assert names_applied(connection) == [name for name, _ in MIGRATIONS]


def test_an_older_database_gets_the_steps_it_lacks_and_keeps_its_rows(tmp_path: Path) -> None:
    kept = Kept(tmp_path).lived(50)
    before = rows_of(kept.history, tables.JOB_RUNS)
    with opened(kept.history, migrations=ONE_MORE) as database, database.reading() as connection:
        assert inspect(connection).has_table("notes")
        assert names_applied(connection)[-1] == "notes"
    with opened(kept.history, migrations=ONE_MORE) as database, database.reading() as connection:
        assert names_applied(connection).count("notes") == 1
        assert len(connection.exec_driver_sql("SELECT * FROM job_runs").all()) == len(before)


def test_a_step_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails(connection: Connection) -> None:
        noted(connection)
        raise RuntimeError("half way")

    path = tmp_path / "history.db"
    with pytest.raises(RuntimeError, match="half way"), opened(path, migrations=[*MIGRATIONS, ("notes", fails)]):
        pass
    with opened(path) as database, database.reading() as connection:
        assert not inspect(connection).has_table("notes")


def test_a_database_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with opened(path, migrations=ONE_MORE):
        pass
    before = path.read_bytes()
    with pytest.raises(WorldError, match="newer version") as caught, opened(path):
        pass
    assert caught.value.hint == "upgrade mozart_nb"
    assert path.read_bytes() == before


def test_a_column_that_came_later_is_added_to_old_tables(tmp_path: Path) -> None:
    def old(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE things (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO things VALUES (7)")

    things = Table(
        "things",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("note", Text, nullable=False, server_default="none"),
    )
    steps: list[Migration] = [("things", old), ("notes of things", lambda conn: add_missing_columns(conn, things))]
    with opened(tmp_path / "x.db", migrations=steps) as database, database.writing() as connection:
        add_missing_columns(connection, things)
        assert connection.execute(things.select()).all() == [(7, "none")]
