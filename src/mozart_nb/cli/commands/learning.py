"""The command `learning`, in the panel "Look closer"."""

from __future__ import annotations

from typing import Annotated

import typer

from mozart_nb.cli.commands._app import Json, output_of
from mozart_nb.cli.commands.look import PANEL

commands = typer.Typer()


@commands.command(rich_help_panel=PANEL)
def learning(
    ctx: typer.Context,
    about: Annotated[
        str | None, typer.Argument(metavar="TEMPLATE|JOB", help="Only this template, or the templates of this job.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most N templates; 0 means all.")] = 5,
    json: Json = False,
) -> None:
    """Show what earlier jobs came to, by template and by rule, and what it says about settings.

    A template is named by its file, by the job that has it, or by the begin of its key. Nothing is ever applied.
    """
    from mozart_nb.cli.learning import learning as do

    raise typer.Exit(do(output_of(ctx, json), about, limit=limit))
