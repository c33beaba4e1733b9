"""What a request needs that goes out as messages of an API: files, its identity, what it has in common with others."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mozart_nb.engine.identity import Identity
from mozart_nb.job.model import BatchOverride, JobConfig
from mozart_nb.job.prompt import BatchContext
from mozart_nb.job.templates import CompiledTemplate

SHORTEST_PREFIX: Final = 1_000
"""Characters below which no model's prompt cache keeps anything; the smallest minimum is several hundred tokens."""


class Wire:
    """Works for backends whose answers are kept by content; `family` is theirs, empty for all others.

    `options` is the job's `backend` section, `schema` that of a whole answer.
    """

    def __init__(
        self, config: JobConfig, options: Mapping[str, Any], family: str, schema: Mapping[str, Any] | None
    ) -> None:
        self.is_used = bool(family)
        self.shares_prefix = self.is_used and config.backend.prompt_caching is not False
        self._family = family
        self._schema = schema
        self._identity = self._identity_of(options)
        self._attachments = [CompiledTemplate(text, "backend.attachments") for text in config.backend.attachments]

    def _identity_of(self, options: Mapping[str, Any]) -> Identity:
        address = options.get("base_url") or ""
        return Identity(family=self._family, base_url=address, options=options, schema=self._schema)

    def content(
        self, override: BatchOverride | None, options: Mapping[str, Any], original: str, digests: Sequence[str]
    ) -> str:
        """The hash of the batch's request; `options` are those of this batch, `original` is its first prompt."""
        identity = self._identity if override is None else self._identity_of(options)
        return identity.of(original, digests)

    def attachments(self, values: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
        """Absolute paths of the files that go with the batch. A template that renders to nothing names none."""
        context = values if isinstance(values, BatchContext) else BatchContext(0, values)
        names = [template.render(context, batch=context.number).strip() for template in self._attachments]
        return tuple(os.path.normpath(folder / name) for name in names if name)


def common_prefix(texts: Iterable[str]) -> str:
    """What all `texts` begin with, where that is long enough for any cache and there is somebody to share it with."""
    known = list(texts)
    if len(known) < 2:
        return ""
    first, last = min(known), max(known)  # whatever these two share, those in between share as well
    length = next((n for n, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:length] if length >= SHORTEST_PREFIX else ""
