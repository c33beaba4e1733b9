"""What work will cost before it is done: pure sums over sizes and prices, with how far they may be off.

Every figure is a `Span`: an expected value between a low and a high one. Sizes of prompts are estimated or counted,
lengths of answers come from history or are assumed; the span says how sure that is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mozart_nb.events import Usage
from mozart_nb.job.prices import Prices, charge
from mozart_nb.job.tokens import ERROR, expected_output

LEAST_SPREAD: Final = 0.1
"""Figures from history are never taken to be surer than this part of them."""

ANSWER_LOW: Final = 0.25
"""Without history the shortest mean answer reckoned with, as a part of the expected one."""


@dataclass(frozen=True, slots=True)
class Span:
    """A figure and how far it may be off."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def times(self, factor: float) -> Span:
        """Every value multiplied by `factor`."""
        return Span(self.low * factor, self.expected * factor, self.high * factor)


NOTHING: Final = Span(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Work:
    """Sessions of one model: how many, and the tokens that each sends and gets on average.

    `shared_tokens` of every prompt are the same in all of them, 0 where that is not worth a prompt cache.
    """

    model: str
    sessions: int
    prompt: Span
    answer: Span
    shared_tokens: int = 0


def cost(work: Work, prices: Prices, *, is_batch: bool = False, caches: bool = False) -> Span:
    """What `work` costs in US dollars, one session for each batch.

    With `caches`, the first session writes what prompts share to the prompt cache and the others read it: reckoned with
    in the low and the expected figure, in message batches (which promise no cache hits) in the low one only.
    """
    can_cache = caches and work.sessions > 1 and work.shared_tokens >= prices.cache_minimum

    def total(prompt: float, answer: float, cached: bool) -> float:
        shared = min(work.shared_tokens, round(prompt)) if cached else 0
        rest, out = round(prompt) - shared, round(answer)
        first = charge(prices, Usage(rest, out, 0, shared), is_batch=is_batch).cost_usd
        other = charge(prices, Usage(rest, out, shared), is_batch=is_batch).cost_usd
        return first + (work.sessions - 1) * other if work.sessions else 0.0

    return Span(
        total(work.prompt.low, work.answer.low, can_cache),
        total(work.prompt.expected, work.answer.expected, can_cache and not is_batch),
        total(work.prompt.high, work.answer.high, False),
    )


def measured(values: Sequence[float]) -> Span | None:
    """The mean of `values` and where the mean of many more such values will probably lie; None without values."""
    if not values:
        return None
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else mean
    margin = max(LEAST_SPREAD * mean, 2 * spread / math.sqrt(len(values)))
    return Span(max(0.0, mean - margin), mean, mean + margin)


def guessed(tokens: float, error: float = ERROR) -> Span:
    """An estimated size that may be off by the part `error`."""
    return Span(tokens * (1 - error), tokens, tokens * (1 + error))


def assumed_answer(prompt_tokens: float, max_tokens: int) -> Span:
    """Lengths of answers nothing is known about: a stated share of the prompt, at most `max_tokens`."""
    expected = expected_output(round(prompt_tokens), max_tokens)
    return Span(expected * ANSWER_LOW, expected, max_tokens)
