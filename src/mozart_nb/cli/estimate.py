"""`estimate`: what a job will cost and how long it will take, before anything is paid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from mozart_nb.cli.loading import load_checked
from mozart_nb.cli.output import OK, Output
from mozart_nb.errors import MisuseError
from mozart_nb.events import RunOptions
from mozart_nb.hosts.headless import run_briefly
from mozart_nb.plans.estimating import Counted, can_be_counted, counted, estimate
from mozart_nb.runtime import prepare
from mozart_nb.words import count, dollars, one_line, plural, roughly


def estimate_job(
    output: Output,
    file: Path,
    workspace: Path | None,
    *,
    offline: bool,
    overrides: Sequence[str] = (),
    max_concurrent: int = 0,
) -> int:
    """Estimate cost and time of a job file. Writes nothing; with a key, the API counts a few prompts free of charge."""
    if file.suffix not in (".yaml", ".yml") and not file.exists():
        raise MisuseError(f"{file} is no file", hint="`estimate` takes a job file: `mozart estimate job.yaml`")
    loaded = load_checked(output, file, overrides=overrides, workspace=workspace)
    prepared = prepare(loaded, workspace=workspace)
    asks = not offline and can_be_counted(prepared)
    sizes = run_briefly(counted(prepared)) if asks else Counted()
    document = estimate(prepared, sizes, RunOptions(max_concurrent=max_concurrent))
    if output.json:
        output.document(document)
    else:
        show_estimate(output, document)
    return OK


def show_estimate(output: Output, document: Mapping[str, Any]) -> None:
    """An estimate on a terminal."""
    left, total = document["sessions"], document["total_batches"]
    head = f": {plural(left, 'batch')} to do, one session each"
    output.show(Text.assemble((document["job_name"], "bold"), head if left == total else f"{head} ({total:,} in all)"))
    for line in about_sizes(document):
        output.show(f"  {line}")
    output.show()
    output.table(
        ["through", "model", "low", "expected", "high", "time"],
        [_row(way) for way in document["estimates"]],
        flexible=1,
    )
    for line in _remarks(document):
        output.show(f"  {line}")
    if document["counting_failed"]:
        output.warn(f"{one_line(document['counting_failed'])}; the prompts were estimated instead")
    _about_the_limit(output, document)


def about_sizes(document: Mapping[str, Any]) -> Iterator[str]:
    """Lines about what is sent and answered."""
    for name in ("prompts", "answers"):
        sizes = document[name]
        if sizes["tokens_each"] is None:
            yield f"{name:<9} unknown: {sizes['estimated_from'].removeprefix('nothing: ')}"
            continue
        each, all_ = sizes["tokens_each"], sizes["tokens"]
        size = f"{_tokens(each['expected'])} tokens each ({_tokens(each['low'])} to {_tokens(each['high'])})"
        yield f"{name:<9} {size}, {_tokens(all_['expected'])} in all"
        yield f"          from {sizes['estimated_from']}"
    prompts = document["prompts"]
    if 0 < prompts["rendered"] < prompts["of"]:
        yield f"          {prompts['rendered']:,} of {prompts['of']:,} prompts were rendered and stand for the others"


def cost_text(way: Mapping[str, Any]) -> str:
    """What a way costs, in one phrase."""
    cost = way["cost_usd"]
    if cost is None:
        return one_line(way["cost_from"] or "unknown")
    if cost["low"] == cost["high"]:
        return dollars(cost["expected"])
    return f"about {dollars(cost['expected'])} ({dollars(cost['low'])} to {dollars(cost['high'])})"


def _row(way: Mapping[str, Any]) -> list[str]:
    cost, seconds = way["cost_usd"], way["seconds"]
    money = [dollars(cost[name]) for name in ("low", "expected", "high")] if cost else ["–", "unknown", "–"]
    time = "unknown" if seconds is None else f"{roughly(seconds['low'])} to {roughly(seconds['high'])}"
    return [way["backend"], one_line(", ".join(way["models"]) or "–"), *money, time]


def _remarks(document: Mapping[str, Any]) -> Iterator[str]:
    for way in document["estimates"]:
        if way["cost_from"]:
            yield f"cost of {way['backend']}: {'from ' if way['cost_usd'] else ''}{one_line(way['cost_from'])}"
        if way["cache_saves_usd"] > 0:
            saved, each = dollars(way["cache_saves_usd"]), document["prompts"]["shared_tokens_each"]
            yield f"the prompt cache saves {saved} of it: {_tokens(each)} tokens are the same in every prompt"
    if any(way["backend"].startswith("anthropic") for way in document["estimates"]):
        prices = document["prices"]
        own = f"; your own for {one_line(', '.join(prices['own']))}" if prices["own"] else ""
        yield f"list prices of {prices['as_of']}: {prices['source']}{own}"
    yield f"not counted: {', '.join(document['not_counted'])}"


def _about_the_limit(output: Output, document: Mapping[str, Any]) -> None:
    limit = document["limit_usd"]
    if limit is None:
        return
    spent = f", {dollars(document['spent_usd'])} of it spent" if document["spent_usd"] else ""
    if document["is_above_limit"]:
        text = f"cost_limits.max_cost_per_job is {dollars(limit)}{spent}: the job will probably pause before it is done"
        output.warn(text)
    else:
        output.show(f"  cost_limits.max_cost_per_job: {dollars(limit)}{spent}")


def _tokens(amount: float) -> str:
    return count(round(amount))
