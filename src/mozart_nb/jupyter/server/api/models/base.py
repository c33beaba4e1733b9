"""What all documents have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec

Time = Annotated[str | None, msgspec.Meta(description="ISO 8601, UTC; null: never, or not yet")]
Seconds = Annotated[float | None, msgspec.Meta(description="seconds; null: unknown")]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Every field is always there."""


class Text(Document, frozen=True, kw_only=True):
    """A text without secrets, cut in the middle where it is long; `size` counts the characters of all of it."""

    text: str
    size: int
    is_cut: bool
