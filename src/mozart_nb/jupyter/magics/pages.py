"""Plans, estimates and lists of jobs as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mozart_nb.consumers.progress import Progress
from mozart_nb.jupyter.magics.text_view import Page, page
from mozart_nb.words import clean, count, dollars, one_line, plural, roughly

SHOWN: Final = 20
"""Batches of a plan that are listed."""

_WIDEST: Final = 60


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Columns side by side; a cell is one line."""
    cells = [list(heads), *([one_line(cell, _WIDEST) for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(heads))]
    for row in cells:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


# --- plans ------------------------------------------------------------------------------------------------------------


def plan_page(document: Mapping[str, Any]) -> Page:
    """What a run would do; `document` is that of `planning.plan_document`."""
    return page(_plan(document))


def _plan(document: Mapping[str, Any]) -> Iterator[str]:
    total, first, last = (document[name] for name in ("total_batches", "first_item", "total_items"))
    yield f"{document['job_name']}: {plural(total, 'batch')}, items {first:,} to {last:,}"
    yield f"  backend      {document['backend']}, {document['max_concurrent']} at once"
    yield f"  workspace    {document['workspace']}"
    yield f"  directory    {document['working_directory']}"
    yield f"  this call    {_selection(document['selected'], total)}"
    if document["standing"] != "new":
        yield f"  on disk      {document['standing']}, {document['done']:,} of {total:,} done"
    tokens = document["tokens"]
    if tokens["prompts_rendered"]:
        each = f"{count(tokens['smallest'])} to {count(tokens['largest'])} tokens each"
        yield f"  prompts      {each}, {count(tokens['all_prompts'])} in all (estimated {tokens['estimated_from']})"
    else:
        yield "  prompts      need what only a run has (rows, earlier outputs)"
    yield f"  cost         {cost_text(document['estimate'])}"
    yield ""
    yield from _batches(document)
    if "show" in document:
        yield from _prompt(document["show"])
    else:
        yield "--show N shows the prompt of batch N"
    yield "dry run: nothing was written, nothing was sent"


def _selection(selected: Mapping[str, Any], total: int) -> str:
    if selected["count"] == total:
        return "every batch"
    parts = _spans(selected["batches"])
    if selected["limit"]:
        return f"at most {plural(selected['limit'], 'batch')} of {parts}"
    return f"{plural(selected['count'], 'batch')}: {parts}"


def _spans(parts: Sequence[Sequence[int]]) -> str:
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def _batches(document: Mapping[str, Any]) -> Iterator[str]:
    batches = document["batches"]
    shown = batches if len(batches) <= SHOWN else [*batches[: SHOWN - 3], *batches[-3:]]
    rows = [
        (
            str(batch["batch"]),
            _spans([(batch["first_item"], batch["last_item"])]),
            f"{batch['stage']}.{batch['instance']}" if document["stages"] else "",
            _spans(batch["waits_for"]),
            *("?" if batch[key] is None else count(batch[key]) for key in ("prompt_tokens", "rules")),
        )
        for batch in shown
    ]
    heads = ("batch", "items", "stage", "waits for", "tokens", "rules")
    used = [place for place in range(len(heads)) if any(row[place] for row in rows)]
    yield from table([heads[place] for place in used], ([row[place] for place in used] for row in rows))
    if left := document["total_batches"] - len(shown):
        yield f"  … {plural(left, 'batch')} not listed"


def _prompt(shown: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"prompt of batch {shown['batch']}"
    yield clean(shown["prompt"]).rstrip("\n")
    yield ""
    yield f"its rules ({len(shown['rules'])})"
    for rule in shown["rules"]:
        facts = " ".join(one_line(str(rule[key])) for key in ("path", "pattern", "command") if rule[key])
        yield f"  {rule['type']}  {facts}"


# --- estimates --------------------------------------------------------------------------------------------------------


def estimate_page(document: Mapping[str, Any]) -> Page:
    """What a job will cost; `document` is that of `estimating.estimate`."""
    return page(_estimate(document))


def _estimate(document: Mapping[str, Any]) -> Iterator[str]:
    left, total = document["sessions"], document["total_batches"]
    rest = "" if left == total else f" ({total:,} in all)"
    yield f"{document['job_name']}: {plural(left, 'batch')} to do, one session each{rest}"
    for name in ("prompts", "answers"):
        sizes = document[name]
        if sizes["tokens_each"] is None:
            yield f"  {name:<9} unknown: {sizes['estimated_from'].removeprefix('nothing: ')}"
        else:
            each, all_ = sizes["tokens_each"]["expected"], sizes["tokens"]["expected"]
            yield f"  {name:<9} {_tokens(each)} tokens each, {_tokens(all_)} in all, from {sizes['estimated_from']}"
    yield ""
    yield from table(("through", "model", "cost", "time"), (_way(way) for way in document["estimates"]))
    for way in document["estimates"]:
        if way["cost_from"]:
            yield f"  cost of {way['backend']}: {'from ' if way['cost_usd'] else ''}{one_line(way['cost_from'])}"
    yield f"  not counted: {', '.join(document['not_counted'])}"
    if document["counting_failed"]:
        yield f"  {one_line(document['counting_failed'])}; the prompts were estimated instead"
    limit = document["limit_usd"]
    if limit is not None:
        above = ": the job will probably pause before it is done" if document["is_above_limit"] else ""
        yield f"  cost_limits.max_cost_per_job is {dollars(limit)}{above}"


def _way(way: Mapping[str, Any]) -> Sequence[str]:
    seconds = way["seconds"]
    time = "unknown" if seconds is None else f"{roughly(seconds['low'])} to {roughly(seconds['high'])}"
    return way["backend"], ", ".join(way["models"]) or "–", cost_text(way, short=True), time


def cost_text(way: Mapping[str, Any], *, short: bool = False) -> str:
    """What one way of running a job costs, in one phrase; `short`: without the reason why it is not known."""
    cost = way["cost_usd"]
    if cost is None:
        return "unknown" if short else one_line(way["cost_from"] or "unknown")
    if cost["low"] == cost["high"]:
        return dollars(cost["expected"])
    return f"about {dollars(cost['expected'])} ({dollars(cost['low'])} to {dollars(cost['high'])})"


def _tokens(amount: float) -> str:
    return count(round(amount))


# --- jobs -------------------------------------------------------------------------------------------------------------


def jobs_page(jobs: Iterable[tuple[Progress, str]]) -> Page:
    """A line per job, with where it is known from."""
    rows = [
        (
            progress.job_id,
            progress.status,
            f"{progress.done:,}/{progress.total:,}",
            str(progress.failed or ""),
            place,
        )
        for progress, place in jobs
    ]
    return page(table(("job", "status", "done", "failed", "where"), rows))
