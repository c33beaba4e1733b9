"""From what was asked for to a run that can begin: reads and decides, changes nothing. Blocks: call it in a thread.

What is decided is what `mozart run` and `mozart resume` would decide.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mozart_nb import events as ev
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.confirm import WithoutAsking
from mozart_nb.engine.ports import Confirmations, Request
from mozart_nb.engine.state import JobState, Stop
from mozart_nb.errors import JobChangedError, MisuseError, UnknownJobError
from mozart_nb.healing import Ask, always
from mozart_nb.hooks import hooks_of
from mozart_nb.hosts.conductor.carried import Carried
from mozart_nb.hosts.conductor.inheriting import what_is_left
from mozart_nb.hosts.conductor.wanted import Wanted, absolute
from mozart_nb.hosts.local_run import Wish
from mozart_nb.job.lint import Severity
from mozart_nb.job.model import JobConfig
from mozart_nb.job_handle import Job
from mozart_nb.parts import from_notebook
from mozart_nb.plans.prepared import Prepared, Standing, renewed, standing
from mozart_nb.plans.previews import require_first_prompt
from mozart_nb.plans.starting import decide, nothing_to_do, run_options

Kind = Literal["run", "attach", "nothing", "notebook"]
"""`notebook`: it calls functions that only a notebook has; `said` says which."""

_API_BACKENDS: Final = frozenset({"anthropic_api", "anthropic_batches"})
_AUTH_TOKEN: Final = "ANTHROPIC_AUTH_TOKEN"
"""What the service's library takes instead of a key."""

LEAVING: Final = "the conductor stops; its next start goes on"
"""Why a job pauses of which a conductor lets go."""

_HOOKS_ONLY: Final = ev.RunOptions(keep_failed=True, recover=True)


@dataclass(frozen=True)
class Beginning:
    """A job, and what is to become of it. `wish` is there when it is to `run`; `asked` is what it is asked at once."""

    prepared: Prepared
    kind: Kind
    wish: Wish | None = None
    said: str = ""
    notices: Sequence[str] = ()
    found: Standing = field(default_factory=lambda: Standing("new"))
    asked: Request | None = None

    @property
    def layout(self) -> Layout:
        return self.prepared.layout


def beginning(wanted: Wanted, confirmations: Confirmations) -> Beginning:
    """What is to be done about a submission. Raises as `mozart run` and `mozart resume`.

    `confirmations` asks people, unless nobody is to be asked.
    """
    if wanted.job_id:
        return _of_record(wanted, confirmations)
    return _of_description(wanted, confirmations)


def _of_description(wanted: Wanted, confirmations: Confirmations) -> Beginning:
    job = _loaded(wanted)
    prepared = job.prepared
    notices = [issue.shown() for issue in job.issues if issue.severity is Severity.WARNING]
    options = _options(wanted, prepared)
    found = standing(prepared, fresh=wanted.fresh)
    if found.kind == "running" and found.state is not None and not wanted.handover:
        _require_same(prepared, found)
    if found.kind == "running" and wanted.handover:
        require_able(prepared)
        return Beginning(prepared, "attach", None, "", notices, found)
    decision = decide(prepared, found, fresh=wanted.fresh)
    if decision.kind == "nothing":
        return _hooks_left(prepared, found, notices)
    if decision.kind == "attach":
        return Beginning(prepared, "attach", None, decision.said, notices, found)
    require_able(prepared)
    notices += from_notebook(prepared)
    if found.kind == "new" and wanted.start_batch == 1 and not wanted.batches and not wanted.self_healing:
        require_first_prompt(prepared)
    how = {**_asking(wanted, confirmations), "fresh": decision.fresh, "anew": decision.anew, "infer": wanted.infer}
    return Beginning(prepared, "run", Wish(prepared, options, how), decision.said, notices, found)


def _loaded(wanted: Wanted) -> Job:
    kind: dict[str, Any] = {"overrides": wanted.overrides, "strict": wanted.strict, "rehearse": wanted.rehearse}
    workspace = wanted.folder
    if wanted.file:
        return Job.load(absolute(wanted.file, "file"), workspace=workspace, **kind)
    base_dir = absolute(wanted.base_dir, "base_dir")
    return Job.from_text(wanted.text, workspace=workspace, base_dir=base_dir, **kind)


