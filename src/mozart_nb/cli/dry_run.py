"""`run --dry-run` on a terminal."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from mozart_nb.cli.output import Output
from mozart_nb.plans.words import NOTHING_DONE, plan_head, plan_lines, plan_table, prompt_lines


def show_plan(output: Output, document: dict[str, Any]) -> None:
    """A dry run on a terminal."""
    name, size = plan_head(document)
    output.show(Text.assemble((name, "bold"), f": {size}"))
    for line in plan_lines(document):
        output.show(f"  {line}")
    output.show()
    table = plan_table(document)
    output.table(table.heads, table.rows)
    if table.left:
        output.show(table.left)
    if "show" in document:
        _show_prompt(output, document["show"])
    else:
        output.say("--show N prints the prompt of batch N")
    output.say(NOTHING_DONE)


def _show_prompt(output: Output, shown: dict[str, Any]) -> None:
    prompt, rules = prompt_lines(shown)
    output.show()
    output.show(Text(f"prompt of batch {shown['batch']}", style="bold"))
    output.show(prompt)
    output.show()
    output.show(Text(f"its rules ({len(shown['rules'])})", style="bold"))
    if rules:
        output.show(rules)
