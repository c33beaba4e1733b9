"""What must happen next: a pure function of state, config and time.

`step` returns one command at a time; the driver carries it out (which changes the state) and asks again until it is
told to rest. It depends on nothing but its arguments, so a resumed job needs no special case, and it looks only at the
next few batches of the agenda, so its cost does not grow with the job.

Bounded by construction: every decision that leads to another attempt uses one unit of a budget, waits for a limit or
refunds an attempt that its host's death took away.
"""

from __future__ import annotations

from mozart_nb.engine.policy.commands import Command, Question, Record, Rest, StartAttempt, WindUp
from mozart_nb.engine.policy.ending import is_stopping, put_away_first, settle, stop, tell_dependents
from mozart_nb.engine.policy.judging import judge
from mozart_nb.engine.policy.limits import clear_limit, is_held, turn_breaker
from mozart_nb.engine.policy.money import warn_of_cost
from mozart_nb.engine.policy.questions import ask_again, withdraw
from mozart_nb.engine.policy.starting import skip_before_start, start
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig

__all__ = ["Command", "Record", "Rest", "StartAttempt", "WindUp", "is_held", "is_stopping", "step"]


def step(state: JobState, config: JobConfig, now: float) -> Command:
    """The next command. `now` is the journal's clock in epoch seconds."""
    for question in _QUESTIONS:
        command = question(state, config, now)
        if command is not None:
            return put_away_first(command, state)
    return Rest()


def _is_over(state: JobState, config: JobConfig, now: float) -> Command | None:
    return Rest() if state.is_settled else None


_QUESTIONS: tuple[Question, ...] = (
    _is_over,
    judge,
    ask_again,
    clear_limit,
    turn_breaker,
    warn_of_cost,
    tell_dependents,
    withdraw,
    stop,
    skip_before_start,
    settle,
    start,
)
"""Asked in this order; the first that has an answer decides."""
