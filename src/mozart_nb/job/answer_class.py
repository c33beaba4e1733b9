"""A Python class as the form of answers: its JSON Schema, and its own checks where it is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_origin

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mozart_nb.job.document import KeyPath
from mozart_nb.job.plain import NotPlainError, plain

_OWN_CHECKS: Final = frozenset({"function-before", "function-after", "function-wrap", "function-plain"})
_NAIVE_TIME: Final = r"^\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d(:[0-5]\d(\.\d+)?)?$"
_PREFIXES: Final = ("Value error, ", "Assertion failed, ")


class NotAFormError(ValueError):
    """The value describes no form of answers; the message says why."""


@dataclass(frozen=True)
class AnswerClass:
    """A class, or another type, that answers are instances of.

    `has_checks`: it checks more than its schema says (validators), so that the schema alone would let more pass.
    """

    name: str
    schema: Mapping[str, Any]
    has_checks: bool
    _adapter: TypeAdapter[Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, name: str, given: Any) -> AnswerClass:
        """From a pydantic class, a dataclass, a TypedDict, `list[Review]` or their like. Raises `NotAFormError`."""
        try:
            adapter = given if isinstance(given, TypeAdapter) else TypeAdapter(given)
            schema = adapter.json_schema(schema_generator=_Generator)
        except Exception as error:  # a class may have its own ideas of how it is described
            said = " ".join(getattr(error, "message", str(error)).split())
            raise NotAFormError(f"no JSON Schema can be made of it: {said}") from error
        try:
            written = plain(schema)
        except NotPlainError as error:
            raise NotAFormError(f"its JSON Schema cannot be written down: {error.message}") from error
        return cls(name, _opened(written), _has_checks(adapter.core_schema), adapter)

    def faults(self, value: Any) -> Iterator[tuple[KeyPath, str]]:
        """What the class says against an answer: where, and in its own words. Runs the class's own code."""
        try:
            self._adapter.validate_json(msgspec.json.encode(value))
        except ValidationError as error:
            for one in error.errors(include_url=False, include_input=False, include_context=False):
                yield one["loc"], _said(one["msg"])
        except Exception as error:  # whatever a validator does
            yield (), f"`{self.name}` could not check it: {type(error).__name__}: {error}"


def is_type(value: Any) -> bool:
    """Whether a value names a form of answers: a class with fields, an alias of a type, or an adapter of pydantic."""
    return isinstance(value, type | TypeAdapter) or get_origin(value) is not None


def classes(namespace: Mapping[str, Any]) -> list[str]:
    """The names of a namespace that are bound to classes made to describe data."""
    bound = list(namespace.items())
    return [name for name, value in bound if not name.startswith("_") and _describes_data(value)]


def _describes_data(value: Any) -> bool:
    if isinstance(value, TypeAdapter):
        return True
    if not isinstance(value, type) or value is BaseModel:
        return False
    is_typed_dict = issubclass(value, dict) and hasattr(value, "__total__")
    return issubclass(value, BaseModel) or hasattr(value, "__dataclass_fields__") or is_typed_dict


class _Generator(GenerateJsonSchema):
    """JSON Schema and nothing but it, without titles made of the names of fields: those stand in every prompt."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        found = super().tagged_union_schema(schema)
        found.pop("discriminator", None)  # a word of OpenAPI that JSON Schema does not know
        return found

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        found = super().datetime_schema(schema)
        if schema.get("tz_constraint") == "naive":  # the format asks for a time zone, which the class refuses
            return {"type": "string", "pattern": _NAIVE_TIME}
        return found


def _said(message: str) -> str:
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    return message


def _opened(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that only refers to one of its own definitions, as that definition: services want to see an object."""
    reference = schema.get("$ref", "")
    if schema.keys() == {"$ref", "$defs"} and reference.startswith("#/$defs/"):
        return {**schema["$defs"][reference.removeprefix("#/$defs/")], "$defs": schema["$defs"]}
    return schema


def _has_checks(schema: Any) -> bool:
    """Whether code of somebody's own runs in it, validators or what a class does once it is made."""
    if isinstance(schema, list | tuple):
        return any(_has_checks(one) for one in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("type") in _OWN_CHECKS or schema.get("post_init") or schema.get("custom_init"):
        return True
    return any(_has_checks(value) for key, value in schema.items() if key not in ("metadata", "serialization", "ref"))
