"""What the policy can want done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mozart_nb import events as ev
from mozart_nb.engine.ports import Ending
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig


@dataclass(frozen=True, slots=True)
class Record:
    """Journal this event."""

    event: ev.Event


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Journal `event`, then begin the attempt. `probe`: it tries whether the account's limit is over.

    `continues`: it had begun before, and what a person was asked about it is answered.
    """

    batch: int
    attempt: int
    mode: ev.Mode
    probe: bool = False
    continues: bool = False

    @property
    def event(self) -> ev.Event:
        """What is journaled."""
        if self.continues:
            return ev.BatchContinued(batch=self.batch, attempt=self.attempt, probe=self.probe)
        return ev.BatchStarted(batch=self.batch, attempt=self.attempt, mode=self.mode, probe=self.probe)


@dataclass(frozen=True, slots=True)
class WindUp:
    """Put the job's worktree away before it settles so: the event that says what became of it comes first."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before `until` (epoch seconds), or before something arrives if None."""

    until: float | None = None


Command = Record | StartAttempt | WindUp | Rest
Question = Callable[[JobState, JobConfig, float], Command | None]
"""Looks at state, config and time (epoch seconds of the journal's clock); None when it has nothing to say."""
