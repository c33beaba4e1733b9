"""Batches: rows, everything about one, answers and questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mozart_nb.consumers.rows import BATCH_COLUMNS
from mozart_nb.jupyter.server.api.columns import row_type
from mozart_nb.jupyter.server.api.models.base import Document, Text, Time

if TYPE_CHECKING:
    BatchRow = dict[str, Any]
else:
    BatchRow = row_type("BatchRow", BATCH_COLUMNS, "One batch, as everywhere.")


class BatchList(Document, frozen=True, kw_only=True):
    """A part of the batches: `matching` suit the filter, the plan has `total`."""

    batches: list[BatchRow]
    matching: int
    total: int
    offset: int
    limit: int
    counts: dict[str, int]
    version: str


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
