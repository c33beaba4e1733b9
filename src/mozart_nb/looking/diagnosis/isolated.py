"""What a diagnosis says about the worktree of a job: where the work is, why it was kept, why there is none."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from mozart_nb.engine.state import IsolationState
from mozart_nb.looking.diagnosis.findings import Fact, Trouble
from mozart_nb.looking.finding import Found
from mozart_nb.words import clean, one_line, plural

_WIDTH = 240


def isolation_facts(found: Found) -> Iterator[Fact]:
    """Where sessions work, and the branch that has what they committed."""
    tree = found.state.job.isolation
    if tree.status == "none":
        yield Fact("worktree", f"none: {_note(tree)}", "warning")
    elif tree.status == "removed":
        yield Fact("worktree", f"removed; {plural(tree.commits, 'commit')} on branch {tree.branch}")
    elif tree.status and not Path(tree.worktree).is_dir() and not found.is_live:
        yield Fact("worktree", f"{tree.worktree} is gone; a resume makes it again from {tree.branch}", "warning")
    elif tree.status:
        yield Fact("worktree", f"{tree.worktree}, branch {tree.branch}")


def isolation_troubles(found: Found) -> Iterator[Trouble]:
    """What is not as the job file asked for."""
    tree, status = found.state.job.isolation, found.progress.status
    if tree.status == "none":
        advice = "once that is mended, `--fresh` starts over in a worktree; a resume goes on where the work is"
        yield Trouble("isolation", "sessions worked in the checkout itself, not in a worktree", _note(tree), advice)
    elif tree.status == "kept" and status == "completed" and "cleanup_on_success" not in tree.note:
        where, path = shlex.quote(tree.repository), shlex.quote(tree.worktree)
        advice = f"save what you need of it, then `git -C {where} worktree remove --force {path}`"
        yield Trouble("isolation", f"the worktree {tree.worktree} was kept", _note(tree), advice)


def _note(tree: IsolationState) -> str:
    return clean(one_line(tree.note, _WIDTH))
