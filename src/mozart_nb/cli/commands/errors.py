"""Of the panel "Look closer": what failed, and why a job is where it is."""

from __future__ import annotations

from typing import Annotated

import typer

from mozart_nb.cli.commands._app import JobId, Json, MaybeJobId, Workspace, output_of

PANEL = "Look closer"

commands = typer.Typer()


@commands.command(rich_help_panel=PANEL)
def errors(
    ctx: typer.Context,
    job: MaybeJobId = None,
    code: Annotated[str, typer.Option("--code", metavar="E201", help="Only this code.")] = "",
    batch: Annotated[int | None, typer.Option("--batch", metavar="N", min=1, help="Only this batch.")] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--type", metavar="TYPE", help="Only these: transient, rate_limit, validation, timeout, signal or fatal."
        ),
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Only later ones: `2h`, `07:05`, `2026-11-20 07:05`.")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Only earlier ones.")] = "",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="What each rule expected and saw, and ends of the output.")
    ] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Show what failed and what to do about it, grouped by code: of one job, or of all."""
    from mozart_nb.cli.errors import ErrorsWish
    from mozart_nb.cli.errors import errors as do

    output = output_of(ctx, json)
    is_verbose = verbose or output.verbose
    wish = ErrorsWish(code=code, batch=batch or 0, kind=kind, since=since, until=until, verbose=is_verbose)
    raise typer.Exit(do(output, job, workspace, wish))


@commands.command(rich_help_panel=PANEL)
def diagnose(
    ctx: typer.Context,
    job: JobId,
    include_output: Annotated[
        bool, typer.Option("--include-output", help="Also the ends of what sessions of failed batches printed.")
    ] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Show what went wrong, why, and what to do now. A job file does as well as an ID."""
    from mozart_nb.cli.diagnose import diagnose as do

    raise typer.Exit(do(output_of(ctx, json), job, workspace, include_output=include_output))
