"""Query parameters as the struct that an operation declares: every value is a text, and nothing may be left over."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

ELSEWHERE: Final = frozenset({"token"})
"""Parameters that belong to the server, not to an operation: signing in by address."""


class ParameterError(ValueError):
    """A query that cannot be understood; the text says which parameter and why."""


def read_query(given: Mapping[str, Sequence[bytes]], shape: type[T]) -> T:
    """The query as `shape`. Lists are written `a,b` or by repeating the parameter. Raises `ParameterError`."""
    lists = list_names(shape)
    found: dict[str, Any] = {}
    for name, values in given.items():
        if name in ELSEWHERE:
            continue
        texts = [_text(name, value) for value in values]
        if name in lists:
            found[name] = [part for text in texts for part in text.split(",") if part]
        elif len(texts) == 1:
            found[name] = texts[0]
        else:
            raise ParameterError(f"`{name}` is given {len(texts)} times")
    try:
        return msgspec.convert(found, shape, strict=False)
    except msgspec.ValidationError as error:
        raise ParameterError(_said(error)) from None


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ParameterError(f"`{name}` is not UTF-8") from None


def _said(error: msgspec.ValidationError) -> str:
    what, _, where = str(error).partition(" - at `$.")
    return f"`{where.rstrip('`')}`: {what}" if where else what


@cache
def list_names(shape: type[msgspec.Struct]) -> frozenset[str]:
    """Names of the parameters that are lists."""
    return frozenset(field.name for field in msgspec.structs.fields(shape) if _is_list(field.type))


def _is_list(kind: Any) -> bool:
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return any(_is_list(part) for part in typing.get_args(kind))
    return typing.get_origin(kind) is tuple
