"""The JSON Schema of an answer as the `claude` program takes it.

Recorded with version 2.1.197: the program reads draft 7 strictly, and a schema with anything else in it (`format`,
`prefixItems`, a keyword of somebody's own) is ignored as a whole without a word. So what it does not know is left out;
the prompt has the whole schema, and answers are checked against that.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

MAX_BYTES: Final = 20_000 if os.name == "nt" else 100_000
"""Longest schema that is sent: Linux takes 128 KiB per argument, Windows 32,767 characters for all of them."""

_KEPT: Final = frozenset(
    "title description type enum const default examples multipleOf minimum maximum exclusiveMinimum exclusiveMaximum"
    " minLength maxLength minItems maxItems uniqueItems minProperties maxProperties required $ref".split()
)
_ONE: Final = frozenset("items additionalItems additionalProperties contains propertyNames not if then else".split())
_MANY: Final = frozenset(("allOf", "anyOf", "oneOf"))
_NAMED: Final = frozenset(("properties", "$defs", "definitions"))
_PLAIN_REF: Final = re.compile(r"#(?:/(?:\$defs|definitions|properties|items|allOf|anyOf|oneOf|\w+))*")
# JavaScript has other escapes and groups than we do; one it cannot read would cost the whole schema.
_PLAIN_PATTERN: Final = re.compile(
    r"(?:[^\\(){}\[\]]|\\[dDwWsS.]|\[\^?[^\\\[\]^]+\]|\{\d+(?:,\d*)?\}|\((?:\?:)?(?!\?)|\))*"
)


class _UnfitError(ValueError):
    """The schema means something only together with what would be left out."""


def schema_argument(schema: Mapping[str, Any]) -> str | None:
    """The schema as one argument; None when the program could make nothing of it."""
    try:
        text = json.dumps(_part(schema), ensure_ascii=False, separators=(",", ":"))
    except (_UnfitError, RecursionError):
        return None
    return text if len(text.encode(errors="replace")) <= MAX_BYTES else None


def _part(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    if "$id" in schema or not _PLAIN_REF.fullmatch(str(schema.get("$ref", "#"))):
        raise _UnfitError
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _KEPT:
            kept[key] = value
        elif key in _ONE:
            kept[key] = [_part(one) for one in value] if isinstance(value, list) else _part(value)
        elif key in _MANY:
            kept[key] = [_part(one) for one in value]
        elif key in _NAMED:
            kept[key] = {name: _part(one) for name, one in value.items()}
        elif key == "pattern" and _PLAIN_PATTERN.fullmatch(value):
            kept[key] = value
    if "prefixItems" in schema:
        kept.pop("items", None)  # it spoke of what comes after them
    if "patternProperties" in schema:
        kept.pop("additionalProperties", None)
    return kept
