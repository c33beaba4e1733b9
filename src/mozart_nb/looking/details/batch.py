"""What is put together about one batch, and how much of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypedDict

import msgspec

from mozart_nb.checkpoint.follow import read_answer
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.state import BatchState, BatchStatus, JobRecord, JobState
from mozart_nb.errors import MozartError
from mozart_nb.events import Answer, RuleResult
from mozart_nb.looking.details.attempts import AttemptDetails, AttemptIndex
from mozart_nb.looking.details.facts import Facts
from mozart_nb.looking.details.logs import LogTail, read_log_tail, recorded_tail
from mozart_nb.looking.details.prompts import PromptSource, find_prompt
from mozart_nb.plans.prepared import Prepared, opened
from mozart_nb.words import ELLIPSIS

LARGEST_ANSWER: Final = 4 << 20
"""Bytes of an answer's line that is still read: a checksummed line has to be read as a whole, in one breath."""

_MOST_RULES: Final = 200
_LONGEST_FACT: Final = 2000
_LONGEST_CELL: Final = 1000
_MOST_PARTS: Final = 100
_DEEPEST: Final = 6
_NO_LOG = LogTail()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of everything is shown: characters of a text, rows, attempts, and lines of the log."""

    characters: int = 20_000
    rows: int = 20
    attempts: int = 50
    lines: int = 40


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text, cut in the middle when it is long. `size`: characters of the whole text. It is not cleaned."""

    text: str = ""
    size: int = 0

    @property
    def is_cut(self) -> bool:
        return self.size > len(self.text)

    @classmethod
    def of(cls, text: str, most: int) -> Excerpt:
        """`text`, or its beginning and its end, together at most `most` characters."""
        if len(text) <= most:
            return cls(text, len(text))
        tail = most // 3
        head = max(0, most - tail - len(_GAP))
        return cls(text[:head] + _GAP + text[len(text) - tail :], len(text))


_GAP: Final = f"\n{ELLIPSIS}\n"


@dataclass(frozen=True, slots=True)
class BatchDetails:
    """One batch. Texts are as they are on disk, bounded but not cleaned: whoever shows them escapes them.

    `record` is a copy. `prompt_source`: `sent` is exactly what the attempt named in `prompt_note` sent, `composed` what
    would be sent. `rows` are JSON data, long texts in them cut; `row_count` counts all.
    `data` is the answer's data as indented JSON. `reasons` say why it is skipped, blocked or waiting.
    """

    number: int
    status: BatchStatus
    first_item: int
    last_item: int
    record: BatchState
    prompt: Excerpt = Excerpt()
    prompt_source: PromptSource = "unknown"
    prompt_note: str = ""
    rows: tuple[Any, ...] = ()
    row_count: int = 0
    answer: Excerpt = Excerpt()
    data: Excerpt | None = None
    answer_note: str = ""
    validations: tuple[RuleResult, ...] = ()
    attempts: tuple[AttemptDetails, ...] = ()
    attempts_omitted: int = 0
    log: LogTail = _NO_LOG
    remedies: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


async def batch_details(
    source: Prepared | Layout,
    state: JobState,
    number: int,
    *,
    attempts: AttemptIndex | None = None,
    limits: Limits = Limits(),
) -> BatchDetails:
    """Everything about batch `number`. `state` is looked at before the first await only, the rest in a worker thread.

    Raises `IndexError` when the plan has no such batch. What cannot be read is left out and said in the notes.
    """
    if not state.job.seq and isinstance(source, Prepared):
        state = JobState(JobRecord(plan=source.plan.shape))  # nothing is on disk before the first run
    return await asyncio.to_thread(read_details, source, Facts.of(state, number), attempts=attempts, limits=limits)


def read_details(
    source: Prepared | Layout, facts: Facts, *, attempts: AttemptIndex | None = None, limits: Limits = Limits()
) -> BatchDetails:
    """The part of `batch_details` that reads files, for threads: it blocks."""
    layout = source if isinstance(source, Layout) else source.layout
    record = facts.record
    told = _attempts(attempts or AttemptIndex(layout), facts)
    shown = told[-limits.attempts :]
    found = BatchDetails(
        number=facts.number,
        status=facts.status,
        first_item=facts.items[0],
        last_item=facts.items[1],
        record=record,
        validations=tuple(_short_rule(result) for result in record.validation_details[:_MOST_RULES]),
        attempts=tuple(_short_attempt(attempt) for attempt in shown),
        attempts_omitted=max(0, record.attempts - len(shown)),
        log=_log(layout, record, limits),
        remedies=tuple(_short(text) for text in record.remedies),
        reasons=tuple(_short(text) for text in facts.reasons),
        warnings=tuple(_short(text) for text in (*(one.message for one in record.findings), *record.warnings)),
        **_answer(layout, record, limits),
    )
    try:
        prepared = opened(layout) if isinstance(source, Layout) else source
    except (MozartError, OSError) as error:
        return replace(found, prompt_note=f"the plan of the job cannot be read: {_said(error)}")
    prompt = find_prompt(prepared, facts, told)
    rows, row_count = _rows(prepared, facts.number, limits)
    return replace(
        found,
        prompt=Excerpt.of(prompt.text, limits.characters),
        prompt_source=prompt.source,
        prompt_note=_short(prompt.note),
        rows=rows,
        row_count=row_count,
    )


