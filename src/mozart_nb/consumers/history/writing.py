"""Writes what happened to one job into `history.db`. Every write moves the job's cursor on in the same transaction.

`catch_up` reads what was missed from the journal; `write` adds a parcel. Both may be repeated, by whomever: what the
cursor says is counted is not counted again. Imported late.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from mozart_nb import events as ev
from mozart_nb.consumers.history.database import Database, Patience
from mozart_nb.consumers.history.identity import named_by, sweeps
from mozart_nb.consumers.history.parcel import Delivery, Missing, Parcel, ReadSince
from mozart_nb.consumers.history.section import JobIdentity, News, Section
from mozart_nb.consumers.history.tables import BATCHES, CURSORS, JOB_RUNS, JOBS, NOTIFICATIONS
from mozart_nb.consumers.history.tally import Ledger, Memory, RunTally
from mozart_nb.consumers.history.upserts import upsert
from mozart_nb.engine.state import BatchState, JobRecord

EVENTS_AT_ONCE: Final = 20_000
"""Events that are caught up with in one transaction: others write in between."""


_JOB_COLUMNS: Final = [column.name for column in JOBS.columns if not column.primary_key]
_PUT_JOB: Final = f"UPDATE {JOBS.name} SET {', '.join(f'{name} = ?' for name in _JOB_COLUMNS)} WHERE id = ?"
_PUT_BATCH: Final = upsert(BATCHES)
_PUT_RUN: Final = upsert(JOB_RUNS)
_PUT_CURSOR: Final = upsert(CURSORS)
_PUT_NOTIFICATION: Final = upsert(NOTIFICATIONS)

_FIND_JOB: Final = f"SELECT id FROM {JOBS.name} WHERE job_id = ? AND state_workspace = ?"
_FIND_CURSOR: Final = f"SELECT journal, seq, batches_seq, memory FROM {CURSORS.name} WHERE job = ?"
_FIND_RUN: Final = (
    f"SELECT {', '.join(RunTally.__struct_fields__)} FROM {JOB_RUNS.name}"
    " WHERE job = ? AND journal = ? ORDER BY number DESC LIMIT 1"
)
# What is asked at every write is text as well: SQLAlchemy takes milliseconds to put such statements together.

_USAGE: Final = {f"{kind}_tokens": f"usage.{kind}_tokens" for kind in ("input", "output", "cache_read", "cache_write")}


def _getter(table: Table, **renamed: str) -> attrgetter[tuple[Any, ...]]:
    """Reads the values of all columns but the first (`job`) from a record."""
    return attrgetter(*(renamed.get(column.name, column.name) for column in list(table.columns)[1:]))


_batch_values: Final = _getter(BATCHES, **_USAGE)
_run_values: Final = _getter(JOB_RUNS)
_delivery_values: Final = _getter(NOTIFICATIONS)
_encode: Final = msgspec.json.Encoder().encode


class Cursor(msgspec.Struct):
    """How far a job's journal is known: see `tables.CURSORS`."""

    job: int
    journal: str = ""
    seq: int = 0
    batches_seq: int = 0
    memory: Memory = msgspec.field(default_factory=Memory)


# --- catching up ------------------------------------------------------------------------------------------------------


def catch_up(
    database: Database,
    parcel: Parcel,
    read_since: ReadSince,
    sections: Sequence[Section],
    waits: Patience | None = None,
) -> Missing | None:
    """Count what the journal holds up to the first event of `parcel` and is not counted yet.

    Returns what the database has to be told of batches besides; None when nothing was missed. Raises `DBAPIError`, and
    what `read_since` raises.
    """
    with database.writing(waits) as connection:
        cursor = require_cursor(connection, parcel, sections)
    last = parcel.events[0].seq - 1 if parcel.events else parcel.seq
    if cursor.seq >= last and cursor.batches_seq >= parcel.since:
        return None
    missing = Missing(since=cursor.batches_seq)
    with contextlib.closing(_closable(read_since(min(cursor.seq, cursor.batches_seq)))) as events:
        wanted = (event for event in events if event.seq <= max(last, parcel.since))
        while some := list(islice(wanted, EVENTS_AT_ONCE)):
            _collect(missing, some, parcel.since)
            uncounted = [event for event in some if cursor.seq < event.seq <= last]
            if uncounted:
                with database.writing(waits) as connection:
                    cursor = require_cursor(connection, parcel, sections)
                    _count(connection, cursor, parcel, uncounted, sections)
    if cursor.seq < last:  # what follows is of no kind that is counted
        with database.writing(waits) as connection:
            cursor = require_cursor(connection, parcel, sections)
            cursor.seq = max(cursor.seq, last)
            _put_cursor(connection, cursor)
    return missing if cursor.batches_seq < parcel.since else None


