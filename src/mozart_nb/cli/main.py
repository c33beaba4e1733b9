"""The entry point of `mozart` and of `python -m mozart_nb`."""

from __future__ import annotations

from mozart_nb.cli.commands import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; exits with 0 completed, 1 failed, 2 usage, 3 paused, 4 cancelled."""
    app(prog_name="mozart")
