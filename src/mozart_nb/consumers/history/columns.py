"""Tables whose columns are the fields of a structure: every field, by its name, and back again. Imported late.

Numbers, texts and truth values are columns of their own kind; what is nested is JSON, as it stands in the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Final, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from sqlalchemy import Boolean, Column, Float, Integer, MetaData, Row, Table, Text
from sqlalchemy.types import TypeEngine

S = TypeVar("S", bound=msgspec.Struct)

_TYPES: Final[dict[Any, type[TypeEngine[Any]]]] = {str: Text, int: Integer, float: Float, bool: Boolean}

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.decode


class StructTable(Generic[S]):
    """A table with a row per structure of one kind. `without` names fields that are kept elsewhere."""

    def __init__(
        self, name: str, metadata: MetaData, kind: type[S], key: Sequence[str] = (), *, without: Sequence[str] = ()
    ) -> None:
        hints = get_type_hints(kind)
        names = [name for name in kind.__struct_fields__ if name not in without]
        shapes = {field: _shape(hints[field]) for field in names}
        self.kind = kind
        self.table = Table(
            name,
            metadata,
            *(
                Column(field, shape or Text, primary_key=field in key, nullable=nullable, autoincrement=False)
                for field, (shape, nullable) in shapes.items()
            ),
        )
        self._names = names
        self._nested = frozenset(place for place, (shape, _) in enumerate(shapes.values()) if shape is None)
        self._values = attrgetter(*names)

    def rows(self, records: Iterable[S]) -> list[tuple[Any, ...]]:
        """The parameters of these structures' rows, in the order of the columns."""
        nested = self._nested
        found = []
        for record in records:
            values = list(self._values(record))
            for place in nested:
                if values[place] is not None:
                    values[place] = _encode(values[place]).decode()
            found.append(tuple(values))
        return found

    def record(self, row: Row[Any], **others: Any) -> S:
        """The structure that a row was made of; `others` are the fields that are kept elsewhere."""
        nested = self._nested
        values = {
            name: _decode(value) if place in nested and value is not None else value
            for place, (name, value) in enumerate(zip(self._names, row, strict=True))
        }
        return msgspec.convert({**values, **others}, self.kind, strict=False)


def _shape(hint: Any) -> tuple[type[TypeEngine[Any]] | None, bool]:
    """The kind of column for a field, None for JSON, and whether it may be empty."""
    nullable = False
    if isinstance(hint, UnionType):
        options = [option for option in get_args(hint) if option is not NoneType]
        nullable = len(options) < len(get_args(hint))
        hint = options[0] if len(options) == 1 else hint
    if get_origin(hint) is Literal:
        return Text, nullable
    return _TYPES.get(hint), nullable
