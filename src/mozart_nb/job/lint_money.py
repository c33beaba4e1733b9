"""Rules about money: models without a price, and limits that the job will probably reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from mozart_nb.job.document import KeyPath
from mozart_nb.job.estimates import Work, assumed_answer, cost, guessed
from mozart_nb.job.lint_prompt import prompt_texts
from mozart_nb.job.model import JobConfig
from mozart_nb.job.prices import table_for
from mozart_nb.job.tokens import estimate_tokens
from mozart_nb.job.vcodes import Finding, Rule, Subject

_PRICED: Final = ("anthropic_api", "anthropic_batches")
"""Backends whose cost is worked out from prices; the others say themselves what a session cost."""


def limits_are_not_below_the_estimate(subject: Subject) -> Iterator[Finding]:
    """Without rows, without history and without asking anybody: `mozart estimate` knows more."""
    config, plan = subject.loaded.config, subject.plan
    limits, backend = config.cost_limits, config.backend
    if not limits.is_active or backend.type not in _PRICED or config.items is not None or plan is None:
        return
    prices = table_for(config).of(backend.model)
    sizes = [estimate_tokens(text, backend.model) for text, _ in prompt_texts(subject)]
    if prices is None or not sizes:
        return
    mean = sum(sizes) / len(sizes) + estimate_tokens(backend.system or "", backend.model)
    work = Work(backend.model, plan.count, guessed(mean), assumed_answer(mean, backend.max_tokens))
    total = cost(work, prices, is_batch=backend.type == "anthropic_batches").expected
    advice = "an estimate from the templates alone; `mozart estimate` knows more"
    for key, amount in (("max_cost_per_job", total), ("max_cost_per_batch", total / plan.count)):
        limit = getattr(limits, key)
        if limit is not None and amount > limit:
            message = f"about {amount:.4g} US dollars are to be expected, the limit is {limit:g}: the job will pause"
            yield Finding(("cost_limits", key), message, advice)


def models_have_prices(subject: Subject) -> Iterator[Finding]:
    config = subject.loaded.config
    if not config.cost_limits.is_active:
        for path, model in _unpriced(config):
            message = f"no price is known for the model `{model}`: its cost will be unknown"
            yield Finding(path, message, _give_a_price(model))


def limits_have_prices(subject: Subject) -> Iterator[Finding]:
    """An error: the job would pay for its first sessions and pause."""
    config = subject.loaded.config
    if config.cost_limits.is_active:
        for path, model in _unpriced(config):
            message = f"no price is known for the model `{model}`, so the cost limit cannot hold"
            yield Finding(path, message, _give_a_price(model))


RULES: Final[Mapping[str, Rule]] = {
    "V114": limits_are_not_below_the_estimate,
    "V123": models_have_prices,
    "V124": limits_have_prices,
}


def _unpriced(config: JobConfig) -> Iterator[tuple[KeyPath, str]]:
    backend = config.backend
    if backend.type not in _PRICED:
        return
    table = table_for(config)
    if table.of(backend.model) is None:
        yield ("backend", "model"), backend.model
    for number, override in backend.batch_overrides.items():
        if override.model is not None and table.of(override.model) is None:
            yield ("backend", "batch_overrides", number, "model"), override.model


def _give_a_price(model: str) -> str:
    return f"give one: `cost_limits: {{prices: {{{model}: [input, output]}}}}`, US dollars per million tokens"
