"""The REST API: what answers programs.

`table.RESOURCES` lists every operation; `openapi.document()` describes them.
"""

from __future__ import annotations

from mozart_nb.jupyter.server.base import MozartHandler


def routes() -> list[tuple[str, type[MozartHandler]]]:
    """Patterns below `/mozart` with their handlers; the first that fits answers."""
    from mozart_nb.jupyter.server.api.docs import DocsHandler, OpenApiHandler
    from mozart_nb.jupyter.server.api.table import RESOURCES

    described: list[tuple[str, type[MozartHandler]]] = [("/openapi.json", OpenApiHandler), ("/docs", DocsHandler)]
    return [*((resource.pattern, resource.handler) for resource in RESOURCES), *described]
