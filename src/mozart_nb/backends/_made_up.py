"""Data that satisfies a JSON Schema, made up for rehearsals: the same seed gives the same data.

Covers what schemas of answers use: types, choices, objects, lists, ranges, lengths, patterns, formats, `anyOf`,
`oneOf`, `allOf` and references inside the schema. What is made is checked; other arrangements are tried when it fails.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote
from uuid import UUID

import msgspec

from mozart_nb.backends._sample import UnsupportedError, sample
from mozart_nb.job.answer_schema import SchemaFaultError, compile_schema

_TRIES: Final = 12
_SHALLOW: Final = 6
"""Levels below which only what must be there is made, so that a schema that contains itself comes to an end."""

_DEEPEST: Final = 24
_WORDS: Final = "rehearsed plain quick short sample first second other steady bright calm usual".split()
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_BY_KEYWORD: Final = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def made_up(schema: Mapping[str, Any], seed: int) -> Any:
    """Data for `schema`. Raises `UnsupportedError` when nothing valid is found."""
    validator = _validator(msgspec.json.encode(schema))
    said = "no arrangement that was tried satisfies the schema"
    for variant in range(_TRIES):
        try:
            value = _Maker(schema, random.Random(seed * _TRIES + variant), free=variant > 0).make(schema, 0)
        except (UnsupportedError, RecursionError) as error:
            said = str(error)
            continue
        if is_valid(validator, value):
            return value
    raise UnsupportedError(f"no answer could be made up: {said}")


def spoiled(schema: Mapping[str, Any], value: Any, kind: int) -> str:
    """`value` as an answer that is not valid: cut off, in words, incomplete, of wrong types, or given twice.

    A way that would leave it valid is replaced by the first.
    """
    text = msgspec.json.encode(value).decode()
    match kind % 5:
        case 1:
            return "I looked at everything and it is all in order."
        case 2:
            return _if_invalid(schema, _without_last(value), text)
        case 3:
            return _if_invalid(schema, _mistyped(value), text)
        case 4:
            return f"{text}\n\nOr, seen another way:\n\n{text}"
        case _:
            return text[: max(1, len(text) * 2 // 3)]


def is_valid(validator: Any, value: Any) -> bool:
    """Whether the data satisfies the schema; what cannot be decided does not."""
    try:
        return bool(validator.is_valid(value))
    except (TimeoutError, RecursionError):
        return False


@lru_cache(maxsize=16)
def _validator(schema: bytes) -> Any:
    try:
        return compile_schema(msgspec.json.decode(schema))
    except SchemaFaultError as fault:
        raise UnsupportedError(f"the schema cannot be used: {fault.message}") from None


def _if_invalid(schema: Mapping[str, Any], value: Any, text: str) -> str:
    if is_valid(_validator(msgspec.json.encode(schema)), value):
        return text[: max(1, len(text) * 2 // 3)]
    return msgspec.json.encode(value).decode()


def _without_last(value: Any) -> Any:
    """A list of rows one short, an object without its first key."""
    rows = _only_list(value)
    if rows is not None:
        [key] = value
        return {key: rows[:-1]}
    return dict(list(value.items())[1:]) if isinstance(value, dict) else None


def _mistyped(value: Any) -> Any:
    rows = _only_list(value)
    if rows is not None:
        [key] = value
        return {key: [*rows[:-1], *(_mistyped(row) for row in rows[-1:])]}
    if isinstance(value, dict) and value:
        return {key: [] if not isinstance(one, list) else "" for key, one in value.items()}
    return []


def _only_list(value: Any) -> list[Any] | None:
    """The list of an object that holds nothing else."""
    if isinstance(value, dict) and len(value) == 1:
        [inside] = value.values()
        return inside if isinstance(inside, list) and inside else None
    return None


class _Maker:
    """Makes one value. `free`: choices are drawn instead of taking the first."""

    def __init__(self, root: Mapping[str, Any], chance: random.Random, *, free: bool) -> None:
        self._root = root
        self._chance = chance
        self._free = free

    def make(self, schema: Any, depth: int, name: str = "") -> Any:
        if schema is True:
            return self._words(2)
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            raise UnsupportedError("a part of the schema allows nothing, or contains itself without end")
        schema = self._settled(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._chance.choice(list(schema["enum"]) or [None])
        return self._by_type[self._type(schema)](self, schema, depth, name)

    def _settled(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """One schema without references and choices."""
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _both(self._resolved(str(schema["$ref"])), rest)
            elif "allOf" in schema:
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                for part in schema["allOf"]:
                    rest = _both(rest, self._settled(part) if isinstance(part, Mapping) else {})
                schema = rest
            elif choice := next((key for key in ("anyOf", "oneOf") if key in schema), ""):
                rest = {key: value for key, value in schema.items() if key != choice}
                schema = _both(rest, self._chosen(schema[choice]))
            else:
                return schema
        raise UnsupportedError("a reference leads back to itself")

    def _chosen(self, options: list[Any]) -> Mapping[str, Any]:
        usable = [option for option in options if isinstance(option, Mapping)]
        something = [option for option in usable if option.get("type") != "null"] or usable
        if not something:
            return {}
        return self._chance.choice(usable) if self._free else something[0]

    def _resolved(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._root
        for part in reference.removeprefix("#").split("/")[1:] if reference.startswith("#") else [None]:
            key = unquote(part).replace("~1", "/").replace("~0", "~") if part is not None else None
            found = found[int(key)] if isinstance(found, list) and key else _at(found, key)
        if not isinstance(found, Mapping):
            raise UnsupportedError(f"{reference} is not a schema with keys")
        return found

    def _type(self, schema: Mapping[str, Any]) -> str:
        given = schema.get("type")
        if isinstance(given, str):
            return given
        if given:
            return str(self._chance.choice(given) if self._free else next((t for t in given if t != "null"), given[0]))
        fitting = (kind for kind, keys in _BY_KEYWORD.items() if any(key in schema for key in keys))
        return next(fitting, "string")

    # --- by type ------------------------------------------------------------------------------------------------------

    def _object(self, schema: Mapping[str, Any], depth: int, name: str) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        made: dict[str, Any] = {}
        for key, below in properties.items():
            if key in required or (depth < _SHALLOW and self._chance.random() < 0.9 and below is not False):
                made[key] = self.make(below, depth + 1, key)
        extra = schema.get("additionalProperties", True)
        for key in required:
            if key not in made:
                made[key] = self.make(self._for_key(schema, key, extra), depth + 1, key)
        number = 0
        while len(made) < schema.get("minProperties", 0):
            number += 1
            made.setdefault(f"key{number}", self.make(self._for_key(schema, f"key{number}", extra), depth + 1))
        return made

    @staticmethod
    def _for_key(schema: Mapping[str, Any], key: str, extra: Any) -> Any:
        """What a key must be that has no property of its own; patterns are tried by whoever checks the result."""
        patterns = list(schema.get("patternProperties", {}).values())
        return patterns[0] if patterns else extra

    def _array(self, schema: Mapping[str, Any], depth: int, name: str) -> list[Any]:
        first = schema.get("prefixItems", schema["items"] if isinstance(schema.get("items"), list) else [])
        rest = (
            schema.get("additionalItems", True) if isinstance(schema.get("items"), list) else schema.get("items", True)
        )
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        size = max(least, len(first)) if depth >= _SHALLOW else max(least, len(first), self._chance.randint(1, 3))
        size = int(min(size, most)) if rest is not False else int(min(max(least, len(first)), most))
        made: list[Any] = []
        for _ in range(size * 8 + 8):
            if len(made) >= size:
                break
            below = first[len(made)] if len(made) < len(first) else rest
            one = self.make(below, depth + 1, name)
            if not schema.get("uniqueItems") or one not in made:
                made.append(one)
        return made

    def _integer(self, schema: Mapping[str, Any], depth: int, name: str) -> int:
        step = schema.get("multipleOf", 1)
        step = step if float(step).is_integer() else 1
        low, high = _range(schema, step)
        return int(self._chance.randint(math.ceil(low / step), math.floor(high / step)) * step)

    def _number(self, schema: Mapping[str, Any], depth: int, name: str) -> float:
        if step := schema.get("multipleOf"):
            low, high = _range(schema, step)
            return round(self._chance.randint(math.ceil(low / step), math.floor(high / step)) * float(step), 9)
        low, high = _range(schema, 0)
        value = round(self._chance.uniform(low, high), 2)
        return value if low < value < high else (low + high) / 2

    def _string(self, schema: Mapping[str, Any], depth: int, name: str) -> str:
        if "pattern" in schema:
            return sample(schema["pattern"])
        make = _FORMATS.get(schema.get("format", ""))
        if make is not None:
            return make(self._chance)
        text = f"{name.replace('_', ' ')} {self._words(2)}".strip() if name else self._words(3)
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        while len(text) < least:
            text += f" {self._words(4)}"
        return text if len(text) <= most else text[-int(most) :] if most else ""

    def _boolean(self, schema: Mapping[str, Any], depth: int, name: str) -> bool:
        return self._chance.random() < 0.5

    def _null(self, schema: Mapping[str, Any], depth: int, name: str) -> None:
        return None

    def _words(self, count: int) -> str:
        return " ".join(self._chance.choice(_WORDS) for _ in range(count))

    _by_type: Final[Mapping[str, Callable[..., Any]]] = {
        "object": _object,
        "array": _array,
        "integer": _integer,
        "number": _number,
        "string": _string,
        "boolean": _boolean,
        "null": _null,
    }


def _at(container: Any, key: str | None) -> Any:
    if key is None or not isinstance(container, Mapping) or key not in container:
        raise UnsupportedError("a reference leads out of the schema")
    return container[key]


def _range(schema: Mapping[str, Any], step: float) -> tuple[float, float]:
    """Least and greatest number allowed; a hundred wide where one end is open."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    margin = step or 0.0
    if isinstance(above, int | float) and not isinstance(above, bool) and (low is None or above >= low):
        low = math.floor(above / margin) * margin + margin if margin else above
    if isinstance(below, int | float) and not isinstance(below, bool) and (high is None or below <= high):
        high = math.ceil(below / margin) * margin - margin if margin else below
    width = max(100.0, 10 * step)
    low = low if low is not None else 0.0 if high is None or high > 0 else high - width
    high = high if high is not None else low + width
    if low > high or (step and math.ceil(low / step) > math.floor(high / step)):
        raise UnsupportedError("no number lies in a range of the schema")
    return low, high


