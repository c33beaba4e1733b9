"""JSON Schemas of answers, compiled: the draft that `$schema` names, nothing fetched, patterns within a time limit.

`jsonschema` takes 60 ms to import, so it is imported when the first schema is compiled.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import date, datetime
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mozart_nb.errors import PromptError
from mozart_nb.job.document import KeyPath
from mozart_nb.job.patterns import compile_pattern

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SEARCH_SECONDS: ContextVar[float] = ContextVar("SEARCH_SECONDS", default=1.0)
"""How long one search for a `pattern` may take; `TimeoutError` leaves the validation when it takes longer."""

_DRAFTS: Final = {
    "https://json-schema.org/draft/2020-12/schema": "Draft202012Validator",
    "https://json-schema.org/draft/2019-09/schema": "Draft201909Validator",
    "http://json-schema.org/draft-07/schema": "Draft7Validator",
    "http://json-schema.org/draft-06/schema": "Draft6Validator",
    "http://json-schema.org/draft-04/schema": "Draft4Validator",
    "http://json-schema.org/draft-03/schema": "Draft3Validator",
}
_DEFAULT_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_MOST_FAULTS: Final = 5


class SchemaFaultError(Exception):
    """The schema cannot be used. `at` is the key path inside it."""

    def __init__(self, message: str, at: KeyPath = ()) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


def schema_faults(schema: Mapping[str, Any]) -> list[SchemaFaultError]:
    """What is wrong with a schema, at most five things; empty when answers can be checked against it."""
    try:
        compile_schema(schema)
    except SchemaFaultError as fault:
        return [fault] if fault.at else _invalid(schema) or [fault]
    return []


def compile_schema(schema: Mapping[str, Any]) -> Validator:
    """A validator for `schema`. Raises `SchemaFaultError`."""
    from referencing import Registry

    try:
        for fault in _invalid(schema):
            raise fault
        _check_references(schema)
        validator: Validator = _draft(schema)(dict(schema), registry=Registry(), format_checker=_formats())
        validator.is_valid({})  # a schema that refers to itself and nothing else never ends, whatever the answer
    except TimeoutError:
        pass
    except RecursionError:
        raise SchemaFaultError("it refers to itself without end, or is nested too deeply") from None
    return validator


def _invalid(schema: Mapping[str, Any]) -> list[SchemaFaultError]:
    """What its own meta-schema says, and patterns that cannot be compiled."""
    try:
        kind = _draft(schema)
        errors = list(islice(kind(kind.META_SCHEMA).iter_errors(schema), _MOST_FAULTS))
        if not errors:
            return list(_bad_patterns(schema, ()))[:_MOST_FAULTS]
    except SchemaFaultError as fault:
        return [fault]
    except RecursionError:
        return [SchemaFaultError("it is nested too deeply")]
    return [SchemaFaultError(_clip(error.message), tuple(error.absolute_path)) for error in errors]


def _bad_patterns(schema: Any, at: KeyPath) -> Iterator[SchemaFaultError]:
    if isinstance(schema, list):
        for index, one in enumerate(schema):
            yield from _bad_patterns(one, (*at, index))
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        if key in ("const", "enum", "default", "examples"):
            continue
        texts = [value] if key == "pattern" else list(value) if key == "patternProperties" else ()
        for text in texts:
            if isinstance(text, str):
                try:
                    compile_pattern(text)
                except PromptError as error:
                    yield SchemaFaultError(error.message, (*at, key))
        yield from _bad_patterns(value, (*at, key))


def _check_references(schema: Mapping[str, Any]) -> None:
    """Every `$ref` leads somewhere inside the schema. Raises `SchemaFaultError`."""
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import specification_with

    draft = specification_with(str(schema.get("$schema", _DEFAULT_DRAFT)))
    root = Resource.from_contents(dict(schema), default_specification=draft)
    left = [(Registry[Any]().resolver_with_root(root), root)]
    while left:
        resolver, resource = left.pop()
        contents = resource.contents
        for key in ("$ref", "$dynamicRef"):
            reference = contents.get(key) if isinstance(contents, Mapping) else None
            if isinstance(reference, str):
                try:
                    resolver.lookup(reference)
                except (Unresolvable, ValueError) as error:
                    raise SchemaFaultError(_unresolved(key, reference)) from error
        left += [(resolver.in_subresource(one), one) for one in resource.subresources()]


def _unresolved(key: str, reference: str) -> str:
    if reference.startswith("#"):
        return f"`{key}: {_clip(reference)}` leads nowhere"
    return f"`{key}: {_clip(reference)}` is outside the schema: nothing is fetched, put it into `$defs`"


def _clip(text: str) -> str:
    return text if len(text) <= 300 else text[:299] + "…"


# --- drafts -----------------------------------------------------------------------------------------------------------


def _draft(schema: Mapping[str, Any]) -> Any:
    named = schema.get("$schema", _DEFAULT_DRAFT)
    known = _DRAFTS.get(named.rstrip("#")) if isinstance(named, str) else None
    if known is None:
        raise SchemaFaultError(f"`$schema: {_clip(str(named))}` is no draft known here", ("$schema",))
    return _bounded(known)


@cache
def _bounded(name: str) -> Any:
    """The validator class of a draft, its patterns searched with the `regex` library and a time limit."""
    import jsonschema

    kind = getattr(jsonschema, name)
    own = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    return jsonschema.validators.extend(kind, own)  # type: ignore[no-untyped-call]


def _is_match(pattern: str, text: str) -> bool:
    return compile_pattern(pattern).search(text, timeout=SEARCH_SECONDS.get()) is not None


def _pattern(validator: Validator, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not _is_match(pattern, value):
        yield ValidationError("it does not match the pattern")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], value: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(value, dict):
        return
    for pattern, below in patterns.items():
        for key, one in value.items():
            if _is_match(pattern, key):
                yield from validator.descend(one, below, path=key, schema_path=pattern)


def _additional_properties(validator: Any, below: Any, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(value, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [key for key in value if key not in known and not any(_is_match(pattern, key) for pattern in patterns)]
    if isinstance(below, dict):
        for key in extras:
            yield from validator.descend(value[key], below, path=key)
    elif below is False and extras:
        yield ValidationError(f"unknown keys: {', '.join(extras)}")


# --- formats ----------------------------------------------------------------------------------------------------------


def _timestamp(text: str) -> None:
    if "T" not in text.upper() or datetime.fromisoformat(text.upper()).tzinfo is None:
        raise ValueError(text)


def _time(text: str) -> None:
    if datetime.fromisoformat(f"2000-01-01T{text.upper()}").tzinfo is None:
        raise ValueError(text)


def _date(text: str) -> None:
    if len(text) != 10:  # Python reads weeks and days without dashes as well
        raise ValueError(text)
    date.fromisoformat(text)


def _email(text: str) -> None:
    name, at, host = text.rpartition("@")
    if not (name and at and host) or any(char.isspace() for char in text):
        raise ValueError(text)


def _uri(text: str) -> None:
    if not urlsplit(text).scheme or any(char.isspace() for char in text):
        raise ValueError(text)


def _uuid(text: str) -> None:
    if len(text) != 36 or str(uuid.UUID(text)) != text.lower():
        raise ValueError(text)


_FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "date": _date,
    "date-time": _timestamp,
    "time": _time,
    "email": _email,
    "uri": _uri,
    "uuid": _uuid,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
}
"""Formats that are checked (RFC 3339, RFC 4122, RFC 3986); others say something to readers only."""


@cache
def _formats() -> Any:
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=())
    for name, parse in _FORMATS.items():
        checker.checks(name, raises=ValueError)(_text_only(parse))
    return checker


def _text_only(parse: Callable[[str], object]) -> Callable[[object], bool]:
    def is_valid(value: object) -> bool:
        if isinstance(value, str):
            parse(value)
        return True

    return is_valid
