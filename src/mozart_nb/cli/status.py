"""The command `status`: how jobs stand, from their records on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.text import Text

from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.attach import watch
from mozart_nb.cli.output import OK, STYLES, Output, exit_code_of, status_text
from mozart_nb.cli.render import (
    count_line,
    head_line,
    hook_lines,
    isolation_lines,
    remedy_lines,
    running_lines,
    wait_lines,
    when_line,
)
from mozart_nb.consumers.phrases import next_steps
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError
from mozart_nb.looking.finding import Found, find
from mozart_nb.looking.following import Follower
from mozart_nb.selection import numbers_in, parse_batches
from mozart_nb.words import clock, cost, one_line

WATCH_SECONDS: Final = 1.0
"""Between two documents of `status --watch --json`."""


# --- status -----------------------------------------------------------------------------------------------------------


def status(output: Output, job_id: str | None, workspace: Path | None, *, batches: str, keep_watching: bool) -> int:
    """Show one job, or all of them when none is named."""
    if job_id is None:
        if batches or keep_watching:
            raise MisuseError("--batches and --watch need a job", hint="mozart status ID --watch")
        from mozart_nb.cli.listing import ListWish, list_jobs  # one job needs no history

        return list_jobs(output, workspace, ListWish())
    layout = resolve(job_id, workspace)
    if keep_watching:
        return _keep_watching(output, layout)
    found = find(layout)
    if not found.is_live:  # the snapshot of a running job may be missing or behind: that is no news
        for warning in found.glimpse.warnings:
            output.warn(warning)
    wanted = _batches_wanted(found.state, batches) if batches else None
    if output.json:
        output.document(found.document(wanted))
        return OK
    _show(output, found, wanted)
    return OK


def _batches_wanted(state: JobState, wish: str) -> list[int]:
    """`all`, a status (`failed`), or numbers and ranges."""
    if wish == "all":
        return list(range(1, state.total + 1))
    if wish in STYLES and wish.isalpha():
        return [number for number in range(1, state.total + 1) if state.status_of(number) == wish]
    return numbers_in(parse_batches(wish, state.total))


def _show(output: Output, found: Found, wanted: Sequence[int] | None) -> None:
    progress = found.progress
    width = min(output.out.width, 120)
    for text in (head_line(progress, width - 1), count_line(progress), *wait_lines(progress), *running_lines(progress)):
        output.show(text)
    job = found.state.job
    output.show(f"  {when_line(job.run_started_at, job.finished_at, found.now)}, run {job.runs}")
    output.show(f"  workspace {found.workspace}")
    if found.workspace != found.layout.workspace:
        output.show(f"  state in {found.layout.workspace}")
    if job.replaces:
        output.show(f"  {cost(job.earlier_usd, 0)} before, record in {found.layout.state_root / job.replaces}")
    if found.glimpse.owner is not None:
        output.show(f"  runs at {found.glimpse.owner}")
    if progress.reason and progress.status != "completed":
        code = f"{progress.code}: " if progress.code else ""
        output.show(f"  {code}{one_line(progress.reason, 500)}")
    for text in (*isolation_lines(found.state), *remedy_lines(found.state)):
        output.show(text)
    for text in hook_lines(found.hooks):
        output.show(text)
    if wanted is not None:
        _show_batches(output, found, wanted)
    for step in next_steps(progress):
        output.say(f"next: {step}")


def _show_batches(output: Output, found: Found, numbers: Sequence[int]) -> None:
    output.show()
    if not numbers:
        output.show("  no such batches")
        return
    rows = (_batch_row(found.state, number) for number in numbers)
    output.table(["batch", "status", "attempts", "time", "cost", "code", "message"], rows, flexible=-1)


def _batch_row(state: JobState, number: int) -> list[str | Text]:
    batch = state.batches.get(number)
    shown = status_text(state.status_of(number))
    if batch is None:
        return [str(number), shown, "0", "", "", "", ""]
    money = cost(batch.cost_usd, not batch.cost_known)
    words = one_line(batch.message or batch.reason, 300)
    return [str(number), shown, str(batch.attempts), clock(batch.duration), money, batch.code, words]


def _keep_watching(output: Output, layout: Layout) -> int:
    """`--watch`: until the job settles. With --json one document per second, as JSON Lines."""
    found = find(layout)
    follower = Follower(layout)
    try:
        if output.json:
            _stream(output, layout)
        elif found.is_live:
            watch(output, follower, found.config)
    except KeyboardInterrupt:
        output.say(f"job `{layout.job_id}` goes on")
    found = find(layout)
    if not output.json:
        _show(output, found, None)
    return exit_code_of(found.progress.status)


def _stream(output: Output, layout: Layout) -> None:
    while True:
        found = find(layout)
        output.line(found.document(()))
        if not found.is_live:
            return
        time.sleep(WATCH_SECONDS)
