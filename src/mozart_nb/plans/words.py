"""Plans and estimates in words: lines and tables of plain text, the same on a terminal and in a notebook.

They are made of the documents of `plans.outlook` and `plans.estimating`. What comes from job files is cleaned here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mozart_nb.engine.preflight import MAX_TOKENS, WARN_TOKENS
from mozart_nb.words import clean, count, dollars, one_line, plural, roughly

SHOWN: Final = 20
"""Batches of a plan that are listed."""

NOTHING_DONE: Final = "dry run: nothing was written, nothing was sent"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows of text under heads. `left` says what is not listed; empty when everything is."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: str = ""


# --- plans ------------------------------------------------------------------------------------------------------------


def plan_head(plan: Document) -> tuple[str, str]:
    """The name of a job, and how large it is."""
    items = f"items {plan['first_item']:,} to {plan['total_items']:,}"
    return plan["job_name"], f"{plural(plan['total_batches'], 'batch')}, {items}"


def plan_lines(plan: Document) -> Iterator[str]:
    """What would be done, where, and what it would cost."""
    total = plan["total_batches"]
    yield f"backend      {plan['backend']}, {plan['max_concurrent']} at once"
    yield f"workspace    {plan['workspace']}"
    yield f"directory    {plan['working_directory']}"
    if (tree := plan["isolation"]) is not None:
        yield f"isolation    worktree {tree['worktree']}"
        yield f"             branch {tree['branch']}, from {tree['begins_at']}"
    yield f"this call    {_selection(plan['selected'], total)}"
    if plan["standing"] != "new":
        yield f"on disk      {plan['standing']}, {plan['done']:,} of {total:,} done"
    yield from _about_tokens(plan["tokens"])
    yield f"cost         {cost_text(plan['estimate'])}"


def _selection(selected: Document, total: int) -> str:
    if selected["count"] == total:
        return "every batch"
    parts = _spans(selected["batches"])
    if selected["limit"]:
        return f"at most {plural(selected['limit'], 'batch')} of {parts}"
    return f"{plural(selected['count'], 'batch')}: {parts}"


def _spans(parts: Sequence[Sequence[int]]) -> str:
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def _about_tokens(tokens: Document) -> Iterator[str]:
    if not tokens["prompts_rendered"]:
        yield "prompts      need what only a run has (rows, earlier outputs)"
        return
    smallest, largest = count(tokens["smallest"]), count(tokens["largest"])
    size = f"{smallest} to {largest} tokens each" if smallest != largest else f"{smallest} tokens each"
    yield f"prompts      {size}, {count(tokens['all_prompts'])} in all (estimated: {tokens['estimated_from']})"
    if tokens["largest"] > WARN_TOKENS:
        limit = f"over {MAX_TOKENS:,} it is not sent" if tokens["largest"] > MAX_TOKENS else "that is a lot"
        yield f"             batch {tokens['largest_batch']} has the largest prompt; {limit}"


def plan_table(plan: Document) -> Table:
    """The batches of a plan, of a long one the first and the last."""
    batches = plan["batches"]
    shown = batches if len(batches) <= SHOWN else [*batches[: SHOWN - 3], *batches[-3:]]
    has_stages = bool(plan["stages"])
    has_waits = any(batch["waits_for"] for batch in batches)
    heads = ["batch", "items", *(["stage"] if has_stages else []), *(["waits for"] if has_waits else [])]
    rows = []
    for batch in shown:
        row = [str(batch["batch"]), _spans([(batch["first_item"], batch["last_item"])])]
        row += [f"{batch['stage']}.{batch['instance']}"] if has_stages else []
        row += [_spans(batch["waits_for"])] if has_waits else []
        row += ["?" if batch[key] is None else count(batch[key]) for key in ("prompt_tokens", "rules")]
        rows.append(row)
    left = plan["total_batches"] - len(shown)
    return Table([*heads, "tokens", "rules"], rows, f"… {plural(left, 'batch')} not listed" if left else "")


def prompt_lines(shown: Document) -> tuple[str, str]:
    """The prompt of one batch, and its rules."""
    lines = []
    for rule in shown["rules"]:
        facts = " ".join(one_line(str(rule[key])) for key in ("path", "pattern", "command") if rule[key])
        lines.append(f"  {rule['type']}  {facts}")
    return clean(shown["prompt"]).rstrip("\n"), "\n".join(lines)


# --- estimates --------------------------------------------------------------------------------------------------------


def estimate_head(estimate: Document) -> tuple[str, str]:
    """The name of a job, and how much of it is to be done."""
    left, total = estimate["sessions"], estimate["total_batches"]
    rest = "" if left == total else f" ({total:,} in all)"
    return estimate["job_name"], f"{plural(left, 'batch')} to do, one session each{rest}"


def size_lines(estimate: Document) -> Iterator[str]:
    """What is sent and answered."""
    for name in ("prompts", "answers"):
        sizes = estimate[name]
        if sizes["tokens_each"] is None:
            yield f"{name:<9} unknown: {sizes['estimated_from'].removeprefix('nothing: ')}"
            continue
        each, all_ = sizes["tokens_each"], sizes["tokens"]
        size = f"{_tokens(each['expected'])} tokens each ({_tokens(each['low'])} to {_tokens(each['high'])})"
        yield f"{name:<9} {size}, {_tokens(all_['expected'])} in all"
        yield f"          from {sizes['estimated_from']}"
    prompts = estimate["prompts"]
    if 0 < prompts["rendered"] < prompts["of"]:
        yield f"          {prompts['rendered']:,} of {prompts['of']:,} prompts were rendered and stand for the others"


def ways_table(estimate: Document) -> Table:
    """Every way of running the job: what it costs and how long it takes."""
    heads = ["through", "model", "low", "expected", "high", "time"]
    return Table(heads, [_way(way) for way in estimate["estimates"]])


def _way(way: Document) -> list[str]:
    cost, seconds = way["cost_usd"], way["seconds"]
    money = [dollars(cost[name]) for name in ("low", "expected", "high")] if cost else ["–", "unknown", "–"]
    times = [] if seconds is None else list(dict.fromkeys(roughly(seconds[name]) for name in ("low", "high")))
    time = " to ".join(times) or "unknown"
    return [way["backend"], one_line(", ".join(way["models"]) or "–"), *money, time]


def remark_lines(estimate: Document) -> Iterator[str]:
    """Where the figures come from, and what is not in them."""
    for way in estimate["estimates"]:
        if way["cost_from"]:
            yield f"cost of {way['backend']}: {'from ' if way['cost_usd'] else ''}{one_line(way['cost_from'])}"
        if way["cache_saves_usd"] > 0:
            saved, each = dollars(way["cache_saves_usd"]), estimate["prompts"]["shared_tokens_each"]
            yield f"the prompt cache saves {saved} of it: {_tokens(each)} tokens are the same in every prompt"
    if any(way["backend"].startswith("anthropic") for way in estimate["estimates"]):
        prices = estimate["prices"]
        own = f"; your own for {one_line(', '.join(prices['own']))}" if prices["own"] else ""
        yield f"list prices of {prices['as_of']}: {prices['source']}{own}"
    yield f"not counted: {', '.join(estimate['not_counted'])}"


def warning_lines(estimate: Document) -> Iterator[str]:
    """What to look out for: prompts that could not be counted, a limit that will not do."""
    if estimate["counting_failed"]:
        yield f"{one_line(estimate['counting_failed'])}; the prompts were estimated instead"
    if estimate["is_above_limit"]:
        yield f"{_limit(estimate, ' is')}: the job will probably pause before it is done"


def limit_line(estimate: Document) -> str:
    """The cost limit, where there is one and it will do; else nothing."""
    return "" if estimate["limit_usd"] is None or estimate["is_above_limit"] else _limit(estimate, ":")


def _limit(estimate: Document, verb: str) -> str:
    spent = f", {dollars(estimate['spent_usd'])} of it spent" if estimate["spent_usd"] else ""
    return f"cost_limits.max_cost_per_job{verb} {dollars(estimate['limit_usd'])}{spent}"


def cost_text(way: Document) -> str:
    """What one way of running a job costs, in one phrase."""
    cost = way["cost_usd"]
    if cost is None:
        return one_line(way["cost_from"] or "unknown")
    if cost["low"] == cost["high"]:
        return dollars(cost["expected"])
    return f"about {dollars(cost['expected'])} ({dollars(cost['low'])} to {dollars(cost['high'])})"


def _tokens(amount: float) -> str:
    return count(round(amount))
