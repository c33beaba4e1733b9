"""`modify`: a new config for a job, whether it runs or not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from mozart_nb.checkpoint.index import resolve
from mozart_nb.cli.conducting import is_wanted, run_there
from mozart_nb.cli.jobs import ask_host, may_change, require_same_job, say_hooks_left, silently, told
from mozart_nb.cli.loading import load_checked
from mozart_nb.cli.output import FAILED, Output
from mozart_nb.cli.run import drive
from mozart_nb.errors import MisuseError, PlanMismatchError
from mozart_nb.events import RunOptions
from mozart_nb.hosts.headless import run_headless
from mozart_nb.hosts.steering import Submission
from mozart_nb.job.plan import compatible
from mozart_nb.looking.finding import Found, find
from mozart_nb.looking.following import follow
from mozart_nb.runtime import Prepared, opened, renewed
from mozart_nb.words import plural


@dataclass(frozen=True, kw_only=True)
class ModifyWish:
    """What was asked of `modify`. `seconds` is how long the job may take to pause; None: as long as it takes."""

    config: Path
    workspace: Path | None = None
    resume: bool = False
    seconds: float | None = None
    yes: bool = False
    conductor: bool | None = None
    detach: bool = False


def modify(output: Output, job_id: str, wish: ModifyWish) -> int:
    """Pause a job if it runs, and have its next run use a new config.

    The new file is checked completely first. Where it does not fit, nothing happens; a job that turned out not to fit
    only while it paused stays paused, with its old config, and that is said.
    """
    layout = resolve(job_id, wish.workspace)
    prepared = opened(layout)
    loaded = load_checked(output, wish.config, workspace=prepared.places.workspace, given=prepared.frozen.given)
    require_same_job(job_id, loaded, wish.config)
    changed = renewed(prepared, loaded)
    found = find(layout)
    _require_fit(found, changed)
    if found.state.job.config_digest == changed.digest:
        output.say(f"job `{job_id}` has this config already: nothing was changed")
        return told(output, found)
    if not may_change(output, found.state, changed, yes=wish.yes):
        raise MisuseError("nothing was changed", hint="--yes answers this question", job_id=job_id)
    if found.is_live and not _pause(output, found, wish.seconds):
        told(output, find(layout))
        return FAILED
    return _take(output, find(layout), prepared, changed, wish)


def _require_fit(found: Found, changed: Prepared) -> None:
    conflicts = compatible(found.state.plan, changed.plan, found.state.batches)
    if conflicts:
        job, status = found.layout.job_id, found.progress.status
        hint = f"job `{job}` is {status}, with its old config"
        if status not in ("running", "waiting", "completed"):
            hint += f"; `mozart resume {job}` goes on with that"
        raise PlanMismatchError(
            f"the new config would change batches that have run: {'; '.join(conflicts)}; nothing was changed",
            hint=hint,
            job_id=job,
        )


def _pause(output: Output, found: Found, seconds: float | None) -> bool:
    """Whether the job has settled, and its host has let go of it, in time."""
    job = found.layout.job_id
    deadline = None if seconds is None else time.monotonic() + seconds
    follower = ask_host(found, "pause")
    running = len(found.state.agenda.running)
    after = f": {plural(running, 'running batch')} finish first" if running else ""
    output.say(f"job `{job}` is asked to pause{after}")
    try:
        settled = follow(follower, silently, seconds=seconds)
        while settled and follower.is_alive and (deadline is None or time.monotonic() < deadline):
            time.sleep(0.05)  # it has settled, and saves its last words
    except KeyboardInterrupt:
        output.say(f"job `{job}` was asked to pause; its config was not changed")
        raise
    if not follower.is_alive:
        return True
    hint = f"its config was not changed; `mozart modify {job}` again when it has paused"
    output.complain(f"job `{job}` is still {find(found.layout).progress.status}", hint)
    return False


def _take(output: Output, found: Found, prepared: Prepared, changed: Prepared, wish: ModifyWish) -> int:
    _require_fit(found, changed)  # more batches may have run meanwhile
    job = found.layout.job_id
    if wish.resume:
        output.say(f"job `{job}` goes on with {wish.config}")
        if is_wanted(wish.conductor, detach=wish.detach):
            place = found.layout.workspace
            there = Submission(job_id=job, workspace=place, config=wish.config.absolute(), yes=wish.yes)
            return run_there(output, there, layout=found.layout, detach=wish.detach)
        return drive(output, prepared, RunOptions(), yes=wish.yes, reload=changed)
    # A run in which no attempt begins: it ends what a dead host left open, takes the config and settles.
    run_headless(prepared, RunOptions(keep_failed=True, recover=True), reload=changed)
    now = find(found.layout)
    output.say(f"job `{job}` is {now.progress.status} and has its new config; `mozart resume {job}` goes on with it")
    say_hooks_left(output, now)
    return told(output, now)
