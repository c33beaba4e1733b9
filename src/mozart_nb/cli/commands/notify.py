"""The command `notify-test`, in the panel "Check"."""

from __future__ import annotations

from typing import Annotated

import typer

from mozart_nb.cli.commands._app import DryRun, JobFile, Json, output_of
from mozart_nb.cli.commands.check import PANEL

commands = typer.Typer()


@commands.command("notify-test", rich_help_panel=PANEL)
def notify_test(
    ctx: typer.Context,
    job: JobFile,
    channel: Annotated[
        int | None, typer.Option("--channel", metavar="N", min=1, help="Only channel N of `notifications`, from 1.")
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Send a test message on every channel of `notifications`, once and now. Exit code 1 unless all were delivered."""
    from mozart_nb.cli.notify import notify_test as do

    raise typer.Exit(do(output_of(ctx, json), job, number=channel, dry_run=dry_run))
