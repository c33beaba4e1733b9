"""The panel "Conductor": the process that carries jobs which outlive kernels and terminals."""

from __future__ import annotations

from typing import Annotated

import typer

from mozart_nb.cli.commands._app import Json, output_of

PANEL = "Conductor"

commands = typer.Typer()

conductor = typer.Typer(
    name="conductor", help="Settings of the conductor, and the jobs that wait for a word.", no_args_is_help=True
)

Foreground = Annotated[
    bool, typer.Option("--foreground", "-f", help="Stay in this terminal, or with a service manager, until stopped.")
]
Seconds = Annotated[
    float | None,
    typer.Option("--timeout", "-t", metavar="SECONDS", min=0, help="How long running sessions may take to finish."),
]


@commands.command(rich_help_panel=PANEL)
def start(ctx: typer.Context, foreground: Foreground = False, json: Json = False) -> None:
    """Start the conductor; it goes on with the jobs that it was carrying."""
    from mozart_nb.cli.conductor import start as do

    raise typer.Exit(do(output_of(ctx, json), foreground=foreground))


@commands.command(rich_help_panel=PANEL)
def stop(
    ctx: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Kill it; its jobs go on with its next start all the same.")
    ] = False,
    timeout: Seconds = None,
    json: Json = False,
) -> None:
    """Stop the conductor. Its jobs are saved, and go on when it is started again. Exit code 1 when it does not run."""
    from mozart_nb.cli.conductor import stop as do

    raise typer.Exit(do(output_of(ctx, json), force=force, seconds=timeout))


@commands.command(rich_help_panel=PANEL)
def restart(ctx: typer.Context, timeout: Seconds = None, json: Json = False) -> None:
    """Stop the conductor, if it runs, and start it with the environment of this terminal."""
    from mozart_nb.cli.conductor import restart as do

    raise typer.Exit(do(output_of(ctx, json), seconds=timeout))


@commands.command("conductor-status", rich_help_panel=PANEL)
def conductor_status(ctx: typer.Context, json: Json = False) -> None:
    """Show what the conductor carries and what the machine can take. Exit code 1 when it does not run."""
    from mozart_nb.cli.conductor import status as do

    raise typer.Exit(do(output_of(ctx, json)))


@conductor.command()
def config(
    ctx: typer.Context,
    init: Annotated[bool, typer.Option("--init", help="Write a file with every setting, commented out.")] = False,
    json: Json = False,
) -> None:
    """Show the settings, and the file that they are in."""
    from mozart_nb.cli.conductor import config as do

    raise typer.Exit(do(output_of(ctx, json), init=init))


@conductor.command()
def check(ctx: typer.Context, json: Json = False) -> None:
    """Check the settings file. Exit code 2 for one that is wrong."""
    from mozart_nb.cli.conductor import check as do

    raise typer.Exit(do(output_of(ctx, json)))


@conductor.command()
def reload(ctx: typer.Context, json: Json = False) -> None:
    """Have the conductor read its settings again; settings that are wrong change nothing."""
    from mozart_nb.cli.conductor import reload as do

    raise typer.Exit(do(output_of(ctx, json)))


@conductor.command()
def release(ctx: typer.Context, json: Json = False) -> None:
    """Let jobs go on that the conductor holds since its last start."""
    from mozart_nb.cli.conductor import release as do

    raise typer.Exit(do(output_of(ctx, json)))


@conductor.command()
def adopt(
    ctx: typer.Context,
    jobs: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Only these.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Have the conductor take up jobs whose host died, such as those of a killed kernel."""
    from mozart_nb.cli.conductor import adopt as do

    raise typer.Exit(do(output_of(ctx, json), jobs or []))


commands.add_typer(conductor, rich_help_panel=PANEL)
