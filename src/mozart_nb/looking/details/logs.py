"""The end of a session's raw output, made readable: bounded, read from the end of its files, safe from what is in them.

Records of the `claude` program (stream-json, as recorded for version 2.1.197 in tests/data/claude_cases) become what
they say; anything else is shown as it stands. Texts are cut but not cleaned: whoever shows them does that.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.state import BatchState
from mozart_nb.words import ELLIPSIS, dollars, plural, roughly

LineKind = Literal["text", "tool", "tool_result", "system", "result", "error", "raw", "stderr"]

WINDOW_BYTES: Final = 256 * 1024
"""What is read of a file at most, from its end."""

MOST_STDERR: Final = 10
_LONGEST: Final[dict[LineKind, int]] = {"text": 4000, "result": 2000, "error": 2000}
_LONGEST_OTHER: Final = 600
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a session's output. `kind`: what the assistant said, used, got; `raw` is no known record.

    What the assistant said may have several lines.
    """

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


async def log_tail(
    layout: Layout,
    number: int,
    attempt: int,
    *,
    lines: int = 40,
    known: LogTail | None = None,
) -> LogTail:
    """The last lines of an attempt's raw output; `known` itself when nothing has been written since."""
    return await asyncio.to_thread(read_log_tail, layout, number, attempt, lines=lines, known=known)


def read_log_tail(
    layout: Layout, number: int, attempt: int, *, lines: int = 40, known: LogTail | None = None
) -> LogTail:
    """The same for threads: it blocks."""
    stem = layout.log_stem(number, attempt)
    out, err = Path(f"{stem}.out"), Path(f"{stem}.err")
    sizes = (_size(out), _size(err))
    if known is not None and (known.attempt, known.sizes) == (attempt, sizes):
        return known
    if not out.is_file() and not err.is_file():
        return LogTail(attempt)
    printed, is_cut = last_lines(out)
    if len(printed) > 1 and printed[-1].startswith(b"{") and _records(printed[-1]) is None:
        printed.pop()  # a record that is being written
    shown = readable(printed)
    complaints = [LogLine("stderr", _text(line, "stderr")) for line in last_lines(err)[0] if line.strip()]
    is_cut = is_cut or len(shown) > lines or len(complaints) > MOST_STDERR
    return LogTail(attempt, (*shown[-lines:], *complaints[-MOST_STDERR:]), sizes, is_cut, "file")


def recorded_tail(record: BatchState, *, lines: int = 40) -> LogTail:
    """What the job's record keeps of the end of the last attempt's output."""
    kept: list[LogLine] = []
    for kind, text in (("raw", record.stdout_tail), ("stderr", record.stderr_tail)):
        kept += (LogLine(kind, _cut(line, kind)) for line in text.splitlines() if line.strip())  # type: ignore[arg-type]
    return LogTail(record.attempts, tuple(kept[-lines:]), (0, 0), len(kept) > lines, "record" if kept else "none")


def last_lines(path: Path) -> tuple[list[bytes], bool]:
    """The last lines of a file, and whether there is more before them. A file that cannot be read has none.

    A line that is longer than the window is represented by its end.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - WINDOW_BYTES))
            data = file.read(WINDOW_BYTES)
    except OSError:
        return [], False
    if size <= WINDOW_BYTES:
        return data.split(b"\n"), False
    head, newline, rest = data.partition(b"\n")
    return (rest if newline and rest.strip() else head).split(b"\n"), True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


# --- what the records say ---------------------------------------------------------------------------------------------


def readable(lines: Iterable[bytes]) -> list[LogLine]:
    """Lines of a session's standard output, made readable where they are records of the `claude` program."""
    return [shown for line in lines if line.strip() for shown in _shown(line)]


def _shown(line: bytes) -> Iterator[LogLine]:
    records = _records(line)
    if records is None:
        yield LogLine("raw", _text(line, "raw"))
        return
    for record in records:
        for kind, text in _said(record):
            yield LogLine(kind, _cut(text, kind))


def _records(line: bytes) -> list[Mapping[str, Any]] | None:
    """The records of a line; None when it is something else."""
    if line.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        value = _decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, Mapping) and isinstance(one.get("type"), str) for one in values):
        return None
    return values