_LEAST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_GREATEST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that asks for what both ask for, as far as that can be said in one."""
    merged = dict(one)
    for key, value in other.items():
        if key not in merged:
            merged[key] = value
        elif key in ("properties", "$defs", "definitions"):
            merged[key] = {
                **merged[key],
                **{n: _below(merged[key].get(n, True), below) for n, below in value.items()},
            }
        elif key == "required":
            merged[key] = list(dict.fromkeys([*merged[key], *value]))
        elif key in _LEAST or key in _GREATEST:
            merged[key] = (min if key in _LEAST else max)(merged[key], value)
        elif key == "enum":
            merged[key] = [choice for choice in merged[key] if choice in value]
        elif key in ("allOf", "anyOf", "oneOf"):
            merged["allOf"] = [*merged.get("allOf", []), {key: value}] if key != "allOf" else [*merged[key], *value]
        elif key != "type" or value != "number" or merged[key] != "integer":
            merged[key] = value
    return merged


def _below(one: Any, other: Any) -> Any:
    return _both(one, other) if isinstance(one, Mapping) and isinstance(other, Mapping) else other


def _moment(chance: random.Random) -> datetime:
    return _START + timedelta(seconds=chance.randrange(365 * 86400))


_FORMATS: Final[Mapping[str, Callable[[random.Random], str]]] = {
    "date": lambda chance: _moment(chance).date().isoformat(),
    "date-time": lambda chance: _moment(chance).isoformat().replace("+00:00", "Z"),
    "time": lambda chance: _moment(chance).time().isoformat() + "Z",
    "duration": lambda chance: f"PT{chance.randrange(1, 600)}M",
    "email": lambda chance: f"{chance.choice(_WORDS)}{chance.randrange(1000)}@example.org",
    "uri": lambda chance: f"https://example.org/{chance.choice(_WORDS)}/{chance.randrange(1000)}",
    "uuid": lambda chance: str(UUID(int=chance.getrandbits(128), version=4)),
    "ipv4": lambda chance: f"192.0.2.{chance.randrange(1, 255)}",
    "ipv6": lambda chance: f"2001:db8::{chance.randrange(1, 65535):x}",
}