def _attempts(index: AttemptIndex, facts: Facts) -> Sequence[AttemptDetails]:
    """As far as the state knows of them: it may be one of the past."""
    if not facts.record.attempts:
        return ()
    try:
        return index.attempts(facts.number, until=facts.seq)
    except (MozartError, OSError):
        return ()  # a damaged journal must not hide what the state knows


def _log(layout: Layout, record: BatchState, limits: Limits) -> LogTail:
    if not record.attempts:
        return LogTail()
    tail = read_log_tail(layout, record.number, record.attempts, lines=limits.lines)
    return recorded_tail(record, lines=limits.lines) if tail.source == "none" else tail


class _AnswerParts(TypedDict, total=False):
    answer: Excerpt
    data: Excerpt
    answer_note: str


def _answer(layout: Layout, record: BatchState, limits: Limits) -> _AnswerParts:
    if record.answer_at < 0:
        return {}
    if record.answer_size > LARGEST_ANSWER:
        return {"answer_note": f"the answer takes {record.answer_size:,} bytes: too many to be shown"}
    try:
        answer: Answer = read_answer(layout, record.answer_at, record.answer_size)
    except (MozartError, OSError) as error:
        return {"answer_note": _said(error)}
    parts: _AnswerParts = {"answer": Excerpt.of(answer.text, limits.characters)}
    if answer.data is not None:
        data = msgspec.json.format(msgspec.json.encode(answer.data), indent=2).decode()
        parts["data"] = Excerpt.of(data, limits.characters)
    notes = [
        *(["kept from an earlier run: nothing was asked"] if record.reused else []),
        *(["of an earlier attempt: the last one said nothing"] if record.is_silent and answer.text else []),
    ]
    return {**parts, "answer_note": "; ".join(notes)}


def _rows(prepared: Prepared, number: int, limits: Limits) -> tuple[tuple[Any, ...], int]:
    """The first rows that the batch works on, and how many there are; none for a job without items."""
    rows = prepared.frozen.rows
    if rows is None:
        return (), 0
    try:
        first, last = prepared.plan.rows_of(number)
    except IndexError:
        return (), 0  # the plan has changed since this state
    last = min(last, len(rows))
    return tuple(_bounded(row) for row in rows[first - 1 : min(last, first - 1 + limits.rows)]), last - first + 1


# --- bounds -----------------------------------------------------------------------------------------------------------


def _said(error: MozartError | OSError) -> str:
    return error.message if isinstance(error, MozartError) else str(error)


def _short(text: str, most: int = _LONGEST_FACT) -> str:
    return text if len(text) <= most else text[:most] + ELLIPSIS


def _short_attempt(attempt: AttemptDetails) -> AttemptDetails:
    results = tuple(_short_rule(result) for result in attempt.results[:_MOST_RULES])
    return replace(attempt, message=_short(attempt.message), wait_reason=_short(attempt.wait_reason), results=results)


def _short_rule(result: RuleResult) -> RuleResult:
    texts = {name: getattr(result, name) for name in ("path", "description", "expected", "actual", "message")}
    long = {name: _short(text) for name, text in texts.items() if len(text) > _LONGEST_FACT}
    return msgspec.structs.replace(result, **long) if long else result


def _bounded(value: Any, depth: int = 0) -> Any:
    """JSON data with long texts, long lists and deep nesting cut."""
    if isinstance(value, str):
        return _short(value, _LONGEST_CELL)
    if isinstance(value, Mapping | list | tuple) and depth >= _DEEPEST:
        return ELLIPSIS
    if isinstance(value, Mapping):
        items = list(value.items())
        kept = {_short(str(key), 200): _bounded(part, depth + 1) for key, part in items[:_MOST_PARTS]}
        return {**kept, ELLIPSIS: f"and {len(items) - _MOST_PARTS} more"} if len(items) > _MOST_PARTS else kept
    if isinstance(value, list | tuple):
        parts = [_bounded(part, depth + 1) for part in value[:_MOST_PARTS]]
        return [*parts, f"{ELLIPSIS} and {len(value) - _MOST_PARTS} more"] if len(value) > _MOST_PARTS else parts
    return value
