"""The pages: what people see and do in a browser.

addresses    where pages are, and what their addresses ask for
words        what templates say; the doors for foreign text
views, charts, maps     view-models, made from what the board answers
past         what is known of a job before now
shared       what all pages have in common
listing, overview, run, batch, history, new     one page each
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mozart_nb.jupyter.server.base import MozartHandler


def routes() -> list[tuple[str, type[MozartHandler]]]:
    """Every page: a pattern below `/mozart`, and what answers there."""
    from mozart_nb.jupyter.server.pages import batch, history, listing, new, overview, run

    return [
        ("/?", listing.Home),
        ("/history", history.History),
        ("/new", new.New),
        (r"/jobs/(?P<key>[^/]+)", overview.Job),
        (r"/jobs/(?P<key>[^/]+)/run", run.Run),
        (r"/jobs/(?P<key>[^/]+)/batches", batch.Batches),
        (r"/jobs/(?P<key>[^/]+)/batches/(?P<number>[1-9][0-9]{0,8})", batch.Batch),
    ]
