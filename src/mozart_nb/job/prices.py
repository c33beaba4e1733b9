"""What sessions cost: list prices, prices of the job file, and the sum for one session's tokens.

    charge = table_for(config).charge("claude-sonnet-5-5", usage)
    charge.cost_usd                       # US dollars; None instead of a charge: no price is known for the model

A model without a price has no cost: nothing is guessed from a name that looks alike, and nothing is ever 0 for want of
a price. Sums are computed in whole billionths of a cent, so that any number of charges adds up exactly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from mozart_nb.events import Usage
from mozart_nb.job.model import JobConfig
from mozart_nb.job.policies import ModelPrices
from mozart_nb.job.price_table import (
    ALIASES,
    BATCH_DISCOUNT,
    CACHE_READ,
    CACHE_WRITE,
    CACHE_WRITE_1H,
    MODELS,
    NEWER_TOKENIZER,
    Row,
)

DIGITS: Final = 10
"""Decimal places to which amounts in US dollars are exact: the least price of a token, in a batch, is 5e-9."""

# A window size in brackets as the `claude` program writes it, and the date or word that pins a snapshot.
_WINDOW: Final = re.compile(r"\[[^\]]*\]$")
_SNAPSHOT: Final = re.compile(r"(?:[-@]20\d{6}|-latest)$")

_PER_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million tokens of one model. `batch_discount`: the part (0-1) that message batches take off.

    `cache_minimum`: the shortest prefix, in tokens, that the prompt cache keeps. `above`: for prompts of more tokens
    than its first part, all tokens of the request cost its second.
    """

    input: float
    output: float
    cache_write: float
    cache_write_1h: float
    cache_read: float
    batch_discount: float = BATCH_DISCOUNT
    cache_minimum: int = 1024
    above: tuple[int, Prices] | None = None

    def for_prompt(self, tokens: int) -> Prices:
        """The prices of a request whose prompt, cached parts included, has `tokens` tokens."""
        return self.above[1] if self.above is not None and tokens > self.above[0] else self


@dataclass(frozen=True, slots=True)
class Charge:
    """What one session cost in US dollars, and what the prompt cache saved of it.

    `saved_usd` is what reading from the cache saved less what writing to it cost beyond the input price: negative for
    the session that filled the cache. The discount of message batches is part of both, and no saving of its own.
    """

    cost_usd: float
    saved_usd: float = 0.0


class PriceTable:
    """Prices by model: those of the job file before the shipped ones."""

    __slots__ = ("_own",)

    def __init__(self, own: Mapping[str, Prices] | None = None) -> None:
        self._own = dict(own or {})

    def of(self, model: str) -> Prices | None:
        """The prices of `model`; None when they are not known.

        Known are the ids of the table, also with the date of a snapshot (`claude-haiku-4-5-20251001`), `-latest` or a
        window in brackets behind them. Names that merely begin alike are other models.
        """
        if not self._own:
            return _shipped_of(model)
        for name in _spellings(model):
            found = self._own.get(name) or shipped().get(name)
            if found is not None:
                return found
        return None

    def charge(self, model: str, usage: Usage, *, is_batch: bool = False) -> Charge | None:
        """What `usage` of one request costs; None when no price is known for `model`."""
        prices = self.of(model)
        return None if prices is None else charge(prices, usage, is_batch=is_batch)


def charge(prices: Prices, usage: Usage, *, is_batch: bool = False) -> Charge:
    """What `usage` of one request costs at `prices`."""
    hour = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
    written = usage.cache_write_tokens - hour
    price = prices.for_prompt(usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens)
    plain, read, write, write_1h, output = map(
        _micro, (price.input, price.cache_read, price.cache_write, price.cache_write_1h, price.output)
    )
    cost = (
        usage.input_tokens * plain
        + usage.output_tokens * output
        + usage.cache_read_tokens * read
        + written * write
        + hour * write_1h
    )
    saved = usage.cache_read_tokens * (plain - read) - written * (write - plain) - hour * (write_1h - plain)
    share = _micro(1 - price.batch_discount) if is_batch else _PER_MILLION
    return Charge(_dollars(cost * share), _dollars(saved * share))


