"""The panel "Jobs": which there are, how they stand, and what stops them."""

from __future__ import annotations

from typing import Annotated

import typer

from mozart_nb.cli.commands._app import JobId, Json, MaybeJobId, Workspace, output_of

PANEL = "Jobs"

commands = typer.Typer()


@commands.command(rich_help_panel=PANEL)
def status(
    ctx: typer.Context,
    job: MaybeJobId = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it until it settles.")] = False,
    batches: Annotated[
        str, typer.Option("--batches", metavar="WHICH", help="List batches: `failed`, another status, `all`, `3,7-9`.")
    ] = "",
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Show how a job stands; without an ID, how all jobs stand."""
    from mozart_nb.cli.status import status as do

    raise typer.Exit(do(output_of(ctx, json), job, workspace, batches=batches, keep_watching=watch))


@commands.command("list", rich_help_panel=PANEL)
def list_jobs(
    ctx: typer.Context,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Only jobs with this status.")
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", metavar="TYPE", help="Only jobs that this backend answers: `claude_cli`, …")
    ] = "",
    name: Annotated[
        str,
        typer.Option("--name", metavar="TEXT", help="Only jobs with this in id or name, or `a*`."),
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Only jobs that did something since: `14:00`, `2d`.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most N jobs; 0 means all.")] = 20,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """List jobs, the one that did something last first."""
    from mozart_nb.cli.listing import ListWish
    from mozart_nb.cli.listing import list_jobs as do

    wish = ListWish(status=status, backend=backend, name=name, since=since, limit=limit)
    raise typer.Exit(do(output_of(ctx, json), workspace, wish))


@commands.command(rich_help_panel=PANEL)
def pause(
    ctx: typer.Context,
    job: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the job has paused.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", "-t", metavar="SECONDS", min=0, help="Wait so long at most.")
    ] = None,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Pause a running job: running batches finish first."""
    from mozart_nb.cli.jobs import pause as do

    raise typer.Exit(do(output_of(ctx, json), job, workspace, wait=wait or timeout is not None, seconds=timeout))


@commands.command(rich_help_panel=PANEL)
def cancel(ctx: typer.Context, job: JobId, workspace: Workspace = None, json: Json = False) -> None:
    """End a job at once, its sessions too. It can be resumed later."""
    from mozart_nb.cli.jobs import cancel as do

    raise typer.Exit(do(output_of(ctx, json), job, workspace))
