"""The command `history`: the runs of a job and how they compare, or of all jobs; and making the history anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from mozart_nb.cli.output import FAILED, OK, Output, status_text
from mozart_nb.consumers.history.rows import RUN_COLUMNS, RunRow, by_job, last_of
from mozart_nb.consumers.history.trend import changes
from mozart_nb.consumers.rows import iso, row_of
from mozart_nb.looking.history import RunWish, describe, find_notifications, find_runs
from mozart_nb.looking.recording import Rebuilt, rebuild
from mozart_nb.words import clock, cost, moment, one_line, percent, plural

_RUN_HEADS: Final = ["run", "started", "status", "took", "done", "failed", "first try", "retries", "cost", "why"]


def history(output: Output, job_id: str | None, workspace: Path | None, wish: RunWish) -> int:
    """Show the runs of a job, the last one first; without an id, one line per job."""
    notices: list[str] = []
    found = find_runs(job_id, workspace, wish if job_id is not None else _unlimited(wish), notices)
    for notice in notices:
        output.warn(notice)
    if job_id is None:
        return _show_jobs(output, found, wish.limit)
    if output.json:
        told = [_notification(row) for row in find_notifications(job_id, workspace)]
        output.document({"job_id": job_id, "runs": _documents(found), "notifications": told})
        return OK
    if not found:
        output.say("no such runs" if wish != RunWish(limit=wish.limit) else "no runs yet")
        return OK
    now = time.time()
    output.table(_RUN_HEADS, (_run_row(run, now) for run in found), flexible=-1)
    if compared := [f"{change.what} {change.first} → {change.last}" for change in changes(found)]:
        output.show(f"from the first to the last of these: {', '.join(compared)}")
    return OK


def _unlimited(wish: RunWish) -> RunWish:
    return RunWish(wish.status, wish.since, wish.until)


def _documents(found: Sequence[RunRow]) -> list[dict[str, Any]]:
    return [row_of(RUN_COLUMNS, run) for run in found]


def _run_row(run: RunRow, now: float) -> list[str | Text]:
    tally = run.tally
    number = str(tally.number) if run.is_present else f"{tally.number} (before)"
    return [
        number,
        moment(tally.started_at, now),
        status_text(run.status),
        clock(run.duration or 0.0),
        f"{tally.completed:,}/{tally.total:,}",
        str(tally.failed or ""),
        _percent(run.first_try_rate),
        str(tally.retries or ""),
        cost(tally.cost_usd, tally.unknown_costs),
        describe(run),
    ]


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)


def _notification(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "created_at": iso(row["created_at"]), "delivered_at": iso(row["delivered_at"])}


# --- all jobs ---------------------------------------------------------------------------------------------------------


def _show_jobs(output: Output, found: Sequence[RunRow], limit: int) -> int:
    jobs = by_job(found)[: limit or None]
    if output.json:
        output.document({"jobs": [_job_document(runs) for runs in jobs]})
        return OK
    if not jobs:
        output.say("no runs yet")
        return OK
    now = time.time()
    heads = ["job", "runs", "last start", "status", "took", "success", "first try", "cost of all", "workspace"]
    output.table(heads, (_job_row(runs, now) for runs in jobs), flexible=-1)
    return OK


def _job_document(runs: Sequence[RunRow]) -> dict[str, Any]:
    last = last_of(runs)
    return {
        "job_id": last.job_id,
        "workspace": last.workspace,
        "gone": last.is_gone,
        "runs": len(runs),
        "cost": round(sum(run.tally.cost_usd for run in runs), 6),
        "cost_known": not any(run.tally.unknown_costs for run in runs),
        "last_run": row_of(RUN_COLUMNS, last),
    }


def _job_row(runs: Sequence[RunRow], now: float) -> list[str | Text]:
    last = last_of(runs)
    return [
        last.job_id,
        str(len(runs)),
        moment(last.tally.started_at, now),
        status_text(last.status),
        clock(last.duration or 0.0),
        _percent(last.success_rate),
        _percent(last.first_try_rate),
        cost(sum(run.tally.cost_usd for run in runs), sum(run.tally.unknown_costs for run in runs)),
        f"{'gone: ' if last.is_gone else ''}{one_line(last.workspace, 300)}",
    ]


# --- anew -------------------------------------------------------------------------------------------------------------


def make_anew(output: Output) -> int:
    """Make the history anew from the journals. Exit code 1 when some job's record could not be read."""
    done = rebuild(output.warn)
    if output.json:
        output.document(_rebuilt(done))
        return FAILED if done.unreadable else OK
    mirrors = f", {plural(done.mirrors, 'mirror')}" if done.mirrors else ""
    output.say(f"{plural(done.jobs, 'job')} read anew{mirrors}; the history knows {plural(done.runs, 'run')}")
    for name in done.left_alone:
        output.say(f"left to its host, which runs it now: {name}")
    for name, why in done.unreadable.items():
        output.complain(f"{name}: {why}")
    return FAILED if done.unreadable else OK


def _rebuilt(done: Rebuilt) -> dict[str, Any]:
    return {
        "jobs": done.jobs,
        "runs": done.runs,
        "mirrors": done.mirrors,
        "running": done.left_alone,
        "unreadable": done.unreadable,
    }
