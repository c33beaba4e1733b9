"""What `history.db` says, as records. Imported late."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, func, select

from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.consumers.history.tables import CURSORS, JOB_RUNS, JOBS, NOTIFICATIONS
from mozart_nb.consumers.history.tally import RunTally
from mozart_nb.engine.state import JobRecord

_FINAL: Final = ("delivered", "failed", "skipped")
_RUN_FIELDS: Final = RunTally.__struct_fields__

_decode_record: Final = msgspec.json.Decoder(JobRecord).decode


@dataclass(frozen=True, slots=True)
class JobEntry:
    """What the history knows of a job. `seq` and `batches_seq` say how much of `journal` it knows.

    `is_stale`: that journal has gone on since.
    """

    key: int
    job_id: str
    state_workspace: str
    workspace: str
    journal: str
    seq: int
    batches_seq: int
    is_rehearsal: bool
    record: JobRecord
    is_stale: bool = False


def read_entries(connection: Connection, job_ids: Iterable[str] | None = None) -> list[JobEntry]:
    """Every job of the history, or those with one of these ids. What cannot be understood counts as unknown."""
    columns = (
        JOBS.c.id,
        JOBS.c.job_id,
        JOBS.c.state_workspace,
        JOBS.c.workspace,
        JOBS.c.is_rehearsal,
        JOBS.c.record,
        CURSORS.c.journal,
        CURSORS.c.seq,
        CURSORS.c.batches_seq,
    )
    wanted = select(*columns).join(CURSORS, CURSORS.c.job == JOBS.c.id)
    if job_ids is not None:
        wanted = wanted.where(JOBS.c.job_id.in_(list(job_ids)))
    return [entry for row in connection.execute(wanted) if (entry := _entry(row)) is not None]


def _entry(row: Any) -> JobEntry | None:
    try:
        record = _decode_record(row.record)
    except (msgspec.DecodeError, ValueError):
        return None
    places = (row.state_workspace, row.workspace)
    return JobEntry(row.id, row.job_id, *places, row.journal, row.seq, row.batches_seq, row.is_rehearsal, record)


def read_runs(
    connection: Connection,
    *,
    jobs: Sequence[int] | None = None,
    since: float = 0.0,
    until: float = 0.0,
    limit: int = 0,
) -> Iterator[RunRow]:
    """Runs, the last one first: of all jobs or of some (`jobs.id`), that began from `since` to `until`."""
    wanted: Select[Any] = select(
        JOB_RUNS, JOBS.c.job_id, JOBS.c.name, JOBS.c.workspace, JOBS.c.journal.label("present")
    )
    wanted = wanted.join(JOBS, JOBS.c.id == JOB_RUNS.c.job)
    if jobs is not None:
        wanted = wanted.where(JOB_RUNS.c.job.in_(jobs))
    if since:
        wanted = wanted.where(JOB_RUNS.c.started_at >= since)
    if until:
        wanted = wanted.where(JOB_RUNS.c.started_at < until)
    wanted = wanted.order_by(JOB_RUNS.c.started_at.desc(), JOB_RUNS.c.number.desc())
    for row in connection.execute(wanted.limit(limit) if limit else wanted).mappings():
        tally = RunTally(**{name: row[name] for name in _RUN_FIELDS})
        is_present = row["present"] == tally.journal
        yield RunRow(row["job_id"], row["name"], row["workspace"], tally, is_present, key=row["job"])


def journals_to_their_end(connection: Connection) -> dict[int, set[str]]:
    """By job (`jobs.id`) the journals of which no run is open, as far as it is known."""
    rows = connection.execute(select(JOB_RUNS.c.job, JOB_RUNS.c.journal, JOB_RUNS.c.status).distinct()).all()
    found: dict[int, set[str]] = {}
    for job, journal, _ in rows:
        found.setdefault(job, set()).add(journal)
    for job, journal, status in rows:
        if status == "running":
            found[job].discard(journal)
    return found


def jobs_with_open_deliveries(connection: Connection) -> set[int]:
    """Jobs (`jobs.id`) some of whose notifications are still on their way, as far as it is known."""
    wanted = select(NOTIFICATIONS.c.job).where(NOTIFICATIONS.c.status.not_in(_FINAL)).distinct()
    return {job for (job,) in connection.execute(wanted)}


def read_notifications(connection: Connection, job: int, limit: int = 0) -> list[dict[str, Any]]:
    """The notifications of a job, the last one first."""
    columns = [column for column in NOTIFICATIONS.columns if column.name != "job"]
    wanted = select(*columns).where(NOTIFICATIONS.c.job == job).order_by(NOTIFICATIONS.c.created_at.desc())
    return [dict(row) for row in connection.execute(wanted.limit(limit) if limit else wanted).mappings()]


def count_runs(connection: Connection) -> int:
    """How many runs the history knows."""
    return int(connection.execute(select(func.count()).select_from(JOB_RUNS)).scalar_one())
