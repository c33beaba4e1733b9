"""Commands that change what becomes of a job: `pause`, `cancel`, `resume`, `recover`. (`modify` has its own module.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from mozart_nb.checkpoint.control import drop
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.conducting import absolute, is_there, is_wanted, recover_there, run_there
from mozart_nb.cli.healing import unlocked
from mozart_nb.cli.loading import load_checked
from mozart_nb.cli.output import FAILED, OK, Output
from mozart_nb.cli.run import drive, report
from mozart_nb.engine.ports import Request, RequestKind
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError, UnknownJobError
from mozart_nb.events import Event, RunOptions
from mozart_nb.hosts.carriage import Carriage
from mozart_nb.hosts.headless import run_briefly, run_headless
from mozart_nb.hosts.steering import Submission, steer
from mozart_nb.job.load import LoadedJob
from mozart_nb.looking.finding import Found, find
from mozart_nb.looking.following import Follower, follow
from mozart_nb.runtime import Prepared, Revalidated, opened, prepare, recover_job, renewed, standing
from mozart_nb.words import one_line, plural

ACKNOWLEDGE_SECONDS: Final = 3.0
"""How long to wait for a host to take a request; it looks twice per second."""

CANCEL_SECONDS: Final = 60.0
"""How long ending all sessions of a job may take."""


# --- pause and cancel -------------------------------------------------------------------------------------------------


def pause(output: Output, job_id: str, workspace: Path | None, *, wait: bool, seconds: float | None) -> int:
    """Ask a running job to pause. Exit code 0 once it was asked (`wait`: has settled), 1 when that takes too long."""
    found = find(resolve(job_id, workspace))
    if _is_in_queue(found):
        return _taken_out(output, found, "pause")
    if found.state.status == "paused" and not found.is_live:
        output.say(f"job `{job_id}` is paused already")
        return told(output, found)
    follower = ask_host(found, "pause")
    taken = follow(follower, silently, until=_is_stopping, seconds=ACKNOWLEDGE_SECONDS)
    if not wait:
        running = len(follower.state.agenda.running)
        after = f": {plural(running, 'running batch')} finish first" if running else ""
        output.say(f"job `{job_id}` {'is ' + follower.state.status if taken else 'was asked to pause'}{after}")
        return told(output, find(found.layout))
    return _await_settled(output, follower, found, seconds)


def _await_settled(output: Output, follower: Follower, found: Found, seconds: float | None) -> int:
    settled = follow(follower, silently, seconds=seconds)
    now = find(found.layout)
    if not settled and now.is_live:
        output.complain(f"job `{now.layout.job_id}` is still {now.progress.status}", "running batches finish first")
        told(output, now)
        return FAILED
    output.say(f"job `{now.layout.job_id}` is {now.progress.status}")
    return told(output, now)


def cancel(output: Output, job_id: str, workspace: Path | None) -> int:
    """End a job: its sessions are ended at once, and it settles as cancelled. It can still be resumed."""
    layout = resolve(job_id, workspace)
    found = find(layout)
    if found.is_live:
        return _await_settled(output, ask_host(found, "cancel"), found, CANCEL_SECONDS)
    if _is_in_queue(found):
        return _taken_out(output, found, "cancel")
    if found.state.status in ("completed", "cancelled"):
        raise MisuseError(f"job `{job_id}` is {found.state.status} already", job_id=job_id)
    state = _cancel_here(layout)
    output.say(f"job `{job_id}` is {state.status}")
    return told(output, find(layout))


def _is_in_queue(found: Found) -> bool:
    """Whether the conductor has it and nobody runs it."""
    return not found.is_live and Carriage(found.layout).coming is not None


def _taken_out(output: Output, found: Found, action: Literal["pause", "cancel"]) -> int:
    output.say(steer(found.layout, action, by=f"mozart {action}", say=output.say).said)
    return told(output, find(found.layout))


def _cancel_here(layout: Layout) -> JobState:
    """Nobody runs it: take it up for as long as it takes to end what its host left running."""
    options = RunOptions(keep_failed=True, recover=True)
    request = Request(kind="cancel", by="mozart cancel")
    return run_headless(opened(layout), options, on_start=lambda driver: driver.request(request))


def ask_host(found: Found, kind: RequestKind) -> Follower:
    """Leave a request for the host; the follower sees what comes of it."""
    owner = found.glimpse.owner
    if owner is None:
        job, status = found.layout.job_id, found.progress.status
        hint = f"`mozart resume {job}` goes on with it" if status == "interrupted" else ""
        raise MisuseError(f"job `{job}` is not running: it is {status}", hint=hint, job_id=job)
    follower = Follower(found.layout)
    drop(found.layout, Request(kind=kind, by=f"mozart {kind}", run_id=owner.run_id))
    return follower


def silently(events: Sequence[Event]) -> None:
    """Somebody follows a job without showing it."""


def _is_stopping(state: JobState) -> bool:
    return state.status not in ("running", "waiting")


def told(output: Output, found: Found) -> int:
    """The job as it stands, as a document if one was asked for."""
    if output.json:
        output.document(found.document(()))
    return OK


# --- resume and recover -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ResumeWish:
    """What was asked of `resume`."""

    workspace: Path | None = None
    config: Path | None = None
    reload_config: bool = False
    keep_failed: bool = False
    infer: bool = False
    self_healing: bool = False
    escalation: bool = False
    yes: bool = False
    conductor: bool | None = None
    detach: bool = False
    handover: bool = False


def resume(output: Output, job_id: str, wish: ResumeWish) -> int:
    """Go on with a job: everything that is not completed or skipped."""
    goes_there = wish.handover or is_wanted(wish.conductor, detach=wish.detach)
    try:
        prepared = opened(resolve(job_id, wish.workspace))
    except UnknownJobError as error:
        if wish.infer and wish.config is not None:
            return _infer_from_nothing(output, job_id, wish.config, wish, goes_there=goes_there)
        if Path(job_id).suffix in (".yaml", ".yml"):
            error.hint = f"`resume` takes a job id; `mozart run {job_id}` takes the file"
        raise
    found = standing(prepared)
    found, healings = unlocked(output, prepared, found, yes=wish.yes) if wish.self_healing else (found, ())
    if found.kind == "running" and not wish.handover:
        hint = f"`mozart status {job_id} --watch` shows it"
        if goes_there:
            hint += f", `mozart resume {job_id} --handover` has the conductor take it over"
        raise MisuseError(f"job `{job_id}` is already running: {found.owner}", hint=hint, job_id=job_id)
    reload = _reloaded(output, prepared, wish)
    state = found.state
    if state is not None and state.status == "completed" and reload is None:
        return report(output, prepared, state, already=True)
    if state is not None:
        if reload is not None and not may_change(output, state, reload, yes=wish.yes):
            raise MisuseError("nothing was started", hint="--yes answers this question")
        if found.kind != "running":
            output.say(_resuming(state, wish))
    if goes_there or is_there(prepared.layout, wish.conductor):
        return run_there(output, _submission(prepared, wish), layout=prepared.layout, detach=wish.detach)
    options = RunOptions(keep_failed=wish.keep_failed, self_healing=wish.self_healing, escalation=wish.escalation)
    return drive(output, prepared, options, yes=wish.yes, reload=reload, infer=wish.infer, healings=healings)


def _submission(prepared: Prepared, wish: ResumeWish) -> Submission:
    return Submission(
        job_id=prepared.job_id,
        workspace=prepared.layout.workspace,
        config=absolute(wish.config),
        reload_config=wish.reload_config,
        keep_failed=wish.keep_failed,
        infer=wish.infer,
        self_healing=wish.self_healing,
        escalation=wish.escalation,
        yes=wish.yes,
        handover=wish.handover,
    )


def _infer_from_nothing(output: Output, job_id: str, config: Path, wish: ResumeWish, *, goes_there: bool) -> int:
    """The record is lost, the results are not: batches whose rules pass count as completed, the rest runs."""
    prepared = prepare(load_checked(output, config, workspace=wish.workspace), workspace=wish.workspace)
    require_same_job(job_id, prepared.loaded, config)
    output.say(f"there is no record of job `{job_id}`: batches whose rules pass count as completed")
    if goes_there:
        there = replace(
            _submission(prepared, wish),
            file=absolute(config),
            job_id="",
            workspace=absolute(wish.workspace),
            config=None,
            infer=True,
        )
        return run_there(output, there, layout=prepared.layout, detach=wish.detach)
    options = RunOptions(self_healing=wish.self_healing, escalation=wish.escalation)
    return drive(output, prepared, options, yes=wish.yes, infer=True)


def _reloaded(output: Output, prepared: Prepared, wish: ResumeWish) -> Prepared | None:
    """The job with its new config, if one was asked for."""
    if wish.config is not None:
        file = wish.config
    elif wish.reload_config:
        file = prepared.loaded.base_dir / Path(prepared.loaded.file).name
    else:
        return None
    loaded = load_checked(output, file, workspace=prepared.places.workspace, given=prepared.frozen.given)
    require_same_job(prepared.job_id, loaded, file)
    return renewed(prepared, loaded)


def require_same_job(job_id: str, loaded: LoadedJob, file: Path) -> None:
    """A job keeps its name. Raises `MisuseError`."""
    if loaded.config.job_id != job_id:
        message = f"{file} describes job `{loaded.config.job_id}`, not `{job_id}`"
        raise MisuseError(message, hint="a job keeps its name; `mozart run` starts another one", job_id=job_id)


def may_change(output: Output, state: JobState, reloaded: Prepared, *, yes: bool) -> bool:
    """Whether completed batches may stand beside what a changed config will produce."""
    done = state.count("completed")
    if not done or state.job.config_digest == reloaded.digest:
        return True
    text = f"{plural(done, 'completed batch')} of job `{reloaded.job_id}` were made with the old config and stay"
    if yes or not output.can_ask:
        output.say(text)
        return True
    return output.ask(f"{text}. Go on?")


def _resuming(state: JobState, wish: ResumeWish) -> str:
    left = state.total - state.count("completed") - state.count("skipped")
    failed = state.count("failed")
    what = f"{plural(left, 'batch')} left"
    if failed:
        what += f", {failed:,} failed ({'they stay' if wish.keep_failed else 'they are tried again'})"
    # Why it failed are its failed batches, which have just been counted.
    reason = f": {one_line(state.job.reason)}" if state.job.reason and state.status != "failed" else ""
    return f"job `{state.job.job_id}` goes on: {what}, {state.status}{reason}"


def recover(output: Output, job_id: str, workspace: Path | None, *, dry_run: bool, conductor: bool = False) -> int:
    """Check the rules of failed batches again, executing nothing. Exit code 0 when all of them pass now."""
    if conductor:
        return recover_there(output, resolve(job_id, workspace), dry_run=dry_run)
    prepared = opened(resolve(job_id, workspace))
    found = run_briefly(recover_job(prepared, dry_run=dry_run))
    passed = [entry.batch for entry in found if entry.passed]
    now = find(prepared.layout)
    if output.json:
        output.document(
            {
                "job_id": job_id,
                "dry_run": dry_run,
                "recovered": passed,
                "batches": [_recovered(entry) for entry in found],
                "status": now.progress.status,
            }
        )
    else:
        _show_recovered(output, found, dry_run=dry_run)
    say_hooks_left(output, now)
    return OK if len(passed) == len(found) else FAILED


def say_hooks_left(output: Output, found: Found) -> None:
    """A job that completed where nothing is executed has its hooks still to run."""
    left = sum(result.status == "pending" for result in found.hooks)
    if left:
        output.say(f"{plural(left, 'hook')} of `on_success` not run yet: `mozart resume {found.layout.job_id}` does")


def _recovered(entry: Revalidated) -> dict[str, Any]:
    failed = [result for result in entry.results if result.status == "failed"]
    return {
        "batch": entry.batch,
        "passed": entry.passed,
        "rules": len(entry.results),
        "failed_rules": [{"type": r.type, "path": r.path, "message": r.message} for r in failed],
    }


def _show_recovered(output: Output, found: list[Revalidated], *, dry_run: bool) -> None:
    if not found:
        output.say("no batch has failed")
        return
    for entry in found:
        failed = next((result for result in entry.results if result.status == "failed"), None)
        why = "no rule says what it should have produced" if failed is None else one_line(failed.message, 200)
        verdict = "passes now" if entry.passed else f"still fails: {why}"
        output.show(f"batch {entry.batch}  {verdict}")
    passed = sum(entry.passed for entry in found)
    done = "would be completed" if dry_run else "completed"
    output.say(f"{passed:,} of {plural(len(found), 'failed batch')} {done}; nothing was executed")
