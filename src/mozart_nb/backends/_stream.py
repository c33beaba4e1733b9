"""What `claude -p --output-format stream-json` prints, read without any I/O: bytes in, facts out.

How the program behaves is recorded for version 2.1.197 (tests/data/claude_cases). What matters most: an error of the
API comes as `subtype: "success"` with `is_error: true`; the last line is not always the result; a session ended by
SIGINT may exit with 0; without a `result` line nothing is known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mozart_nb.backends._text import printable, whole

LINE_LIMIT = 8 * 1024 * 1024
"""Bytes of one line that are kept at most; what is longer is skipped, so that memory stays bounded."""

_PLAIN_LIMIT = 4096
_READ = ("system", "assistant", "result", "rate_limit_event")  # no set: what stands there may be anything


class Lines:
    """Cuts a byte stream into lines, however it is chunked. A line over `limit` bytes is dropped and counted."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self.oversized = 0
        self._limit = limit
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes, without their ends."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._keep(data[start:end])
            start = end + 1
            if not self._skipping:
                yield bytes(self._rest)
            self._restart()
        self._keep(data[start:])

    def close(self) -> Iterator[bytes]:
        """The last line, if it has no end."""
        if self._rest and not self._skipping:
            yield bytes(self._rest)
        self._restart()

    def _keep(self, part: bytes) -> None:
        if self._skipping:
            return
        if len(self._rest) + len(part) > self._limit:
            self._skipping = True
            self.oversized += 1
            self._rest = bytearray()
        else:
            self._rest += part

    def _restart(self) -> None:
        self._skipping = False
        self._rest.clear()


class _Head(msgspec.Struct):
    # Only this much of a line is read to see whether the rest matters: tool results can be megabytes.
    type: Any = None


_decode_head = msgspec.json.Decoder(_Head).decode
_decode = msgspec.json.Decoder().decode


class StreamReader:
    """Collects what a session says about itself. Feed it chunks, close it, then read its attributes.

    `result` is the last `result` record; `error_kind` the `error` of the last assistant message that had one; `text`
    the last thing the assistant itself said; `limit` the last `rate_limit_info`; `plain` the end of what was no JSON.
    """

    def __init__(self) -> None:
        self.bytes_received = 0
        self.lines_received = 0
        self.note = ""
        self.opened = False
        self.session_id = ""
        self.model = ""
        self.version = ""
        self.text = ""
        self.error_kind = ""
        self.retries = 0
        self.retry_status: int | None = None
        self.retry_kind = ""
        self.limit: Mapping[str, Any] = {}
        self.result: Mapping[str, Any] | None = None
        self.plain = ""
        self._lines = Lines()

    @property
    def oversized(self) -> int:
        """Lines that were skipped because they were too long."""
        return self._lines.oversized

    def feed(self, data: bytes) -> None:
        """Take the next bytes of standard output, cut anywhere."""
        self.bytes_received += len(data)
        for line in self._lines.feed(data):
            self._read(line)

    def close(self) -> None:
        """Nothing more will come."""
        for line in self._lines.close():
            self._read(line)

    def _read(self, line: bytes) -> None:
        if not line.strip():
            return
        self.lines_received += 1
        records = parse(line)
        if records is None:
            self.plain = (self.plain + line[-_PLAIN_LIMIT:].decode("utf-8", "replace") + "\n")[-_PLAIN_LIMIT:]
            return
        for record in records:
            self._take(record)

    def _take(self, record: Mapping[str, Any]) -> None:
        match record.get("type"):
            case "system":
                self._take_system(record)
            case "assistant":
                self._take_assistant(record)
            case "rate_limit_event":
                self.limit = as_mapping(record.get("rate_limit_info"))
            case "result":
                self._take_result(record)

    def _take_system(self, record: Mapping[str, Any]) -> None:
        match record.get("subtype"):
            case "init":
                self.opened = True
                self.session_id = as_text(record.get("session_id"))
                self.model = self.model or as_text(record.get("model"))
                self.version = as_text(record.get("claude_code_version"))
            case "api_retry":
                self.retries += 1
                self.retry_status = as_int(record.get("error_status"))
                self.retry_kind = as_text(record.get("error"))
                self.note = f"retrying: {self.retry_status or ''} {self.retry_kind}".rstrip()

    def _take_assistant(self, record: Mapping[str, Any]) -> None:
        if kind := as_text(record.get("error")):
            self.error_kind = kind
            return
        self.retry_status, self.retry_kind = None, ""
        if record.get("parent_tool_use_id") is not None:
            return  # a sub-agent's words are not the session's
        message = as_mapping(record.get("message"))
        model = as_text(message.get("model"))
        if model and model != "<synthetic>":
            self.model = model
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            self._take_block(as_mapping(block))

    def _take_block(self, block: Mapping[str, Any]) -> None:
        if block.get("type") == "text":
            self.text = as_text(block.get("text"))
            self.note = "answering"
        elif block.get("type") == "tool_use":
            self.note = printable(as_text(block.get("name")))[:60]

    def _take_result(self, record: Mapping[str, Any]) -> None:
        # What an interrupt makes the program print does not undo a result that was there before.
        if self.result is None or not (is_aborted(record) and is_success(self.result)):
            self.result = record


def parse(line: bytes) -> Sequence[Mapping[str, Any]] | None:
    """The JSON records of a line that are worth reading; None when it is not JSON at all.

    `--output-format json --verbose` prints one array of records instead of lines.
    """
    try:
        if line.lstrip()[:1] == b"{":
            return [_decode(line)] if _decode_head(line).type in _READ else []
        value = _decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        value = _parse_leniently(line)
    if isinstance(value, Mapping):
        return [value]
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else None


def _parse_leniently(line: bytes) -> Any:
    # The program escapes half a surrogate pair where it cut a text in two, which strict decoders refuse.
    try:
        return json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def is_success(record: Mapping[str, Any]) -> bool:
    """Whether a `result` record claims success; both fields are needed, neither alone means it."""
    return record.get("subtype") == "success" and record.get("is_error") is False


def is_aborted(record: Mapping[str, Any]) -> bool:
    """Whether a `result` record says that somebody interrupted the session."""
    return as_text(record.get("terminal_reason")).startswith("aborted")


def as_text(value: Any) -> str:
    """`value` if it is text, safe to encode; else empty."""
    return whole(value) if isinstance(value, str) else ""


def as_int(value: Any) -> int | None:
    """`value` if it is a whole number of ordinary size; else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else None


def as_number(value: Any) -> float | None:
    """`value` if it is a finite number of ordinary size; else None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    whole_number = as_int(value)
    return None if whole_number is None else float(whole_number)


def as_mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is an object; else an empty one."""
    return value if isinstance(value, Mapping) else {}
