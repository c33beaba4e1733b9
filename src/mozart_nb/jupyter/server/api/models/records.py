"""What happened: events, log, failures, runs, the past, and the diagnosis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mozart_nb.consumers.history.rows import RUN_COLUMNS
from mozart_nb.consumers.rows import ERROR_COLUMNS
from mozart_nb.jupyter.server.api.columns import row_type
from mozart_nb.jupyter.server.api.models.base import Document, Time
from mozart_nb.jupyter.server.api.models.jobs import Counts, Money

if TYPE_CHECKING:
    ErrorRow = dict[str, Any]
    RunRowDocument = dict[str, Any]
else:
    ErrorRow = row_type("ErrorRow", ERROR_COLUMNS, "One failed attempt, or the failure of the job itself.")
    RunRowDocument = row_type("Run", RUN_COLUMNS, "One run of a job: from a start or resume until it settled.")


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


class Diagnosis(Document, frozen=True, kw_only=True):
    """Why a job is where it is, what held it up, and what to do next: the document of `mozart diagnose --json`."""

    job_id: str
    job_name: str
    status: str
    is_healthy: bool
    headline: str
    cause: str
    next: str
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
