"""`state_backend: sqlite`: one job's whole state in a database beside its snapshot, for whoever likes to query it.

Every field of the job and of its batches is a column named as in the snapshot, and every attempt a row. The journal
stays the truth: a mirror that is missing, damaged, of another version or of another journal is made anew. Imported
late.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, insert, inspect, select

from mozart_nb import events as ev
from mozart_nb.consumers.history.columns import StructTable
from mozart_nb.consumers.history.database import Patience, open_database
from mozart_nb.consumers.history.identity import named_by, sweeps
from mozart_nb.consumers.history.parcel import Missing, Parcel, ReadSince, parts_of
from mozart_nb.consumers.history.upserts import upsert
from mozart_nb.consumers.rows import AttemptRecord, Attempts
from mozart_nb.engine.state import BatchState, JobRecord, JobState
from mozart_nb.events import PlanShape

METADATA: Final = MetaData()

JOB: Final = StructTable("job", METADATA, JobRecord, ("job_id",), without=("plan",))
PLAN: Final = StructTable("plan", METADATA, PlanShape)
BATCHES: Final = StructTable("batches", METADATA, BatchState, ("number",))
ATTEMPTS: Final = StructTable("attempts", METADATA, AttemptRecord, ("batch", "attempt"))
CURSOR: Final = Table(
    "cursor",
    METADATA,
    Column("journal", Text, primary_key=True, comment="identity of the journal that was read"),
    Column("seq", Integer, nullable=False, comment="attempts are known up to this event"),
    Column("batches_seq", Integer, nullable=False, comment="batches are at least as new as this event"),
)

EVENTS_AT_ONCE: Final = 20_000
_PUT_JOB, _PUT_BATCH = upsert(JOB.table), upsert(BATCHES.table)
_PUT_ATTEMPT, _PUT_CURSOR = upsert(ATTEMPTS.table), upsert(CURSOR)
_QUERIED_AT_ONCE: Final = 500


class _Cursor(msgspec.Struct):
    journal: str
    seq: int = 0
    batches_seq: int = 0


class Mirror:
    """An open mirror. Used by one thread at a time; everything may raise `DBAPIError`."""

    def __init__(self, path: Path, waits: Patience | None = None) -> None:
        """Open it, with the tables of this version. Raises `OSError` as well."""
        self._database = open_database(path, migrations=(), waits=waits)
        self._plan: PlanShape | None = None
        try:
            with self._database.writing(waits) as connection:
                _require_tables(connection)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        self._database.close()

    def catch_up(self, parcel: Parcel, read_since: ReadSince, waits: Patience | None = None) -> Missing | None:
        """Add the attempts of what was missed before `parcel`; returns what batches it has to be told of besides."""
        with self._database.writing(waits) as connection:
            cursor = _require_cursor(connection, parcel)
        last = parcel.events[0].seq - 1 if parcel.events else parcel.seq
        if cursor.seq >= last and cursor.batches_seq >= parcel.since:
            return None
        missing = Missing(since=cursor.batches_seq)
        events = iter(read_since(min(cursor.seq, cursor.batches_seq)))
        while some := list(islice(events, EVENTS_AT_ONCE)):
            for event in some:
                if missing.since < event.seq <= parcel.since:
                    missing.numbers.update(named_by(event))
                    missing.sweep = missing.sweep or sweeps(event)
            with self._database.writing(waits) as connection:
                cursor = _require_cursor(connection, parcel)
                _add_attempts(connection, cursor, [event for event in some if event.seq <= last])
        return missing if cursor.batches_seq < parcel.since else None

    def write(self, parcel: Parcel, waits: Patience | None = None) -> None:
        """Add a parcel to what is known; the events before it are known already."""
        with self._database.writing(waits) as connection:
            cursor = _require_cursor(connection, parcel)
            if parcel.record.plan is not self._plan:
                connection.execute(PLAN.table.delete())
                connection.execute(insert(PLAN.table).values(PLAN.rows([parcel.record.plan])[0]))
            connection.exec_driver_sql(_PUT_JOB, JOB.rows([parcel.record])[0])
            if parcel.batches:
                connection.exec_driver_sql(_PUT_BATCH, BATCHES.rows(parcel.batches))
            if parcel.drained and cursor.batches_seq >= parcel.since:
                cursor.batches_seq = max(cursor.batches_seq, parcel.seq)
            _add_attempts(connection, cursor, parcel.events)
        self._plan = parcel.record.plan


def _add_attempts(connection: Connection, cursor: _Cursor, events: Iterable[ev.Event]) -> None:
    fresh = [event for event in events if event.seq > cursor.seq]
    attempts = Attempts()
    begun = {(event.batch, event.attempt) for event in fresh if isinstance(event, ev.BatchStarted)}
    heard = {(getattr(event, "batch", 0), getattr(event, "attempt", 0)) for event in fresh}
    attempts.records.update(_known(connection, [key for key in heard - begun if key[1]]))
    attempts.hear(fresh)
    changed = [attempts.records[key] for key in heard if key in attempts.records]
    if changed:
        connection.exec_driver_sql(_PUT_ATTEMPT, ATTEMPTS.rows(changed))
    cursor.seq = fresh[-1].seq if fresh else cursor.seq
    connection.exec_driver_sql(_PUT_CURSOR, (cursor.journal, cursor.seq, cursor.batches_seq))


def _known(connection: Connection, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], AttemptRecord]:
    table, found = ATTEMPTS.table, {}
    wanted = set(keys)
    for numbers in parts_of(sorted({batch for batch, _ in wanted}), _QUERIED_AT_ONCE):
        for row in connection.execute(select(table).where(table.c.batch.in_(numbers))):
            if (row.batch, row.attempt) in wanted:
                found[row.batch, row.attempt] = ATTEMPTS.record(row)
    return found


def _require_tables(connection: Connection) -> None:
    """The tables as this version declares them; of another version nothing is kept."""
    looked_at = inspect(connection)
    for name in looked_at.get_table_names():
        known = METADATA.tables.get(name)
        declared = [column.name for column in known.columns] if known is not None else []
        if declared != [column["name"] for column in looked_at.get_columns(name)]:
            before = MetaData()
            before.reflect(connection)
            before.drop_all(connection)
            break
    METADATA.create_all(connection)


def _require_cursor(connection: Connection, parcel: Parcel) -> _Cursor:
    row = connection.exec_driver_sql(f"SELECT journal, seq, batches_seq FROM {CURSOR.name}").first()
    if row is not None:
        cursor = _Cursor(*row)
        if cursor.journal == parcel.journal and cursor.seq <= parcel.seq:
            return cursor
        for table in METADATA.sorted_tables:
            connection.execute(table.delete())
    return _Cursor(parcel.journal)


def read_mirror(path: Path) -> JobState:
    """The state that a mirror holds. Raises `DBAPIError`, and `LookupError` for one that holds none."""
    database = open_database(path, migrations=())
    try:
        with database.reading() as connection:
            job, plan = (connection.execute(select(part.table)).first() for part in (JOB, PLAN))
            if job is None or plan is None:
                raise LookupError(f"{path} holds no state")
            rows = connection.execute(select(BATCHES.table).order_by(BATCHES.table.c.number))
            batches = {row.number: BATCHES.record(row) for row in rows}
            return JobState(JOB.record(job, plan=PLAN.record(plan)), batches)
    finally:
        database.close()
