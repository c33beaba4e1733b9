"""`run --dry-run`: what would be done, worked out from the job file alone. Writes nothing, sends nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from mozart_nb.cli.output import Output
from mozart_nb.cli.words import clean, count, one_line, plural
from mozart_nb.engine.preflight import MAX_TOKENS, WARN_TOKENS, estimate_tokens
from mozart_nb.errors import MisuseError, PromptError
from mozart_nb.events import RunOptions
from mozart_nb.frozen import PlanMaterials
from mozart_nb.job.expressions import Condition, compile_condition
from mozart_nb.job.model import JobConfig, RuleConfig
from mozart_nb.job.placeholders import expand
from mozart_nb.job.plan import Plan
from mozart_nb.job.prompt import BatchContext, PromptRenderer, context_for, known_names
from mozart_nb.runtime import Prepared, standing

MAX_RENDERED: Final = 1000
"""Prompts that are rendered to estimate their size; of longer plans an even selection."""

MAX_LISTED: Final = 1000
SHOWN: Final = 20
"""Batches listed on a terminal."""

HOW_ESTIMATED: Final = "characters / 4"


class Rehearser:
    """Renders prompts and rules of batches that have not run: earlier outputs are empty."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._config: JobConfig = prepared.loaded.config
        self._plan: Plan = prepared.plan
        self._materials = PlanMaterials(prepared.frozen, prepared.places.workspace)
        self._renderer = PromptRenderer(self._config, self._plan, read_text=self._materials.read_text)
        names = known_names(self._config.prompt)
        self._rules: list[tuple[RuleConfig, Condition | None]] = [
            (rule, compile_condition(rule.condition, names) if rule.condition else None)
            for rule in self._config.validations
        ]

    def context(self, number: int) -> BatchContext:
        rows: Sequence[Any] = ()
        if self._config.items is not None:
            rows = self._materials.rows(*self._plan.rows_of(number))
        return context_for(
            self._plan,
            number,
            workspace=str(self._prepared.places.workspace),
            job_name=self._config.name,
            prompt=self._config.prompt,
            rows=rows,
        )

    def prompt(self, number: int) -> str:
        """Raises `PromptError` for a template that needs what only a run has."""
        return self._renderer.render(self.context(number))

    def rules(self, number: int) -> list[dict[str, Any]]:
        """The rules that apply to a batch, their placeholders filled in."""
        context = self.context(number)
        return [
            {
                "type": rule.type,
                "stage": rule.stage,
                "path": expand(rule.path, context, "path") if rule.path else None,
                "pattern": expand(rule.pattern, context, "regex") if rule.pattern else None,
                "command": expand(rule.command, context, "command") if rule.command else None,
                "description": rule.description,
            }
            for rule, condition in self._rules
            if condition is None or condition(context)
        ]


def plan_document(prepared: Prepared, options: RunOptions, *, show: int = 0) -> dict[str, Any]:
    """Everything a dry run says. `show` is a batch whose prompt is rendered in full.

    Raises `MisuseError` when there is no such batch, `PromptError` when that prompt cannot be rendered.
    """
    plan, config = prepared.plan, prepared.loaded.config
    if show and not 1 <= show <= plan.count:
        raise MisuseError(f"--show {show}: there are batches 1 to {plan.count}")
    rehearser = Rehearser(prepared)
    found = standing(prepared)
    document: dict[str, Any] = {
        "job_id": prepared.job_id,
        "job_name": config.name,
        "backend": config.backend.type,
        "workspace": str(prepared.places.workspace),
        "working_directory": str(prepared.places.working_directory),
        "standing": found.kind,
        "done": found.state.count("completed") + found.state.count("skipped") if found.state else 0,
        "total_batches": plan.count,
        "first_item": plan.shape.start_item,
        "total_items": plan.shape.total_items,
        "stages": list(plan.shape.stages),
        "max_concurrent": _at_once(config, options),
        "selected": _selected(plan, options),
        "tokens": _tokens(rehearser, plan),
        "cost_usd": 0.0 if prepared.is_rehearsal else None,
        "rules": len(config.validations),
        "batches": [_batch(rehearser, plan, number) for number in range(1, min(plan.count, MAX_LISTED) + 1)],
        "batches_omitted": max(0, plan.count - MAX_LISTED),
    }
    if show:
        document["show"] = {"batch": show, "prompt": rehearser.prompt(show), "rules": rehearser.rules(show)}
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


def _tokens(rehearser: Rehearser, plan: Plan) -> dict[str, Any]:
    """Sizes of the prompts. Sessions read and write more: files, tools, answers."""
    numbers = _sample(plan.count)
    sizes = {number: size for number in numbers if (size := _size(rehearser, number)) is not None}
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


