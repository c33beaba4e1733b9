"""What is said of one batch, in the same words wherever it is shown. Plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mozart_nb.looking.details.batch import BatchDetails
from mozart_nb.words import cost, count, plural, roughly

PROMPT_SOURCES: Final = {"sent": "as it was sent", "composed": "as it would be sent now", "unknown": ""}
"""Where a shown prompt comes from (`PromptSource`), in words."""


def batch_phrases(details: BatchDetails) -> Iterator[str]:
    """Which items it has and what it took so far: `items 6–10`, `2 attempts`, `1.4 s`, `$0.03`."""
    record, first, last = details.record, details.first_item, details.last_item
    yield f"item {first}" if first == last else f"items {first}–{last}"
    if not record.attempts:
        return
    yield plural(record.attempts, "attempt")
    yield roughly(record.duration)
    yield cost(record.cost_usd, 0 if record.cost_known else 1)
    yield f"{count(record.usage.total)} tokens"
    if record.model:
        yield record.model
    if record.reused:
        yield "answer kept from an earlier run"
