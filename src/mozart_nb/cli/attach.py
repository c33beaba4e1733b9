"""Watching a job that another process runs: the same views, fed from its journal."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import Glimpse, look
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.live import make_view
from mozart_nb.cli.output import PAUSED, Output, exit_code_of
from mozart_nb.cli.render import summary_lines
from mozart_nb.consumers.documents import status_document
from mozart_nb.consumers.phrases import next_steps
from mozart_nb.consumers.progress import progress_of
from mozart_nb.errors import UnknownJobError
from mozart_nb.job.model import JobConfig
from mozart_nb.looking.following import POLL_SECONDS, Follower, follow

APPEAR_SECONDS: Final = 15.0
"""How long a host that holds a job's lock may take to write the job's first event."""


def attach(output: Output, layout: Layout, *, config: JobConfig | None = None, workspace: Path | None = None) -> int:
    """Show a job that runs elsewhere until it settles; Ctrl-C only ends the showing. Returns the exit code.

    `workspace` is where it works, if that is not where its state is.
    """
    workspace = workspace or layout.workspace
    glimpse = _first_look(layout)
    who = glimpse.owner or "it is just being started"
    output.say(f"job `{layout.job_id}` is already running ({who}): showing it; Ctrl-C ends the showing only")
    follower = Follower(layout)
    try:
        watch(output, follower, config)
    except KeyboardInterrupt:
        output.say(f"detached; job `{layout.job_id}` goes on")
        _document(output, look(layout), workspace, config)
        return PAUSED
    glimpse = look(layout)
    progress = progress_of(glimpse.state, config, time.time(), is_live=glimpse.owner is not None)
    for line in summary_lines(progress, glimpse.state.job):
        output.say(line)
    for step in next_steps(progress):
        output.say(f"next: {step}")
    _document(output, glimpse, workspace, config)
    return exit_code_of(progress.status)


def _first_look(layout: Layout) -> Glimpse:
    """Whoever was faster may have taken the lock and written nothing yet."""
    deadline = time.monotonic() + APPEAR_SECONDS
    while True:
        try:
            return look(layout)
        except UnknownJobError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(POLL_SECONDS)


def watch(output: Output, follower: Follower, config: JobConfig | None) -> bool:
    """Show the job until it settles (True) or its host is gone (False)."""
    state = follower.state
    done = state.count("completed") + state.count("skipped")
    with closing(make_view(output, done, state.total, "Ctrl-C ends the showing, not the job")) as view:

        def hear(events: list[ev.Event]) -> None:
            view.hear(events, time.time())
            if view.wants_progress and follower.state.total:
                view.look(progress_of(follower.state, config, time.time()))

        return follow(follower, hear)


def _document(output: Output, glimpse: Glimpse, workspace: Path, config: JobConfig | None) -> None:
    if output.json:
        is_live = glimpse.owner is not None
        now = time.time()
        output.document(status_document(glimpse.state, config, now, is_live=is_live, workspace=str(workspace)))
