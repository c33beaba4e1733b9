"""What a job will cost and how long it will take, worked out before anything is sent.

    document = estimate(prepared)                                   # from the texts, history and prices
    document = estimate(prepared, await counted(prepared))          # prompts counted by the API, free of charge

Sizes of prompts come from the prompts themselves, lengths of answers from completed batches of this job or its
workspace, else from a stated assumption. What a `claude` session with tools costs is never guessed: it is known from
history, or it is unknown.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mozart_nb.backends.counting import count_tokens
from mozart_nb.engine.wire import common_prefix
from mozart_nb.events import RunOptions
from mozart_nb.job.estimates import NOTHING, Span, Work, assumed_answer, cost, guessed, measured
from mozart_nb.job.model import JobConfig
from mozart_nb.job.price_table import AS_OF, SOURCE
from mozart_nb.job.prices import table_for
from mozart_nb.job.tokens import ERROR, OUTPUT_LEAST, estimate_tokens
from mozart_nb.parts import options_of
from mozart_nb.plans.past import Past, past_of
from mozart_nb.plans.prepared import Prepared, standing
from mozart_nb.plans.previews import Preview, spread
from mozart_nb.words import percent

MAX_RENDERED: Final = 2000
"""Prompts that are rendered; of longer jobs an even selection."""

MAX_COUNTED: Final = 20
"""Prompts that are sent to be counted."""

API_BACKENDS: Final = ("anthropic_api", "anthropic_batches")

REMOTE_BATCH_SECONDS: Final = (300.0, 86_400.0)
"""How long a message batch takes: mostly minutes to an hour, a day at most, then its rest has expired."""

_SECONDS_TO_BEGIN: Final = (1.0, 5.0)
_TOKENS_PER_SECOND: Final = (100.0, 30.0)
"""Best and worst case of an answer's beginning and speed, where nothing is known from history."""


