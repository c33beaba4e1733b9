"""What all pages have in common: who they are for, what their templates know, and that they can be part of a page."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from mozart_nb.jupyter.server.base import PageHandler
from mozart_nb.jupyter.server.pages import words
from mozart_nb.jupyter.server.pages.addresses import Query, To, with_query

FRAGMENT: Final = "fragment"
"""Name in the query of requests that only want what changes of a page; scripts replace it piece by piece."""


@dataclass(frozen=True, slots=True)
class Live:
    """How a page stays up to date: asked for anew at `page` every `seconds`, and whenever `events` tells of news."""

    page: str
    seconds: int
    events: str = ""


class Page(PageHandler):
    """One page. `show` renders it; with `?fragment=1` in the address it is only the part that changes."""

    place = "jobs"

    @property
    def to(self) -> To:
        """Where other pages are."""
        return To(str(super().template_namespace["mozart_url"]))

    @property
    def query(self) -> Query:
        """What the address asks for."""
        return Query.of(self.request.query_arguments)

    def show(self, template: str, *, live: Live | None = None, status: int = 200, **values: Any) -> None:
        """Send the page, or its changing part."""
        is_part = self.query.has(FRAGMENT)
        frame = "fragment.html" if is_part else "layout.html"
        self.render_page(template, status=status, frame=frame, live=live, now=time.time(), **values)

    def live(self, seconds: int, events: str = "") -> Live:
        """This page, as scripts ask for it anew."""
        given = {name: values for name, values in self.query.given.items() if name not in (FRAGMENT, "token")}
        return Live(with_query(self.request.path, {**given, FRAGMENT: "1"}), seconds, events)

    @property
    def template_namespace(self) -> dict[str, Any]:
        return {**super().template_namespace, "w": words, "to": self.to, "place": self.place}
