"""What a remedy is: a finding, which changes nothing, and the effect that the finding describes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mozart_nb.engine.ports import Ailment, Strays
from mozart_nb.job.document import KeyPath
from mozart_nb.job.model import JobConfig

Manner = Literal["automatic", "asks", "guidance only"]
"""`automatic`: applied at once. `asks`: applied when a person agrees, or with `-y`. `guidance only`: never applied."""

Effect = Callable[[], Coroutine[Any, Any, None]]
"""Applies a remedy. Raises `OSError` when it cannot."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A job as its remedies know it: what they look at, and the few things they may change.

    `environ` is what sessions see of the environment. `where` names the place of a key of the job file for people.
    `respell` gives rules (counted from 1) another path, `alias` lets templates use a name for another one, both for
    this run only. `worktree`: the git worktree that the working directory is in, if it is in one.
    """

    config: JobConfig
    workspace: Path
    working_directory: Path
    environ: Mapping[str, str]
    strays: Strays
    where: Callable[[KeyPath], str]
    respell: Callable[[Mapping[int, str]], None]
    alias: Callable[[str, str], None]
    worktree: Path | None = None

    @property
    def has_lost_worktree(self) -> bool:
        """Whether sessions work in a worktree that is gone: git makes it again, not a folder of that name."""
        return self.worktree is not None and not (self.worktree / ".git").exists()


@dataclass(frozen=True)
class Case:
    """A failed attempt with what there is to know about it.

    `outputs` are absolute paths of the files that rules want of this batch. `session_id` is that of its last session,
    and `followed` holds the markers of all sessions that somebody follows.
    """

    ailment: Ailment
    site: Site
    outputs: Sequence[str] = ()
    session_id: str = ""
    followed: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A remedy applies. `cause` says why, `deed` what its effect does, in the past tense; both are clauses.

    `question` is put to a person first, where the remedy asks. `advice` is one sentence about what people should do
    for good. Without an effect the finding is guidance and nothing else.
    """

    cause: str
    deed: str = ""
    question: str = ""
    advice: str = ""
    effect: Effect | None = None


@dataclass(frozen=True)
class Remedy:
    """A remedy: what it is called, which failures it looks at, and how it finds out whether it applies.

    `find` may block and changes nothing. `at_start`: it is looked for when a run begins, too; without `find`, by
    whoever starts the job, before there is a run at all. With `shared` it mends what other batches ail of as well:
    attempts that were under way when it was applied are tried again without a finding of their own.
    """

    name: str
    codes: tuple[str, ...]
    manner: Manner
    does: str
    find: Callable[[Case], Finding | None] | None = None
    shared: bool = False
    at_start: bool = False
