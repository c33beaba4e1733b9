"""The attempts of one batch out of a journal of any length: an index of where each batch's events stand."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.journal import Tip
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.rows import AttemptRecord, Attempts
from mozart_nb.errors import CheckpointCorruptError
from mozart_nb.events import Mode, RuleResult, Usage
from mozart_nb.looking.timeline.catching_up import CatchingUp

MOST_EVENTS: Final = 1000
"""Events of one batch that are read back at most, the newest."""

_TRIES: Final = 3
_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class AttemptDetails:
    """One attempt of a batch. Times in epoch seconds, durations in seconds, money in US dollars (None: unknown).

    `wait_seconds` passed between the attempt before and this one, because of `wait_reason`. `passed` is None as long as
    nothing is judged; `results` are what the rules found. `prompt_hash` is that of `session.opened`.
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
    prompt_hash: str = ""
    results: tuple[RuleResult, ...] = ()


class AttemptIndex:
    """Where in the journal the events of each batch stand; follows the journal as it grows. Safe in any thread.

    Takes some 30 bytes per event; the first use reads the whole journal, later ones only what is new.
    """

    def __init__(self, layout: Layout) -> None:
        self._places = _Places()
        self._layout = layout
        self._reader = CatchingUp(layout, self._places)
        self._lock = threading.Lock()

    def attempts(self, number: int, *, until: int = 0) -> tuple[AttemptDetails, ...]:
        """The attempts of a batch, oldest first, after reading what is new. Blocks: call it in a worker thread.

        `until` is the number of the last event that counts; 0 means all of them. Of a batch with more than a thousand
        events only the last attempts. Raises `UnknownJobError`, `CheckpointCorruptError`, `CheckpointTooNewError`.
        """
        events = self.events(number)
        return attempts_of(event for event in events if not until or event.seq <= until)

    def events(self, number: int) -> list[ev.Event]:
        """The events of a batch, at most the last thousand. Blocks and raises as `attempts`."""
        with self._lock:
            for again in reversed(range(_TRIES)):
                self._reader.catch_up()
                try:
                    return self._read(self._places.of(number))
                except (CheckpointCorruptError, FileNotFoundError):
                    if not again:
                        raise
        raise AssertionError("the last try returns or raises")

    def _read(self, spans: Iterable[tuple[int, int, int]]) -> list[ev.Event]:
        files: dict[int, BinaryIO] = {}
        try:
            return [self._event(files, span) for span in spans]
        finally:
            for file in files.values():
                file.close()

    def _event(self, files: dict[int, BinaryIO], span: tuple[int, int, int]) -> ev.Event:
        segment, begin, end = span
        if segment not in files:
            files[segment] = self._layout.segment(segment).open("rb")
        files[segment].seek(begin, os.SEEK_SET)
        document = EVENTS.unwrap(files[segment].read(end - begin).removesuffix(b"\n"))
        if document is None:
            raise CheckpointCorruptError("the journal changed while it was read", job_id=self._layout.job_id)
        event: ev.Event = ev.decode_event(document)
        return event


class _Places:
    """The place of every event, and for each batch its last event, from which a chain leads back to the others."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._segments = array("l")
        self._ends = array("q")
        self._previous = array("l")
        self._last: dict[int, int] = {}

    def take(self, event: ev.Event, tip: Tip) -> None:
        number = getattr(event, "batch", 0)
        index = len(self._ends)
        self._segments.append(tip.segment)
        self._ends.append(tip.offset)
        self._previous.append(self._last.get(number, -1))
        if number:
            self._last[number] = index

    def of(self, number: int) -> list[tuple[int, int, int]]:
        """Segment, begin and end (bytes) of the lines of a batch, oldest first."""
        return [self._span(index) for index in self._chain(number)][::-1]

    def _chain(self, number: int) -> Iterator[int]:
        index = self._last.get(number, -1)
        for _ in range(MOST_EVENTS):
            if index < 0:
                return
            yield index
            index = self._previous[index]

    def _span(self, index: int) -> tuple[int, int, int]:
        segment = self._segments[index]
        follows = index > 0 and self._segments[index - 1] == segment
        return segment, self._ends[index - 1] if follows else 0, self._ends[index]


# --- from events to attempts ------------------------------------------------------------------------------------------


def attempts_of(events: Iterable[ev.Event]) -> tuple[AttemptDetails, ...]:
    """The attempts that the events of one batch, in order, tell of. What began before the first event is left out."""
    story = _Story()
    for event in events:
        story.hear(event)
    return tuple(story.details())


class _Story:
    def __init__(self) -> None:
        self._attempts = Attempts()
        self._begun: dict[int, tuple[float, str]] = {}
        self._hashes: dict[int, str] = {}
        self._reused: set[int] = set()
        self._ended_at = 0.0
        self._reason = ""

    def hear(self, event: ev.Event) -> None:
        match event:
            case ev.BatchStarted():
                waited = max(0.0, event.at - self._ended_at) if self._reason else 0.0
                self._begun[event.attempt] = (waited, self._reason)
                self._reason = ""
            case ev.SessionOpened():
                self._hashes[event.attempt] = event.prompt_hash
            case ev.SessionFinished() if event.reused:
                self._reused.add(event.attempt)
            case _ if reason := _reason_to_wait(event):
                self._ended_at, self._reason = event.at, reason
            case _:
                pass
        self._attempts.hear([event])

    def details(self) -> Iterator[AttemptDetails]:
        for record in self._attempts.records.values():
            if record.attempt in self._begun:
                yield self._detail(record, *self._begun[record.attempt])

    def _detail(self, record: AttemptRecord, wait_seconds: float, wait_reason: str) -> AttemptDetails:
        return AttemptDetails(
            attempt=record.attempt,
            mode=record.mode,
            started_at=record.started_at,
            finished_at=record.finished_at,
            duration=record.duration,
            outcome=record.outcome,
            passed=record.passed,
            code=record.code,
            message=record.message,
            exit_code=record.exit_code,
            cost_usd=record.cost_usd,
            usage=record.usage,
            model=record.model,
            turns=record.turns,
            session_id=record.session_id,
            reused=record.attempt in self._reused,
            wait_seconds=wait_seconds,
            wait_reason=wait_reason,
            prompt_hash=self._hashes.get(record.attempt, ""),
            results=record.results,
        )


def _reason_to_wait(event: ev.Event) -> str:
    """Why the next attempt comes later than the end of this one; empty for other events."""
    match event:
        case ev.BatchRetrying():
            return f"back-off after {event.code}" if event.code else "back-off"
        case ev.BatchCompleting():
            return "before the completion attempt"
        case ev.BatchWaiting():
            return f"rate limit {event.code}"
        case ev.BatchHealed() if event.remedy:
            return f"after a remedy: {event.remedy}"
        case ev.SessionAbandoned():
            return "its host was gone"
        case ev.BatchFailed():
            return "failed until it was asked again"
        case _:
            return ""
