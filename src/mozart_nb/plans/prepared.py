"""A job made ready: its config, its plan, and where everything of it stands. Reads; writes nothing.

`prepare` starts from a loaded job file, `opened` from what was frozen when the job was planned.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mozart_nb.checkpoint.follow import look
from mozart_nb.checkpoint.index import records_of, resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner, is_running
from mozart_nb.engine.places import Places
from mozart_nb.engine.state import JobState
from mozart_nb.errors import CheckpointCorruptError, JobChangedError
from mozart_nb.job.frozen import config_digest
from mozart_nb.job.given import Given
from mozart_nb.job.items import read_items
from mozart_nb.job.load import NOTHING_GIVEN, LoadedJob
from mozart_nb.job.plan import Plan, plan_job
from mozart_nb.plans.frozen import FrozenPlan, apart, freeze_job, read_frozen, workspace_of
from mozart_nb.plans.kept_answers import is_kept
from mozart_nb.plans.secrets import know_secrets


@dataclass(frozen=True)
class Prepared:
    """A job ready to be run or looked at.

    `rehearsed`: a stand-in answers, in a scratch folder, free of charge. `as_frozen`: it was read from the plan in the
    job's folder.
    """

    loaded: LoadedJob
    plan: Plan
    layout: Layout
    places: Places
    frozen: FrozenPlan
    digest: str
    rehearsed: bool = False
    as_frozen: bool = False

    @property
    def job_id(self) -> str:
        return self.layout.job_id

    @property
    def is_rehearsal(self) -> bool:
        """Whether the rehearsal backend runs it, asked for by `--rehearse` or by the job file."""
        return self.rehearsed or self.loaded.config.backend.type == "rehearsal"

    @property
    def needed(self) -> dict[Path, str]:
        """What the job is made of and works in: paths, and what each is."""
        loaded, config = self.loaded, self.loaded.config
        found = {loaded.resolve(name): "a text it is made of" for name in self.frozen.texts}
        if loaded.file:
            found[loaded.base_dir / Path(loaded.file).name] = "the job file"
        if config.items is not None and config.items.file is not None:
            found[loaded.resolve(config.items.file)] = "its items"
        if config.backend.system_prompt_file is not None:
            found[loaded.resolve(config.backend.system_prompt_file)] = "its system prompt"
        return {**found, self.places.working_directory: "its working directory"}


@dataclass(frozen=True)
class Standing:
    """What is on disk of a job, before anything is done about it.

    `keeps_answers`: the job's answers are kept by content, so a changed job asks only what its change needs.
    """

    kind: Literal["new", "running", "unfinished", "completed", "changed"]
    state: JobState | None = None
    owner: Owner | None = None
    keeps_answers: bool = False


def prepare(loaded: LoadedJob, *, workspace: Path | None = None, rehearse: bool = False) -> Prepared:
    """Read items and templates and plan the batches; writes nothing but, for a rehearsal, an empty scratch folder.

    Rows that were given when the job was loaded are frozen like those of files. Raises `ConfigError` and `PromptError`.
    """
    config = loaded.config
    know_secrets(config)
    rows = _rows(loaded)
    plan = plan_job(config, len(rows) if rows is not None else None)
    if rehearse:
        root = Path(tempfile.mkdtemp(prefix=f"mozart-rehearsal-{config.job_id}-"))
        results, work = state, _ = root / "workspace", root / "work"
        for folder in (results, work):
            folder.mkdir(mode=0o700)
    else:
        root = None
        results, state = _folders(loaded, workspace)
        work = loaded.working_directory
    layout = Layout(state, config.job_id)
    frozen = freeze_job(loaded, rows, apart(results, state))
    places = Places(results, work, layout.root, loaded.base_dir, str(root) if root else "")
    return Prepared(loaded, plan, layout, places, frozen, config_digest(config, frozen.contents), rehearse)


def _rows(loaded: LoadedJob) -> Sequence[Any] | None:
    items = loaded.config.items
    if items is None:
        return None
    return loaded.given.rows if items.given else read_items(items, loaded.base_dir)


def _folders(loaded: LoadedJob, workspace: Path | None) -> tuple[Path, Path]:
    """Where results and state go. A state inside the file's workspace moves along when another one is chosen."""
    results, state = loaded.workspace_path, loaded.state_folder
    if workspace is None:
        return results, state
    chosen = workspace.absolute()
    return chosen, chosen / state.relative_to(results) if state.is_relative_to(results) else state


def open_job(job_id: str, workspace: Path | None = None, *, given: Given = NOTHING_GIVEN) -> Prepared:
    """A job that has been planned before, from what was frozen then. `given` is as for `opened`.

    Raises `UnknownJobError`, `AmbiguousJobError`, `CheckpointCorruptError`.
    """
    return opened(resolve(job_id, workspace), given=given)


def opened(layout: Layout, *, given: Given = NOTHING_GIVEN) -> Prepared:
    """The job that stands at `layout`. The workspace may have been moved since it was planned.

    Of `given` only the namespace counts, for the functions and the class that the job was planned with.
    """
    frozen = read_frozen(layout, given)
    loaded = frozen.loaded
    plan = plan_job(loaded.config, frozen.item_count)
    places = Places(workspace_of(frozen, layout), loaded.working_directory, layout.root, loaded.base_dir)
    digest = config_digest(loaded.config, frozen.contents)
    return Prepared(loaded, plan, layout, places, frozen, digest, as_frozen=True)


def renewed(prepared: Prepared, loaded: LoadedJob) -> Prepared:
    """The same job with a new config. Its state stays where it is, and so do its results unless the new file says else.

    Raises as `prepare`, and `MisuseError` when the new config keeps the state in another folder.
    """
    here = prepared.places.workspace
    says_else = loaded.workspace_path != prepared.loaded.workspace_path
    for workspace in (None, here) if says_else or prepared.frozen.apart is None else (here, None):
        if _is_same(_folders(loaded, workspace)[1], prepared.layout.workspace):
            return prepare(loaded, workspace=workspace)
    raise _kept_elsewhere(prepared.layout, _folders(loaded, here)[1])


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _kept_elsewhere(found: Layout, wanted: Path) -> JobChangedError:
    job = found.job_id
    return JobChangedError(
        f"the state of job `{job}` is kept in {found.workspace}, not in {wanted} as the job file has it now",
        hint=f"move `{job}.json` and `.mozart/{job}` there first, or change `state_path` back",
        job_id=job,
    )


def standing(prepared: Prepared, *, fresh: bool = False) -> Standing:
    """What is on disk of this job. Reads only. `fresh`: it is to start over, so its record need not be readable.

    Raises `JobChangedError` when the work in this workspace has its record in another folder than the config says: a
    second record would have everything done, and paid for, again.
    """
    layout = prepared.layout
    if not layout.exists:
        for other in records_of(prepared.job_id, prepared.places.workspace):
            # A host that starts in this moment registers the very record that was not there a moment ago.
            if not _is_same(other.workspace, layout.workspace):
                raise _kept_elsewhere(other, layout.workspace)
        return Standing("new")
    try:
        glimpse = look(layout)
    except CheckpointCorruptError:
        if fresh and not is_running(layout):
            return Standing("unfinished")
        raise
    state = glimpse.state
    if not state.job.seq:
        return Standing("new")
    if glimpse.owner is not None:
        return Standing("running", state, glimpse.owner)
    if state.job.config_digest != prepared.digest:
        return Standing("changed", state, keeps_answers=is_kept(prepared.loaded.config.backend.type))
    return Standing("completed" if state.status == "completed" else "unfinished", state)
