"""The page about runs of all jobs, or of one: how they ended, what they cost, how that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mozart_nb.consumers.history.rows import RUN_STATUSES, RunRow
from mozart_nb.errors import MisuseError, UnknownJobError
from mozart_nb.jupyter.looks.history import compared
from mozart_nb.jupyter.server.pages.addresses import Query, To, with_query
from mozart_nb.jupyter.server.pages.charts import Trend, trends_of
from mozart_nb.jupyter.server.pages.shared import Page
from mozart_nb.jupyter.server.pages.views import Pager, offset_of, pager_of
from mozart_nb.looking.board import Board, JobWish
from mozart_nb.looking.history import RunWish, run_wish
from mozart_nb.words import cost, plural

ROWS_PER_PAGE: Final = 50
REFRESH_SECONDS: Final = 15
_MOST_IDS: Final = 200


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A run, and where it leads."""

    run: RunRow
    href: str


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The runs that are asked for, the last one first."""

    job_id: str
    job_href: str
    job_ids: Sequence[str]
    status: str
    since: str
    until: str
    rows: Sequence[HistoryRow]
    pager: Pager
    trends: Sequence[Trend]
    compared: str
    caption: str
    is_filtered: bool
    problem: str = ""
    statuses: Sequence[str] = RUN_STATUSES


def history_view(board: Board, query: Query, to: To) -> HistoryView:
    """The page as the address asks for it. Blocks."""
    job_id, status = query.text("job"), query.one_of("status", RUN_STATUSES, "")
    since, until = query.text("since"), query.text("until")
    wish, problem = RunWish(status=status), ""
    try:
        wish = run_wish(status=status, since=since, until=until)
    except MisuseError as error:
        problem = error.message
    keys = {one.key: one.job_id for one in board.jobs(JobWish(limit=_MOST_IDS)).jobs}
    found = board.runs(None, wish)
    suiting = [run for run in found if run.job_id == job_id] if job_id else found
    offset = offset_of(query, ROWS_PER_PAGE)
    values = {"job": job_id, "status": status, "since": since, "until": until}
    return HistoryView(
        job_id=job_id,
        job_href=_job_href(board, job_id, to),
        job_ids=sorted({*keys.values(), *(run.job_id for run in found)})[:_MOST_IDS],
        status=status,
        since=since,
        until=until,
        rows=[
            HistoryRow(run, with_query(to.history, {**values, "job": run.job_id}))
            for run in suiting[offset : offset + ROWS_PER_PAGE]
        ],
        pager=pager_of("Pages of runs", offset, ROWS_PER_PAGE, len(suiting), to.history, values),
        trends=trends_of(suiting) if job_id else (),
        compared=compared(suiting) if job_id else "",
        caption=_caption(suiting),
        is_filtered=any(values.values()),
        problem=problem,
    )


def _job_href(board: Board, job_id: str, to: To) -> str:
    if not job_id:
        return ""
    try:
        board.find(job_id)
    except UnknownJobError:
        return ""  # only the history knows of it
    except MisuseError:
        return with_query(to.home, {"q": job_id})  # several workspaces have one
    return to.job(job_id)


def _caption(runs: Sequence[RunRow]) -> str:
    total = sum(run.tally.cost_usd for run in runs)
    unknown = sum(run.tally.unknown_costs for run in runs)
    return f"{plural(len(runs), 'run')} · {cost(total, unknown)}" if runs else ""


class History(Page):
    """`/mozart/history`."""

    place = "history"

    async def get(self) -> None:
        view = await self.in_thread(history_view, self.board, self.query, self.to)
        self.show("history.html", live=self.live(REFRESH_SECONDS), page=view)