def _require_same(prepared: Prepared, found: Standing) -> None:
    if found.state is not None and found.state.job.config_digest not in ("", prepared.digest):
        raise JobChangedError(
            f"job `{prepared.job_id}` runs with another config ({found.owner}); nothing was started",
            hint=f"`mozart pause {prepared.job_id}` first, then run this again, or give it another name",
            job_id=prepared.job_id,
        )


def _hooks_left(prepared: Prepared, found: Standing, notices: Sequence[str]) -> Beginning:
    config = prepared.loaded.config
    left = found.state is not None and any(
        hook.status == "pending" for hook in hooks_of(prepared.layout, config, found.state)
    )
    if left:
        said = "what it starts when it is completed was cut short and is done now"
        return Beginning(prepared, "run", Wish(prepared, _HOOKS_ONLY), said, notices, found)
    return Beginning(prepared, "nothing", None, nothing_to_do(prepared.job_id), notices, found)


# --- what is on disk --------------------------------------------------------------------------------------------------


def _of_record(wanted: Wanted, confirmations: Confirmations) -> Beginning:
    layout = located(wanted.job_id, wanted.folder)
    if not layout.exists and wanted.config:
        return _of_description(_as_file(wanted), confirmations)
    job = Job.at(layout)
    prepared, reload = job.prepared, _new_config(job, wanted)
    found = standing(prepared, fresh=wanted.fresh)
    if found.kind == "completed" and reload is None and not wanted.fresh:
        return _hooks_left(prepared, found, ())
    options = msgspec.structs.replace(_options(wanted, reload or prepared), keep_failed=wanted.keep_failed)
    how = {**_asking(wanted, confirmations), "infer": wanted.infer, "fresh": wanted.fresh}
    if reload is not None:
        how["reload"] = reload
    wish = Wish(prepared, options, how)
    if found.kind == "running":
        said = f"job `{job.job_id}` is already running: {found.owner}"
        attach = Beginning(prepared, "attach", wish, said, (), found)
        return _if_able(attach) if wanted.handover else attach  # nobody lets go of what cannot go on here
    return _if_able(Beginning(prepared, "run", wish, _going_on(found), (), found))


def located(job_id: str, folder: Path | None) -> Layout:
    """Where a job is. One whose plan alone was written, for somebody else to run it, counts as being there.

    Raises `UnknownJobError`, `AmbiguousJobError`.
    """
    try:
        return resolve(job_id, folder)
    except UnknownJobError:
        if folder is not None:
            planned = Layout(folder, job_id)
            if planned.plan.is_dir():
                return planned
        raise


def _as_file(wanted: Wanted) -> Wanted:
    """A job whose record is gone, described by the file that came with the request."""
    return msgspec.structs.replace(wanted, file=wanted.config, job_id="", config="", reload_config=False)


def _new_config(job: Job, wanted: Wanted) -> Prepared | None:
    if not wanted.config and not wanted.reload_config:
        return None
    new = job.reread(absolute(wanted.config, "config") if wanted.config else None)
    return renewed(job.prepared, new.prepared.loaded)


def _going_on(found: Standing) -> str:
    state = found.state
    if state is None:
        return ""
    done = state.count("completed") + state.count("skipped")
    return f"job `{state.job.job_id}` goes on: {done:,} of {state.total:,} batches done so far"


