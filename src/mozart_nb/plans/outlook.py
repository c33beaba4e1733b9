"""A plan before it runs: what would be done, worked out from the job alone. Writes nothing, sends nothing."""

from __future__ import annotations

from typing import Any, Final

from mozart_nb.errors import MisuseError, PromptError
from mozart_nb.events import RunOptions
from mozart_nb.job.model import JobConfig
from mozart_nb.job.plan import Plan
from mozart_nb.job.tokens import ERROR
from mozart_nb.plans.estimating import estimate
from mozart_nb.plans.isolating import intended
from mozart_nb.plans.prepared import Prepared, standing
from mozart_nb.plans.previews import Preview, spread
from mozart_nb.words import percent

MAX_RENDERED: Final = 1000
"""Prompts that are rendered to estimate their size; of longer plans an even selection."""

MAX_LISTED: Final = 1000
HOW_ESTIMATED: Final = f"from their text, ±{percent(ERROR)}"


def plan_document(prepared: Prepared, options: RunOptions, *, show: int = 0) -> dict[str, Any]:
    """Everything a dry run says. `show` is a batch whose prompt is rendered in full.

    Raises `MisuseError` when there is no such batch, `PromptError` when that prompt cannot be rendered.
    """
    plan, config = prepared.plan, prepared.loaded.config
    if show and not 1 <= show <= plan.count:
        raise MisuseError(f"--show {show}: there are batches 1 to {plan.count}")
    preview = Preview(prepared)
    found = standing(prepared)
    selected = _selected(plan, options)
    forecast = estimate(prepared, options=options, at_most=selected["count"])["estimates"][0]
    document: dict[str, Any] = {
        "job_id": prepared.job_id,
        "job_name": config.name,
        "backend": config.backend.type,
        "workspace": str(prepared.places.workspace),
        "working_directory": str(prepared.places.working_directory),
        "isolation": intended(prepared),
        "standing": found.kind,
        "done": found.state.count("completed") + found.state.count("skipped") if found.state else 0,
        "total_batches": plan.count,
        "first_item": plan.shape.start_item,
        "total_items": plan.shape.total_items,
        "stages": list(plan.shape.stages),
        "max_concurrent": _at_once(config, options),
        "selected": selected,
        "tokens": _tokens(preview, plan),
        "cost_usd": None if forecast["cost_usd"] is None else forecast["cost_usd"]["expected"],
        "estimate": forecast,
        "rules": len(config.validations),
        "batches": [_batch(preview, plan, number) for number in range(1, min(plan.count, MAX_LISTED) + 1)],
        "batches_omitted": max(0, plan.count - MAX_LISTED),
    }
    if show:
        document["show"] = {"batch": show, "prompt": preview.prompt(show), "rules": preview.rules(show)}
    return document


def _at_once(config: JobConfig, options: RunOptions) -> int:
    if options.max_concurrent:
        return options.max_concurrent
    return config.parallel.max_concurrent if config.parallel.enabled else 1


def _selected(plan: Plan, options: RunOptions) -> dict[str, Any]:
    """Which batches this call would run, as far as that is known beforehand."""
    only = options.only or ((1, plan.count),)
    kept = [(max(low, options.start_batch), high) for low, high in only if high >= options.start_batch]
    number = sum(high - low + 1 for low, high in kept)
    return {
        "batches": [list(span) for span in kept],
        "count": min(number, options.limit) if options.limit else number,
        "limit": options.limit or None,
    }


def _tokens(preview: Preview, plan: Plan) -> dict[str, Any]:
    """Sizes of the prompts. Sessions read and write more: files, tools, answers."""
    numbers = spread(plan.count, MAX_RENDERED)
    sizes = {number: size for number in numbers if (size := _size(preview, number)) is not None}
    largest = max(sizes, key=lambda number: sizes[number], default=None)
    mean = sum(sizes.values()) / len(sizes) if sizes else 0.0
    return {
        "estimated_from": HOW_ESTIMATED,
        "prompts_rendered": len(sizes),
        "smallest": min(sizes.values(), default=None),
        "mean": round(mean, 1) if sizes else None,
        "largest": sizes[largest] if largest is not None else None,
        "largest_batch": largest,
        "all_prompts": round(mean * plan.count) if sizes else None,
    }


def _size(preview: Preview, number: int) -> int | None:
    try:
        return preview.tokens(number)
    except PromptError:
        return None


def _batch(preview: Preview, plan: Plan, number: int) -> dict[str, Any]:
    first, last = plan.items_of(number)
    return {
        "batch": number,
        "first_item": first,
        "last_item": last,
        "stage": plan.stage_of(number),
        "instance": plan.instance_of(number),
        "waits_for": [[edge.first, edge.last] for edge in plan.upstream(number)],
        "prompt_tokens": _size(preview, number),
        "rules": _number_of_rules(preview, number),
    }


def _number_of_rules(preview: Preview, number: int) -> int | None:
    try:
        return len(preview.rules(number))
    except PromptError:
        return None
