"""A JSON Schema as the Messages API takes it for structured output: a smaller language than JSON Schema.

Constraints that it does not know (lengths, ranges, patterns) move into descriptions, where the model reads them; the
answer is checked against the whole schema afterwards in any case. What cannot be said at all (any value, open maps,
references to elsewhere) makes the whole schema unsendable, and the instructions of the prompt must do.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs, section on limitations, and what
`anthropic.transform_schema` of version 2.11 keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

_FORMATS: Final = frozenset("date-time time date duration email hostname uri ipv4 ipv6 uuid".split())
_TYPES: Final = frozenset("object array string integer number boolean null".split())
_SILENT: Final = frozenset({"$schema", "$id", "$comment", "title", "default", "examples", "additionalProperties"})
_REFERENCE: Final = "#/$defs/"


class _UnsendableError(Exception):
    """The schema says something that the API cannot be told."""


def sendable_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """`schema` in the language of the API, None if it cannot be put so. The result is shared: do not change it."""
    return _cached(msgspec.json.encode(schema))


@lru_cache(maxsize=64)
def _cached(encoded: bytes) -> dict[str, Any] | None:
    schema = msgspec.json.decode(encoded)
    definitions = {**schema.pop("definitions", {}), **schema.pop("$defs", {})}
    try:
        whole = _node(schema)
        if definitions:
            whole["$defs"] = {name: _node(one) for name, one in definitions.items()}
    except (_UnsendableError, AttributeError, TypeError):  # the latter two: not a schema at all
        return None
    return whole


def _node(node: Any) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise _UnsendableError
    left = {key: value for key, value in node.items() if key not in _SILENT}
    if "$ref" in left:
        return {"$ref": _reference(left["$ref"])}
    if left.get("nullable") is True or isinstance(left.get("type"), list):
        return _one_of_types(node)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in left:
            sent = {"allOf" if key == "allOf" else "anyOf": [_node(one) for one in left.pop(key)]}
            left.pop("type", None)
            return _described(sent, left)
    if "enum" in left or "const" in left:
        sent = _literals(left)
    else:
        sent = _typed(left, node)
    return _described(sent, left)


def _reference(target: Any) -> str:
    found = str(target).replace("#/definitions/", _REFERENCE)
    if not found.startswith(_REFERENCE) or "/" in found.removeprefix(_REFERENCE):
        raise _UnsendableError
    return found


def _one_of_types(node: dict[str, Any]) -> dict[str, Any]:
    """Several types in one list become one alternative each."""
    kinds = node.get("type")
    kinds = list(kinds) if isinstance(kinds, list) else [kinds]
    if node.get("nullable") is True and "null" not in kinds:
        kinds.append("null")
    rest = {key: value for key, value in node.items() if key not in ("type", "nullable", "description")}
    if "enum" in rest or "const" in rest:
        return _node({**rest, **_description_of(node)})
    sent = [{"type": "null"} if kind == "null" else _node({**rest, "type": kind}) for kind in kinds]
    return {**({"anyOf": sent} if len(sent) > 1 else sent[0]), **_description_of(node)}


def _description_of(node: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": node["description"]} if isinstance(node.get("description"), str) else {}


def _literals(left: dict[str, Any]) -> dict[str, Any]:
    values = left.pop("enum") if "enum" in left else [left["const"]]
    left.pop("const", None)
    left.pop("type", None)
    if not values or any(isinstance(value, dict | list) for value in values):
        raise _UnsendableError
    return {"enum": values}


def _typed(left: dict[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    kind = left.pop("type", "object" if "properties" in left else None)
    if kind not in _TYPES:
        raise _UnsendableError
    sent: dict[str, Any] = {"type": kind}
    if kind == "object":
        sent |= _object(left, node)
    elif kind == "array":
        sent |= _array(left)
    elif kind == "string" and left.get("format") in _FORMATS:
        sent["format"] = left.pop("format")
    return sent


def _object(left: dict[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are closed: only the properties that are named can be written."""
    properties, required = left.pop("properties", {}), left.pop("required", [])
    more = node.get("additionalProperties", True)
    if isinstance(more, dict) or "patternProperties" in left or (not properties and more is not False):
        raise _UnsendableError
    if not set(required) <= set(properties):
        raise _UnsendableError
    sent = {"properties": {name: _node(one) for name, one in properties.items()}, "additionalProperties": False}
    return {**sent, "required": required} if required else sent


def _array(left: dict[str, Any]) -> dict[str, Any]:
    if "items" not in left or "prefixItems" in left:
        raise _UnsendableError
    sent = {"items": _node(left.pop("items"))}
    if left.get("minItems") in (0, 1):
        sent["minItems"] = left.pop("minItems")
    return sent


def _described(sent: dict[str, Any], left: Mapping[str, Any]) -> dict[str, Any]:
    """`sent` with its description, and with what could not be sent at the end of it."""
    words = left.get("description")
    unsaid = ", ".join(
        f"{key}: {msgspec.json.encode(value).decode()}" for key, value in left.items() if key != "description"
    )
    parts = [*([words] if isinstance(words, str) and words else []), *([f"{{{unsaid}}}"] if unsaid else [])]
    return {**sent, "description": "\n\n".join(parts)} if parts else sent
