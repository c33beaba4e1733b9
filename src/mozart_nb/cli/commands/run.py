"""The panel "Run": commands that execute a job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mozart_nb.cli.commands._app import (
    At,
    Batches,
    Conductor,
    Detach,
    DryRun,
    Escalation,
    Fresh,
    JobFile,
    JobId,
    Json,
    Limit,
    MaxConcurrent,
    Overrides,
    SelfHealing,
    Show,
    StartBatch,
    Strict,
    Workspace,
    Yes,
    asked,
    output_of,
)

PANEL = "Run"

commands = typer.Typer()


@commands.command(rich_help_panel=PANEL)
def run(
    ctx: typer.Context,
    job: JobFile,
    dry_run: DryRun = False,
    show: Show = None,
    rehearse: Annotated[bool, typer.Option("--rehearse", help="Free of charge, in a scratch folder.")] = False,
    limit: Limit = None,
    batches: Batches = "",
    fresh: Fresh = False,
    start_batch: StartBatch = 1,
    at: At = "",
    self_healing: SelfHealing = False,
    escalation: Escalation = False,
    yes: Yes = False,
    overrides: Overrides = None,
    max_concurrent: MaxConcurrent = None,
    strict: Strict = False,
    conductor: Conductor = None,
    detach: Detach = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Run a job file, or go on with it.

    A job that runs elsewhere is shown, an unfinished one goes on, a completed one is left alone.
    Ctrl-C pauses: running batches finish first. A second Ctrl-C leaves at once.
    With --conductor the job outlives this terminal, and Ctrl-C ends the showing only.
    """
    from mozart_nb.cli.finished import finished

    output = output_of(ctx, json)
    is_plain = not (dry_run or show or rehearse or batches or fresh or at or start_batch > 1)
    if is_plain and finished(output, job, overrides=overrides or (), strict=strict, workspace=workspace):
        raise typer.Exit

    from mozart_nb.cli.run import RunWish
    from mozart_nb.cli.run import run as do

    raise typer.Exit(do(output, job, asked(RunWish, ctx)))


@commands.command(rich_help_panel=PANEL)
def rehearse(
    ctx: typer.Context,
    job: JobFile,
    limit: Limit = None,
    batches: Batches = "",
    overrides: Overrides = None,
    max_concurrent: MaxConcurrent = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Run a job file free of charge, in a scratch folder that is named at the end (`run --rehearse`)."""
    from mozart_nb.cli.run import RunWish
    from mozart_nb.cli.run import run as do

    wish = replace(asked(RunWish, ctx), rehearse=True)
    raise typer.Exit(do(output_of(ctx, json), job, wish))


@commands.command(rich_help_panel=PANEL)
def resume(
    ctx: typer.Context,
    job: JobId,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Go on with this job file.")
    ] = None,
    reload_config: Annotated[bool, typer.Option("--reload-config", help="Read the job file anew.")] = False,
    keep_failed: Annotated[bool, typer.Option("--keep-failed", help="Leave failed batches as they are.")] = False,
    infer: Annotated[bool, typer.Option("--infer", help="Batches whose rules pass count as completed.")] = False,
    self_healing: SelfHealing = False,
    escalation: Escalation = False,
    yes: Yes = False,
    conductor: Conductor = None,
    detach: Detach = False,
    handover: Annotated[
        bool, typer.Option("--handover", help="Have whoever runs it now hand it over to the conductor.")
    ] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Go on with a job: everything that is not completed or skipped; failed batches with fresh budgets."""
    from mozart_nb.cli.jobs import ResumeWish
    from mozart_nb.cli.jobs import resume as do

    raise typer.Exit(do(output_of(ctx, json), job, asked(ResumeWish, ctx)))


@commands.command(rich_help_panel=PANEL)
def modify(
    ctx: typer.Context,
    job: JobId,
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The new job file.")],
    resume: Annotated[bool, typer.Option("--resume", "-r", help="Go on with it at once.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for running batches as long as it takes: so it is without --timeout.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", "-t", metavar="SECONDS", min=0, help="Wait so long at most.")
    ] = None,
    yes: Yes = False,
    conductor: Conductor = None,
    detach: Detach = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Give a job a new config: pause it if it runs, take the new file, and go on with -r."""
    from mozart_nb.cli.modify import ModifyWish
    from mozart_nb.cli.modify import modify as do

    wish = replace(asked(ModifyWish, ctx), seconds=None if wait else timeout)
    raise typer.Exit(do(output_of(ctx, json), job, wish))


@commands.command(rich_help_panel=PANEL)
def recover(
    ctx: typer.Context,
    job: JobId,
    dry_run: DryRun = False,
    conductor: Annotated[bool, typer.Option("--conductor", help="Have the conductor do it.")] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Check the rules of failed batches again, executing nothing; those that pass are completed."""
    from mozart_nb.cli.jobs import recover as do

    raise typer.Exit(do(output_of(ctx, json), job, workspace, dry_run=dry_run, conductor=conductor))
