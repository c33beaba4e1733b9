"""The worktree of a run, as the engine sees it: something to wind up before the job settles."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

from mozart_nb import events as ev
from mozart_nb.engine.ports import Ending
from mozart_nb.engine.state import JobState
from mozart_nb.isolation.git import Git, GitError
from mozart_nb.isolation.winding_up import Leaving, wind_up
from mozart_nb.isolation.worktree import Worktree, remove, unlock


class WorktreeKeeper:
    """Holds the worktree that a run works in (`engine.ports.Isolation`).

    `removes` says whether a worktree is to go after that ending; `results` names the files that rules asked for.
    """

    def __init__(
        self,
        git: Git,
        worktree: Worktree,
        state: JobState,
        *,
        removes: Callable[[Ending], bool],
        results: Callable[[], Collection[str]],
    ) -> None:
        self._git = git
        self._worktree = worktree
        self._state = state
        self._removes = removes
        self._results = results
        self._working: asyncio.Task[None] | None = None

    def wind_up(self, ending: Ending, note: Callable[[ev.Event], None]) -> None:
        """Keep or remove the worktree; `note` hears what became of it."""
        if self._working is None:
            self._working = asyncio.create_task(self._wind_up(ending, note), name="mozart worktree")

    async def _wind_up(self, ending: Ending, note: Callable[[ev.Event], None]) -> None:
        name = self._state.job.name or self._state.job.job_id
        try:
            leaving = Leaving(name, ending, self._removes(ending), self._results())
            note(await wind_up(self._git, self._worktree, leaving))
        except Exception as error:  # a job must settle, whatever became of its worktree
            reason = f"{type(error).__name__}: {error}"
            note(ev.WorktreeKept(worktree=str(self._worktree.path), branch=self._worktree.branch, reason=reason))

    async def close(self) -> None:
        """Let what is under way come to its end, then unlock the worktree, unless sessions go on in it.

        One that was made for a run which has never begun is removed again.
        """
        if self._working is not None:
            await asyncio.wait([self._working])
        if self._state.agenda.running:
            return
        tree = self._worktree
        has_begun = self._working is not None or self._state.job.isolation.is_open
        with contextlib.suppress(GitError):
            if tree.is_new and not has_begun:
                await remove(self._git, tree.repository, tree.path)
            elif tree.admin.exists():
                await unlock(self._git, tree.repository, tree.path, tree.admin)
