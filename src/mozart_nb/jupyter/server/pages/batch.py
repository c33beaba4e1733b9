"""The page about one batch: what was asked, what came back, what was checked, what was tried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tornado import web

from mozart_nb.codes import lookup
from mozart_nb.consumers.phrases import advice_for
from mozart_nb.events import RuleResult
from mozart_nb.jupyter.looks.text import shown
from mozart_nb.jupyter.server.pages.addresses import To
from mozart_nb.jupyter.server.pages.charts import Box, attempt_boxes
from mozart_nb.jupyter.server.pages.shared import Page
from mozart_nb.jupyter.server.pages.views import JobView, Verb, job_view
from mozart_nb.jupyter.server.pages.words import Reason
from mozart_nb.looking.board import Board
from mozart_nb.looking.details import AttemptDetails, BatchDetails, Excerpt, Limits, LogTail
from mozart_nb.looking.details.phrases import PROMPT_SOURCES, batch_phrases
from mozart_nb.words import amount, roughly

REFRESH_SECONDS: Final = 5
LIMITS: Final = Limits(characters=40_000, rows=20, attempts=50, lines=200)
_CHECKS_SHOWN: Final = 100
_ROWS_CHARACTERS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know about a batch."""

    kind: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class BatchPageView:
    """Everything about one batch. Long texts are cleaned and bounded already."""

    number: int
    status: str
    facts: Sequence[str]
    back: str
    on: str
    why: Reason | None
    notes: Sequence[Note]
    verbs: Sequence[Verb]
    prompt: str
    prompt_note: str
    rows: str
    rows_note: str
    answer: str
    answer_note: str
    checks: Sequence[RuleResult]
    checks_left: int
    checks_note: str
    attempts: Sequence[AttemptDetails]
    attempts_left: int
    attempts_note: str
    attempt_boxes: Sequence[Box]
    log: LogTail
    log_note: str


def batch_view(details: BatchDetails, job: JobView, to: To, now: float) -> BatchPageView:
    """A batch as the board tells of it."""
    number, total = details.number, job.progress.total
    checks = sorted(details.validations, key=lambda result: result.status != "failed")
    answer = details.data or details.answer
    return BatchPageView(
        number=number,
        status=details.status,
        facts=list(batch_phrases(details)),
        back=to.batch(job.key, number - 1) if number > 1 else "",
        on=to.batch(job.key, number + 1) if number < total else "",
        why=_why(details),
        notes=list(_notes(details)),
        verbs=_verbs(details),
        prompt=shown(details.prompt.text, LIMITS.characters + 100),
        prompt_note=_about(details.prompt, _prompt_notes(details)),
        rows=_rows(details.rows),
        rows_note=_part(len(details.rows), details.row_count),
        answer=shown(answer.text, LIMITS.characters + 100),
        answer_note=_about(answer, [details.answer_note]),
        checks=checks[:_CHECKS_SHOWN],
        checks_left=max(0, len(checks) - _CHECKS_SHOWN),
        checks_note=_checks_note(checks),
        attempts=details.attempts[::-1],
        attempts_left=details.attempts_omitted,
        attempts_note=_attempts_note(details),
        attempt_boxes=attempt_boxes(details.attempts, now),
        log=details.log,
        log_note=_log_note(details.log),
    )


def _why(details: BatchDetails) -> Reason | None:
    record = details.record
    if not record.code or details.status in ("completed", "skipped"):
        return None
    has_failed = details.status == "failed"
    return Reason(
        kind="failed" if has_failed else "waiting",
        code=record.code,
        meaning=lookup(record.code).meaning,
        text=record.message,
        advice=advice_for(record.code, is_over=has_failed),
    )


def _notes(details: BatchDetails) -> Iterator[Note]:
    for kind, label, texts in (
        ("waiting", "", details.reasons),
        ("completed", "self-healing: ", details.remedies),
        ("waiting", "warning: ", details.warnings),
    ):
        yield from (Note(kind, label, text) for text in texts[:8])


def _verbs(details: BatchDetails) -> list[Verb]:
    if details.status not in ("failed", "cancelled"):
        return []
    return [Verb("retry", "Retry this batch", "Try this batch again", "primary", batches=(details.number,))]


def _prompt_notes(details: BatchDetails) -> list[str]:
    source = PROMPT_SOURCES[details.prompt_source]
    if details.prompt_source == "composed":
        return [source, details.prompt_note]
    return [details.prompt_note or source]


def _about(text: Excerpt, notes: Sequence[str]) -> str:
    said = [note for note in notes if note]
    if text.size:
        said.append(f"{text.size:,} characters")
    if text.is_cut:
        said.append(f"{text.size - len(text.text):,} of them are left out in the middle")
    return ", ".join(said)


def _part(some: int, of: int) -> str:
    return f"{of:,}" if some == of else f"{some:,} of {of:,}"


def _rows(rows: Sequence[Any]) -> str:
    return shown("\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows), _ROWS_CHARACTERS)


def _checks_note(results: Sequence[RuleResult]) -> str:
    statuses = [result.status for result in results]
    found = ((status, statuses.count(status)) for status in ("failed", "passed", "rehearsed", "skipped"))
    return ", ".join(f"{number} {status}" for status, number in found if number)


def _attempts_note(details: BatchDetails) -> str:
    waited = sum(one.wait_seconds for one in details.attempts)
    worked = sum(one.duration for one in details.attempts)
    said = [f"{roughly(worked)} of work"] if worked else []
    return ", ".join(said + ([f"{roughly(waited)} of waiting"] if waited >= 1 else []))


def _log_note(tail: LogTail) -> str:
    notes = [f"attempt {tail.attempt}"] if tail.attempt else []
    if any(tail.sizes):
        notes.append(amount(sum(tail.sizes)))
    if tail.is_cut:
        notes.append("only its end")
    elif tail.source == "record":
        notes.append("the end of it, as the record of the job keeps it")
    return ", ".join(notes)


class Batch(Page):
    """`/mozart/jobs/{key}/batches/{number}`."""

    async def get(self, key: str, number: str) -> None:
        job, details, questions, now = await self.in_thread(_read, self.board, key, int(number))
        follows = self.to.events(key) if job.progress.is_live else ""
        self.show(
            "batch.html",
            live=self.live(REFRESH_SECONDS, follows),
            job=job,
            batch=batch_view(details, job, self.to, now),
            questions=questions,
        )


def _read(board: Board, key: str, number: int) -> tuple[JobView, BatchDetails, list[Any], float]:
    look = board.look(key)
    try:
        details = board.batch(key, number, LIMITS)
    except IndexError:
        raise web.HTTPError(404, f"This job has no batch {number}: there are {look.progress.total}.") from None
    questions = [one for one in board.questions(key) if one.batch == number] if look.questions else []
    return job_view(look), details, questions, look.now


class Batches(Page):
    """`/mozart/jobs/{key}/batches?number=7`: what the field beside the map asks for."""

    def get(self, key: str) -> None:
        number = self.query.number("number")
        self.redirect(self.to.batch(key, number) if number else f"{self.to.run(key)}#batches")