def _closable(events: Iterator[ev.Event]) -> Any:
    return events if hasattr(events, "close") else (event for event in events)


def _collect(missing: Missing, events: Iterable[ev.Event], until: int) -> None:
    for event in events:
        if missing.since < event.seq <= until:
            missing.numbers.update(named_by(event))
            missing.sweep = missing.sweep or sweeps(event)


# --- writing ----------------------------------------------------------------------------------------------------------


def write(connection: Connection, parcel: Parcel, sections: Sequence[Section]) -> None:
    """Add a parcel to what is known of its job; the events before it are known already."""
    cursor = require_cursor(connection, parcel, sections)
    _count(connection, cursor, parcel, parcel.events, sections, parcel.batches)
    if parcel.batches:
        rows = [(cursor.job, *_batch_values(batch)) for batch in parcel.batches]
        connection.exec_driver_sql(_PUT_BATCH, rows)
    if parcel.drained and cursor.batches_seq >= parcel.since:
        cursor.batches_seq = max(cursor.batches_seq, parcel.seq)
        _put_cursor(connection, cursor)
    put_job(connection, cursor.job, parcel)


def write_deliveries(connection: Connection, job: int, deliveries: Iterable[Delivery]) -> None:
    """Bring the job's notifications up to date."""
    rows = [(job, *_delivery_values(delivery)) for delivery in deliveries]
    if rows:
        connection.exec_driver_sql(_PUT_NOTIFICATION, rows)


def _count(
    connection: Connection,
    cursor: Cursor,
    parcel: Parcel,
    events: Sequence[ev.Event],
    sections: Sequence[Section],
    batches: Sequence[BatchState] = (),
) -> None:
    """Count the events that follow the cursor, tell the sections, and move it on."""
    fresh = events if events and events[0].seq > cursor.seq else [event for event in events if event.seq > cursor.seq]
    if fresh:
        ledger = Ledger(parcel.journal, cursor.memory, _last_run(connection, cursor))
        ledger.hear(fresh)
        for run in ledger.changed.values():
            connection.exec_driver_sql(_PUT_RUN, (cursor.job, *_run_values(run)))
        cursor.seq = fresh[-1].seq
        _put_cursor(connection, cursor)
    _tell(connection, sections, cursor.job, parcel, fresh, batches)


def _tell(
    connection: Connection,
    sections: Sequence[Section],
    job: int,
    parcel: Parcel,
    events: Sequence[ev.Event],
    batches: Sequence[BatchState] = (),
) -> None:
    """Tell the sections what is for them."""
    for section in sections:
        heard = [event for event in events if type(event) in section.kinds]
        if heard or batches:
            section.write(connection, News(job, parcel.journal, parcel.identity, parcel.record, heard, batches))


def _last_run(connection: Connection, cursor: Cursor) -> RunTally | None:
    row = connection.exec_driver_sql(_FIND_RUN, (cursor.job, cursor.journal)).first()
    return None if row is None else RunTally(**dict(zip(RunTally.__struct_fields__, row, strict=True)))


def _put_cursor(connection: Connection, cursor: Cursor) -> None:
    memory = _encode(cursor.memory).decode()
    row = (cursor.job, cursor.journal, cursor.seq, cursor.batches_seq, memory)
    connection.exec_driver_sql(_PUT_CURSOR, row)


# --- which job it is --------------------------------------------------------------------------------------------------


def require_cursor(connection: Connection, parcel: Parcel, sections: Sequence[Section]) -> Cursor:
    """The job's cursor. Where another journal was read, or more of this one than there is, it begins at the beginning.

    A job that was started over keeps its runs; its batches are those of its present record.
    """
    job = require_job(connection, parcel)
    row = connection.exec_driver_sql(_FIND_CURSOR, (job,)).first()
    if row is None:
        return Cursor(job, parcel.journal)
    journal, seq, batches_seq, memory = row
    cursor = Cursor(job, journal, seq, batches_seq, _memory(memory))
    if cursor.journal == parcel.journal and cursor.seq <= parcel.seq:
        return cursor
    forget(connection, job, parcel.journal, sections)
    return Cursor(job, parcel.journal)


def _memory(text: str) -> Memory:
    return msgspec.json.decode(text, type=Memory)


