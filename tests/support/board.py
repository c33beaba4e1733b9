"""Rehearsed jobs that are over, and journals written by hand, for tests of what the web sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.trial_jobs import config, until

from mozart_nb import Job
from mozart_nb import events as ev
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import is_running


def finished(workspace: Path, name: str = "trial", *, batches: int = 4, failing: str = "", **sections: Any) -> Job:
    """A rehearsed job that is over. Batches for which `failing` (an expression of a template) holds have failed."""
    answer = f"{{{{ 'bad' if {failing} else 'fine' }}}}" if failing else "fine"
    wanted = config(
        workspace,
        batches=batches,
        latency=0.0,
        rehearsal={"answer": answer, **sections.pop("rehearsal", {})},
        validations=[{"type": "answer_matches", "pattern": "fine"}] if failing else [],
        **{"retry": {"max_retries": 0, "max_completion_attempts": 0}, **sections},
    )
    job = Job.load({**wanted, "name": name})
    job.start()
    until(lambda: job.status in ("completed", "failed") and not is_running(job.layout))
    return job


def write_events(layout: Layout, events: Sequence[ev.Event], *, mode: str = "wb") -> None:
    """Put events into the first segment of a journal."""
    layout.journal.mkdir(parents=True, exist_ok=True)
    with layout.segment(1).open(mode) as file:
        file.writelines(EVENTS.wrap(ev.encode_event(event)) for event in events)
        file.flush()
