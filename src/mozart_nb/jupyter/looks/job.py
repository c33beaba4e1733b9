"""A job at one moment as a piece of a notebook: what its handle shows of itself."""

from __future__ import annotations

import time

from mozart_nb.consumers.progress import progress_of
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig
from mozart_nb.jupyter.looks.picture import StatusMap
from mozart_nb.jupyter.looks.static import rows_to_keep, static_html


def job_html(state: JobState, config: JobConfig | None, *, is_live: bool) -> str:
    """`state` as it is now. Looks at every batch once."""
    now = time.time()
    progress = progress_of(state, config, now, is_live=is_live)
    rows, caption = rows_to_keep(state)
    as_of = now if progress.is_live else state.job.finished_at or now
    return static_html(progress, StatusMap.of(state).picture(), rows, caption, as_of=as_of)
