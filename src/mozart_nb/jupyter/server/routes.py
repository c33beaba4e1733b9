"""Every address below `/mozart`, with its handler."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from jupyter_server.utils import url_path_join
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import PathMatches, Router
from tornado.web import Application

from mozart_nb.jupyter.server.base import ApiHandler, MozartHandler, PageHandler

Route = tuple[str, type[MozartHandler]]
"""A pattern below `/mozart` (`/api/jobs/(?P<key>[^/]+)`; the home page is `/?`) and what answers there."""

PREFIX: Final = "/mozart"


class NoSuchResource(ApiHandler):
    """Whatever else is asked of the API."""

    def get(self, *args: str) -> None:
        """404."""
        self.refuse(404, "There is nothing at this address.")

    post = put = patch = delete = get


class NoSuchPage(PageHandler):
    """Whatever else is asked below `/mozart`."""

    def get(self, *args: str) -> None:
        """404."""
        self.refuse(404, "There is no page at this address.")


@cache
def all_routes() -> tuple[Route, ...]:
    """What the API and the pages answer to, then what answers for everything else; the first that fits answers.

    The first call imports all of it, which takes about half a second.
    """
    from mozart_nb.jupyter.server import api, pages

    rest: list[Route] = [("/api(?:/.*)?", NoSuchResource), ("(?:/.*)?", NoSuchPage)]
    return (*api.routes(), *pages.routes(), *rest)


class LateRoutes(Router):
    """Knows its handlers when the first of them is needed: starting a JupyterLab must not wait for our imports."""

    SUPPORTED_METHODS: tuple[str, ...] = ()
    """Jupyter Server looks here for methods that lack authentication; those of `all_routes` have it by their base."""

    def __init__(self, application: Application, base_url: str) -> None:
        self._application = application
        self._base_url = base_url
        self._rules: list[tuple[PathMatches, type[MozartHandler]]] = []

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        """What answers this request."""
        for matcher, handler in self._rules or self._learn():
            found = matcher.match(request)
            if found is not None:
                return self._application.get_handler_delegate(request, handler, {"name": handler.name}, **found)
        return None

    def _learn(self) -> list[tuple[PathMatches, type[MozartHandler]]]:
        base = re.escape(url_path_join(self._base_url, PREFIX))
        self._rules = [(PathMatches(f"{base}{pattern}"), handler) for pattern, handler in all_routes()]
        return self._rules
