"""What the API answers with. Times are ISO 8601 in UTC, durations seconds, money US dollars; null means unknown.

The status document, the diagnosis and rows are made elsewhere, for the command line too; their types stand here because
a promise needs a type, and tests hold every answer against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mozart_nb.consumers.history.rows import RUN_COLUMNS
from mozart_nb.consumers.rows import BATCH_COLUMNS, ERROR_COLUMNS
from mozart_nb.jupyter.server.api.columns import row_type

if TYPE_CHECKING:
    BatchRow = dict[str, Any]
    ErrorRow = dict[str, Any]
    RunRowDocument = dict[str, Any]
else:
    BatchRow = row_type("BatchRow", BATCH_COLUMNS, "One batch, as everywhere.")
    ErrorRow = row_type("ErrorRow", ERROR_COLUMNS, "One failed attempt, or the failure of the job itself.")
    RunRowDocument = row_type("Run", RUN_COLUMNS, "One run of a job: from a start or resume until it settled.")

Time = Annotated[str | None, msgspec.Meta(description="ISO 8601, UTC; null: never, or not yet")]
Seconds = Annotated[float | None, msgspec.Meta(description="seconds; null: unknown")]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Every field is always there."""


# --- jobs -------------------------------------------------------------------------------------------------------------


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


# --- batches ----------------------------------------------------------------------------------------------------------


class BatchList(Document, frozen=True, kw_only=True):
    """A part of the batches: `matching` suit the filter, the plan has `total`."""

    batches: list[BatchRow]
    matching: int
    total: int
    offset: int
    limit: int
    counts: dict[str, int]
    version: str


class Text(Document, frozen=True, kw_only=True):
    """A text without secrets, cut in the middle where it is long; `size` counts the characters of all of it."""

    text: str
    size: int
    is_cut: bool


class Rule(Document, frozen=True, kw_only=True):
    """What one validation rule found."""

    rule: int
    type: str
    status: str
    description: str
    path: str
    expected: str
    actual: str
    message: str
    evidence: bool
    could_not_run: bool
    duration_seconds: float


class AttemptDocument(Document, frozen=True, kw_only=True):
    """One attempt of a batch; `passed` is null as long as nothing is judged."""

    attempt: int
    mode: str
    started_at: Time
    finished_at: Time
    duration_seconds: float
    outcome: str
    passed: bool | None
    error_code: str
    error_message: str
    exit_code: int | None
    cost: float | None
    tokens: int
    model: str
    turns: int
    session_id: str
    reused: bool
    wait_seconds: float
    wait_reason: str
    rules: list[Rule]


class OutputLine(Document, frozen=True, kw_only=True):
    """One line of what a session printed, as people read it."""

    kind: str
    text: str


class Output(Document, frozen=True, kw_only=True):
    """The end of what an attempt printed. `source`: its file, the end that the record keeps, or none."""

    attempt: int
    lines: list[OutputLine]
    is_cut: bool
    source: str


class Question(Document, frozen=True, kw_only=True):
    """A question of a batch that waits for an answer (`POST …/actions` with `answer`)."""

    batch: int
    attempt: int
    kind: str
    triggers: list[str]
    text: str
    message: str
    code: str
    asked_at: Time
    choices: list[str]
    prompt: str


class BatchDocument(Document, frozen=True, kw_only=True):
    """Everything about one batch. `prompt_source`: `sent` is what was sent, `composed` what would be."""

    batch: BatchRow
    prompt: Text
    prompt_source: str
    prompt_note: str
    rows: list[Any]
    row_count: int
    answer: Text
    data: Text | None
    answer_note: str
    rules: list[Rule]
    attempts: list[AttemptDocument]
    attempts_omitted: int
    output: Output
    remedies: list[str]
    reasons: list[str]
    warnings: list[str]
    question: Question | None


class QuestionList(Document, frozen=True, kw_only=True):
    """What waits for an answer, the longest waiting first."""

    questions: list[Question]


class AnswerColumnDocument(Document, frozen=True, kw_only=True):
    """One column of the table of answers."""

    name: str
    dtype: str
    meaning: str


class AnswerList(Document, frozen=True, kw_only=True):
    """Rows of the table of answers, without secrets. `next_batch` is where to go on, null at the end."""

    columns: list[AnswerColumnDocument]
    rows: list[dict[str, Any]]
    next_batch: int | None
    version: str


# --- what happened ----------------------------------------------------------------------------------------------------


class EventList(Document, frozen=True, kw_only=True):
    """Events of the journal, oldest first, each with `kind`, `seq`, `at`. `next` is what `since` should be to go on."""

    events: list[dict[str, Any]]
    next: int
    last_seq: int
    record: str


class LogEntry(Document, frozen=True, kw_only=True):
    """One line of the log, and what it is about."""

    seq: int
    at: Time
    level: str
    event: str
    batch: int | None
    line: str


class LogList(Document, frozen=True, kw_only=True):
    """The last lines that were asked for, oldest first."""

    lines: list[LogEntry]
    notices: list[str]


class ErrorGroup(Document, frozen=True, kw_only=True):
    """Failures with one code. At most 100 batches are named."""

    code: str
    category: str
    meaning: str
    advice: str
    retriable: bool
    count: int
    unresolved: int
    batches: list[int]
    last_message: str
    last_at: Time


class ErrorList(Document, frozen=True, kw_only=True):
    """Failures, the last one first, and all that match by code."""

    errors: list[ErrorRow]
    groups: list[ErrorGroup]
    matching: int
    offset: int
    limit: int


class Mark(Document, frozen=True, kw_only=True):
    """A moment worth a mark on a time slider."""

    seq: int
    at: Time
    kind: str
    label: str


class Moments(Document, frozen=True, kw_only=True):
    """How far the past reaches: positions are numbers of events, 1 to `last_seq`."""

    last_seq: int
    first_at: Time
    last_at: Time
    marks: list[Mark]


class FrameDocument(Document, frozen=True, kw_only=True):
    """The job as it was after event `seq`. `statuses` has one letter per batch, explained by `letters`."""

    seq: int
    at: Time
    last_seq: int
    status: str
    reason: str
    progress: Counts
    cost: Money
    running: list[int]
    statuses: str
    letters: dict[str, str]


class RunList(Document, frozen=True, kw_only=True):
    """Runs, the last one first."""

    runs: list[RunRowDocument]
    matching: int
    offset: int
    limit: int
    notices: list[str]


# --- doing ------------------------------------------------------------------------------------------------------------


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


# --- the server -------------------------------------------------------------------------------------------------------


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


class Diagnosis(Document, frozen=True, kw_only=True):
    """Why a job is where it is, what held it up, and what to do next: the document of `mozart diagnose --json`."""

    job_id: str
    job_name: str
    status: str
    is_healthy: bool
    headline: str
    cause: str
    reason: str
    error: dict[str, Any] | None
    progress: dict[str, Any]
    groups: list[dict[str, Any]]
    blocked: list[dict[str, Any]]
    timelines: list[dict[str, Any]]
    timelines_omitted: int
    waits: Any
    circuit_breaker: Any
    crashes: Any
    remedies: list[dict[str, Any]]
    cost: dict[str, Any]
    prompts: Any
    troubles: list[dict[str, Any]]
    warnings: list[str]
    environment: Any
    outputs: list[dict[str, Any]]
    next_steps: list[dict[str, Any]]
    looked_at: Time
