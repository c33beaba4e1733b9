"""The one JSON value in what a model answered. Nothing is mended: what is not clearly one JSON value is a fault.

Models put their JSON into a Markdown block, or a sentence before and after it. That much is taken off.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

import msgspec

from mozart_nb.masking import MARGIN, blotted

MAX_CHARACTERS: Final = 16_000_000
"""Longest answer that is read at all."""

MAX_DEPTH: Final = 64
"""Levels of nesting an answer may have."""

_FENCE: Final = re.compile(r"^[ \t]*```[ \t]*([\w+.-]*)[^\n`]*$", re.MULTILINE)
_BRACKET: Final = re.compile(r"[\[{]")
_LONG_NUMBER: Final = re.compile(rb"\d{19}")
_LONGEST_NUMBER: Final = 40
_TRIMMED: Final = "\ufeff \t\r\n"


class NotJsonError(ValueError):
    """The text holds no JSON value, or more than one, or one that cannot be kept; the message says what is wrong."""


def find_json(text: str) -> Any:
    """The value. Raises `NotJsonError`."""
    if len(text) > MAX_CHARACTERS:
        raise NotJsonError(f"the answer has more than {MAX_CHARACTERS:,} characters")
    body = text.strip(_TRIMMED)
    if not body:
        raise NotJsonError("the answer is empty")
    try:
        return _parsed(body)
    except json.JSONDecodeError as error:
        unfenced = _fenced(body)
        if unfenced is not None:
            return _parsed_or_fault(unfenced)
        return _between_words(body, error)


def require_storable(value: Any) -> None:
    """Refuse a parsed value that could not be written down again as it is. Raises `NotJsonError`."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise NotJsonError("a text in it has half a surrogate pair (`\\ud…`), which is no character") from None
    except RecursionError:
        raise _too_deep() from None
    except TypeError as error:
        raise NotJsonError(f"it is not JSON data: {error}") from None
    if len(encoded) > MAX_DEPTH and _depth_exceeds(value, MAX_DEPTH):
        raise _too_deep()
    if _LONG_NUMBER.search(encoded) and not _fits(value):
        raise _too_long()


def _parsed_or_fault(text: str) -> Any:
    try:
        return _parsed(text.strip(_TRIMMED))
    except json.JSONDecodeError as error:
        raise _not_json(error) from None


def _parsed(text: str) -> Any:
    return _guarded(_DECODER.decode, text)


def _fenced(text: str) -> str | None:
    """What stands in the only Markdown block, or in the only one that says `json`; None where there is no such one."""
    fences = list(_FENCE.finditer(text))
    blocks = [
        (opening[1].lower(), text[opening.end() : closing.start()])
        for opening, closing in zip(fences[::2], fences[1::2], strict=False)
    ]
    named = [content for language, content in blocks if language in ("json", "json5", "jsonc")]
    if len(named) > 1:
        raise NotJsonError(f"the answer has {len(named)} JSON blocks, not one")
    if named:
        return named[0]
    return blocks[0][1] if len(blocks) == 1 else None


def _between_words(text: str, error: json.JSONDecodeError) -> Any:
    """The object or list that stands in a text without other brackets.

    The first bracket counts: an object inside a broken one must not be taken for the answer.
    """
    first = _BRACKET.search(text)
    if first is None:
        raise _not_json(error)
    try:
        value, end = _guarded(_DECODER.raw_decode, text, first.start())
    except json.JSONDecodeError as inside:
        raise _not_json(inside) from None
    if _BRACKET.search(text, end):
        raise NotJsonError("the answer has more than one JSON value, or other brackets beside it")
    return value


def _guarded(decode: Any, *args: Any) -> Any:
    try:
        return decode(*args)
    except RecursionError:
        raise _too_deep() from None


def _not_json(error: json.JSONDecodeError) -> NotJsonError:
    start = max(0, error.pos - MARGIN)
    around = blotted(error.doc[start : error.pos + 30 + MARGIN])  # which keeps every character in its place
    seen = around[error.pos - start : error.pos - start + 30]
    where = f"line {error.lineno}, column {error.colno}"
    near = f" near {json.dumps(seen, ensure_ascii=False)}" if seen.strip() else " where it ends"
    return NotJsonError(f"the answer is not JSON: {error.msg[:1].lower()}{error.msg[1:]} ({where}{near})")


def _too_deep() -> NotJsonError:
    return NotJsonError(f"the answer is nested more than {MAX_DEPTH} levels deep")


def _too_long() -> NotJsonError:
    return NotJsonError("a whole number in it has more than 64 bits: give it as a text")


def _fits(value: Any) -> bool:
    """Whether every whole number has a place in tables and other programs."""
    if isinstance(value, list | dict):
        return all(_fits(one) for one in _inside(value))
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def _depth_exceeds(value: Any, limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        level = [below for one in level if isinstance(one, list | dict) for below in _inside(one)]
        if not level:
            return False
    return any(isinstance(one, list | dict) for one in level)


def _inside(container: Any) -> Any:
    return container.values() if isinstance(container, dict) else container


# --- the decoder ------------------------------------------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotJsonError(f"the key {json.dumps(twice[:60])} stands twice in one object")
    return found


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise NotJsonError(f"the number {text[:40]} is too large")
    return value


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise _too_long()
    return int(text)


def _constant(name: str) -> NoReturn:
    raise NotJsonError(f"{name} is no JSON: give null instead")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_whole_number, parse_constant=_constant
)
