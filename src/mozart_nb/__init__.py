"""Runs many Claude sessions from one description of the work, in Jupyter and without it."""

from __future__ import annotations

from typing import Any

__all__ = ["__version__"]

__version__ = "0.1.0"


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext mozart_nb`: the magics `%mozart` and `%%mozart`."""
    from mozart_nb.jupyter.loading import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext mozart_nb`: takes the magics out again; jobs that run go on."""
    from mozart_nb.jupyter.loading import unload

    unload(shell)
