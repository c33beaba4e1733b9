"""What is known of models by their names: where the prompt cache begins, and who writes JSON by a schema.

Only names that look like Claude's are judged; what a gateway calls otherwise is left alone.
"""

from __future__ import annotations

import re
from typing import Final

from mozart_nb.job.prices import PriceTable

AS_OF: Final = "2026-11-20"
"""The day up to which the pages below were read."""

CHARACTERS_PER_TOKEN: Final = 4
"""On the safe side: a text of so many characters per token is hardly ever shorter in tokens."""

_LONGEST_MINIMUM: Final = 4096

# https://platform.claude.com/docs/en/build-with-claude/structured-outputs: every model from Claude 4.5 on. Opus 4.1 had
# it in a beta with another parameter only.
_WITHOUT_STRUCTURED_OUTPUT: Final = re.compile(
    r"claude-(?:instant|[123](?:[-.]|$))|claude-(?:opus|sonnet|haiku)-4(?:[-.][01])?(?:[-@]\d{8}|-latest|[-:]v\d|$)"
)


def cache_minimum(model: str) -> int:
    """The shortest prefix, in tokens, that the prompt cache of `model` keeps; the longest of all where unknown."""
    prices = PriceTable().of(model)
    return _LONGEST_MINIMUM if prices is None else prices.cache_minimum


def writes_by_schema(model: str) -> bool:
    """Whether `model` takes a JSON Schema for its answer (`output_config.format`)."""
    name = model.lower()
    return "claude" in name and not _WITHOUT_STRUCTURED_OUTPUT.search(name)
