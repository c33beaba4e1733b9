"""What happens to the job as a whole."""

from __future__ import annotations

from typing import Literal

from mozart_nb.events.base import Event
from mozart_nb.events.records import FORMAT, PlanShape, RunOptions, Wording


class JobPlanned(Event, frozen=True, kw_only=True, tag="job.planned"):
    """First event of every journal. `seed` feeds every random choice of the job.

    `replaces` is the archived record that this one takes the place of, relative to `.mozart`; `earlier_usd` is what
    that one and those before it cost in US dollars, as far as it is known.
    """

    job_id: str
    name: str
    plan: PlanShape
    seed: int
    config_digest: str
    format: int = FORMAT
    backend: str = ""
    description: str = ""
    replaces: str = ""
    earlier_usd: float = 0.0
    wording: Wording = Wording()


class JobStarted(Event, frozen=True, kw_only=True, tag="job.started"):
    """A host took the job up for the first time."""

    run_id: str
    host: str = ""
    pid: int = 0
    options: RunOptions = RunOptions()


class JobResumed(Event, frozen=True, kw_only=True, tag="job.resumed"):
    """A host took the job up again. `crashed`: the run before never settled."""

    run_id: str
    host: str = ""
    pid: int = 0
    options: RunOptions = RunOptions()
    crashed: bool = False


class JobWaiting(Event, frozen=True, kw_only=True, tag="job.waiting"):
    """Nothing can run before `until`: the rate limit or the circuit breaker holds everything back."""

    until: float
    reason: str


class JobPausing(Event, frozen=True, kw_only=True, tag="job.pausing"):
    """No new attempts; running ones finish, or are ended when `stop` is `cancel`. `by` says who asked.

    `stop` says how the job settles then: as paused, failed or cancelled.
    """

    reason: str
    by: str = ""
    code: str = ""
    stop: Literal["pause", "fail", "cancel"] = "pause"


class JobPauseWithdrawn(Event, frozen=True, kw_only=True, tag="job.pause_withdrawn"):
    """Whoever asked for a pause thought better of it before the job had settled: it goes on."""

    by: str = ""


class JobPaused(Event, frozen=True, kw_only=True, tag="job.paused"):
    """Settled for now, resumable."""

    reason: str = ""
    code: str = ""


class JobCompleted(Event, frozen=True, kw_only=True, tag="job.completed"):
    """Every batch is completed or skipped."""


class JobFailed(Event, frozen=True, kw_only=True, tag="job.failed"):
    """Settled with failed batches or a failure of the job itself."""

    reason: str
    code: str = ""


class JobCancelled(Event, frozen=True, kw_only=True, tag="job.cancelled"):
    """Settled at the user's request; sessions were ended."""

    by: str = ""


class ConfigReloaded(Event, frozen=True, kw_only=True, tag="job.config_reloaded"):
    """A new config with a compatible plan took over."""

    config_digest: str
    plan: PlanShape
    wording: Wording = Wording()


class CostUpdated(Event, frozen=True, kw_only=True, tag="job.cost_update"):
    """The job's cost passed a mark worth telling (`warn_at_percent`, a limit)."""

    cost_usd: float
    limit_usd: float | None = None
    message: str = ""


class JobNotice(Event, frozen=True, kw_only=True, tag="job.notice"):
    """Something to tell people (the clock went back, an observer broke). Told to observers only; never journaled."""

    message: str
