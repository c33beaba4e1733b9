"""Jobs on disk as they stand now: one, or all that are known from here."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mozart_nb.checkpoint.follow import Glimpse, look
from mozart_nb.checkpoint.index import DEFAULT_WORKSPACE, all_jobs, layouts_in
from mozart_nb.checkpoint.layout import Layout, jobs_in
from mozart_nb.consumers.documents import status_document
from mozart_nb.consumers.progress import Progress, progress_of
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MozartError
from mozart_nb.hooks import HookResult, hook_rows, hooks_of
from mozart_nb.job.load import LoadedJob
from mozart_nb.job.model import JobConfig
from mozart_nb.plans.frozen import read_frozen, workspace_of
from mozart_nb.plans.secrets import know_secrets


@dataclass(frozen=True)
class Found:
    """A job on disk, looked at once. `config` and `loaded` are None when its frozen plan cannot be read."""

    layout: Layout
    glimpse: Glimpse
    config: JobConfig | None
    workspace: Path
    now: float
    loaded: LoadedJob | None = None

    @property
    def state(self) -> JobState:
        return self.glimpse.state

    @property
    def is_live(self) -> bool:
        return self.glimpse.owner is not None

    @property
    def progress(self) -> Progress:
        return progress_of(self.state, self.config, self.now, is_live=self.is_live)

    @property
    def hooks(self) -> list[HookResult]:
        """How the hooks of its last completion stand."""
        return hooks_of(self.layout, self.config, self.state)

    def document(self, batches: Iterable[int] | None = None) -> dict[str, Any]:
        owner = self.glimpse.owner
        return status_document(
            self.state,
            self.config,
            self.now,
            is_live=self.is_live,
            batches=batches,
            workspace=str(self.workspace),
            owner=None if owner is None else {"host": owner.host, "pid": owner.pid, "started_at": owner.started_at},
            hooks=hook_rows(self.hooks),
        )


def find(layout: Layout) -> Found:
    """Look at a job. Raises what `checkpoint.follow.look` raises."""
    try:
        frozen = read_frozen(layout)
    except (MozartError, OSError):
        return Found(layout, look(layout), None, layout.workspace, time.time())  # the state can be shown without it
    loaded = frozen.loaded
    know_secrets(loaded.config)
    return Found(layout, look(layout), loaded.config, workspace_of(frozen, layout), time.time(), loaded)


def known_layouts(workspace: Path | None) -> list[Layout]:
    """Where jobs are, the one that did something last first: in `workspace`, or all that are known from here."""
    return sorted(_layouts(workspace), key=last_activity, reverse=True)


def _layouts(workspace: Path | None) -> list[Layout]:
    if workspace is not None:
        return layouts_in(workspace)
    here = [place for place in (Path.cwd(), Path.cwd() / DEFAULT_WORKSPACE) if place.is_dir()]
    found = [entry.layout for entry in all_jobs()]
    found += [Layout(place.resolve(), job) for place in here for job in jobs_in(place)]
    return list(dict.fromkeys(found))


def last_activity(layout: Layout) -> float:
    """When the journal was last written to, in epoch seconds."""
    try:
        return max((path.stat().st_mtime for path in layout.journal.iterdir()), default=0.0)
    except OSError:
        return 0.0
