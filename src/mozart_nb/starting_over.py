"""What must be true, and what is moved aside, before a job starts from the beginning."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from mozart_nb.backends.claude_cli import still_runs
from mozart_nb.checkpoint.files import Files
from mozart_nb.checkpoint.index import layouts_in
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import load_state
from mozart_nb.checkpoint.lock import owner
from mozart_nb.consumers.log import log_family, log_file
from mozart_nb.errors import MisuseError, MozartError, WorldError
from mozart_nb.job.outputs import WORKTREES
from mozart_nb.job.plan import spans
from mozart_nb.looking.logs.files import log_file_of
from mozart_nb.plans.isolating import worktree_base
from mozart_nb.plans.prepared import Prepared
from mozart_nb.workspace_archive import WorkspaceArchive


def old_results(prepared: Prepared) -> WorkspaceArchive:
    """What moves the results of last time aside. States, logs and worktrees of all jobs stay where they are."""
    workspace, layout = prepared.places.workspace, prepared.layout
    policy = prepared.loaded.config.workspace_lifecycle
    jobs = {layout, *layouts_in(workspace), *layouts_in(layout.workspace)} if policy.archive_on_fresh else set()
    stays = {path for job in jobs for path in (job.state_root, job.snapshot, *job.mirror_files)}
    if policy.archive_on_fresh:
        logs = [log_file(prepared.loaded.config.logging, workspace), *_log_files(jobs)]
        stays |= {path for file in logs for path in log_family(file)}
        stays |= {workspace / WORKTREES, worktree_base(prepared)}
    return WorkspaceArchive(workspace, policy, prepared.job_id, stays=stays, needed=prepared.needed)


def _log_files(jobs: Iterable[Layout]) -> Iterator[Path]:
    """Where jobs that were planned before write their logs, as far as that can still be read."""
    for job in jobs:
        with contextlib.suppress(MozartError, OSError):
            yield log_file_of(job)


def require_no_sessions(layout: Layout, disk: Files) -> None:
    """Sessions that outlived their host must not write into the results of a new start. Raises `MisuseError`."""
    try:
        state = load_state(layout, disk, holder=False).state
    except WorldError:
        return  # starting over is the way out of a checkpoint that cannot be read
    if state.job.remotes and state.agenda.parked:  # a cancel has taken them back, as far as that goes
        raise _still_at_work(layout, "message batches that were handed in are not over yet")
    sessions = {number: state.batches[number].session for number in state.agenda.running}
    alive = [
        number for number, session in sessions.items() if session and session.outlives and still_runs(session.marker)
    ]
    if alive:
        batches = f"{'batch' if len(alive) == 1 else 'batches'} {spans(alive)}"
        raise _still_at_work(layout, f"sessions of the last run still run: {batches}")


def _still_at_work(layout: Layout, what: str) -> MisuseError:
    job = layout.job_id
    hint = f"`mozart resume {job}` goes on with them, `mozart cancel {job}` ends them"
    return MisuseError(what, hint=hint, job_id=job)


def require_quiet_workspace(prepared: Prepared, results: WorkspaceArchive) -> None:
    """Nobody's results are moved away while they work. Raises `MisuseError`."""
    for other in layouts_in(prepared.places.workspace) if results.is_wanted else ():
        if other.job_id != prepared.job_id and (found := owner(other)) is not None and found.alive is not False:
            raise MisuseError(
                f"job `{other.job_id}` runs in this workspace ({found}): its results would be archived",
                hint=f"wait until it has settled, or pause it: `mozart pause {other.job_id}`",
                job_id=prepared.job_id,
            )
