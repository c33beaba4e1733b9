"""Where a job with `isolation` works, and what becomes of its worktree."""

from __future__ import annotations

from mozart_nb.events.base import Event


class JobIsolated(Event, frozen=True, kw_only=True, tag="job.isolated"):
    """Sessions of this run work in `directory`, inside the git worktree `worktree`, on `branch`, which began at `base`.

    Without a `worktree` none could be had: `fallback` says why, and sessions work in the working directory itself.
    `repository` is where the branch is kept; `notes` are what people should know. `made`: the worktree was made for
    this run, so its files are all new, also those that earlier attempts wrote.
    """

    worktree: str = ""
    directory: str = ""
    branch: str = ""
    base: str = ""
    repository: str = ""
    fallback: str = ""
    notes: tuple[str, ...] = ()
    made: bool = False


class WorktreeKept(Event, frozen=True, kw_only=True, tag="job.worktree_kept"):
    """The run ends, and the worktree stays because of `reason`. `commits` are those on the branch since its `base`."""

    worktree: str
    branch: str
    reason: str
    head: str = ""
    commits: int = 0


class WorktreeRemoved(Event, frozen=True, kw_only=True, tag="job.worktree_removed"):
    """The run ends, and the worktree is gone. Everything in it that git knows or would add is on `branch`.

    `committed` files had not been: they are in a last commit of ours. `elsewhere` are refs that hold commits of the job
    which are not on its branch: other branches that were checked out there, and `refs/mozart/…` for what was left
    behind by an amended or abandoned commit.
    """

    worktree: str
    branch: str
    head: str = ""
    commits: int = 0
    committed: int = 0
    elsewhere: tuple[str, ...] = ()
