"""docs/commands.md: every command with its arguments and options, read from the command line itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import typer.main

from mozart_nb.cli import main

Table = Callable[[tuple[str, ...], Iterable[tuple[str, ...]]], str]

_INTRODUCTION = """\
`mozart`, `mozart-nb` and `python -m mozart_nb` are the same program. IDs of jobs are found from any folder. What a
command answers is on standard output, everything else on standard error; with `--json` standard output holds one
JSON document, whatever happens, and `logs --json` one per line.

{epilog}.
"""


def command_page(written: str, table: Table) -> str:
    """The page; `written` says what it is made from, `table` writes a table of Markdown."""
    program = typer.main.get_command(main.app)
    parts = ["# Commands\n", written, _INTRODUCTION.format(epilog=program.epilog)]
    parts += ["## Every command\n", "These may stand before or behind the command.\n", _parameters(program, table)]
    shown = [(name, one) for name, one in program.commands.items() if not one.hidden]  # type: ignore[attr-defined]
    for panel, commands in groupby(shown, key=lambda pair: pair[1].rich_help_panel):
        parts.append(f"## {panel}\n")
        parts += [_command(*pair, table) for name, one in commands for pair in _below(name, one)]
    return "\n".join(parts)


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The command, or those of a group under their full names."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for own, one in command.commands.items():
        yield from _below(f"{name} {own}", one)


def _command(name: str, command: Any, table: Table) -> str:
    arguments = " ".join(_argument(one) for one in command.params if one.param_type_name == "argument")
    usage = f"mozart {name} [OPTIONS] {arguments}".strip()
    return f"### {name}\n\n```sh\n{usage}\n```\n\n{_prose(command.help)}\n\n{_parameters(command, table)}"


def _argument(one: Any) -> str:
    name = one.metavar or one.name.upper()
    return name if one.required else f"[{name}]"


def _parameters(command: Any, table: Table) -> str:
    rows = [(_names(one), _meaning(one), _default(one)) for one in command.params if not getattr(one, "hidden", False)]
    return table(("argument or option", "meaning", "default"), rows) if rows else "No options.\n"


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{_argument(one)}`"
    value = "" if one.is_flag else f" {one.metavar or one.type.name.upper()}"
    return ", ".join(f"`{name}{value}`" for name in (*one.opts, *one.secondary_opts))


def _meaning(one: Any) -> str:
    return f"{_prose(one.help or '')}{' May be given several times.' if getattr(one, 'multiple', False) else ''}"


def _default(one: Any) -> str:
    if one.param_type_name == "option" and one.required:
        return "required"
    is_nothing = one.default in (None, "", False, ()) or callable(one.default)
    return "" if one.required or is_nothing else f"`{one.default}`"


def _prose(text: str) -> str:
    """A help text without the marks of Typer for how it is laid out."""
    return "\n".join(line.rstrip() for line in re.sub(r"[\b\f]", "", text).strip().split("\n"))
