"""The form that answers must have: the schema as it is written, as it is sent, and in words for the prompt.

Services want an object at the top of a schema. A list of rows is therefore sent as `{"items": [...]}` and any other
value as `{"value": ...}`; what comes back is taken out again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mozart_nb.errors import ConfigError, Problem
from mozart_nb.job.model import AnswerConfig
from mozart_nb.masking import blotted

ROWS: Final = "items"
"""Key of the object that a list of rows is sent in."""

VALUE: Final = "value"
"""Key of the object that a value is sent in which is not an object itself."""

SCHEMA_PATH: Final = ("answer", "schema")
_LOCAL: Final = ("$defs", "definitions")
_POINTERS: Final = ("$ref", "$dynamicRef")
_LITERAL: Final = ("const", "enum", "default", "examples")
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas", *_LOCAL)
_KINDS: Final = ("type", "const", "enum", "$ref", "$dynamicRef", "anyOf", "oneOf", "allOf", "not", "if")


def parse_schema(text: str, name: str) -> dict[str, Any]:
    """The schema in a file called `name`. Raises `ConfigError`."""
    try:
        schema = json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        problem = Problem(
            f"it is not JSON: {error.msg}",
            line=error.lineno,
            column=error.colno,
            file=name,
            source=blotted(error.doc).split("\n")[error.lineno - 1],
        )
        raise ConfigError([problem]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem(f"it is not JSON: {error}", file=name)]) from None
    if not isinstance(schema, dict):
        raise ConfigError([Problem("it is not a JSON Schema", value=type(schema).__name__, allowed="{…}", file=name)])
    return schema


def schema_of(answer: AnswerConfig, texts: Mapping[str, str]) -> dict[str, Any] | None:
    """The schema of a job's answers, of one row with `per_item`; None when there is none.

    `texts` are the files that the job file names: name to text. Raises `ConfigError`.
    """
    given = answer.json_schema
    if given is None or isinstance(given, dict):
        return given
    if given not in texts:
        path = ".".join(SCHEMA_PATH)
        raise ConfigError([Problem("the file of the schema cannot be read", path=path, value=given)])
    return parse_schema(texts[given], given)


@dataclass(frozen=True)
class AnswerForm:
    """What answers of one job look like. `written` is the schema of the job file: of one row with `per_item`."""

    written: Mapping[str, Any] | None = None
    per_item: bool = False
    _sent: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)
    _words: dict[int, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def envelope(self) -> str:
        """Key of the object that an answer is sent in; empty when it is sent as it is."""
        if self.per_item:
            return ROWS
        return "" if self.written is None or _is_object(self.written) else VALUE

    def schema(self, rows: int) -> dict[str, Any] | None:
        """The schema of the whole answer for a batch of `rows` items, an object at its top."""
        if self.written is None:
            return None
        key = rows if self.per_item else 0
        if key not in self._sent:
            self._sent[key] = _enveloped(self.written, self.envelope, rows)
        return self._sent[key]

    def instructions(self, rows: int) -> str:
        """What the prompt says about the form of the answer."""
        if rows not in self._words:
            schema = self.schema(rows)
            parts = ["Answer with JSON only: no text before or after it, no Markdown.", *self._described(rows)]
            if schema is not None:
                text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
                parts.append(f"It must be valid against this JSON Schema:\n{text}")
            self._words[rows] = " ".join(parts)
        return self._words[rows]

    def _described(self, rows: int) -> list[str]:
        if not self.per_item:
            return []
        many = "exactly one object, for the one item" if rows == 1 else f"exactly {rows} objects, one for each item"
        order = "." if rows == 1 else ", in the order of the items."
        if self.written is None:
            return [f"The answer is a list of {many}{order}"]
        return [f"The answer is an object with the key `{ROWS}`: a list of {many}{order}"]

    def unwrap(self, value: Any) -> Any:
        """The answer itself, taken out of the object it was sent in; anything else as it is."""
        key = self.envelope
        if key and isinstance(value, dict) and len(value) == 1 and key in value:
            return value[key]
        return value


def form_of(answer: AnswerConfig, texts: Mapping[str, str]) -> AnswerForm:
    """The form of a job's answers. Raises `ConfigError` as `schema_of` does."""
    schema = schema_of(answer, texts)
    return AnswerForm(None if schema is None else _completed(schema), answer.per_item)


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that lists `properties` and forgets to say that it means an object lets everything else pass."""
    means_object = "properties" in schema and not any(key in schema for key in _KINDS)
    return {"type": "object", **schema} if means_object else schema


def _is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object"


def _enveloped(written: Mapping[str, Any], envelope: str, rows: int) -> dict[str, Any]:
    if not envelope:
        return dict(written)
    inner = {key: value for key, value in written.items() if key not in ("$schema", *_LOCAL)}
    at = f"#/properties/{envelope}" + ("/items" if envelope == ROWS else "")
    moved = _rebased(inner, at) if "$id" not in written else {**inner, **_definitions(written, "")}
    content: dict[str, Any] = moved
    if envelope == ROWS:
        content = {"type": "array", "items": moved, "minItems": rows, "maxItems": rows}
    outer = {
        "type": "object",
        "properties": {envelope: content},
        "required": [envelope],
        "additionalProperties": False,
    }
    if "$schema" in written:
        outer = {"$schema": written["$schema"], **outer}
    return outer if "$id" in written else {**outer, **_definitions(written, at)}


def _definitions(written: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Shared definitions stay at the top, where `#/$defs/…` finds them."""
    found = {key: written[key] for key in _LOCAL if key in written}
    return {key: _rebased_part(key, value, at) for key, value in found.items()} if at else found


def _rebased(schema: Any, at: str) -> Any:
    """`schema` with references to its own inside turned into references to where that stands now."""
    if isinstance(schema, list):
        return [_rebased(one, at) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _rebased_part(key, value, at) for key, value in schema.items()}


def _rebased_part(key: str, value: Any, at: str) -> Any:
    if key in _POINTERS and isinstance(value, str):
        return _moved(value, at)
    if key in _NAMED and isinstance(value, dict):
        return {name: _rebased(one, at) for name, one in value.items()}
    return value if key in _LITERAL else _rebased(value, at)


def _moved(reference: str, at: str) -> str:
    pointer = reference.removeprefix("#")
    is_here = reference.startswith("#") and (not pointer or pointer.startswith("/"))
    if not is_here or pointer.startswith(tuple(f"/{key}/" for key in _LOCAL)):
        return reference
    return at + pointer
