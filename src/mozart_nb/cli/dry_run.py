"""`run --dry-run` on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from mozart_nb.cli.estimate import cost_text
from mozart_nb.cli.output import Output
from mozart_nb.engine.preflight import MAX_TOKENS, WARN_TOKENS
from mozart_nb.plans.outlook import HOW_ESTIMATED
from mozart_nb.words import clean, count, one_line, plural

SHOWN: Final = 20
"""Batches listed on a terminal."""


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
    output.show(f"  cost         {cost_text(document['estimate'])}")
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
