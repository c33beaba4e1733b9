"""What all pages have in common: who they are for, what their templates know, and that they can be part of a page."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from mozart_nb.jupyter.server.base import PageHandler
from mozart_nb.jupyter.server.pages import words
from mozart_nb.jupyter.server.pages.addresses import Query, To, with_query

SHARED_SECONDS: Final = 0.5
_MOST_SHARED: Final = 64

FRAGMENT: Final = "fragment"
"""Name in the query of requests that only want what changes of a page; scripts replace it piece by piece."""


@dataclass(frozen=True, slots=True)
class Live:
    """How a page stays up to date: asked for anew at `page` every `seconds`, and whenever `events` tells of news."""

    page: str
    seconds: int
    events: str = ""


class Fragments:
    """Changing parts of pages that were just rendered: all who watch a page see one rendering of it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def get(self, address: str) -> str | None:
        """The part at that address, if it is not older than `SHARED_SECONDS`."""
        made_at, html = self._kept.get(address, (float("-inf"), ""))
        return html if time.monotonic() - made_at < SHARED_SECONDS else None

    def put(self, address: str, html: str) -> None:
        """Share it from now on. The oldest ones are forgotten."""
        self._kept[address] = (time.monotonic(), html)
        self._kept.move_to_end(address)
        while len(self._kept) > _MOST_SHARED:
            self._kept.popitem(last=False)


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
        if not self.query.has(FRAGMENT):
            self.render_page(template, status=status, frame="layout.html", live=live, now=time.time(), **values)
            return
        html = self.render_template(template, frame="fragment.html", live=live, now=time.time(), **values)
        self.fragments.put(self.request.uri or "", html)
        self.set_status(status)
        self.finish(html)

    def shows_shared(self) -> bool:
        """Whether the changing part that is asked for was just rendered for somebody else, and is sent."""
        html = self.fragments.get(self.request.uri or "") if self.query.has(FRAGMENT) else None
        if html is not None:
            self.finish(html)
        return html is not None

    @property
    def fragments(self) -> Fragments:
        """One for all pages of a server."""
        kept: Fragments = self.settings.setdefault("mozart_fragments", Fragments())
        return kept

    def live(self, seconds: int, events: str = "") -> Live:
        """This page, as scripts ask for it anew."""
        given = {name: values for name, values in self.query.given.items() if name not in (FRAGMENT, "token")}
        return Live(with_query(self.request.path, {**given, FRAGMENT: "1"}), seconds, events)

    @property
    def template_namespace(self) -> dict[str, Any]:
        return {**super().template_namespace, "w": words, "to": self.to, "place": self.place}
