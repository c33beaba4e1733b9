"""The runs of a job side by side: how they ended, and small bars for what changes from one to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.consumers.history.trend import changes
from mozart_nb.jupyter.looks.pieces import small_table
from mozart_nb.jupyter.looks.text import duration, escaped_line
from mozart_nb.jupyter.looks.theme import STYLE, framed, look_of, mark
from mozart_nb.looking.history import describe
from mozart_nb.words import cost, moment, percent, plural

MOST_ROWS: Final = 40
"""Runs that are shown; the frame has all of them."""

_BAR_PIXELS: Final = 70
_HEADS: Final = (
    "run",
    "started",
    "ended as",
    "done",
    "failed",
    "success",
    "first try",
    "took",
    "retries",
    "cost",
    "why",
)


def runs_html(found: Sequence[RunRow], *, job_id: str, now: float, notes: Sequence[str] = ()) -> str:
    """The runs of one job, the last one first. `now` in epoch seconds; `notes` are about the history itself."""
    longest = max((run.duration or 0.0 for run in found), default=0.0)
    dearest = max((run.tally.cost_usd for run in found), default=0.0)
    rows = (_row(run, now, longest, dearest) for run in found[:MOST_ROWS])
    left = len(found) - MOST_ROWS
    parts = [
        f"<p><b><bdi>{escaped_line(job_id, 80)}</bdi></b> <small>{plural(len(found), 'run')}</small></p>",
        small_table(_HEADS, rows, "runs of a job") or "<p>no such runs</p>",
        f"<p><small>and {left:,} more in the frame</small></p>" if left > 0 else "",
        _compared(found),
        *(f'<p class="mozart-note mozart-is-waiting"><bdi>{escaped_line(note, 300)}</bdi></p>' for note in notes),
    ]
    return STYLE + framed("".join(parts), "details")


def compared(found: Sequence[RunRow]) -> str:
    """`success 80 % → 95 %, …`, from the first to the last of these runs; empty with fewer than two."""
    return ", ".join(f"{change.what} {change.first} → {change.last}" for change in changes(found))


def _compared(found: Sequence[RunRow]) -> str:
    words = compared(found)
    return f"<p>from the first to the last of these: {escaped_line(words, 400)}</p>" if words else ""


def _row(run: RunRow, now: float, longest: float, dearest: float) -> Sequence[str]:
    tally = run.tally
    lasted = run.duration or 0.0
    before = "" if run.is_present else " <small>before</small>"
    return (
        f"{tally.number}{before}",
        _kept(escaped_line(moment(tally.started_at, now))),
        _kept(f"{mark(run.status)} {escaped_line(run.status, 20)}"),
        _kept(f"{tally.completed:,} of {tally.total:,}"),
        f"{tally.failed:,}" if tally.failed else "",
        _bar(run.success_rate, "completed", _percent(run.success_rate)),
        _bar(run.first_try_rate, "completed", _percent(run.first_try_rate)),
        _bar(lasted / longest if longest else None, "running", duration(lasted)),
        f"{tally.retries:,}" if tally.retries else "",
        _bar(tally.cost_usd / dearest if dearest else None, "waiting", cost(tally.cost_usd, tally.unknown_costs)),
        f"<bdi>{escaped_line(describe(run), 200)}</bdi>",
    )


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)


def _bar(share: float | None, status: str, words: str) -> str:
    """The words, and below them a bar of that share (0 to 1) of its place."""
    if share is None:
        return _kept(words)
    pixels = max(1, round(_BAR_PIXELS * min(1.0, share)))
    box = f'<i style="width:{pixels}px;height:4px;background-color:{look_of(status).colour}"></i>'
    return f'{_kept(words)}<div class="mozart-attempts" style="width:{_BAR_PIXELS}px">{box}</div>'


def _kept(html: str) -> str:
    """In one piece: a column is not made narrower than this."""
    return f'<span style="white-space:nowrap">{html}</span>'


def runs_text(found: Sequence[RunRow], now: float) -> Iterator[str]:
    """The same as lines."""
    for run in found[:MOST_ROWS]:
        tally = run.tally
        facts = [f"{tally.completed:,} of {tally.total:,} done", f"{tally.failed:,} failed" if tally.failed else ""]
        facts += [f"took {duration(run.duration or 0.0)}", cost(tally.cost_usd, tally.unknown_costs), describe(run)]
        said = ", ".join(fact for fact in facts if fact)
        yield f"run {tally.number}, {moment(tally.started_at, now)}: {run.status}, {said}"
    if words := compared(found):
        yield f"from the first to the last of these: {words}"
