"""The pages: what people see and do in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mozart_nb.jupyter.server.base import MozartHandler


def routes() -> list[tuple[str, type[MozartHandler]]]:
    """Every page: a pattern below `/mozart`, and what answers there."""
    return []
