"""A job made ready: its config, its plan, and where everything of it stands. Reads; writes nothing.

`prepare` starts from a loaded job file, `opened` from what was frozen when the job was planned.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mozart_nb.checkpoint.follow import look
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner
from mozart_nb.engine.compose import Places
from mozart_nb.engine.state import JobState
from mozart_nb.frozen import FrozenPlan, freeze_job, read_frozen
from mozart_nb.job.frozen import config_digest
from mozart_nb.job.items import read_items
from mozart_nb.job.load import LoadedJob
from mozart_nb.job.plan import Plan, plan_job


@dataclass(frozen=True)
class Prepared:
    """A job ready to be run or looked at. `rehearsed`: a stand-in answers, in a scratch folder, free of charge."""

    loaded: LoadedJob
    plan: Plan
    layout: Layout
    places: Places
    frozen: FrozenPlan
    digest: str
    rehearsed: bool = False

    @property
    def job_id(self) -> str:
        return self.layout.job_id

    @property
    def is_rehearsal(self) -> bool:
        """Whether the rehearsal backend runs it, asked for by `--rehearse` or by the job file."""
        return self.rehearsed or self.loaded.config.backend.type == "rehearsal"


@dataclass(frozen=True)
class Standing:
    """What is on disk of a job, before anything is done about it."""

    kind: Literal["new", "running", "unfinished", "completed", "changed"]
    state: JobState | None = None
    owner: Owner | None = None


def prepare(loaded: LoadedJob, *, workspace: Path | None = None, rehearse: bool = False) -> Prepared:
    """Read items and templates and plan the batches; writes nothing but, for a rehearsal, an empty scratch folder.

    Raises `ConfigError` and `PromptError`.
    """
    config = loaded.config
    rows = read_items(config.items, loaded.base_dir) if config.items is not None else None
    plan = plan_job(config, len(rows) if rows is not None else None)
    if rehearse:
        root = Path(tempfile.mkdtemp(prefix=f"mozart-rehearsal-{config.job_id}-"))
        folders = root / "workspace", root / "work"
        for folder in folders:
            folder.mkdir(mode=0o700)
    else:
        root = None
        folders = workspace or loaded.workspace_path, loaded.working_directory
    layout = Layout(folders[0].absolute(), config.job_id)
    frozen = freeze_job(loaded, rows)
    places = Places(layout.workspace, folders[1], layout.root, str(root) if root else "")
    return Prepared(loaded, plan, layout, places, frozen, config_digest(config, frozen.contents), rehearse)


def open_job(job_id: str, workspace: Path | None = None) -> Prepared:
    """A job that has been planned before, from what was frozen then.

    Raises `UnknownJobError`, `AmbiguousJobError`, `CheckpointCorruptError`.
    """
    return opened(resolve(job_id, workspace))


def opened(layout: Layout) -> Prepared:
    """The job that stands at `layout`. The workspace may have been moved since it was planned."""
    frozen = read_frozen(layout)
    loaded = frozen.loaded
    plan = plan_job(loaded.config, frozen.item_count)
    places = Places(layout.workspace, loaded.working_directory, layout.root)
    return Prepared(loaded, plan, layout, places, frozen, config_digest(loaded.config, frozen.contents))


def standing(prepared: Prepared) -> Standing:
    """What is on disk of this job. Reads only."""
    layout = prepared.layout
    if not layout.exists:
        return Standing("new")
    glimpse = look(layout)
    state = glimpse.state
    if not state.job.seq:
        return Standing("new")
    if glimpse.owner is not None:
        return Standing("running", state, glimpse.owner)
    if state.job.config_digest != prepared.digest:
        return Standing("changed", state)
    return Standing("completed" if state.status == "completed" else "unfinished", state)
