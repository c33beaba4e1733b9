"""The REST API: what answers programs."""

from __future__ import annotations

from mozart_nb.jupyter.server.base import MozartHandler


def routes() -> list[tuple[str, type[MozartHandler]]]:
    """Patterns below `/mozart` with their handlers; the first that fits answers."""
    return []