def going_on(carried: Carried, confirmations: Confirmations) -> Beginning:
    """The run of a job that a conductor was carrying when it stopped, or died: its end, not another beginning.

    What had failed stays failed, and a pilot counts what it had done. `nothing` where the job has settled meanwhile.
    """
    if not carried.has_begun:
        return beginning(msgspec.convert(carried.wish, Wanted), confirmations)
    if not carried.layout.exists:
        raise UnknownJobError(f"there is no job `{carried.job_id}` in {carried.folder} now", job_id=carried.job_id)
    job = Job.at(carried.layout)
    prepared, found = job.prepared, standing(job.prepared)
    if found.kind == "running":
        return Beginning(prepared, "attach", None, f"job `{job.job_id}` is already running: {found.owner}", (), found)
    if found.kind == "completed":
        return _hooks_left(prepared, found, ())
    state = found.state
    if state is not None and state.is_settled and not _is_ours(carried, state):
        return Beginning(prepared, "nothing", None, f"job `{job.job_id}` is {state.status}", (), found)
    wanted = wanted_of(carried)
    cut = state.job.options if state is not None else ev.RunOptions()
    if wanted.limit and state is not None and (cut.limit or cut.only):
        rest = what_is_left(state)
        if rest is None:
            said = f"job `{job.job_id}` has run the {wanted.limit} batches of its pilot"
            return Beginning(prepared, "nothing", None, said, (), found)
        wanted = msgspec.structs.replace(wanted, **{"limit": 0, **rest})
    options = _options(wanted, prepared)
    if wanted.limit and state is not None and not cut.limit:
        left = wanted.limit - (state.count("completed") + state.count("skipped") - carried.done_before)
        if left <= 0:
            said = f"job `{job.job_id}` has run the {wanted.limit} batches of its pilot"
            return Beginning(prepared, "nothing", None, said, (), found)
        options = msgspec.structs.replace(options, limit=left)
    wish = Wish(prepared, msgspec.structs.replace(options, keep_failed=True), _asking(wanted, confirmations))
    return _if_able(Beginning(prepared, "run", wish, _going_on(found), (), found, _asked_before(state)))


def _is_ours(carried: Carried, state: JobState) -> bool:
    """Whether it is paused because a conductor stopped, or took it over, and nobody else has run it since then."""
    if state.status != "paused":
        return False
    if carried.stopped_at:
        return carried.was_stopped and carried.stopped_at == state.job.seq
    # The account may not have been written any more; the job's own record says it as well.
    return state.job.reason == LEAVING or (carried.was_stopped and not is_a_persons(state.job.stop))


def _asked_before(state: JobState | None) -> Request | None:
    """What a person asked of the job before its host died: that still counts."""
    stop = state.job.stop if state is not None and not state.is_settled else None
    if stop is None or not is_a_persons(stop):
        return None
    return Request(kind="cancel" if stop.kind == "cancel" else "pause", by=stop.by, reason=stop.reason)


def is_a_persons(stop: Stop | None) -> bool:
    """Whether it was a person who wanted the job to pause or end, and no conductor that made room for the next one."""
    return stop is not None and (stop.kind == "cancel" or (stop.is_asked and stop.reason != LEAVING))


def wanted_of(carried: Carried) -> Wanted:
    """How a job that has begun goes on."""
    return msgspec.convert({**carried.wish, "job_id": carried.job_id, "workspace": carried.folder}, Wanted)


# --- what a run needs -------------------------------------------------------------------------------------------------


def _options(wanted: Wanted, prepared: Prepared) -> ev.RunOptions:
    options = run_options(
        prepared.plan.count,
        batches=wanted.batches,
        limit=wanted.limit,
        start_batch=wanted.start_batch,
        max_concurrent=wanted.max_concurrent,
        fresh=wanted.fresh,
        self_healing=wanted.self_healing,
    )
    return msgspec.structs.replace(options, escalation=wanted.escalation)


def _asking(wanted: Wanted, confirmations: Confirmations) -> dict[str, Any]:
    ask: Ask | None = always if wanted.yes else None
    return {"confirmations": WithoutAsking() if wanted.yes else confirmations, "ask": ask}


def require_able(prepared: Prepared) -> None:
    """Raises `MisuseError` for a job that cannot run here for want of a key."""
    if not prepared.rehearsed:
        require_key(prepared.loaded.config)


def _if_able(found: Beginning) -> Beginning:
    """The same with what will only not be checked here, or as a job for a notebook."""
    job = found.wish.job if found.wish is not None else found.prepared
    require_able(job)
    try:
        return replace(found, notices=from_notebook(job))
    except MisuseError as error:
        return replace(found, kind="notebook", said=error.message)


def require_key(config: JobConfig, environ: Mapping[str, str] = os.environ) -> None:
    """Keys come from the environment of the conductor and from nowhere else. Raises `MisuseError` for one missing."""
    backend = config.backend
    if backend.type not in _API_BACKENDS or any(environ.get(name) for name in (backend.api_key_env, _AUTH_TOKEN)):
        return
    raise MisuseError(
        f"the conductor has no key for job `{config.job_id}`: {backend.api_key_env} is not set in its environment",
        hint=f"set {backend.api_key_env} and `mozart restart`; keys are never sent to the conductor",
        job_id=config.job_id,
    )
