"""Everything about one batch on one page: what was asked, what came back, what was checked, what was tried.

All of it is bounded: about 60 kB of HTML at most, however long prompt, answer and log are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from mozart_nb.codes import lookup
from mozart_nb.events import RuleResult
from mozart_nb.jupyter.looks.advice import advice_here
from mozart_nb.jupyter.looks.head import badge
from mozart_nb.jupyter.looks.text import bounded, duration, escaped_line
from mozart_nb.jupyter.looks.theme import framed, mark
from mozart_nb.looking.details import AttemptDetails, BatchDetails, Excerpt, LogLine, LogTail
from mozart_nb.looking.details.phrases import PROMPT_SOURCES, batch_phrases
from mozart_nb.words import amount, clock, count, dollars, moment

T = TypeVar("T")

OPEN: Final = frozenset({"prompt", "answer", "checks", "log"})
"""Sections that are open where nobody says which."""

# Bytes of HTML that each part may take; what a prompt leaves is its answer's.
_PROMPT_BYTES: Final = 12_000
_TEXT_BYTES: Final = 28_000
_ROWS_BYTES: Final = 5_000
_CHECKS_BYTES: Final = 7_000
_ATTEMPTS_BYTES: Final = 7_000
_LOG_BYTES: Final = 8_000
_NOTES_BYTES: Final = 4_000

_RULE_LOOKS: Final = {"passed": "completed", "rehearsed": "completed", "failed": "failed", "skipped": "skipped"}
_LINE_MARKS: Final = {
    "text": "", "tool": "→ ", "tool_result": "← ", "system": "· ", "result": "= ", "error": "✕ ", "raw": "",
    "stderr": "stderr: ",
}  # fmt: skip


def batch_html(
    details: BatchDetails, *, now: float, job_id: str = "", is_open: Collection[str] = OPEN, with_log: bool = True
) -> str:
    """One batch as HTML. `now` in epoch seconds; `is_open` names the sections that are unfolded: `prompt`, `answer`,
    `rows`, `checks`, `attempts`, `log`. Without log where `log_html` is shown on its own.
    """
    parts = [
        _title(details),
        *_notes(details),
        *_texts(details, is_open),
        _section("checks", "Checks", _checks_note(details), _checks(details.validations), is_open),
        _section("attempts", "Attempts", f"{details.record.attempts}", _attempts(details, now), is_open),
    ]
    if with_log:
        parts.append(_log_section(details.log, details.number, job_id, is_open))
    page = f'<section aria-label="batch {details.number}">{"".join(parts)}</section>'
    return framed(page, "details")


def _fitting(write: Callable[[T], str], things: Sequence[T], most_bytes: int) -> tuple[list[str], int]:
    """HTML of the first things that fit, at least one of them, and how many were left out."""
    shown: list[str] = []
    for thing in things:
        html = write(thing)
        most_bytes -= len(html.encode())
        if shown and most_bytes < 0:
            break
        shown.append(html)
    return shown, len(things) - len(shown)


def _section(name: str, title: str, note: str, body: str, is_open: Collection[str]) -> str:
    """A part that can be folded; empty without a body. `note` is HTML."""
    if not body:
        return ""
    unfolded = " open" if name in is_open else ""
    return f"<details{unfolded}><summary><b>{title}</b> <small>{note}</small></summary>{body}</details>"


# --- what it is, and what is the matter -------------------------------------------------------------------------------


def _title(details: BatchDetails) -> str:
    facts = " · ".join(escaped_line(fact, 80) for fact in batch_phrases(details))
    return (
        f'<p class="mozart-title"><strong class="mozart-name">Batch {details.number}</strong> '
        f"{badge(details.status)} <span>{facts}</span></p>"
    )


def _notes(details: BatchDetails) -> Iterator[str]:
    """Why it stands as it does, what self-healing did or advises, what there was to warn of."""
    record = details.record
    if record.code and details.status not in ("completed", "skipped"):
        has_failed = details.status == "failed"
        meaning, advice = lookup(record.code).meaning, advice_here(record.code, is_over=has_failed)
        yield _note(
            "failed" if has_failed else "waiting",
            f"<b>{escaped_line(record.code, 10)}</b> {escaped_line(meaning)}: "
            f"<bdi>{escaped_line(record.message, 600)}</bdi> <em>{escaped_line(advice)}</em>",
        )
    for status, label, texts in (
        ("waiting", "", details.reasons),
        ("completed", "self-healing: ", details.remedies),
        ("waiting", "warning: ", details.warnings),
    ):
        write = partial(_labelled_note, status, label)
        shown, left_out = _fitting(write, texts, _NOTES_BYTES // 3)
        yield from shown
        if left_out:
            yield _note(status, f"{label}and {left_out} more")


def _labelled_note(status: str, label: str, text: str) -> str:
    return _note(status, f"{label}<bdi>{escaped_line(text, 400)}</bdi>")


def _note(status: str, html: str) -> str:
    return f'<p class="mozart-note mozart-is-{status}">{html}</p>'


# --- texts ------------------------------------------------------------------------------------------------------------


def _texts(details: BatchDetails, is_open: Collection[str]) -> Iterator[str]:
    asks = f"<code>--dry-run --show {details.number}</code> shows all of it"
    notes = [details.prompt_note or PROMPT_SOURCES[details.prompt_source]]
    if details.prompt_source == "composed" and details.prompt_note:
        notes.insert(0, PROMPT_SOURCES["composed"])
    prompt = _text_section("prompt", "Prompt", details.prompt, notes, asks, is_open, _PROMPT_BYTES)
    yield prompt
    if details.row_count:
        shown = len(details.rows)
        note = f"{details.row_count}" if shown == details.row_count else f"{shown} of {details.row_count}"
        yield _section("rows", "Items", note, _pre(_rows(details.rows), _ROWS_BYTES), is_open)
    answer = details.data or details.answer
    whole = "<code>job.answers()</code> has all of it"
    room = _TEXT_BYTES - len(prompt.encode())
    yield _text_section("answer", "Answer", answer, [details.answer_note], whole, is_open, room)


def _text_section(
    name: str, title: str, text: Excerpt, notes: Iterable[str], whole: str, is_open: Collection[str], room: int
) -> str:
    body, shown = bounded(text.text, room)
    said = [escaped_line(note, 300) for note in notes if note]
    if text.size:
        said.append(f"{text.size:,} characters")
    if text.is_cut or shown < len(text.text):
        said.append(f"about {max(0, text.size - shown):,} of them are left out in the middle: {whole}")
    if not body and not said:
        return ""
    return _section(name, title, ", ".join(said), _framed_text(body) if body else "<p>empty</p>", is_open)


def _pre(text: str, most: int) -> str:
    return _framed_text(bounded(text, most)[0])


def _framed_text(html: str) -> str:
    """It can be scrolled, so it must be possible to reach it by keyboard."""
    return f'<pre class="mozart-text" tabindex="0">{html}</pre>'


def _rows(rows: Sequence[Any]) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows)


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(
    heads: Sequence[str], cells: Callable[[T], Sequence[str]], things: Sequence[T], caption: str, most_bytes: int
) -> tuple[str, int]:
    """A small table of the things that fit, and how many do not. Cells are HTML, the first of a row is its head."""

    def row(thing: T) -> str:
        first, *others = cells(thing)
        return f"<tr><th scope=row>{first}" + "".join(f"<td>{cell}" for cell in others)

    shown, left_out = _fitting(row, things, most_bytes)
    if not shown:
        return "", 0
    top = "".join(f"<th scope=col>{head}" for head in heads)
    inside = f"<thead><tr>{top}</thead><tbody>{''.join(shown)}</tbody>"
    return f'<table class="mozart-small" aria-label="{caption}">{inside}</table>', left_out


def _checks_note(details: BatchDetails) -> str:
    statuses = [result.status for result in details.validations]
    found = ((status, statuses.count(status)) for status in ("failed", "passed", "rehearsed", "skipped"))
    return ", ".join(f"{number} {status}" for status, number in found if number)


def _checks(results: Sequence[RuleResult]) -> str:
    """What failed comes first."""
    order = sorted(results, key=lambda result: result.status != "failed")
    heads = ("rule", "result", "what", "expected", "seen")
    table, left_out = _table(heads, _check, order, "checks", _CHECKS_BYTES)
    return f"{table}<p>and {left_out:,} more</p>" if left_out else table


def _check(result: RuleResult) -> Sequence[str]:
    what = " ".join(text for text in (result.type, result.path, result.description) if text)
    return (
        f"{result.rule}" if result.rule else "form",
        f"{mark(_RULE_LOOKS.get(result.status, ''))}&nbsp;{escaped_line(result.status, 20)}",
        escaped_line(what, 300),
        escaped_line(result.expected, 300),
        escaped_line(result.actual or result.message, 300),
    )


_ATTEMPT_COLUMNS: Final[tuple[tuple[str, Callable[[AttemptDetails], str]], ...]] = (
    ("waited", lambda a: f"{clock(a.wait_seconds)} {a.wait_reason}".strip() if a.wait_seconds >= 1 else ""),
    ("time", lambda a: duration(a.duration) if a.finished_at else ""),
    ("cost", lambda a: "reused" if a.reused else dollars(a.cost_usd) if a.cost_usd is not None else "unknown"),
    ("tokens", lambda a: count(a.usage.total)),
    ("code", lambda a: a.code),
    ("message", lambda a: a.message),
)


def _attempts(details: BatchDetails, now: float) -> str:
    """The newest first."""
    heads = ("no.", "kind", "began", "ended as", *(name for name, _ in _ATTEMPT_COLUMNS))
    cells = partial(_attempt, now=now)
    table, left_out = _table(heads, cells, details.attempts[::-1], "attempts", _ATTEMPTS_BYTES)
    left_out += details.attempts_omitted
    return f"{table}<p>and {left_out:,} earlier ones</p>" if left_out else table


def _attempt(attempt: AttemptDetails, now: float) -> Sequence[str]:
    status = "waiting" if attempt.passed is None else "completed" if attempt.passed else "failed"
    outcome = attempt.outcome or ("running" if not attempt.finished_at else "ended")
    if outcome == "ok" and attempt.passed is not None:
        outcome = "good" if attempt.passed else "not good enough"
    return (
        f"{attempt.attempt}",
        escaped_line(attempt.mode, 20),
        moment(attempt.started_at, now),
        f"{mark(status)}&nbsp;{escaped_line(outcome, 30)}",
        *(escaped_line(value(attempt), 240) for _, value in _ATTEMPT_COLUMNS),
    )


# --- log --------------------------------------------------------------------------------------------------------------


def log_html(tail: LogTail, *, number: int, job_id: str = "", is_open: bool = True) -> str:
    """The end of what the last session of batch `number` printed, as a piece of its own; empty when there is none."""
    section = _log_section(tail, number, job_id, {"log"} if is_open else ())
    return framed(section, "details") if section else ""


def _log_section(tail: LogTail, number: int, job_id: str, is_open: Collection[str]) -> str:
    notes = [f"attempt {tail.attempt}"] if tail.attempt else []
    if any(tail.sizes):
        notes.append(f"{amount(sum(tail.sizes))}")
    if tail.is_cut and job_id:
        whole = f"%mozart logs {escaped_line(job_id, 120)} --raw --batch {number}"
        notes.append(f"only its end: <code>{whole}</code> shows all")
    elif tail.source == "record":
        notes.append("the end of it, as the record of the job keeps it")
    return _section("log", "Log", ", ".join(notes), _log(tail.lines) if tail.lines else "", is_open)


def _log(lines: Sequence[LogLine]) -> str:
    """The newest lines that fit, in their order."""
    room, shown = _LOG_BYTES, list[str]()
    for line in reversed(lines):
        html = _log_line(line, min(room, 3_000))
        room -= len(html.encode())
        if room < 0:
            break
        shown.append(html)
    return _framed_text("".join(reversed(shown)))


def _log_line(line: LogLine, room: int) -> str:
    text, _ = bounded(line.text.strip("\n"), max(80, room - 60))
    kind = line.kind if line.kind in _LINE_MARKS else "raw"
    return f'<span class="mozart-log-{kind.replace("_", "-")}">{_LINE_MARKS[kind]}{text}\n</span>'
