"""The panel "Check": before a job is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mozart_nb.cli.commands._app import JobFile, Json, MaxConcurrent, Overrides, Strict, Workspace, output_of

PANEL = "Check"

commands = typer.Typer()


@commands.command(rich_help_panel=PANEL)
def validate(
    ctx: typer.Context,
    job: JobFile,
    fix: Annotated[
        bool, typer.Option("--fix", help="Correct what needs no questions: misspelled names, missing folders.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what --fix would change.")] = False,
    strict: Strict = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Check a job file; executes nothing. Exit code 1 for errors, 2 for a file that cannot be read."""
    from mozart_nb.cli.check import validate as do

    raise typer.Exit(do(output_of(ctx, json), job, workspace, fix=fix, strict=strict, dry_run=dry_run))


@commands.command(rich_help_panel=PANEL)
def estimate(
    ctx: typer.Context,
    job: JobFile,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the API to count tokens.")] = False,
    overrides: Overrides = None,
    max_concurrent: MaxConcurrent = None,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Say what a job will cost and how long it will take. Free of charge; writes nothing.

    With an API backend and its key, the API counts the tokens of a few prompts; else they are estimated.
    """
    from mozart_nb.cli.estimate import estimate_job as do

    at_once, changes = max_concurrent or 0, overrides or ()
    output = output_of(ctx, json)
    raise typer.Exit(do(output, job, workspace, offline=offline, overrides=changes, max_concurrent=at_once))


@commands.command(rich_help_panel=PANEL)
def schema(ctx: typer.Context, json: Json = False) -> None:
    """Print the JSON Schema of job files, for editors."""
    from mozart_nb.cli.check import schema as do

    raise typer.Exit(do(output_of(ctx, json)))


@commands.command(rich_help_panel=PANEL)
def init(
    ctx: typer.Context,
    job: Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The file to write.")] = Path("job.yaml"),
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the job. Default: the file's.")] = "",
    json: Json = False,
) -> None:
    """Write a commented job file to begin with."""
    from mozart_nb.cli.check import init as do

    raise typer.Exit(do(output_of(ctx, json), job, name or job.stem))


@commands.command(rich_help_panel=PANEL)
def doctor(ctx: typer.Context, workspace: Workspace = None, json: Json = False) -> None:
    """Check the installation: claude, login, notebooks, disk. Contacts nobody, costs nothing."""
    from mozart_nb.cli.doctor import doctor as do

    raise typer.Exit(do(output_of(ctx, json), workspace))
