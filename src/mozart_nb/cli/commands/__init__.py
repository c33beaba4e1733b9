"""Every command with its options, one module per panel of `--help`.

What a command does is imported when it is called, so that `--help` is quick.
"""

from __future__ import annotations

from mozart_nb.cli.commands import (
    check,
    conductor,
    dashboard,
    errors,
    jobs,
    learning,
    look,
    notify,
    past,
    questions,
    run,
)
from mozart_nb.cli.commands._app import app

__all__ = ["app"]

for panel in (
    run,
    jobs,
    questions,
    errors,
    look,
    dashboard,
    conductor,
    past,
    learning,
    check,
    notify,
):  # the order of the help page
    app.add_typer(panel.commands)
