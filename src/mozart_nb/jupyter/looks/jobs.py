"""Several jobs, one line each: those that are known, and what the runs of each came to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from mozart_nb.consumers.history.rows import RunRow, last_of
from mozart_nb.jupyter.looks.columns import columns
from mozart_nb.jupyter.looks.pieces import small_table
from mozart_nb.jupyter.looks.text import duration, escaped_line
from mozart_nb.jupyter.looks.theme import STYLE, framed, mark
from mozart_nb.words import cost, moment, percent

MOST_ROWS: Final = 100
"""Jobs that are shown; the frame has all of them."""

LISTED: Final = ("job", "status", "done", "failed", "cost", "last event", "workspace")
RAN: Final = ("job", "runs", "last start", "status", "took", "success", "first try", "cost of all", "workspace")

_NONE: Final = "no such jobs"


def listed_row(job: Any, now: float) -> Sequence[str]:
    """The cells of `LISTED`. `job` has the columns of the frame as attributes; `now` in epoch seconds."""
    if job.status == "unreadable":
        return job.job_id, job.status, "", "", "", "", f"{job.workspace} ({job.reason})"
    return (
        job.job_id,
        job.status,
        f"{job.done:,}/{job.batches:,}",
        f"{job.failed:,}" if job.failed else "",
        cost(job.cost, 0 if job.cost_known else 1),
        moment(job.updated_at.timestamp(), now) if job.updated_at == job.updated_at else "never",  # NaT is not itself
        job.workspace,
    )


def ran_row(runs: Sequence[RunRow], now: float) -> Sequence[str]:
    """The cells of `RAN` for all runs of one job."""
    last = last_of(runs)
    return (
        last.job_id,
        f"{len(runs):,}",
        moment(last.tally.started_at, now),
        last.status,
        duration(last.duration or 0.0),
        _percent(last.success_rate),
        _percent(last.first_try_rate),
        cost(sum(run.tally.cost_usd for run in runs), sum(run.tally.unknown_costs for run in runs)),
        f"{'gone: ' if last.is_gone else ''}{last.workspace}",
    )


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)


def jobs_html(heads: Sequence[str], rows: Sequence[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """The jobs as a table. `notes` are about the history itself."""
    status = heads.index("status")
    table = small_table(heads, (_cells(row, status) for row in rows[:MOST_ROWS]), "jobs")
    left = len(rows) - MOST_ROWS
    more = f"<p><small>and {left:,} more: <code>.frame</code> has all</small></p>" if left > 0 else ""
    said = (f'<p class="mozart-note mozart-is-waiting"><bdi>{escaped_line(note, 300)}</bdi></p>' for note in notes)
    return STYLE + framed("".join((table or f"<p>{_NONE}</p>", more, *said)), "details")


def _cells(row: Sequence[str], status: int) -> Sequence[str]:
    cells = [f"<bdi>{escaped_line(cell, 300)}</bdi>" for cell in row]
    cells[status] = f"{mark(row[status])} {cells[status]}"
    return cells


def jobs_text(heads: Sequence[str], rows: Sequence[Sequence[str]], *, width: int = 0) -> Iterator[str]:
    """The same as lines for a terminal of `width` characters."""
    if not rows:
        yield _NONE
    yield from columns(heads, rows[:MOST_ROWS], width=width)
    if len(rows) > MOST_ROWS:
        yield f"and {len(rows) - MOST_ROWS:,} more: .frame has all"
