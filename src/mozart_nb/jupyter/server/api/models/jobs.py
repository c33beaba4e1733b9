"""Jobs: in a list, one by one, their status, and what became of what was asked of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mozart_nb.jupyter.server.api.models.base import Document, Seconds, Text, Time


class Counts(Document, frozen=True, kw_only=True):
    """Batches by status; `percent` counts completed and skipped ones, rounded down."""

    total: int
    completed: int
    failed: int
    skipped: int
    blocked: int
    cancelled: int
    running: int
    waiting: int
    pending: int
    percent: float
    eta_seconds: Seconds


class Money(Document, frozen=True, kw_only=True):
    """US dollars. `usd` is the known part, and all of it when `is_complete`."""

    usd: float
    is_complete: bool
    limit_usd: float | None


class JobSummary(Document, frozen=True, kw_only=True):
    """One job in a list. `key` names it in addresses; `progress` is null where its record cannot be read."""

    key: str
    job_id: str
    name: str
    description: str
    status: str
    reason: str
    backend: str
    workspace: str
    is_live: Annotated[bool, msgspec.Meta(description="a host runs it now")]
    open_questions: int
    progress: Counts | None
    cost: Money | None
    tokens: int
    runs: int
    created_at: Time
    started_at: Time
    updated_at: Time
    finished_at: Time
    elapsed_seconds: Seconds


class JobList(Document, frozen=True, kw_only=True):
    """A part of the list: `matching` jobs suit the filter, `total` are known, `counts` has all of them by status."""

    jobs: list[JobSummary]
    matching: int
    total: int
    offset: int
    limit: int
    counts: dict[str, int]
    notices: list[str]


class Host(Document, frozen=True, kw_only=True):
    """Who runs a job now."""

    host: str
    pid: int
    started_at: Time


class JobDocument(Document, frozen=True, kw_only=True):
    """One job with what it was planned from. `version` changes with everything that is written about it."""

    job: JobSummary
    host: Host | None
    version: str
    record: Annotated[str, msgspec.Meta(description="names the journal: after `--fresh` it is another one")]
    last_seq: int
    file: str
    config: Annotated[dict[str, Any] | None, msgspec.Meta(description="the job file as planned, every key")]
    text: Annotated[str, msgspec.Meta(description="the job file as it was written; empty where it is not known")]


class Timing(Document, frozen=True, kw_only=True):
    """When things happened, and how long they took."""

    created_at: Time
    started_at: Time
    run_started_at: Time
    updated_at: Time
    finished_at: Time
    elapsed_seconds: float
    session_seconds: float


class StatusDocument(Document, frozen=True, kw_only=True):
    """The document of `mozart status --json`; only those batches are listed that were asked for."""

    job_id: str
    job_name: str
    description: str
    status: str
    reason: str
    backend: str
    run_id: str
    workspace: str
    owner: dict[str, Any] | None
    hooks: list[dict[str, Any]]
    isolation: dict[str, Any] | None
    progress: dict[str, Any]
    timing: Timing
    cost: dict[str, Any]
    tokens: dict[str, int]
    execution: dict[str, Any]
    circuit_breaker: dict[str, Any]
    error: dict[str, Any] | None
    remedies: list[str]
    batches: dict[str, Any]
    batches_omitted: int


class Created(Document, frozen=True, kw_only=True):
    """What became of a job that was sent. `decision`: `run`, `queued`, `attach` (it runs already), `nothing` to do."""

    key: str
    job_id: str
    workspace: str
    decision: str
    said: str
    notices: list[str]


class Done(Document, frozen=True, kw_only=True):
    """What was asked of a job, and of whom: its `host`, or the `conductor`. The journal tells what comes of it."""

    said: str
    via: str


class IssueDocument(Document, frozen=True, kw_only=True):
    """One thing that the checks found; line and column count from 1 and are 0 where they are not known."""

    code: str
    severity: str
    message: str
    path: str
    line: int
    column: int
    source: str
    suggestion: str


class Validation(Document, frozen=True, kw_only=True):
    """What the checks of a job file found. `valid`: it can run."""

    valid: bool
    errors: int
    warnings: int
    issues: list[IssueDocument]
    job_id: str
    batches: Annotated[int | None, msgspec.Meta(description="batches of its plan; null where it has none")]


class Rehearsal(Document, frozen=True, kw_only=True):
    """What would be done, worked out from the job file alone: nothing is sent and nothing written."""

    plan: dict[str, Any]
    prompt: Text | None
    rules: list[dict[str, Any]]


class Health(Document, frozen=True, kw_only=True):
    """The server answers."""

    status: str
    service: str
    version: str


class ConductorDocument(Document, frozen=True, kw_only=True):
    """The conductor of this user; `figures` are its own numbers, null while it does not run."""

    is_running: bool
    said: str
    figures: dict[str, Any] | None
