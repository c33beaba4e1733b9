"""What `run` means for a job, given what is on disk of it: the same on the command line and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mozart_nb.consumers.progress import shown_status
from mozart_nb.engine.state import JobState
from mozart_nb.errors import JobBusyError, JobChangedError, MisuseError
from mozart_nb.events import RunOptions
from mozart_nb.plans.prepared import Prepared, Standing
from mozart_nb.selection import parse_batches
from mozart_nb.words import plural


@dataclass(frozen=True)
class Decision:
    """`attach` to whoever runs it, do `nothing` for it is completed, or `run` it; `said` is what people are told.

    `fresh` archives what was there, `anew` only the job's record, so that kept answers serve what has not changed.
    """

    kind: Literal["attach", "nothing", "run"]
    said: str = ""
    fresh: bool = False
    anew: bool = False


def decide(prepared: Prepared, found: Standing, *, fresh: bool = False) -> Decision:
    """What becomes of a job that somebody wants to run.

    Raises `JobBusyError` where it should start over but runs, and `JobChangedError` where its config has changed and
    somebody has to choose.
    """
    if found.kind == "new":
        return Decision("run", fresh=fresh)
    if found.kind == "running":
        if fresh:
            raise JobBusyError(prepared.job_id, str(found.owner))
        return Decision("attach", f"job `{prepared.job_id}` is already running: {found.owner}")
    if fresh:
        said = f"starting over; what was there goes to {prepared.layout.archive}"
        return Decision("run", said, fresh=True)
    if found.kind == "completed":
        return Decision("nothing", nothing_to_do(prepared.job_id))
    if found.kind == "changed":
        if not found.keeps_answers:
            raise _changed(prepared, found)
        return Decision("run", _planned_anew(prepared), anew=True)
    return Decision("run", _going_on(found.state) if found.state is not None else "")


def nothing_to_do(job_id: str) -> str:
    """What is said of a completed job that has not changed."""
    return f"job `{job_id}` is completed and unchanged: nothing to do, nothing was sent"


def _going_on(state: JobState) -> str:
    done = state.count("completed") + state.count("skipped")
    status = shown_status(state, is_live=False)
    how = f"{status}: {state.job.reason}" if state.job.reason else status
    return f"job `{state.job.job_id}` goes on: {done:,} of {plural(state.total, 'batch')} done so far ({how})"


def _planned_anew(prepared: Prepared) -> str:
    return (
        f"the job file has changed since job `{prepared.job_id}` was planned: answers that still hold are kept, "
        f"the rest is asked; the record so far goes to {prepared.layout.archive}"
    )


def _changed(prepared: Prepared, found: Standing) -> JobChangedError:
    done = found.state.count("completed") if found.state is not None else 0
    job = prepared.job_id
    return JobChangedError(
        f"the job file has changed since job `{job}` was planned ({plural(done, 'completed batch')}); nothing was sent",
        hint=f"`mozart resume {job} --reload-config` goes on with the new file, `mozart run … --fresh` starts over",
        job_id=job,
    )


def run_options(
    total: int,
    *,
    batches: str = "",
    limit: int = 0,
    start_batch: int = 1,
    max_concurrent: int = 0,
    fresh: bool = False,
    self_healing: bool = False,
    escalation: bool = False,
) -> RunOptions:
    """What the engine is told beyond the config, for a job of `total` batches. Raises `MisuseError` for others."""
    if start_batch > total:
        raise MisuseError(f"--start-batch {start_batch}: there are batches 1 to {total}")
    return RunOptions(
        only=parse_batches(batches, total) if batches else (),
        limit=limit,
        start_batch=start_batch,
        max_concurrent=max_concurrent,
        fresh=fresh,
        self_healing=self_healing,
        escalation=escalation,
    )
