"""`run` and `rehearse`: from a job file to a settled job, going on with what is there already."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mozart_nb.cli.attach import attach
from mozart_nb.cli.conducting import absolute, is_there, is_wanted, run_there
from mozart_nb.cli.confirm import SetAside, confirmations_for, consent_for
from mozart_nb.cli.dry_run import show_plan
from mozart_nb.cli.healing import unlocked
from mozart_nb.cli.live import Watcher
from mozart_nb.cli.loading import load_checked
from mozart_nb.cli.output import FAILED, OK, PAUSED, Output, exit_code_of
from mozart_nb.cli.render import isolation_lines, remedy_lines, summary_lines
from mozart_nb.cli.waiting import wait_until
from mozart_nb.consumers.documents import status_document
from mozart_nb.consumers.phrases import next_steps
from mozart_nb.consumers.progress import progress_of
from mozart_nb.engine.state import JobState
from mozart_nb.errors import JobBusyError, MisuseError
from mozart_nb.events import RunOptions
from mozart_nb.hooks import ends_chain, hook_rows, words
from mozart_nb.hosts.headless import finish_headless, run_headless
from mozart_nb.hosts.steering import Submission
from mozart_nb.plans.outlook import plan_document
from mozart_nb.plans.starting import decide, nothing_to_do, run_options
from mozart_nb.runtime import Prepared, Standing, prepare, standing
from mozart_nb.selection import parse_at
from mozart_nb.words import plural

STOP_HINT = "Ctrl-C pauses: running batches finish first"


@dataclass(frozen=True, kw_only=True)
class RunWish:
    """What was asked of `run`."""

    workspace: Path | None = None
    dry_run: bool = False
    show: int = 0
    rehearse: bool = False
    limit: int = 0
    batches: str = ""
    fresh: bool = False
    start_batch: int = 1
    at: str = ""
    yes: bool = False
    overrides: Sequence[str] = ()
    max_concurrent: int = 0
    strict: bool = False
    self_healing: bool = False
    escalation: bool = False
    conductor: bool | None = None
    detach: bool = False


def run(output: Output, file: Path, wish: RunWish) -> int:
    """Run a job file; returns the exit code."""
    goes_there = is_wanted(wish.conductor, detach=wish.detach)
    starts_at = parse_at(wish.at, time.time()) if wish.at else 0.0
    if starts_at and wish.detach:
        raise MisuseError("--at waits here until it is time, --detach does not wait", hint="leave out one of them")
    loaded = load_checked(
        output,
        file,
        overrides=wish.overrides,
        strict=wish.strict,
        workspace=wish.workspace,
        rehearse=wish.rehearse,
    )
    prepared = prepare(loaded, workspace=wish.workspace)
    options = options_of(wish, prepared.plan.count)
    if wish.dry_run or wish.show:
        document = plan_document(prepared, options, show=wish.show)
        output.document(document) if output.json else show_plan(output, document)
        return OK
    if starts_at:
        wait_until(output, starts_at, loaded.config.job_id)
    if wish.rehearse and wish.conductor is None and not wish.detach:
        goes_there = False  # free of charge and soon over: only when asked for in so many words
    elif not goes_there:
        goes_there = is_there(prepared.layout, wish.conductor)
    if goes_there:
        return _run_there(output, prepared, file, wish)
    if wish.rehearse:
        # Only now: this makes the scratch folder.
        prepared = prepare(loaded, rehearse=True)
    return _start(output, prepared, options, wish)


def _run_there(output: Output, prepared: Prepared, file: Path, wish: RunWish) -> int:
    if wish.fresh and not wish.rehearse:
        found = standing(prepared, fresh=True)
        if found.kind not in ("new", "running"):
            _require_consent(output, prepared, found, yes=wish.yes)
    submission = Submission(
        file=file.absolute(),
        workspace=absolute(wish.workspace),
        overrides=wish.overrides,
        strict=wish.strict,
        rehearse=wish.rehearse,
        fresh=wish.fresh,
        limit=wish.limit,
        batches=wish.batches,
        start_batch=wish.start_batch,
        max_concurrent=wish.max_concurrent,
        self_healing=wish.self_healing,
        escalation=wish.escalation,
        yes=wish.yes,
    )
    return run_there(output, submission, layout=None if wish.rehearse else prepared.layout, detach=wish.detach)


def options_of(wish: RunWish, total: int) -> RunOptions:
    """What the engine is told beyond the config. Raises `MisuseError` for batches that do not exist."""
    return run_options(
        total,
        batches=wish.batches,
        limit=wish.limit,
        start_batch=wish.start_batch,
        max_concurrent=wish.max_concurrent,
        fresh=wish.fresh,
        self_healing=wish.self_healing,
        escalation=wish.escalation,
    )


def _start(output: Output, prepared: Prepared, options: RunOptions, wish: RunWish) -> int:
    found = standing(prepared, fresh=wish.fresh)
    found, healings = unlocked(output, prepared, found, yes=wish.yes) if wish.self_healing else (found, ())
    decision = decide(prepared, found, fresh=wish.fresh)
    if decision.kind == "attach":
        return attach(output, prepared.layout, config=prepared.loaded.config, workspace=prepared.places.workspace)
    if decision.kind == "nothing" and found.state is not None:
        return report(output, prepared, found.state, already=True)
    if decision.fresh and found.kind != "new":
        _require_consent(output, prepared, found, yes=wish.yes)
    if decision.said:
        output.say(decision.said)
    how: dict[str, Any] = {"fresh": decision.fresh, "anew": decision.anew, "healings": healings}
    try:
        return drive(output, prepared, options, yes=wish.yes, **how)
    except JobBusyError:
        # Somebody else was faster, between our look and our lock.
        if wish.fresh:
            raise
        return attach(output, prepared.layout, config=prepared.loaded.config, workspace=prepared.places.workspace)


def _require_consent(output: Output, prepared: Prepared, found: Standing, *, yes: bool) -> None:
    """Ask before starting over, where there is something to lose and somebody to ask; it is archived either way."""
    done = found.state.count("completed") if found.state is not None else 0
    if done and not yes and output.can_ask:
        question = f"Start `{prepared.job_id}` over? {plural(done, 'completed batch')} will be archived."
        if not output.ask(question):
            raise MisuseError("nothing was started", hint="--yes answers this question")


# --- the run itself ---------------------------------------------------------------------------------------------------


def drive(output: Output, prepared: Prepared, options: RunOptions, *, yes: bool = False, **how: Any) -> int:
    """Run the job on an event loop of its own, showing it; returns the exit code. `yes`: nobody is asked anything."""
    watcher = Watcher(output, STOP_HINT)
    aside = SetAside(watcher)
    how["confirmations"] = confirmations_for(output, yes=yes, aside=aside)
    how["ask"] = consent_for(how["confirmations"], yes=yes)
    try:
        state = run_headless(prepared, options, observers=[watcher], on_start=aside.attach, **how)
    finally:
        watcher.close()
    return report(output, how.get("reload") or prepared, state)


def _kept(state: JobState) -> str:
    kept = sum(batch.reused for batch in state.batches.values())
    asked = sum(batch.attempts > 0 and not batch.reused for batch in state.batches.values())
    return f"  {kept:,} of {plural(state.total, 'answer')} {'was' if kept == 1 else 'were'} kept, {asked:,} asked"


def report(output: Output, prepared: Prepared, state: JobState, *, already: bool = False) -> int:
    """The last words of a run, and its document; returns the exit code."""
    config = prepared.loaded.config
    now = time.time()
    progress = progress_of(state, config, now, is_live=False)
    if already:
        output.say(nothing_to_do(state.job.job_id))
    else:
        for line in summary_lines(progress, state.job):
            output.say(line)
        for line in (*isolation_lines(state), *remedy_lines(state)):
            output.say(line)
        if state.job.reused:
            output.say(_kept(state))
    if prepared.rehearsed:
        output.say(f"rehearsed in {prepared.places.root}; nothing outside it was written")
    elif not already:
        for step in next_steps(progress):
            output.say(f"next: {step}")
        if progress.code:
            output.say(f"why: `mozart diagnose {progress.job_id}` names the cause and what to do")
    after = finish_headless(prepared, state, output.say)
    for result in after.hooks if output.quiet else ():
        if result.status in ("failed", "unknown"):
            output.complain(f"hook {result.hook} ({result.what}) {words(result)}")
    if output.json:
        workspace, hooks = str(prepared.places.workspace), hook_rows(after.hooks)
        output.document(status_document(state, config, now, is_live=False, workspace=workspace, hooks=hooks))
    if after.is_interrupted:
        return PAUSED
    return FAILED if ends_chain(config, after.hooks) else exit_code_of(progress.status)
