"""The panel "Jobs", continued: what jobs ask of a person, and the answer."""

from __future__ import annotations

from typing import Annotated

import typer

from mozart_nb.cli.commands._app import JobId, Json, MaybeJobId, Workspace, asked, output_of
from mozart_nb.cli.commands.jobs import PANEL

commands = typer.Typer()


@commands.command(rich_help_panel=PANEL)
def questions(ctx: typer.Context, job: MaybeJobId = None, workspace: Workspace = None, json: Json = False) -> None:
    """Show what a job asks of a person; without an ID, what all running jobs ask."""
    from mozart_nb.cli.questions import questions as do

    raise typer.Exit(do(output_of(ctx, json), job, workspace))


@commands.command(rich_help_panel=PANEL)
def reply(
    ctx: typer.Context,
    job: JobId,
    batch: Annotated[int, typer.Argument(metavar="BATCH", min=1, help="The batch that it asks about.")],
    action: Annotated[
        str, typer.Argument(metavar="ANSWER", help="`proceed`, `skip`, `abort`, `add`; `retry` before it fails.")
    ],
    text: Annotated[
        str,
        typer.Option(
            "--text", metavar="TEXT", help="What to add, the prompt to retry with, or the reason; `-` reads stdin."
        ),
    ] = "",
    edit: Annotated[bool, typer.Option("--edit", help="Write that text in your editor.")] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Answer a question that a running job asks about a batch, whichever process runs it. The first answer counts."""
    from mozart_nb.cli.questions import ReplyWish
    from mozart_nb.cli.questions import reply as do

    raise typer.Exit(do(output_of(ctx, json), job, asked(ReplyWish, ctx)))
