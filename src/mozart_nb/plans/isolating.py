"""Where a run's sessions work: in the working directory, or in a git worktree of the job's own (`isolation`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from mozart_nb import events as ev
from mozart_nb.clock import SystemClock
from mozart_nb.engine.off import NotIsolated
from mozart_nb.engine.ports import Ending, Isolation
from mozart_nb.engine.state import IsolationState, JobState
from mozart_nb.errors import IsolationError
from mozart_nb.isolation import Git, GitError, Wanted, Worktree, WorktreeKeeper, branch_name, set_up
from mozart_nb.job.outputs import WORKTREES, IsolationConfig
from mozart_nb.plans.prepared import Prepared


@dataclass(frozen=True)
class Workplace:
    """Where sessions work: `prepared` has it as its working directory, `event` says so in the journal.

    `warnings` are for people; `isolation` puts the worktree away.
    """

    prepared: Prepared
    isolation: Isolation
    event: ev.JobIsolated | None = None
    warnings: tuple[str, ...] = ()


def is_isolated(prepared: Prepared) -> bool:
    """Whether the job is to have a worktree of its own. A rehearsal never has: it touches no repository."""
    config = prepared.loaded.config.isolation
    return config.enabled and config.mode == "worktree" and not prepared.rehearsed


def worktree_base(prepared: Prepared) -> Path:
    """The folder in which the job's worktree is made, absolute: a workspace may have been named from here."""
    base = prepared.loaded.config.isolation.worktree_base
    return (prepared.places.workspace / WORKTREES if base is None else prepared.loaded.resolve(base)).absolute()


def intended(prepared: Prepared) -> dict[str, str] | None:
    """The worktree that a run would work in, as far as the job file says; None for a job that is not isolated.

    Git is not asked: names may be taken, and then a number is added.
    """
    if not is_isolated(prepared):
        return None
    config = prepared.loaded.config.isolation
    name = branch_name(prepared.job_id)
    return {
        "worktree": str(worktree_base(prepared) / name),
        "branch": f"{config.branch_prefix}/{name}",
        "begins_at": config.source_branch or "the current commit",
    }


async def workplace(prepared: Prepared, state: JobState, clock: SystemClock, *, takes_over: bool = False) -> Workplace:
    """Make the worktree of a job that wants one, or find that of its earlier runs. Hold the job's lock.

    `takes_over`: a branch of the job's name is its own, although its journal knows nothing of it. Raises
    `IsolationError` where there can be none and sessions must not work in the checkout: `fallback_on_error` is off, or
    earlier sessions worked in a worktree.
    """
    config, earlier = prepared.loaded.config.isolation, state.job.isolation
    if not is_isolated(prepared):
        return Workplace(prepared, NotIsolated(earlier.worktree, earlier.branch))
    if earlier.status == "none" and state.job.opened_sessions:
        return _in_the_checkout(prepared, earlier.note)  # what sessions have done so far is there
    git = Git(fair=clock.fair)
    try:
        worktree = await set_up(git, _wanted(prepared, config, takes_over), earlier)
    except GitError as error:
        if earlier.branch or not config.fallback_on_error:
            raise _refused(prepared, earlier, error) from error
        return _in_the_checkout(prepared, error.message)
    return _in_the_worktree(prepared, state, git, worktree, config)


def _wanted(prepared: Prepared, config: IsolationConfig, takes_over: bool) -> Wanted:
    return Wanted(
        job_id=prepared.job_id,
        owner=prepared.layout.root.absolute(),
        folder=prepared.places.working_directory,
        base=worktree_base(prepared),
        prefix=config.branch_prefix,
        source=config.source_branch,
        locks=config.lock_during_execution,
        takes_over=takes_over,
        own=_own(prepared),
    )


def _own(prepared: Prepared) -> tuple[Path, ...]:
    """Files of the job itself: that they are not committed is nobody's concern."""
    folders = (prepared.places.workspace.absolute(), prepared.layout.workspace.absolute())
    return *folders, *(path for path in prepared.needed if path != prepared.places.working_directory)


def _in_the_checkout(prepared: Prepared, why: str) -> Workplace:
    warning = f"no worktree could be made, so sessions work in {prepared.places.working_directory} itself: {why}"
    return Workplace(prepared, NotIsolated(), ev.JobIsolated(fallback=why), (warning,))


def _in_the_worktree(
    prepared: Prepared, state: JobState, git: Git, worktree: Worktree, config: IsolationConfig
) -> Workplace:
    def removes(ending: Ending) -> bool:
        return config.cleanup_on_success if ending == "completed" else config.cleanup_on_failure

    def results() -> Collection[str]:
        batches = state.batches.values()
        return {result.path for batch in batches for result in batch.validation_details if result.path}

    event = ev.JobIsolated(
        worktree=str(worktree.path),
        directory=str(worktree.directory),
        branch=worktree.branch,
        base=worktree.base,
        repository=str(worktree.repository.root),
        notes=worktree.notes,
        made=worktree.is_new,
    )
    places = replace(prepared.places, working_directory=worktree.directory, worktree=str(worktree.path))
    keeper = WorktreeKeeper(git, worktree, state, removes=removes, results=results)
    return Workplace(replace(prepared, places=places), keeper, event, worktree.notes)


def _refused(prepared: Prepared, earlier: IsolationState, error: GitError) -> IsolationError:
    what = "the job's worktree cannot be used" if earlier.branch else "no worktree can be made for the job"
    hint = "" if earlier.branch else "with `isolation.fallback_on_error` sessions would work in the checkout itself"
    return IsolationError(f"{what}: {error.message}", hint=hint, job_id=prepared.job_id)
