"""The tables of `history.db`. Imported late: SQLAlchemy costs a quarter of a second.

Times are epoch seconds (0: never), durations seconds, costs US dollars. Other consumers that keep tables of their own
in this database (a `Section`) declare them on `METADATA`, and add a migration that creates them.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text, UniqueConstraint

METADATA: Final = MetaData()


def _text(name: str, meaning: str, **more: Any) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="", comment=meaning, **more)


def _int(name: str, meaning: str, **more: Any) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0", comment=meaning, **more)


def _real(name: str, meaning: str) -> Column[float]:
    return Column(name, Float, nullable=False, server_default="0", comment=meaning)


def _flag(name: str, meaning: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default="0", comment=meaning)


def _job(**more: Any) -> Column[int]:
    key = ForeignKey("jobs.id", ondelete="CASCADE")
    return Column("job", Integer, key, nullable=False, comment="the job, `jobs.id`", **more)


def _tokens(whose: str) -> list[Column[int]]:
    return [
        _int("input_tokens", f"tokens {whose}"),
        _int("output_tokens", f"tokens {whose}"),
        _int("cache_read_tokens", "tokens read from the prompt cache"),
        _int("cache_write_tokens", "tokens written to it"),
    ]


MIGRATIONS: Final = Table(
    "migrations",
    METADATA,
    Column("name", Text, primary_key=True, comment="which change of the schema"),
    _real("applied_at", "when it was made"),
    comment="what has been done to this database, in order",
)

JOBS: Final = Table(
    "jobs",
    METADATA,
    Column("id", Integer, primary_key=True, comment="key of the job in this database"),
    _text("job_id", "id of the job"),
    _text("state_workspace", "folder that holds its state"),
    _text("workspace", "folder it works in"),
    _text("name", "its name in the job file"),
    _text("template", "name of its prompt template"),
    _text("template_digest", "digest of that template"),
    _text("journal", "identity of its present journal"),
    _text("status", "status at its last event"),
    _text("backend", "who answers"),
    _flag("is_rehearsal", "nobody was asked: the answers are made up"),
    _text("config_digest", "digest of its config"),
    _int("total", "batches of its plan"),
    _int("completed", "batches that are completed"),
    _int("failed", "batches that failed"),
    _int("skipped", "batches that are skipped"),
    _int("blocked", "batches that wait for a failed one"),
    _int("runs", "how often it was started or resumed"),
    _int("retries", "retries of all batches"),
    _int("completions", "completion attempts of all batches"),
    _int("limit_waits", "waits for rate limits"),
    _real("cost_usd", "US dollars, as far as known"),
    _int("unknown_costs", "sessions that never said what they cost"),
    _real("saved_usd", "US dollars that the prompt cache saved"),
    *_tokens("of all its sessions"),
    _real("session_seconds", "time of all its sessions"),
    _real("created_at", "when it was planned"),
    _real("started_at", "first start"),
    _real("updated_at", "last event"),
    _real("finished_at", "when it settled"),
    _text("code", "why the job as a whole stopped"),
    _text("reason", "the same in words"),
    _text("record", "everything else about it, as in the snapshot, as JSON"),
    UniqueConstraint("job_id", "state_workspace"),
    Index("jobs_by_activity", "updated_at"),
    comment="one row per job, as it stands",
)

CURSORS: Final = Table(
    "cursors",
    METADATA,
    _job(primary_key=True),
    _text("journal", "identity of the journal that was read"),
    _int("seq", "events up to this one are counted in `job_runs`"),
    _int("batches_seq", "rows of `batches` are at least as new as this event"),
    _text("memory", "what counting has to remember between two events, as JSON"),
    comment="how far the journal of each job has been read",
)

JOB_RUNS: Final = Table(
    "job_runs",
    METADATA,
    _job(primary_key=True),
    Column("journal", Text, primary_key=True, comment="identity of the journal it stands in"),
    Column("number", Integer, primary_key=True, comment="number of the run in that journal, from 1"),
    _text("run_id", "id of the run"),
    _text("host", "machine that ran it"),
    _int("pid", "process that ran it"),
    _text("options", "what was asked for beyond the config, as JSON"),
    _text("backend", "who answered"),
    _text("config_digest", "digest of the config it ran with"),
    _text("status", "how it ended; `running` until then, `interrupted` when its host was gone"),
    _text("code", "why the job as a whole stopped"),
    _text("reason", "the same in words"),
    _real("started_at", "start"),
    _real("finished_at", "end"),
    _real("updated_at", "last event"),
    _int("total", "batches of the plan"),
    _int("completed", "batches completed in this run"),
    _int("failed", "batches that failed in this run"),
    _int("skipped", "batches skipped in this run"),
    _int("first_try", "batches whose first attempt was good enough"),
    _int("attempts", "attempts begun"),
    _int("abandoned", "attempts lost with their host"),
    _int("reused", "batches answered by a kept answer"),
    _int("retries", "retries"),
    _int("completions", "completion attempts"),
    _int("heals", "times a remedy was looked for"),
    _int("limit_waits", "waits for rate limits"),
    _real("limit_wait_seconds", "time for which a rate limit held work back"),
    _int("breaker_openings", "times the circuit breaker opened"),
    _real("cost_usd", "US dollars, as far as known"),
    _int("unknown_costs", "sessions that never said what they cost"),
    _real("saved_usd", "US dollars that the prompt cache saved"),
    *_tokens("of its sessions"),
    _real("session_seconds", "time of its sessions"),
    Index("job_runs_by_start", "started_at"),
    comment="one row per run; runs before a `--fresh` stay",
)

BATCHES: Final = Table(
    "batches",
    METADATA,
    _job(primary_key=True),
    Column("number", Integer, primary_key=True, comment="number of the batch, from 1"),
    _text("status", "status of the batch"),
    _text("code", "why the last attempt was not good enough"),
    _text("message", "the same in words"),
    _text("reason", "why it is skipped or blocked"),
    _int("attempts", "attempts so far"),
    _int("retries", "retry budget used"),
    _int("completions", "completion budget used"),
    _int("heals", "times a remedy was looked for"),
    _int("waits", "times a rate limit sent it back to the queue"),
    _int("run", "the last run that worked on it"),
    _real("started_at", "start of the first attempt"),
    _real("finished_at", "when it settled"),
    _real("duration", "time of all its sessions"),
    _real("cost_usd", "US dollars, as far as known"),
    _flag("cost_known", "whether that is all of it"),
    *_tokens("of all its sessions"),
    _int("prompt_tokens", "size of the last prompt, estimated"),
    _text("model", "model of the last session"),
    comment="one row per batch that anything has happened to, in the job's present record",
    sqlite_with_rowid=False,
)

NOTIFICATIONS: Final = Table(
    "notifications",
    METADATA,
    _job(primary_key=True),
    Column("id", Text, primary_key=True, comment="id of the notification, the same for every try"),
    _text("run_id", "the run it tells of"),
    _text("channel", "where it went"),
    _text("event", "what it tells of"),
    _real("created_at", "when it was made"),
    _real("delivered_at", "when it was delivered"),
    _int("attempts", "tries so far"),
    _text("status", "how its delivery stands"),
    _text("error", "why the last try failed; secrets are masked"),
    comment="one row per notification and channel",
    sqlite_with_rowid=False,
)
