"""What whoever starts a job gives besides the job file: rows, variables, and the names of a notebook."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_DOTTED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")

NOTHING: Final = object()
"""Stands for a name that is bound to nothing."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """Things for a job that no job file holds.

    `rows` are its items (`--items df`), plain JSON data or what `plain` makes such of; `variables` join
    `prompt.variables` and win over them (`--var name`). `namespace` is that of the notebook, None outside of one; only
    names that the job file itself names are ever looked up in it: a class for `answer.schema`, functions of rules.
    `labels` say which row is which in the table that the rows come from, as plain data (`frames.labels_of`).
    `is_kept`: this was given when the job was planned, and the job file is read anew: rows that it names come first.
    """

    rows: Sequence[Any] | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    namespace: Mapping[str, Any] | None = field(default=None, repr=False)
    labels: Mapping[str, Any] | None = None
    is_kept: bool = False

    def find(self, name: str) -> Any:
        """What `name` (`check`, `tools.check`) is bound to in the notebook, or `NOTHING`. Imports nothing."""
        if self.namespace is None or not is_name(name):
            return NOTHING
        first, *others = name.split(".")
        found = self.namespace.get(first, NOTHING)
        for part in others:
            found = getattr(found, part, NOTHING) if found is not NOTHING else NOTHING
        return found

    def names_of(self, *kinds: type) -> list[str]:
        """The names of the notebook that are bound to a thing of one of these kinds, private ones left out."""
        bound = list((self.namespace or {}).items())
        return [name for name, value in bound if not name.startswith("_") and isinstance(value, kinds)]


def is_name(text: str) -> bool:
    """Whether it can be looked up: Python names with dots between them, none of Python's own (`__builtins__`)."""
    return _DOTTED.fullmatch(text) is not None and not any(part.startswith("__") for part in text.split("."))
