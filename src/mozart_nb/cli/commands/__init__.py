"""Every command with its options, one module per panel of `--help`.

What a command does is imported when it is called, so that `--help` is quick.
"""

from __future__ import annotations

from mozart_nb.cli.commands import check, jobs, learning, look, run
from mozart_nb.cli.commands._app import app

__all__ = ["app"]

for panel in (run, jobs, look, learning, check):  # the order of the help page
    app.add_typer(panel.commands)
