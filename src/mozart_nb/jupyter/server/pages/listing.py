"""The home page: all jobs."""

from __future__ import annotations

from mozart_nb.jupyter.server.pages.shared import Page
from mozart_nb.jupyter.server.pages.views import home_view, job_wish

REFRESH_SECONDS = 4
"""The list has no stream of events; it is asked for anew while somebody looks at it."""


class Home(Page):
    """Every job that is known, with status, progress and cost."""

    async def get(self) -> None:
        wish = job_wish(self.query)
        page = await self.in_thread(self.board.jobs, wish)
        self.show("home.html", live=self.live(REFRESH_SECONDS), page=home_view(page, wish, self.to))
