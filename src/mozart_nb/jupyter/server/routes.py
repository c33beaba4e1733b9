"""Every address below `/mozart`, with its handler."""

from __future__ import annotations

from mozart_nb.jupyter.server import api, pages
from mozart_nb.jupyter.server.base import ApiHandler, MozartHandler, PageHandler

Route = tuple[str, type[MozartHandler]]
"""A pattern below `/mozart` (`/api/jobs/(?P<key>[^/]+)`; the home page is `/?`) and what answers there."""

PREFIX = "/mozart"


class NoSuchResource(ApiHandler):
    """Whatever else is asked of the API."""

    def get(self, *args: str) -> None:
        self.refuse(404, "There is nothing at this address.")

    post = put = patch = delete = get


class NoSuchPage(PageHandler):
    """Whatever else is asked below `/mozart`."""

    def get(self, *args: str) -> None:
        self.refuse(404, "There is no page at this address.")


def all_routes() -> list[Route]:
    """What the API and the pages answer to, then what answers for everything else; the first that fits answers."""
    rest: list[Route] = [("/api(?:/.*)?", NoSuchResource), ("(?:/.*)?", NoSuchPage)]
    return [*api.routes(), *pages.routes(), *rest]
