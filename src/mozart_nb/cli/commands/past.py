"""The command `history`, with its options."""

from __future__ import annotations

from typing import Annotated

import typer

from mozart_nb.cli.commands._app import Json, MaybeJobId, Workspace, output_of
from mozart_nb.errors import MisuseError

PANEL = "Look closer"

commands = typer.Typer()


@commands.command(rich_help_panel=PANEL)
def history(
    ctx: typer.Context,
    job: MaybeJobId = None,
    status: Annotated[
        str, typer.Option("--status", metavar="STATUS", help="Only runs that ended so: `failed`, `interrupted`, …")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Only runs that began later: `14:00`, `2d`, `2026-11-21`.")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Only runs that began earlier.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=0, help="At most N rows; 0 means all.")] = 20,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the history anew from the journals of all known jobs.")
    ] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Show every run of a job and how they compare; without an ID, one line per job."""
    from mozart_nb.cli.past import history as show
    from mozart_nb.cli.past import make_anew
    from mozart_nb.looking.history import run_wish

    output = output_of(ctx, json)
    if rebuild:
        if job is not None:
            raise MisuseError("--rebuild is about all jobs", hint="mozart history --rebuild")
        raise typer.Exit(make_anew(output))
    raise typer.Exit(show(output, job, workspace, run_wish(status=status, since=since, until=until, limit=limit)))
