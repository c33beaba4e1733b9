"""The command `list`: the jobs that are known from here, and which of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import get_args

from rich.text import Text

from mozart_nb.cli.output import OK, Output, status_text
from mozart_nb.consumers.progress import LIVE
from mozart_nb.consumers.rows import JOB_STATUSES
from mozart_nb.errors import MisuseError
from mozart_nb.job.backends import BackendType
from mozart_nb.looking.history import Listed, known_jobs, moment_of
from mozart_nb.words import cost, moment, one_line, plural


@dataclass(frozen=True)
class ListWish:
    """Which jobs are asked for. `name` is an id or name with `*` and `?`, or a part of one; `limit` 0 means all.

    `since` is as people write times: jobs that did something after it.
    """

    status: str | None = None
    backend: str = ""
    name: str = ""
    since: str = ""
    limit: int = 0


def list_jobs(output: Output, workspace: Path | None, wish: ListWish) -> int:
    """Show jobs, the one that did something last first.

    Raises `MisuseError` for a status or a backend that does not exist.
    """
    if wish.status is not None and wish.status not in JOB_STATUSES:
        hint = f"one of {', '.join(JOB_STATUSES)}"
        raise MisuseError(f"--status {wish.status}: there is no such status of a job", hint=hint)
    notices: list[str] = []
    known = list(known_jobs(workspace, notices))
    _check_backend(wish.backend, known)
    for notice in notices:
        output.warn(notice)
    rows = list(islice(_suiting(known, wish), wish.limit or None))
    if output.json:
        output.document({"jobs": [row.document() for row in rows], "known": len(known)})
        return OK
    if not rows:
        output.say(_none(workspace, wish))
        return OK
    now = time.time()
    heads = ["job", "status", "done", "failed", "cost", "last event", "workspace"]
    output.table(heads, (_row(row, now) for row in rows), flexible=-1)
    return OK


def _check_backend(backend: str, known: Sequence[Listed]) -> None:
    """One that a known job has is right, whatever this version calls its backends."""
    types = get_args(BackendType)
    if backend and backend not in types and all(backend != row.view.job.backend for row in known):
        raise MisuseError(f"--backend {backend}: there is no such backend", hint=f"one of {', '.join(types)}")


def _suiting(known: Sequence[Listed], wish: ListWish) -> Iterator[Listed]:
    since = moment_of(wish.since, "--since")
    pattern = wish.name.lower()
    for row in known:
        job = row.view.job
        names = (row.layout.job_id.lower(), job.name.lower())
        if (
            wish.status in (None, row.status)
            and wish.backend in ("", job.backend)
            and (not pattern or any(pattern in name or fnmatchcase(name, pattern) for name in names))
            and (not since or job.at >= since)
        ):
            yield row


def _none(workspace: Path | None, wish: ListWish) -> str:
    if wish.status and not (wish.backend or wish.name or wish.since):
        return f"no jobs with status {wish.status}{' here' if workspace else ' yet'}"
    return "no such jobs" if wish.backend or wish.name or wish.since else f"no jobs {'here' if workspace else 'yet'}"


def _row(row: Listed, now: float) -> list[str | Text]:
    view, job = row.view, row.view.job
    shown = status_text(row.status)
    if row.status == "unreadable":
        return [view.job_id, shown, "", "", "", "", one_line(f"{view.workspace} ({view.message})", 300)]
    if job.questions and row.status in LIVE:
        shown = Text.assemble(shown, (f", {plural(len(job.questions), 'question')}", "bold yellow"))
    return [
        view.job_id,
        shown,
        f"{view.count('completed', 'skipped'):,}/{job.plan.total:,}",
        str(view.count("failed") or ""),
        cost(job.cost_usd, job.unknown_costs),
        moment(job.at, now),
        view.workspace,
    ]