_NOBODY_ASKED: Final = guessed(1.0)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many tokens the API counts for one estimated, 1 to both sides when nobody was asked.

    `prompts` were counted; `fault` says why not, where that was tried.
    """

    factor: Span = _NOBODY_ASKED
    prompts: int = 0
    fault: str = ""


async def counted(prepared: Prepared) -> Counted:
    """Let the API count some prompts: with the key and address of the job, free of charge; never raises."""
    preview = Preview(prepared)
    prompts = preview.prompts(spread(prepared.plan.count, MAX_COUNTED))
    asked = [(preview.model(number), text) for number, text in prompts.items()]
    if not asked:
        return Counted(fault="no prompt can be rendered before the job runs")
    options = options_of(prepared)
    counts = await count_tokens(options, os.environ, asked)
    if counts.fault:
        return Counted(fault=counts.fault)
    system = options.get("system") or ""
    ratios = [
        count / max(1, estimate_tokens(text, model) + estimate_tokens(system, model))
        for count, (model, text) in zip(counts.tokens, asked, strict=True)
    ]
    return Counted(measured(ratios) or _NOBODY_ASKED, len(ratios))


def can_be_counted(prepared: Prepared) -> bool:
    """Whether the job goes to an API and its key is there."""
    backend = prepared.loaded.config.backend
    names = (backend.api_key_env, "ANTHROPIC_AUTH_TOKEN")
    return not prepared.is_rehearsal and backend.type in API_BACKENDS and any(os.environ.get(name) for name in names)


def estimate(
    prepared: Prepared,
    sizes: Counted | None = None,
    options: RunOptions | None = None,
    *,
    at_most: int | None = None,
) -> dict[str, Any]:
    """Everything that can be said about cost and time of what is left of a job, as one JSON document.

    `at_most` so many batches are reckoned with, where a call does not run all that are left.
    """
    config, plan = prepared.loaded.config, prepared.plan
    sizes = sizes or Counted()
    found = standing(prepared)
    done = found.state.count("completed") + found.state.count("skipped") if found.state is not None else 0
    left = max(0, plan.count - done)
    works, measures = _works(prepared, sizes, left if at_most is None else min(left, at_most))
    ways = _ways(prepared, works, measures, options or RunOptions())
    limit = config.cost_limits.max_cost_per_job if config.cost_limits.is_active else None
    spent = found.state.job.cost_usd if found.state is not None else 0.0
    return {
        "job_id": prepared.job_id,
        "job_name": config.name,
        "backend": "rehearsal" if prepared.is_rehearsal else config.backend.type,
        "total_batches": plan.count,
        "done": done,
        "sessions": sum(work.sessions for work in works),
        "prompts": measures.prompts,
        "answers": measures.answers,
        "estimates": ways,
        "spent_usd": spent,
        "limit_usd": limit,
        "is_above_limit": None if limit is None or ways[0]["cost_usd"] is None else _passes(ways[0], limit - spent),
        "prices": {"as_of": AS_OF, "source": SOURCE, "own": sorted(config.cost_limits.prices)},
        "counting_failed": sizes.fault or None,
        "not_counted": list(_not_counted(config)),
    }


def _not_counted(config: JobConfig) -> Iterator[str]:
    yield "retries and completion attempts"
    if config.backend.type in API_BACKENDS and config.backend.attachments:
        yield "attachments"
    if config.batch.skip_when or config.batch.skip_when_command:
        yield "batches that `skip_when` will leave out (they are reckoned with)"


def _passes(way: Mapping[str, Any], left: float) -> bool:
    return bool(way["cost_usd"]["expected"] > left)


# --- sizes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Measures:
    prompts: dict[str, Any]
    answers: dict[str, Any]
    past: Past


def _works(prepared: Prepared, sizes: Counted, sessions: int) -> tuple[list[Work], _Measures]:
    """The sessions that are left, by model, and where the figures come from."""
    config, plan = prepared.loaded.config, prepared.plan
    preview = Preview(prepared)
    numbers = spread(plan.count, MAX_RENDERED)
    texts = preview.prompts(numbers)
    by_model = _by_model(preview, texts)
    system = config.backend.system or "" if config.backend.type in API_BACKENDS else ""
    past = past_of(prepared, _model_of_history(config))
    assumes = config.backend.type in API_BACKENDS
    works, shared, left = [], 0, sessions
    for model, prompts in by_model.items():
        tokens = sum(estimate_tokens(text, model) for text in prompts) / len(prompts) + estimate_tokens(system, model)
        prompt = sizes.factor.times(tokens)
        shared = round(_shared_tokens(prompts, system, model) * sizes.factor.expected)
        answer = past.answer or (assumed_answer(prompt.expected, config.backend.max_tokens) if assumes else NOTHING)
        part = min(left, math.ceil(sessions * len(prompts) / len(texts)))
        works.append(Work(model, part, prompt, answer, shared))
        left -= part
    if not works:
        works.append(Work(preview.model(1), sessions, NOTHING, past.answer or NOTHING))
    is_known = past.answer is not None or (assumes and bool(texts))
    return works, _Measures(
        {
            "rendered": len(texts),
            "of": plan.count,
            "tokens_each": _span(works[0].prompt) if texts else None,
            "tokens": _span(_total(work.prompt.times(work.sessions) for work in works)) if texts else None,
            "shared_tokens_each": shared,
            "estimated_from": _how(sizes) if texts else "nothing: they need what only a run has",
        },
        {
            "tokens_each": _span(works[0].answer) if is_known else None,
            "tokens": _span(_total(work.answer.times(work.sessions) for work in works)) if is_known else None,
            "estimated_from": past.source if past.answer else _assumption(config),
        },
        past,
    )


def _by_model(preview: Preview, texts: Mapping[int, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for number, text in texts.items():
        groups.setdefault(preview.model(number), []).append(text)
    return dict(sorted(groups.items(), key=lambda pair: -len(pair[1])))


def _model_of_history(config: JobConfig) -> str:
    return config.backend.model if config.backend.type in API_BACKENDS else config.backend.cli_model or ""


def _shared_tokens(prompts: list[str], system: str, model: str) -> int:
    few = [prompts[place - 1] for place in spread(len(prompts), 6)]
    return estimate_tokens(system + common_prefix(few), model)


def _total(spans: Iterable[Span]) -> Span:
    return sum(spans, NOTHING)


def _how(sizes: Counted) -> str:
    if sizes.prompts:
        return f"the API's own count of {sizes.prompts} prompts"
    return f"the characters of the prompts, ±{percent(ERROR)}"


def _assumption(config: JobConfig) -> str:
    if config.backend.type not in API_BACKENDS:
        return "nothing: sessions use tools, and no batch has been completed here yet"
    return (
        f"no history: assumed are a quarter of the prompt, at least {OUTPUT_LEAST}, "
        f"at most backend.max_tokens ({config.backend.max_tokens:,})"
    )


# --- cost and time ----------------------------------------------------------------------------------------------------


def _ways(prepared: Prepared, works: list[Work], measures: _Measures, options: RunOptions) -> list[dict[str, Any]]:
    """What the job costs through its own backend, and through the other API where it could go there."""
    config = prepared.loaded.config
    if prepared.is_rehearsal:
        price = config.rehearsal.usage.cost_usd or 0.0
        sessions = sum(work.sessions for work in works)
        exact = Span(price * sessions, price * sessions, price * sessions)
        least = config.rehearsal.latency_seconds * _rounds(config, sessions, options)
        return [_way("rehearsal", works, exact, "", (least, least))]
    if config.backend.type not in API_BACKENDS:
        return [_program(config, works, measures.past, options)]
    order = sorted(API_BACKENDS, key=lambda backend: backend != config.backend.type)
    return [_api(config, backend, works, measures.past, options) for backend in order]


def _program(config: JobConfig, works: list[Work], past: Past, options: RunOptions) -> dict[str, Any]:
    sessions = sum(work.sessions for work in works)
    each = past.cost
    why = past.source if each else "unknown: sessions use tools, and none has been completed here yet"
    total = each.times(sessions) if each else None
    seconds = _session_time(config, works, past, options) if past.duration else None
    return _way("claude_cli", works, total, why, seconds)


def _api(config: JobConfig, backend: str, works: list[Work], past: Past, options: RunOptions) -> dict[str, Any]:
    is_batch, table = backend == "anthropic_batches", table_for(config)
    caches = config.backend.prompt_caching is not False
    total, plain = NOTHING, NOTHING
    if not any(work.prompt.expected for work in works):
        return _way(backend, works, None, "unknown: the prompts need what only a run has", None)
    for work in works:
        prices = table.of(work.model)
        if prices is None:
            return _way(backend, works, None, f"no price is known for {work.model} (cost_limits.prices)", None)
        total += cost(work, prices, is_batch=is_batch, caches=caches)
        plain += cost(work, prices, is_batch=is_batch)
    seconds = REMOTE_BATCH_SECONDS if is_batch else _session_time(config, works, past, options)
    return _way(backend, works, total, "", seconds, cache_saves=plain.expected - total.expected)


def _way(
    backend: str,
    works: list[Work],
    total: Span | None,
    why: str,
    seconds: tuple[float, float] | None,
    *,
    cache_saves: float = 0.0,
) -> dict[str, Any]:
    return {
        "backend": backend,
        "models": [work.model for work in works if work.model],
        "cost_usd": None if total is None else _span(total, 6),
        "cost_from": why or None,
        "cache_saves_usd": round(cache_saves, 6),
        "seconds": None if seconds is None else {"low": round(seconds[0], 1), "high": round(seconds[1], 1)},
    }


def _session_time(config: JobConfig, works: list[Work], past: Past, options: RunOptions) -> tuple[float, float]:
    """Seconds from start to end, best and worst case, within concurrency and the limits of the job file."""
    sessions = sum(work.sessions for work in works)
    rounds = _rounds(config, sessions, options)
    low, high = (past.duration.low, past.duration.high) if past.duration else _answer_seconds(works)
    least = _limited_seconds(config, works, sessions)
    return max(low * rounds, least), max(high * rounds, least)


def _rounds(config: JobConfig, sessions: int, options: RunOptions) -> float:
    """How many sessions run one after the other."""
    at_once = options.max_concurrent or (config.parallel.max_concurrent if config.parallel.enabled else 1)
    return sessions / max(1, min(at_once, sessions))


def _answer_seconds(works: list[Work]) -> tuple[float, float]:
    """One session, from the length of its answer."""
    low = min(_SECONDS_TO_BEGIN[0] + work.answer.low / _TOKENS_PER_SECOND[0] for work in works)
    return low, max(_SECONDS_TO_BEGIN[1] + work.answer.expected / _TOKENS_PER_SECOND[1] for work in works)


def _limited_seconds(config: JobConfig, works: list[Work], sessions: int) -> float:
    """What requests and tokens per minute leave as the shortest time."""
    limits, least = config.rate_limit, 0.0
    if limits.requests_per_minute:
        least = sessions / limits.requests_per_minute * 60
    if limits.tokens_per_minute:
        tokens = sum((work.prompt.expected + work.answer.expected) * work.sessions for work in works)
        least = max(least, tokens / limits.tokens_per_minute * 60)
    return least


def _span(span: Span, digits: int = 1) -> dict[str, float]:
    return {name: round(getattr(span, name), digits) for name in ("low", "expected", "high")}