def _sample(total: int) -> list[int]:
    if total <= MAX_RENDERED:
        return list(range(1, total + 1))
    step = (total - 1) / (MAX_RENDERED - 1)
    return sorted({1 + round(index * step) for index in range(MAX_RENDERED)})


def _size(rehearser: Rehearser, number: int) -> int | None:
    try:
        return estimate_tokens(rehearser.prompt(number))
    except PromptError:
        return None


def _batch(rehearser: Rehearser, plan: Plan, number: int) -> dict[str, Any]:
    first, last = plan.items_of(number)
    return {
        "batch": number,
        "first_item": first,
        "last_item": last,
        "stage": plan.stage_of(number),
        "instance": plan.instance_of(number),
        "waits_for": [[edge.first, edge.last] for edge in plan.upstream(number)],
        "prompt_tokens": _size(rehearser, number),
        "rules": _number_of_rules(rehearser, number),
    }


def _number_of_rules(rehearser: Rehearser, number: int) -> int | None:
    try:
        return len(rehearser.rules(number))
    except PromptError:
        return None


# --- for people -------------------------------------------------------------------------------------------------------


def show_plan(output: Output, document: dict[str, Any]) -> None:
    """A dry run on a terminal."""
    total = document["total_batches"]
    first, last = document["first_item"], document["total_items"]
    output.show(Text.assemble((document["job_name"], "bold"), f": {plural(total, 'batch')}, items {first} to {last}"))
    output.show(f"  backend      {document['backend']}, {document['max_concurrent']} at once")
    output.show(f"  workspace    {document['workspace']}")
    output.show(f"  directory    {document['working_directory']}")
    output.show(f"  this call    {_selection(document['selected'], total)}")
    if document["standing"] != "new":
        output.show(f"  on disk      {document['standing']}, {document['done']:,} of {total:,} done")
    for text in _about_tokens(document["tokens"]):
        output.show(f"  {text}")
    cost = "nothing (rehearsal)" if document["cost_usd"] is not None else "not known before it runs"
    output.show(f"  cost         {cost}")
    output.show()
    _list_batches(output, document)
    if "show" in document:
        _show_prompt(output, document["show"])
    else:
        output.say("--show N prints the prompt of batch N")
    output.say("dry run: nothing was written, nothing was sent")


def _selection(selected: dict[str, Any], total: int) -> str:
    if selected["count"] == total:
        return "every batch"
    parts = _spans(selected["batches"])
    if selected["limit"]:
        return f"at most {plural(selected['limit'], 'batch')} of {parts}"
    return f"{plural(selected['count'], 'batch')}: {parts}"


def _spans(parts: Sequence[Sequence[int]]) -> str:
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def _about_tokens(tokens: dict[str, Any]) -> Iterator[str]:
    if not tokens["prompts_rendered"]:
        yield "prompts      need what only a run has (rows, earlier outputs)"
        return
    size = f"{count(tokens['smallest'])} to {count(tokens['largest'])} tokens each"
    yield f"prompts      {size}, {count(tokens['all_prompts'])} in all (estimated: {HOW_ESTIMATED})"
    if tokens["largest"] > WARN_TOKENS:
        limit = f"over {MAX_TOKENS:,} it is not sent" if tokens["largest"] > MAX_TOKENS else "that is a lot"
        yield f"             batch {tokens['largest_batch']} has the largest prompt; {limit}"


def _list_batches(output: Output, document: dict[str, Any]) -> None:
    batches = document["batches"]
    shown = batches if len(batches) <= SHOWN else [*batches[: SHOWN - 3], *batches[-3:]]
    has_stages = bool(document["stages"])
    has_waits = any(batch["waits_for"] for batch in batches)
    heads = ["batch", "items", *(["stage"] if has_stages else []), *(["waits for"] if has_waits else [])]
    rows = []
    for batch in shown:
        row = [str(batch["batch"]), f"{batch['first_item']}-{batch['last_item']}"]
        row += [f"{batch['stage']}.{batch['instance']}"] if has_stages else []
        row += [_spans(batch["waits_for"])] if has_waits else []
        row += ["?" if batch[key] is None else count(batch[key]) for key in ("prompt_tokens", "rules")]
        rows.append(row)
    output.table([*heads, "tokens", "rules"], rows)
    left = document["total_batches"] - len(shown)
    if left:
        output.show(f"… {plural(left, 'batch')} not listed")


def _show_prompt(output: Output, shown: dict[str, Any]) -> None:
    output.show()
    output.show(Text(f"prompt of batch {shown['batch']}", style="bold"))
    output.show(clean(shown["prompt"]).rstrip("\n"))
    output.show()
    output.show(Text(f"its rules ({len(shown['rules'])})", style="bold"))
    for rule in shown["rules"]:
        facts = " ".join(one_line(str(rule[key])) for key in ("path", "pattern", "command") if rule[key])
        output.show(f"  {rule['type']}  {facts}")