_Said = Iterator[tuple[LineKind, str]]


def _said(record: Mapping[str, Any]) -> _Said:
    match record["type"]:
        case "assistant" | "user":
            whose = "(sub-agent) " if record.get("parent_tool_use_id") else ""
            for kind, text in _message(record):
                yield kind, f"{whose}{text}"
        case "system":
            yield "system", _system(record)
        case "result":
            yield from _result(record)
        case "rate_limit_event":
            info = record.get("rate_limit_info")
            yield "system", f"rate limit: {_of(info, 'status')} {_of(info, 'rateLimitType')}".rstrip()
        case "stream_event":
            return  # parts of messages that come whole afterwards
        case _:
            yield "raw", _json(record)


def _message(record: Mapping[str, Any]) -> _Said:
    """What stands in a message of the assistant, or goes back to it."""
    message = record.get("message")
    content = message.get("content") if isinstance(message, Mapping) else None
    is_failure = bool(record.get("error"))
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for block in content if isinstance(content, list) else ():
        match _of(block, "type"):
            case "text":
                said: LineKind = "text" if record["type"] == "assistant" else "system"
                yield "error" if is_failure else said, _of(block, "text")
            case "thinking":
                yield "system", f"thinking: {_of(block, 'thinking')}"
            case "tool_use":
                yield "tool", f"{_of(block, 'name')} {_json(block.get('input'))}"
            case "tool_result":
                yield "error" if block.get("is_error") else "tool_result", _plain(block.get("content"))
            case kind:
                yield "system", kind or "something unknown"


def _system(record: Mapping[str, Any]) -> str:
    match _of(record, "subtype"):
        case "init":
            return f"session {_of(record, 'session_id')} began, model {_of(record, 'model') or 'unknown'}"
        case "api_retry":
            why = " ".join(str(record.get(key) or "") for key in ("error_status", "error")).strip()
            return f"retry {record.get('attempt')} of {record.get('max_retries')}: {why}"
        case subtype:
            told = [text for key in ("description", "summary", "content", "status") if (text := _of(record, key))]
            return ": ".join([subtype.replace("_", " ") or "system", *told[:1]])


def _result(record: Mapping[str, Any]) -> _Said:
    """How it ended. The answer itself is what the assistant said last, so it is not repeated."""
    is_failure = bool(record.get("is_error")) or _of(record, "subtype") != "success"
    facts = [_of(record, "subtype").replace("_", " ") or "ended"]
    turns, cost, milliseconds = (record.get(key) for key in ("num_turns", "total_cost_usd", "duration_ms"))
    if isinstance(turns, int):
        facts.append(plural(turns, "turn"))
    if isinstance(milliseconds, int | float):
        facts.append(roughly(milliseconds / 1000))
    if isinstance(cost, int | float):
        facts.append(dollars(cost))
    if is_failure:
        errors = record.get("errors")
        facts += [_of(record, "result"), *(str(one) for one in (errors if isinstance(errors, list) else ()))]
    yield "error" if is_failure else "result", ", ".join(fact for fact in facts if fact)


def _of(record: Any, key: str) -> str:
    value = record.get(key) if isinstance(record, Mapping) else None
    return value if isinstance(value, str) else ""


def _plain(content: Any) -> str:
    """The content of a tool's result: a text, or blocks of which some are texts."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else [content]
    return "\n".join(_of(block, "text") or f"({_of(block, 'type') or 'nothing'})" for block in blocks)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _text(line: bytes, kind: LineKind) -> str:
    """Bytes as text; of a long line its end counts, and a character that was cut in half is replaced."""
    longest = _LONGEST.get(kind, _LONGEST_OTHER)
    text = line[-4 * longest :].decode("utf-8", "replace").rstrip("\r")
    return text if len(line) <= 4 * longest and len(text) <= longest else ELLIPSIS + text[-longest:]


def _cut(text: str, kind: LineKind) -> str:
    longest = _LONGEST.get(kind, _LONGEST_OTHER)
    return text if len(text) <= longest else text[:longest] + ELLIPSIS
