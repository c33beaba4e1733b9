"""The history across jobs: every job that is known from here, the one that did something last first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.job_rows import JobView
from mozart_nb.errors import MozartError
from mozart_nb.looking.finding import find, known_layouts

if TYPE_CHECKING:
    import pandas as pd


def history(workspace: str | Path | None = None) -> pd.DataFrame:
    """One row per job: status, batches, cost, tokens, times, where it is. Of one workspace, or of all that are known.

    A job whose record cannot be read has the status `unreadable`, and says why.
    """
    from mozart_nb.frames import history_frame

    layouts = known_layouts(Path(workspace) if workspace is not None else None)
    return history_frame([_view(layout) for layout in layouts])


def _view(layout: Layout) -> JobView:
    try:
        found = find(layout)
    except MozartError as error:
        return JobView(layout.job_id, "unreadable", str(layout.workspace), message=error.message)
    return JobView(layout.job_id, found.progress.status, str(found.workspace), found.state.job)
