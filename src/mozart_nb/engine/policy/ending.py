"""How a run comes to its end: dependents of failures, stops, settling."""

from __future__ import annotations

from typing import Final

from mozart_nb import events as ev
from mozart_nb.codes import lookup
from mozart_nb.engine.policy.commands import Command, Record, Rest, WindUp
from mozart_nb.engine.ports import Ending
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig

CRASHES_IN_A_ROW = 5
"""So many runs that ended without settling, and without one completed batch between them, pause the job."""


_ENDINGS: Final[dict[type[ev.Event], Ending]] = {
    ev.JobCompleted: "completed",
    ev.JobFailed: "failed",
    ev.JobCancelled: "cancelled",
}


def put_away_first(command: Command, state: JobState) -> Command:
    """`command`, or, where it would settle a job whose worktree is open, what has to come before.

    Before, not after: a host that dies in between leaves a job that is resumed, and puts its worktree away then.
    """
    ending = _ENDINGS.get(type(command.event)) if isinstance(command, Record) else None
    return WindUp(ending) if ending is not None and state.job.isolation.is_open else command


def tell_dependents(state: JobState, config: JobConfig, now: float) -> Command | None:
    if not state.agenda.blocking:
        return None
    failed = min(state.agenda.blocking)
    return Record(ev.BatchBlocked(batches=tuple(state.agenda.downstream(failed)), by=failed))


def stop(state: JobState, config: JobConfig, now: float) -> Command | None:
    """No new attempts once somebody asked or the job as a whole has failed; settle when the last one is over."""
    job = state.job
    if job.stop is None and job.crashes >= CRASHES_IN_A_ROW:
        reason = f"the host died {job.crashes} times in a row without completing a batch"
        return Record(ev.JobPausing(reason=reason, by="policy"))
    if not is_stopping(state, config):
        return None
    if _has_to_wait(state):
        return Rest()
    if job.stop is None:
        return Record(ev.JobFailed(reason=_failures_text(state), code=_first_failure(state)))
    if job.stop.kind == "cancel":
        return Record(ev.JobCancelled(by=job.stop.by))
    if job.stop.kind == "pause" and not _left(state):
        return None  # it came too late: everything is done
    if job.stop.kind == "pause" or lookup(job.stop.code).pauses:
        return Record(ev.JobPaused(reason=f"{job.stop.reason}{_left_alone(state)}", code=job.stop.code))
    return Record(ev.JobFailed(reason=job.stop.reason, code=job.stop.code))


def _has_to_wait(state: JobState) -> bool:
    """Attempts that run here come to their end first, and so does a call to the service that is under way.

    What a service answers hours later holds up no stop; only a job that failed for one batch collects it at once.
    """
    job, agenda = state.job, state.agenda
    if job.stop is None:
        return bool(agenda.running)
    if agenda.attended or any(one.status == "submitting" and one.run == job.runs for one in job.remotes.values()):
        return True
    return job.stop.kind == "cancel" and any(one.status == "submitted" for one in job.remotes.values())


def is_stopping(state: JobState, config: JobConfig) -> bool:
    """Whether no new attempts are to begin."""
    return state.job.stop is not None or bool(config.parallel.fail_fast and state.job.run_failures)


def _left_alone(state: JobState) -> str:
    parked = len(state.agenda.parked)
    return f"; {parked:,} requests are still being answered and are collected on resume" if parked else ""


def _failures_text(state: JobState) -> str:
    failed = [batch for batch in state.batches.values() if batch.status == "failed"]
    named = ", ".join(f"{batch.number} ({batch.code})" for batch in failed[:5])
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    word = "batch" if len(failed) == 1 else "batches"
    text = f"{len(failed)} {word} failed: {named}{more}"
    blocked = state.count("blocked")
    return f"{text}; {blocked} blocked behind them" if blocked else text


def _first_failure(state: JobState) -> str:
    return next((batch.code for batch in state.batches.values() if batch.status == "failed"), "")


def settle(state: JobState, config: JobConfig, now: float) -> Command | None:
    agenda = state.agenda
    if state.job.questions or (agenda.attended if state.job.options.recover else agenda.running):
        return None
    if not _pilot_is_over(state) and (agenda.next_ready() is not None or agenda.next_due() is not None):
        return None
    if state.count("failed"):
        return Record(ev.JobFailed(reason=_failures_text(state), code=_first_failure(state)))
    left = _left(state)
    if not left:
        return Record(ev.JobCompleted())
    word = "batch is" if left == 1 else "batches are"
    return Record(ev.JobPaused(reason=f"what was asked for is done; {left} {word} left"))


def _left(state: JobState) -> int:
    """Batches that are neither completed nor skipped."""
    return state.total - state.count("completed") - state.count("skipped")


def _pilot_is_over(state: JobState) -> bool:
    """The run was asked for so many batches only, and no batch it began is still to be finished."""
    job, agenda = state.job, state.agenda
    if not job.options.limit or job.run_batches < job.options.limit:
        return False
    return not any(
        state.batches[number].run == job.runs
        for number in (*agenda.queued, *agenda.due_times)
        if number in state.batches
    )
