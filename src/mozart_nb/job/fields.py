"""What the models say about a key: its shape, its limits in words, and where else a name occurs.

One description serves error messages ("allowed: …"), the JSON Schema check and the reference page.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from mozart_nb.job.document import KeyPath
from mozart_nb.job.section import Section


@dataclass(frozen=True, slots=True)
class Shape:
    """A type without its wrapping: `kind` is `section`, `list`, `map` or `value`."""

    kind: str
    section: type[Section] | None = None
    inner: Any = None
    key: Any = None


def shape_of(annotation: Any) -> Shape:
    """Shape of a field's type; an optional type has the shape of what it is when given."""
    for part in _alternatives(annotation):
        origin = get_origin(part)
        if isinstance(part, type) and issubclass(part, Section):
            return Shape("section", section=part)
        if origin is tuple:
            return Shape("list", inner=get_args(part)[0])
        if origin is dict:
            key, inner = get_args(part)
            return Shape("map", inner=inner, key=key)
    return Shape("value")


def field_type(field: FieldInfo) -> Any:
    """The annotation of `field`, constraints included (pydantic keeps those apart)."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


@cache
def keys_of(section: type[Section]) -> dict[str, FieldInfo]:
    """Key as written in a job file → field."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def type_at(root: type[Section], path: KeyPath) -> Any:
    """The annotation that a value at `path` must have; None where the models know no such key."""
    annotation: Any = root
    for part in path:
        shape = shape_of(annotation)
        if shape.section is not None:
            field = keys_of(shape.section).get(str(part))
            if field is None:
                return None
            annotation = field_type(field)
        elif shape.kind == "value":
            return None
        else:
            annotation = shape.inner
    return annotation


def describe(annotation: Any) -> str:
    """The values a type allows, in words: "a whole number from 1 to 100", "one of text, json"."""
    limits: list[Any] = []
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        limits += _flattened(more)
    parts = [part for part in _alternatives(annotation) if part is not type(None)]
    if len(parts) == 1:
        return _describe_one(parts[0], limits)
    return " or ".join(_describe_one(part, limits) for part in parts)


def describe_key(shape: Shape) -> str:
    """What the keys of a map are; all maps with numbers are about batches (or stages)."""
    return "batch number" if shape.key is int else describe(shape.key)


def is_choice_of_types(annotation: Any) -> bool:
    """Whether values of several types are allowed, None not counted."""
    return sum(part is not type(None) for part in _alternatives(annotation)) > 1


_PLURALS: Final = {"text": "texts", "a section with keys": "sections", "a whole number": "whole numbers"}


def _describe_one(part: Any, limits: list[Any]) -> str:
    if get_origin(part) is Annotated:
        base, *more = get_args(part)
        return _describe_one(base, [*limits, *_flattened(more)])
    shape = shape_of(part)
    if shape.kind == "list":
        inner = describe(shape.inner)
        return f"a list of {_PLURALS[inner]}" if inner in _PLURALS else f"a list, each {inner}"
    if shape.kind == "map":
        inner = "anything" if shape.inner is Any else describe(shape.inner)
        return f"a map from {describe_key(shape)} to {inner}"
    if shape.kind == "section":
        return "a section with keys"
    if get_origin(part) is Literal:
        values = [str(value) for value in get_args(part)]
        return values[0] if len(values) == 1 else "one of " + ", ".join(values)
    if part is int or part is float:
        return ("a whole number" if part is int else "a number") + _range(limits)
    pattern = next((limit.pattern for limit in limits if getattr(limit, "pattern", None)), None)
    if pattern is not None:
        return f"text that matches `{pattern}`"
    return {bool: "true or false", str: "text", Any: "anything"}.get(part, str(part))


def _range(limits: list[Any]) -> str:
    lowest = next((str(limit.ge) for limit in limits if isinstance(limit, Ge)), "")
    above = next((str(limit.gt) for limit in limits if isinstance(limit, Gt)), "")
    highest = next((str(limit.le) for limit in limits if isinstance(limit, Le)), "")
    low = f" from {lowest}" if lowest else f" above {above}" if above else ""
    if not highest:
        return low
    return f"{low}{' and' if above else ''} {'up ' if above else ''}to {highest}"


def _flattened(metadata: list[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for member in get_args(annotation) for part in _members(member)]
    return [annotation]


def _members(member: Any) -> list[Any]:
    inner = get_args(member)[0] if get_origin(member) is Annotated else member
    return _alternatives(inner) if get_origin(inner) in (Union, types.UnionType) else [member]
