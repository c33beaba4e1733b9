"""Everything about one batch, bounded in size, read from disk in a worker thread.

attempts = AttemptIndex(layout)                     # kept while a dashboard is open
details = await batch_details(job.prepared, job.state, 7, attempts=attempts)
tail = await log_tail(job.layout, 7, details.record.attempts)
tail = await log_tail(job.layout, 7, details.record.attempts, known=tail)   # the same object: nothing new
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.state import BatchState, BatchStatus, JobState
from mozart_nb.events import Mode, RuleResult, Usage
from mozart_nb.prepared import Prepared

PromptSource = Literal["sent", "composed", "unknown"]
_NO_USAGE = Usage()
LineKind = Literal["text", "tool", "tool_result", "system", "result", "error", "raw", "stderr"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of everything is shown: characters, rows, attempts and lines."""

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


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a session's output. `kind`: what the assistant said, used, got; `raw` is no known record."""

    kind: LineKind
    text: str


@dataclass(frozen=True, slots=True)
class LogTail:
    """The end of an attempt's raw output. `sizes` are the bytes of both output files, `source` where it comes from.

    `record`: no file was kept (API backends), so it is the end that the job's record keeps.
    """

    attempt: int = 0
    lines: tuple[LogLine, ...] = ()
    sizes: tuple[int, int] = (0, 0)
    is_cut: bool = False
    source: Literal["file", "record", "none"] = "none"


@dataclass(frozen=True, slots=True)
class AttemptDetails:
    """One attempt of a batch. Times in epoch seconds, durations in seconds, money in US dollars (None: unknown).

    `wait_seconds` passed between the attempt before and this one, because of `wait_reason`. `passed` is None as long as
    nothing is judged.
    """

    attempt: int
    mode: Mode
    started_at: float
    finished_at: float = 0.0
    duration: float = 0.0
    outcome: str = ""
    passed: bool | None = None
    code: str = ""
    message: str = ""
    exit_code: int | None = None
    cost_usd: float | None = None
    usage: Usage = _NO_USAGE
    model: str = ""
    turns: int = 0
    session_id: str = ""
    reused: bool = False
    wait_seconds: float = 0.0
    wait_reason: str = ""


@dataclass(frozen=True, slots=True)
class BatchDetails:
    """One batch. Texts are as they are on disk, bounded but not cleaned: whoever shows them escapes them.

    `record` is a copy. `prompt_source`: `sent` is exactly what the last attempt sent, `composed` what would be sent
    now; `prompt_note` says the rest in words. `rows` are JSON data, long texts in them cut; `row_count` counts all.
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
    log: LogTail = LogTail()
    remedies: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class AttemptIndex:
    """Where in the journal the events of each batch stand; follows the journal as it grows. Safe in any thread."""

    def __init__(self, layout: Layout) -> None:
        raise NotImplementedError

    def attempts(self, number: int) -> tuple[AttemptDetails, ...]:
        """Every attempt of a batch, oldest first, after reading what is new. Blocks: call it in a worker thread."""
        raise NotImplementedError


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
    raise NotImplementedError


async def log_tail(
    layout: Layout,
    number: int,
    attempt: int,
    *,
    lines: int = 40,
    known: LogTail | None = None,
) -> LogTail:
    """The last lines of an attempt's raw output; `known` itself when nothing has been written since."""
    raise NotImplementedError


def readable(lines: Iterable[bytes]) -> list[LogLine]:
    """Lines of a session's standard output, made readable where they are records of the `claude` program."""
    raise NotImplementedError