def table_for(config: JobConfig) -> PriceTable:
    """The prices that hold for a job: `cost_limits.prices` over the shipped table."""
    return PriceTable({model: _own(model, prices) for model, prices in config.cost_limits.prices.items()})


def models_of(config: JobConfig) -> dict[str, list[int]]:
    """Models that the job's API sessions ask for → the batches with an override to them; [] for the job's own model."""
    models: dict[str, list[int]] = {config.backend.model: []}
    for number, override in config.backend.batch_overrides.items():
        if override.model is not None and override.model != config.backend.model:
            models.setdefault(override.model, []).append(number)
    return models


def has_newer_tokenizer(model: str) -> bool:
    """Whether texts count about 30 % more tokens than on the models before Claude 4.7; True for unknown models."""
    known = [name for name in _spellings(model) if name in MODELS]
    return not known or known[0] in NEWER_TOKENIZER


@cache
def shipped() -> Mapping[str, Prices]:
    """The table that comes with the package: model id without date → prices."""
    table = {name: _shipped(row) for name, row in MODELS.items()}
    return {**table, **{alias: table[name] for alias, name in ALIASES.items()}}


@lru_cache(maxsize=64)
def _shipped_of(model: str) -> Prices | None:
    return next((prices for name in _spellings(model) if (prices := shipped().get(name)) is not None), None)


def _spellings(model: str) -> list[str]:
    """`model` as given, then without what pins a window or a snapshot."""
    plain = _WINDOW.sub("", model.strip())
    return list(dict.fromkeys((model, plain, _SNAPSHOT.sub("", plain))))


def _shipped(row: Row) -> Prices:
    above = None
    if row.above is not None:
        limit, dearer_input, dearer_output, dearer_read = row.above
        above = (limit, _derived(dearer_input, dearer_output, dearer_read, row.cache_minimum))
    return _derived(row.input, row.output, row.cache_read, row.cache_minimum, above)


def _derived(
    price: float,
    output: float,
    read: float | None,
    minimum: int = 1024,
    above: tuple[int, Prices] | None = None,
) -> Prices:
    return Prices(
        input=price,
        output=output,
        cache_write=_tidy(price * CACHE_WRITE),
        cache_write_1h=_tidy(price * CACHE_WRITE_1H),
        cache_read=_tidy(price * CACHE_READ) if read is None else read,
        cache_minimum=minimum,
        above=above,
    )


def _own(model: str, given: ModelPrices) -> Prices:
    """Prices of the job file: they hold for prompts of any length; what the cache keeps is not theirs to say."""
    known = PriceTable().of(model)
    usual = _derived(given.input, given.output, given.cache_read)
    return Prices(
        input=given.input,
        output=given.output,
        cache_write=usual.cache_write if given.cache_write is None else given.cache_write,
        cache_write_1h=usual.cache_write_1h if given.cache_write_1h is None else given.cache_write_1h,
        cache_read=usual.cache_read,
        batch_discount=given.batch_discount,
        cache_minimum=usual.cache_minimum if known is None else known.cache_minimum,
    )


def _tidy(price: float) -> float:
    return round(price, DIGITS)


def _micro(value: float) -> int:
    return round(value * _PER_MILLION)


def _dollars(amount: int) -> float:
    """`amount` in 1e-18 dollars (micro-dollars per million tokens, times a share in millionths)."""
    return round(amount / 10**18, DIGITS)


def add(total: float, amount: float) -> float:
    """`total` and `amount` in US dollars, without the error that floats gather over many additions."""
    return round(total + amount, DIGITS)


def same_model(one: str, other: str) -> bool:
    """Whether two names stand for one model, whatever snapshot or window they pin."""
    return _spellings(one)[-1] == _spellings(other)[-1]