def forget(connection: Connection, job: int, journal: str, sections: Sequence[Section] = ()) -> None:
    """Forget what is known of a journal, and how the job's batches stand: all of it is read anew."""
    connection.execute(delete(BATCHES).where(BATCHES.c.job == job))
    connection.execute(delete(CURSORS).where(CURSORS.c.job == job))
    connection.execute(delete(JOB_RUNS).where(JOB_RUNS.c.job == job, JOB_RUNS.c.journal == journal))
    for section in sections:
        section.forget(connection, job, journal)


def forget_job(connection: Connection, parcel: Parcel, sections: Sequence[Section]) -> int:
    """Forget what is known of the parcel's journal. Returns the job's key; its row stays."""
    job = require_job(connection, parcel)
    forget(connection, job, parcel.journal, sections)
    return job


def count_anew(database: Database, parcel: Parcel, events: Iterable[ev.Event], sections: Sequence[Section]) -> None:
    """Count a whole journal that is not the job's present one; its cursor stays where it is.

    `parcel.record` is the job as that journal left it.
    """
    ledger, rest = Ledger(parcel.journal), iter(events)
    with database.writing() as connection:
        job = require_job(connection, parcel)
        connection.execute(delete(JOB_RUNS).where(JOB_RUNS.c.job == job, JOB_RUNS.c.journal == parcel.journal))
        for section in sections:
            section.forget(connection, job, parcel.journal)
    while some := list(islice(rest, EVENTS_AT_ONCE)):
        ledger.hear(some)
        with database.writing() as connection:
            _tell(connection, sections, job, parcel, some)
    ledger.close()
    with database.writing() as connection:
        for run in ledger.changed.values():
            connection.exec_driver_sql(_PUT_RUN, (job, *_run_values(run)))


def require_job(connection: Connection, parcel: Parcel) -> int:
    """`jobs.id` of the job; a workspace that was moved is followed."""
    identity = parcel.identity
    found = connection.exec_driver_sql(_FIND_JOB, (identity.job_id, identity.state_workspace)).first()
    if found is not None:
        return int(found[0])
    wanted = select(JOBS.c.id, JOBS.c.state_workspace).where(JOBS.c.job_id == identity.job_id)
    for moved in connection.execute(wanted.where(JOBS.c.journal == parcel.journal)).all():
        if not Path(moved.state_workspace).exists():
            place = {"state_workspace": identity.state_workspace, "workspace": identity.workspace}
            connection.execute(update(JOBS).where(JOBS.c.id == moved.id).values(place))
            return int(moved.id)
    values = job_values(identity, parcel.journal, parcel.record)
    key = connection.execute(insert(JOBS).values(values)).inserted_primary_key
    assert key is not None, "SQLite says which row it has made"
    return int(key[0])


def put_job(connection: Connection, job: int, parcel: Parcel) -> None:
    """Bring the job's row up to date."""
    values = job_values(parcel.identity, parcel.journal, parcel.record)
    connection.exec_driver_sql(_PUT_JOB, (*(values[name] for name in _JOB_COLUMNS), job))


def job_values(identity: JobIdentity, journal: str, record: JobRecord) -> dict[str, Any]:
    """The row of a job, without its key."""
    counts, usage = record.counts, record.usage
    known = msgspec.structs.asdict(identity)
    return {
        **known,
        "name": record.name or identity.name,
        "backend": record.backend or identity.backend,
        "journal": journal,
        "status": record.status,
        "config_digest": record.config_digest,
        "total": record.plan.total,
        **{status: counts.get(status, 0) for status in ("completed", "failed", "skipped", "blocked")},
        "runs": record.runs,
        "retries": record.retries,
        "completions": record.completions,
        "limit_waits": record.limit_waits,
        "cost_usd": record.cost_usd,
        "unknown_costs": record.unknown_costs,
        "saved_usd": record.saved_usd,
        **{f"{kind}_tokens": getattr(usage, f"{kind}_tokens") for kind in _KINDS},
        "session_seconds": record.duration,
        "created_at": record.created_at,
        "started_at": record.started_at,
        "updated_at": record.at,
        "finished_at": record.finished_at,
        "code": record.code,
        "reason": record.reason,
        "record": _encode(_slim(record)).decode(),
    }


_KINDS: Final = ("input", "output", "cache_read", "cache_write")


def _slim(record: JobRecord) -> JobRecord:
    """Without what may be long and is asked of the journal only: which batch waits for which."""
    plan = msgspec.structs.replace(record.plan, stages=(), dependencies={})
    return msgspec.structs.replace(record, plan=plan, remotes={}, skipped=[])
