"""List prices of the Claude models: data only; `job.prices` reads it.

US dollars per million tokens on the Claude API, from Anthropic's pages:

- https://platform.claude.com/docs/en/about-claude/pricing, the table of all models (copy of September 2026, with Claude
  Fable 5.1), and its paragraphs on batches (half price) and on long prompts of Sonnet 4 and 4.5;
- https://platform.claude.com/docs/en/models/opus-5-5/overview and the same page of Sonnet 5.5 and of Haiku 5.5 (dearer
  for prompts of more than 100,000 tokens);
- https://platform.claude.com/docs/en/release-notes/overview up to 12 November 2026: Fable 5.2 (9 November), cache reads
  of Sonnet 5.5 at half their price (7 October). The cache prices of Fable 5.2 are those of the pricing page as
  https://github.com/archid21/rightsize/releases/tag/v0.10.2 quotes it.

The `claude` program has a table of its own, and what it reports counts for its sessions. Recorded with claude 2.1.197:
claude-sonnet-5 is charged at 3 / 15 there (its page says 2 / 10), every other recorded model at the prices below, and a
model that the program does not know at those of Opus 4.8.
"""

from __future__ import annotations

from typing import Final, NamedTuple

AS_OF: Final = "2026-11-12"
"""The day up to which the sources were read."""

SOURCE: Final = "https://platform.claude.com/docs/en/about-claude/pricing"

BATCH_DISCOUNT: Final = 0.5
"""What the Message Batches API takes off every price."""

CACHE_WRITE: Final = 1.25
CACHE_WRITE_1H: Final = 2.0
CACHE_READ: Final = 0.1
"""Cache prices as multiples of the input price, where nothing else is known."""


class Row(NamedTuple):
    """One model. `cache_read` None: a tenth of `input`. `cache_minimum`: the shortest prefix (tokens) that is cached;
    where no page that was read says it, the longest that any model has.

    `above`: prompts of more tokens than the first number cost the other four (input, output, cache read of that band).
    """

    input: float
    output: float
    cache_read: float | None = None
    cache_minimum: int = 1024
    above: tuple[int, float, float, float] | None = None


MODELS: Final[dict[str, Row]] = {
    "claude-fable-5-2": Row(8, 40, 0.2, 512),
    "claude-mythos-5-2": Row(8, 40, 0.2, 512),
    "claude-fable-5-1": Row(10, 50, 0.25, 512),
    "claude-mythos-5-1": Row(10, 50, 0.25, 512),
    "claude-fable-5": Row(10, 50, None, 512),
    "claude-mythos-5": Row(10, 50, None, 512),
    "claude-opus-5-5": Row(4, 20, 0.2, 4096),
    "claude-opus-5": Row(5, 25, None, 512),
    "claude-opus-4-8": Row(5, 25),
    "claude-opus-4-7": Row(5, 25, None, 2048),
    "claude-opus-4-6": Row(5, 25, None, 4096),
    "claude-opus-4-5": Row(5, 25, None, 4096),
    "claude-opus-4-1": Row(15, 75),
    "claude-opus-4": Row(15, 75),
    "claude-3-opus": Row(15, 75),
    "claude-sonnet-5-5": Row(2, 10, 0.1, 4096),
    "claude-sonnet-5": Row(2, 10),
    "claude-sonnet-4-6": Row(3, 15),
    "claude-sonnet-4-5": Row(3, 15, above=(200_000, 6, 22.5, 0.6)),
    "claude-sonnet-4": Row(3, 15, above=(200_000, 6, 22.5, 0.6)),
    "claude-3-7-sonnet": Row(3, 15),
    "claude-3-5-sonnet": Row(3, 15),
    "claude-haiku-5-5": Row(0.1, 0.5, None, 4096, above=(100_000, 0.5, 2.5, 0.05)),
    "claude-haiku-4-5": Row(1, 5, None, 4096),
    "claude-3-5-haiku": Row(0.8, 4, None, 2048),
}
"""Model id without its date → prices."""

ALIASES: Final[dict[str, str]] = {
    "claude-opus-4-0": "claude-opus-4",
    "claude-sonnet-4-0": "claude-sonnet-4",
}
"""Other names of the same models."""

NEWER_TOKENIZER: Final = frozenset(
    {
        "claude-opus-4-7",
        "claude-opus-4-8",
        *(name for name in MODELS if name.startswith(("claude-fable-", "claude-mythos-", "claude-opus-5"))),
        "claude-sonnet-5",
        "claude-sonnet-5-5",
        "claude-haiku-5-5",
    }
)
"""Models on whose tokenizer the same text counts about 30 % more tokens (the overview page of Claude Haiku 5.5)."""
