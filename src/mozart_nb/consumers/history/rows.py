"""Runs as rows: the columns that DataFrames and `--json` share, declared as in `consumers.rows`.

Imports no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from mozart_nb.consumers.history.identity import journal_of
from mozart_nb.consumers.history.tally import Ledger, RunTally
from mozart_nb.consumers.rows import ERROR_CODES, Column
from mozart_nb.engine.state import JobState
from mozart_nb.events import Event
from mozart_nb.masking import masked

RUN_STATUSES: Final = ("running", "paused", "completed", "failed", "cancelled", "interrupted")


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of a job. `is_present`: it stands in the job's present record, not in one before a `--fresh`.

    `is_live`: somebody runs it now; a run that has no end and is not live was interrupted. `is_gone`: its job is no
    longer where it was, and only the history knows of it.
    """

    job_id: str
    name: str
    workspace: str
    tally: RunTally
    is_present: bool = True
    is_live: bool = False
    key: int = 0
    """The job in the history (`jobs.id`), 0 where it was read from its record."""
    is_gone: bool = False

    @property
    def status(self) -> str:
        status = self.tally.status
        return "interrupted" if status == "running" and not self.is_live else status

    @property
    def success_rate(self) -> float | None:
        """The part (0 to 1) of the batches settled in this run that completed."""
        settled = self.tally.completed + self.tally.failed
        return self.tally.completed / settled if settled else None

    @property
    def first_try_rate(self) -> float | None:
        """The part (0 to 1) of the batches settled in this run whose very first attempt was good enough."""
        settled = self.tally.completed + self.tally.failed
        return min(1.0, self.tally.first_try / settled) if settled else None

    @property
    def duration(self) -> float | None:
        """Seconds from its start to its end, or to its last event."""
        run = self.tally
        return max(0.0, (run.finished_at or run.updated_at) - run.started_at) if run.started_at else None


def counted(state: JobState, events: Iterable[Event], workspace: str = "", *, is_live: bool = False) -> list[RunRow]:
    """The runs in a job's journal, the first one first. `events` is all of it, `state` what it makes."""
    job = state.job
    ledger = Ledger(journal_of(job))
    ledger.hear(events)
    runs = ledger.changed.values()
    return [RunRow(job.job_id, job.name, workspace, run, is_live=is_live and run.number == job.runs) for run in runs]


def by_job(found: Iterable[RunRow]) -> list[list[RunRow]]:
    """The runs by job, the job that began last first."""

    def place(run: RunRow) -> tuple[str, str]:
        return run.job_id, run.workspace

    grouped = [list(runs) for _, runs in groupby(sorted(found, key=place), key=place)]
    return sorted(grouped, key=lambda runs: -max(run.tally.started_at for run in runs))


def last_of(runs: Sequence[RunRow]) -> RunRow:
    """The run that began last."""
    return max(runs, key=lambda run: (run.tally.started_at, run.tally.number))


RUN_COLUMNS: Final[tuple[Column[RunRow], ...]] = (
    Column("job_id", "str", lambda r: r.job_id, "job"),
    Column("run", "int", lambda r: r.tally.number, "number of the run in its record, from 1"),
    Column("run_id", "str", lambda r: r.tally.run_id, "id of the run, as in the log"),
    Column(
        "is_present", "bool", lambda r: r.is_present, "whether its record is the present one; else before `--fresh`"
    ),
    Column("status", "category", lambda r: r.status, "how it ended", RUN_STATUSES),
    Column("started_at", "timestamp", lambda r: r.tally.started_at or None, "start"),
    Column("finished_at", "timestamp", lambda r: r.tally.finished_at or None, "end"),
    Column("duration_seconds", "duration", lambda r: r.duration, "from start to end, waits included"),
    Column("batches", "int", lambda r: r.tally.total, "batches of the plan"),
    Column("completed", "int", lambda r: r.tally.completed, "batches completed in this run"),
    Column("failed", "int", lambda r: r.tally.failed, "batches that failed in this run"),
    Column("skipped", "int", lambda r: r.tally.skipped, "batches skipped in this run"),
    Column("success_rate", "float", lambda r: r.success_rate, "completed, as a part of completed and failed"),
    Column("first_try_rate", "float", lambda r: r.first_try_rate, "good at the first attempt, as a part of the same"),
    Column("attempts", "int", lambda r: r.tally.attempts, "attempts begun"),
    Column("retries", "int", lambda r: r.tally.retries, "retries"),
    Column("completions", "int", lambda r: r.tally.completions, "completion attempts"),
    Column("heals", "int", lambda r: r.tally.heals, "times a remedy was looked for"),
    Column("abandoned", "int", lambda r: r.tally.abandoned, "attempts lost with their host"),
    Column("reused", "int", lambda r: r.tally.reused, "batches answered by a kept answer"),
    Column("limit_waits", "int", lambda r: r.tally.limit_waits, "waits for rate limits"),
    Column("limit_wait_seconds", "duration", lambda r: r.tally.limit_wait_seconds, "time a rate limit held work back"),
    Column("breaker_openings", "int", lambda r: r.tally.breaker_openings, "times the circuit breaker opened"),
    Column("cost", "float", lambda r: r.tally.cost_usd, "US dollars, as far as known"),
    Column("cost_known", "bool", lambda r: not r.tally.unknown_costs, "whether that is all of it"),
    Column("saved", "float", lambda r: r.tally.saved_usd, "US dollars that the prompt cache saved"),
    Column("input_tokens", "int", lambda r: r.tally.input_tokens, "tokens"),
    Column("output_tokens", "int", lambda r: r.tally.output_tokens, "tokens"),
    Column("cache_read_tokens", "int", lambda r: r.tally.cache_read_tokens, "tokens read from the prompt cache"),
    Column("cache_write_tokens", "int", lambda r: r.tally.cache_write_tokens, "tokens written to it"),
    Column("session_seconds", "duration", lambda r: r.tally.session_seconds, "time of its sessions"),
    Column("backend", "str", lambda r: r.tally.backend or None, "who answered"),
    Column("error_code", "category", lambda r: r.tally.code or None, "why the job as a whole stopped", ERROR_CODES),
    Column("reason", "str", lambda r: masked(r.tally.reason) or None, "the same in words"),
    Column("host", "str", lambda r: r.tally.host or None, "machine that ran it"),
    Column("workspace", "str", lambda r: r.workspace, "folder the job works in"),
)
