"""JSON-RPC 2.0 over lines, without any I/O: bytes in, calls out; results in, bytes out.

Follows https://www.jsonrpc.org/specification: calls, notifications and batches of both. One message is one line; a
line that is too long is dropped up to its end, so what follows it is understood again. Whatever comes in, what comes
out is a call that is well formed or an error of the standard. (A library would bring a dispatcher and a schema checker
of its own for these few rules, and none that is kept today bounds what it reads.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

LONGEST_MESSAGE_BYTES: Final = 1 << 20
MOST_IN_BATCH: Final = 100
LONGEST_ID: Final = 256
LARGEST_ID: Final = 1 << 53
"""The greatest whole number that every JSON reader takes for what it is."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

Id = str | int | float | None
Answer = dict[str, Any]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `params` are named or in order; nobody waits for the answer to a notification."""

    method: str
    params: Mapping[str, Any] | Sequence[Any] = field(default_factory=dict)
    id: Id = None
    is_notification: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """What one line said: calls, and answers to what was no call. `is_batch`: it is answered by one list."""

    calls: Sequence[Call] = ()
    faults: Sequence[Answer] = ()
    is_batch: bool = False


class Lines:
    """Cuts what is received into lines. Never holds more than one message of the longest size."""

    def __init__(self, longest: int = LONGEST_MESSAGE_BYTES) -> None:
        self._longest = longest
        self._parts: list[bytes] = []
        self._size = 0
        self._is_too_long = False

    @property
    def is_open(self) -> bool:
        """Whether a line has begun and not ended."""
        return self._size > 0 or self._is_too_long

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The lines that `data` ends; None for one that was too long. Empty lines say nothing and are left out."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._take(part)
            line = None if self._is_too_long else b"".join(self._parts)
            self._parts, self._size, self._is_too_long = [], 0, False
            if line is None or line.strip():
                yield line
        self._take(rest)

    def _take(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._longest:
            self._is_too_long, self._parts = True, []
        elif part:
            self._parts.append(part)


def read(line: bytes | None) -> Message:
    """What a line says; None stands for one that was too long."""
    if line is None:
        return _refused(f"a message is longer than {LONGEST_MESSAGE_BYTES:,} bytes")
    try:
        found = msgspec.json.decode(line)
    except RecursionError:
        return Message(faults=[fault(None, PARSE_ERROR, "the message is nested too deep")])
    except (msgspec.DecodeError, ValueError) as error:  # digits without end are a ValueError
        return Message(faults=[fault(None, PARSE_ERROR, f"this is no JSON: {error}")])
    if not isinstance(found, list):
        return _message([found], is_batch=False)
    if not found:
        return _refused("a batch without calls")
    if len(found) > MOST_IN_BATCH:
        return _refused(f"more than {MOST_IN_BATCH} calls in one batch")
    return _message(found, is_batch=True)


def _message(found: Sequence[Any], *, is_batch: bool) -> Message:
    read_ones = [_call(one) for one in found]
    calls = [one for one in read_ones if isinstance(one, Call)]
    return Message(calls, [one for one in read_ones if not isinstance(one, Call)], is_batch)


def _call(found: Any) -> Call | Answer:
    if not isinstance(found, dict):
        return fault(None, INVALID_REQUEST, "a call must be an object")
    if not _is_id(found.get("id")):
        return fault(None, INVALID_REQUEST, f"`id` must be null, a number or a text of at most {LONGEST_ID} characters")
    number = found.get("id")
    if found.get("jsonrpc") != "2.0":
        return fault(number, INVALID_REQUEST, '`jsonrpc` must be "2.0"')
    method, params = found.get("method"), found.get("params", {})
    if not isinstance(method, str):
        return fault(number, INVALID_REQUEST, "`method` must be a text")
    if not isinstance(params, (dict, list)):
        return fault(number, INVALID_REQUEST, "`params` must be an object or a list")
    return Call(method, params, number, "id" not in found)


def _is_id(found: Any) -> bool:
    if found is None:
        return True
    if isinstance(found, str):
        return len(found) <= LONGEST_ID
    return isinstance(found, (int, float)) and not isinstance(found, bool) and abs(found) <= LARGEST_ID


def _refused(why: str) -> Message:
    return Message(faults=[fault(None, INVALID_REQUEST, why)])


def result(number: Id, value: Any) -> Answer:
    """The answer to a call that was carried out."""
    return {"jsonrpc": "2.0", "id": number, "result": value}


def fault(number: Id, code: int, message: str, data: Any = None) -> Answer:
    """The answer to a call that was not."""
    error = {"code": code, "message": message}
    return {"jsonrpc": "2.0", "id": number, "error": {**error, "data": data} if data is not None else error}


def notification(method: str, params: Mapping[str, Any]) -> Answer:
    """Something that is told without having been asked."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def written(message: Answer | Sequence[Answer]) -> bytes:
    """As it goes through the socket. Raises `TypeError` for what JSON has no form for."""
    try:
        return _encode(message) + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, which is no UTF-8 but can be escaped
        return json.dumps(msgspec.to_builtins(message), ensure_ascii=True).encode() + b"\n"
