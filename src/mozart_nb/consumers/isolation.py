"""Where the work of an isolated job is, in words and as JSON: the same in a terminal, a notebook and on pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mozart_nb.engine.state import IsolationState, JobState
from mozart_nb.masking import masked
from mozart_nb.words import one_line, plural

_REASON_WIDTH = 300


def isolation_phrases(found: IsolationState) -> Iterator[str]:
    """A line or two about the job's worktree and branch; nothing for a job that is not isolated."""
    if found.status == "none":
        yield f"works in the checkout itself: {_note(found)}"
    elif found.status == "worktree":
        yield f"works in {found.worktree} on branch {found.branch}"
    elif found.status:
        yield f"work is on branch {found.branch} of {found.repository}, {plural(found.commits, 'commit')}"
    if found.status == "kept":
        yield f"worktree {found.worktree} is kept: {_note(found)}"


def isolation_document(state: JobState) -> dict[str, Any] | None:
    """The same as JSON; None for a job that is not isolated."""
    found = state.job.isolation
    if not found.status:
        return None
    return {
        "status": found.status,
        "worktree": found.worktree or None,
        "directory": found.directory or None,
        "branch": found.branch or None,
        "base": found.base or None,
        "head": found.head or None,
        "commits": found.commits,
        "repository": found.repository or None,
        "note": masked(found.note),
    }


def _note(found: IsolationState) -> str:
    return one_line(masked(found.note), _REASON_WIDTH)
