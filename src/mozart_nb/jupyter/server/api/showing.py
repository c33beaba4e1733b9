"""What the board knows as documents of the API: secrets masked, texts bounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from mozart_nb.consumers.answers import AnswerColumn
from mozart_nb.consumers.lines import level_of, line_of
from mozart_nb.consumers.progress import Progress
from mozart_nb.consumers.rows import BATCH_COLUMNS, BatchView, iso, json_value, row_of
from mozart_nb.engine.state import JobRecord
from mozart_nb.events import Event, RuleResult, encode_event, kind_of, without_secrets
from mozart_nb.jupyter.server.api import models
from mozart_nb.looking.board import JobLook, Summary
from mozart_nb.looking.board.masks import masked_beside, masked_data
from mozart_nb.looking.details import AttemptDetails, BatchDetails, LogTail
from mozart_nb.looking.details.batch import Excerpt
from mozart_nb.looking.questions import OpenQuestion
from mozart_nb.masking import masked

MOST_BYTES: Final = 1 << 20
"""Bytes of events in one answer; it is more only where one of them alone is."""

LONGEST_CELL: Final = 20_000
"""Characters of a text in a row of answers."""


# --- jobs -------------------------------------------------------------------------------------------------------------


def counts(progress: Progress) -> models.Counts:
    return models.Counts(
        total=progress.total,
        completed=progress.completed,
        failed=progress.failed,
        skipped=progress.skipped,
        blocked=progress.blocked,
        cancelled=progress.cancelled,
        running=progress.running,
        waiting=progress.waiting,
        pending=progress.pending,
        percent=progress.percent,
        eta_seconds=None if progress.eta_seconds is None else round(progress.eta_seconds, 1),
    )


def money(progress: Progress) -> models.Money:
    return models.Money(
        usd=round(progress.cost_usd, 6), is_complete=not progress.unknown_costs, limit_usd=progress.limit_usd
    )


def summary(found: Summary) -> models.JobSummary:
    """A job in a list."""
    job, progress = found.job or JobRecord(), found.progress
    reason = found.message or (progress.reason if progress is not None else "")
    return models.JobSummary(
        key=found.key,
        job_id=found.job_id,
        name=masked(found.name),
        description=masked(job.description),
        status=found.status,
        reason=masked(reason),
        backend=job.backend,
        workspace=found.workspace,
        is_live=found.is_live,
        open_questions=found.questions,
        progress=counts(progress) if progress is not None else None,
        cost=money(progress) if progress is not None else None,
        tokens=job.usage.total,
        runs=job.runs,
        created_at=iso(job.created_at),
        started_at=iso(job.started_at),
        updated_at=iso(job.at),
        finished_at=iso(job.finished_at),
        elapsed_seconds=round(progress.elapsed_seconds, 3) if progress is not None else None,
    )


def summary_of(look: JobLook) -> Summary:
    """The same of a job that was looked at."""
    return Summary(
        look.key,
        look.layout,
        str(look.workspace),
        look.progress.status,
        look.is_live,
        look.progress,
        look.job,
        look.questions,
    )


# --- batches ----------------------------------------------------------------------------------------------------------


def batch_row(view: BatchView) -> dict[str, Any]:
    """A batch as everywhere, secrets masked: messages quote what sessions printed."""
    row = row_of(BATCH_COLUMNS, view)
    return {name: masked(value) if isinstance(value, str) else value for name, value in row.items()}


def text(excerpt: Excerpt) -> models.Text:
    return models.Text(text=masked(excerpt.text), size=excerpt.size, is_cut=excerpt.is_cut)


def rule(result: RuleResult) -> models.Rule:
    return models.Rule(
        rule=result.rule,
        type=result.type,
        status=result.status,
        description=masked(result.description),
        path=masked(result.path),
        expected=masked(result.expected),
        actual=masked(result.actual),
        message=masked(result.message),
        evidence=result.evidence,
        could_not_run=result.could_not_run,
        duration_seconds=round(result.duration, 3),
    )


def attempt(found: AttemptDetails) -> models.AttemptDocument:
    return models.AttemptDocument(
        attempt=found.attempt,
        mode=found.mode,
        started_at=iso(found.started_at),
        finished_at=iso(found.finished_at),
        duration_seconds=round(found.duration, 3),
        outcome=found.outcome,
        passed=found.passed,
        error_code=found.code,
        error_message=masked(found.message),
        exit_code=found.exit_code,
        cost=found.cost_usd,
        tokens=found.usage.total,
        model=found.model,
        turns=found.turns,
        session_id=found.session_id,
        reused=found.reused,
        wait_seconds=round(found.wait_seconds, 3),
        wait_reason=masked(found.wait_reason),
        rules=[rule(result) for result in found.results],
    )


def output(tail: LogTail) -> models.Output:
    lines = [models.OutputLine(kind=line.kind, text=masked(line.text)) for line in tail.lines]
    return models.Output(attempt=tail.attempt, lines=lines, is_cut=tail.is_cut, source=tail.source)


def question(one: OpenQuestion) -> models.Question:
    return models.Question(
        batch=one.batch,
        attempt=one.attempt,
        kind=one.kind,
        triggers=[masked(trigger) for trigger in one.triggers],
        text=masked(one.text),
        message=masked(one.message),
        code=one.code,
        asked_at=iso(one.asked_at),
        choices=list(one.choices),
        prompt=masked(one.prompt),
    )


def batch(details: BatchDetails, asked: OpenQuestion | None) -> models.BatchDocument:
    """Everything about one batch."""
    view = BatchView(details.number, details.status, details.record, details.first_item, details.last_item)
    return models.BatchDocument(
        batch=batch_row(view),
        prompt=text(details.prompt),
        prompt_source=details.prompt_source,
        prompt_note=masked(details.prompt_note),
        rows=masked_data(details.rows),
        row_count=details.row_count,
        answer=text(details.answer),
        data=text(details.data) if details.data is not None else None,
        answer_note=masked(details.answer_note),
        rules=[rule(result) for result in details.validations],
        attempts=[attempt(one) for one in details.attempts],
        attempts_omitted=details.attempts_omitted,
        output=output(details.log),
        remedies=[masked(one) for one in details.remedies],
        reasons=[masked(one) for one in details.reasons],
        warnings=[masked(one) for one in details.warnings],
        question=question(asked) if asked is not None else None,
    )


def answer_row(columns: Sequence[AnswerColumn], record: Any) -> dict[str, Any]:
    """A row of answers as JSON data: secrets masked, long texts cut."""
    return {column.name: _shown(json_value(column.dtype, column.of(record)), column.name) for column in columns}


def _shown(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return masked_beside(name, value if len(value) <= LONGEST_CELL else Excerpt.of(value, LONGEST_CELL).text)
    if isinstance(value, dict):
        return {masked(str(key)): _shown(part, str(key)) for key, part in value.items()}
    return [_shown(part, name) for part in value] if isinstance(value, list | tuple) else value


# --- events -----------------------------------------------------------------------------------------------------------


def events(found: Iterable[Event]) -> list[Any]:
    """Events as they stand in the journal, as many as one answer has room for."""
    documents: list[Any] = []
    size = 0
    for event in found:
        document = encode_event(without_secrets(event))
        size += len(document)
        if documents and size > MOST_BYTES:
            break
        documents.append(msgspec.Raw(document))
    return documents


def log_entry(event: Event) -> models.LogEntry:
    """An event as a line of the log."""
    return models.LogEntry(
        seq=event.seq,
        at=iso(event.at),
        level=level_of(event),
        event=kind_of(event),
        batch=getattr(event, "batch", None) or None,
        line=masked(line_of(event)),
    )
