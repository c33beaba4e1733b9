"""What a line of the log looks like, and reading one again.

    2026-11-21T07:05:09.123+01:00 WARNING batch.retrying job_id=notes run_id=… batch=2 attempt=1 due=07:06:09 …
    {"timestamp":"2026-11-21T07:05:09.123456+01:00","level":"WARNING","event":"batch.retrying","job_id":"notes",…}

The pairs after batch and attempt are those of `consumers.lines`. Both forms are for files, so neither has colours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final

import msgspec

from mozart_nb import events as ev
from mozart_nb.consumers.lines import LEVELS, Level, pairs_of, quoted
from mozart_nb.masking import masked

CONTEXT: Final = ("job_id", "run_id", "batch", "attempt")
_IN_CONTEXT: Final = frozenset(CONTEXT)
_LATEST: Final = 250_000_000_000.0  # near the end of the years with four digits
_SCALES: Final = {3: 1_000, 6: 1_000_000}
_BULKY: Final = frozenset({"stdout_tail", "stderr_tail", "marker"})
"""Ends of what sessions print, and what their processes are known by: not for the log."""

_PADDED: Final = {level: f"{level:<7}" for level in LEVELS}
_WORDLESS: Final = frozenset({ev.BatchStarted, ev.BatchCompleted})
_encode = msgspec.json.Encoder().encode

_LINE = re.compile(
    r"(?:(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d(?::\d\d)?)) )?"
    rf"(?P<level>{'|'.join(LEVELS)}) +(?P<event>[a-z_]+\.[a-z_]+)(?P<pairs>(?: .*)?)"
)
_PAIR = re.compile(r' ([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


# --- writing ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _second(at: int) -> tuple[str, str]:
    """A second on this machine's clocks up to the point, and the offset of its zone."""
    text = datetime.fromtimestamp(at).astimezone().isoformat()
    return text[:19], text[19:]


def timestamp(at: float, digits: int = 3) -> str:
    """Epoch seconds as ISO 8601 with this machine's offset, with so many digits behind the point."""
    scale = _SCALES[digits]
    whole = int(at * scale + 0.5)
    second = whole // scale
    head, offset = _second(second)
    return f"{head}.{whole - second * scale:0{digits}}{offset}"


def console_line(
    event: ev.Event, level: Level, at: float, context: Mapping[str, str], *, with_time: bool, with_context: bool
) -> str:
    """An event as a line for people, without its newline. `context`: job and run."""
    head = f"{timestamp(at)} {_PADDED[level]}" if with_time else _PADDED[level]
    name, has_batch, has_attempt = _facts(type(event))
    if not with_context:
        return f"{head} {name}{pairs_of(event, _IN_CONTEXT)}"
    who = _context(context.get("job_id", ""), context.get("run_id", ""))
    if has_batch:
        who += f" batch={event.batch}"  # type: ignore[attr-defined]  # see `_facts`
    if has_attempt:
        who += f" attempt={event.attempt}"  # type: ignore[attr-defined]
    return f"{head} {name}{who}{pairs_of(event, _IN_CONTEXT)}"


@cache
def _facts(kind: type[ev.Event]) -> tuple[str, bool, bool]:
    """What such an event is called, and whether it has a batch and an attempt."""
    fields = kind.__struct_fields__
    return ev.kind_of(kind), "batch" in fields, "attempt" in fields


@lru_cache(maxsize=16)
def _context(job_id: str, run_id: str) -> str:
    return "".join(f" {key}={quoted(value)}" for key, value in (("job_id", job_id), ("run_id", run_id)) if value)


def json_line(
    event: ev.Event, level: Level, at: float, context: Mapping[str, str], *, with_time: bool, with_context: bool
) -> str:
    """An event as a JSON document in one line, without its newline: every field that says anything, but no output."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    document: dict[str, Any] = {"timestamp": timestamp(at, 6)} if with_time else {}
    document["level"] = level
    document["event"] = fields.pop("kind")
    fields.pop("at", None)
    for name in _BULKY & fields.keys():
        del fields[name]
    if with_context:
        document |= context
        document |= {key: fields[key] for key in ("batch", "attempt") if key in fields}
        document |= fields
    else:
        document |= {key: value for key, value in fields.items() if key not in _IN_CONTEXT}
    return _encode(document).decode()


def mask_lines(lines: list[str], chosen: Sequence[int]) -> None:
    """Take secrets out of the chosen lines. What is cut is never more than a part of one line."""
    text = "\n".join([lines[index] for index in chosen])
    if masked(text) != text:
        for index in chosen:
            lines[index] = masked(lines[index])


def has_words(event: ev.Event) -> bool:
    """Whether the event can hold a text that somebody else wrote. Most events of a run cannot, and are quicker."""
    if type(event) is ev.SessionFinished:
        return bool(event.message or event.warnings)
    return type(event) not in _WORDLESS


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a log file. What it does not say is empty, `at` (epoch seconds) 0.0.

    `fields` has JSON values where the line is JSON, and texts where it is not.
    """

    text: str
    at: float = 0.0
    level: str = ""
    event: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """The line as JSON data, whichever form it has; a line of somebody else's has its text only."""
        if not self.event:
            return {"text": self.text}
        head = {"timestamp": timestamp(self.at, 6)} if self.at else {}
        return {**head, "level": self.level, "event": self.event, **self.fields}


def read_line(text: str) -> LogLine:
    """A line of either form; never raises."""
    if text.startswith("{"):
        return _read_json(text)
    found = _LINE.fullmatch(text)
    if found is None:
        return LogLine(text)
    pairs = {key: _unquoted(value) for key, value in _PAIR.findall(found["pairs"])}
    return LogLine(text, _epoch(found["time"] or ""), found["level"], found["event"], pairs)


def _read_json(text: str) -> LogLine:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return LogLine(text)
    if not isinstance(document, dict) or not isinstance(document.get("event"), str):
        return LogLine(text)
    at = _epoch(str(document.pop("timestamp", "")))
    return LogLine(text, at, str(document.pop("level", "")), document.pop("event"), document)


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def _epoch(text: str) -> float:
    """Epoch seconds; 0.0 for what is no time, or one that clocks do not show."""
    try:
        at = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return at if 0 < at < _LATEST else 0.0
