"""How events of a job's worktree change the state."""

from __future__ import annotations

from msgspec.structs import replace

from mozart_nb import events as ev
from mozart_nb.engine._records import Handlers
from mozart_nb.engine.state import IsolationState, JobState


def _isolated(state: JobState, event: ev.JobIsolated) -> None:
    before = state.job.isolation
    state.job.isolation = IsolationState(
        status="worktree" if event.worktree else "none",
        worktree=event.worktree,
        directory=event.directory,
        branch=event.branch,
        base=event.base,
        repository=event.repository,
        note=event.fallback,
        head=before.head if before.branch == event.branch else "",
    )
    if event.made:  # what was there before the first attempt is told by times, which are those of the checkout now
        for batch in state.batches.values():
            batch.baseline = None


def _kept(state: JobState, event: ev.WorktreeKept) -> None:
    before = state.job.isolation
    head, commits = event.head or before.head, event.commits or before.commits
    state.job.isolation = replace(before, status="kept", head=head, commits=commits, note=event.reason)


def _removed(state: JobState, event: ev.WorktreeRemoved) -> None:
    state.job.isolation = replace(
        state.job.isolation, status="removed", head=event.head, commits=event.commits, note=""
    )


HANDLERS: Handlers = {
    ev.JobIsolated: _isolated,
    ev.WorktreeKept: _kept,
    ev.WorktreeRemoved: _removed,
}
