"""The command `dashboard`, in the panel "Look"."""

from __future__ import annotations

from typing import Annotated

import typer

from mozart_nb.cli.commands._app import output_of
from mozart_nb.cli.commands.look import PANEL

commands = typer.Typer()


@commands.command("dashboard", rich_help_panel=PANEL)
def dashboard(
    ctx: typer.Context,
    port: Annotated[
        int | None,
        typer.Option("--port", "-p", metavar="N", min=0, max=65535, help="Port; by default the next free from 8000."),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """Pages for all jobs in a browser, and the REST API, until Ctrl-C. It runs no jobs: nothing stops with it."""
    from mozart_nb.jupyter.server.standalone import is_loopback, serve

    output = output_of(ctx, json=False)

    def say(url: str) -> None:
        # Not by `show`, which blots out secrets: this token is what was asked for.
        output.out.print(f"Pages of all jobs: {url}", soft_wrap=True, markup=False, highlight=False)
        output.say("Ctrl-C ends them; jobs go on.")

    if not is_loopback(host):
        output.warn(
            f"the pages are reachable at {host}, unencrypted: whoever reads along has the token. A tunnel is safer:"
            " `ssh -L 8000:127.0.0.1:8000 …`"
        )
    serve(host=host, port=port, open_browser=not no_browser, say=say)
