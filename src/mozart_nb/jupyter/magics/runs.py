"""The verbs that make a job run: a cell, `run`, `resume`, `modify`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mozart_nb.consumers.progress import LIVE
from mozart_nb.errors import ConfigError, JobChangedError, MisuseError, PlanMismatchError
from mozart_nb.events import RunOptions
from mozart_nb.hosts.channel import channel_of
from mozart_nb.hosts.kernel import host_for
from mozart_nb.hosts.local_run import Wish
from mozart_nb.hosts.sending import require_sendable
from mozart_nb.job.plan import compatible
from mozart_nb.job_handle import Job
from mozart_nb.jupyter.magics.checks import show_checks, verdict_on
from mozart_nb.jupyter.magics.lines import RunWish
from mozart_nb.jupyter.magics.mending import CELL, can_be_mended, mend_cell, mend_file
from mozart_nb.jupyter.magics.notebook import JobWait, Notebook, Outcome, Work
from mozart_nb.jupyter.magics.pages import plan_page
from mozart_nb.plans.prepared import renewed
from mozart_nb.plans.starting import nothing_to_do
from mozart_nb.words import one_line, plural

DEFAULT_NAME: Final = "job"


def run_cell(notebook: Notebook, wish: RunWish, body: str) -> Outcome:
    """`%%mozart`."""
    first_line = 2 + _lines_above(notebook.shell, body)
    if wish.fix:
        body = mend_cell(notebook, wish, body)
    return _run(
        notebook, wish, lambda how: Job.from_text(body, file_name=CELL, first_line=first_line, **how), "%%mozart"
    )


def run_file(notebook: Notebook, wish: RunWish) -> Outcome:
    """`%mozart run FILE`."""
    if wish.fix:
        mend_file(notebook, wish.file, wish)
    return _run(notebook, wish, lambda how: Job.load(Path(wish.file), **how), f"%mozart run {wish.file}")


def _lines_above(shell: Any, body: str) -> int:
    """Empty lines above the magic: IPython drops them, the front end counts them."""
    raw = shell.history_manager.input_hist_raw[-1] if shell.history_manager is not None else ""
    above = raw[: len(raw) - len(raw.lstrip())]
    return above.count("\n") if body.rstrip() in raw else 0


def _run(notebook: Notebook, wish: RunWish, make: Callable[[dict[str, Any]], Job], command: str) -> Outcome:
    settings = notebook.settings
    looks_only = bool(wish.dry_run or wish.show or wish.check)
    how: dict[str, Any] = {
        "workspace": wish.workspace or settings.workspace or None,
        "rehearse": (wish.rehearse or settings.rehearse) and not looks_only,
        "items": notebook.variable(wish.items, "--items") if wish.items else None,
        "variables": {name: notebook.variable(name, "--var") for name in wish.variables},
        "namespace": notebook.names,
        "overrides": wish.overrides,
        "strict": wish.strict or settings.strict,
    }
    fix_hint = f"{command} --fix"
    try:
        job = make(how)
    except ConfigError as error:
        if not error.hint and can_be_mended(error):
            error.hint = f"`{fix_hint}` corrects what can be corrected without asking"
        raise
    if wish.check:
        return Outcome(verdict_on(job, wish.file or "this cell", fix_hint))
    if not (wish.rehearse and looks_only):  # a rehearsal needs neither program nor key
        show_checks(notebook, job, fix_hint)
    options: dict[str, Any] = {
        "limit": wish.limit,
        "batches": wish.batches,
        "start_batch": wish.start_batch,
        "max_concurrent": wish.max_concurrent or settings.max_concurrent,
    }
    if wish.dry_run or wish.show:
        return Outcome(plan_page(job.plan(show=wish.show, **options)))
    known = len(job.notices)
    options |= {"self_healing": wish.self_healing or settings.self_healing, "escalation": wish.escalation}
    options |= _asking(notebook, job)
    options["conductor"] = _goes_to_conductor(notebook, job, wish.conductor)
    if wish.reload_config and job.layout.exists:
        job = _reload(notebook, job, options)
    else:
        _start(job, {**options, "fresh": wish.fresh}, command)
        notebook.say(*job.notices[known:])
    if how["rehearse"]:
        notebook.say(f"a rehearsal in {job.prepared.places.root}: nothing outside it is written")
    return _shown(notebook, job, wish)


def _goes_to_conductor(notebook: Notebook, job: Job, wanted: bool | None) -> bool | None:
    """As the option says, or the settings where nothing of the job needs this kernel; None: as it was before."""
    if wanted is not None or not notebook.settings.goes_to_conductor:
        return wanted
    try:
        require_sendable(job.prepared)
    except MisuseError as error:
        if not job.prepared.rehearsed:
            notebook.say(f"it runs here: {error.message}")
        return False
    return True


def _start(job: Job, options: dict[str, Any], command: str) -> None:
    try:
        job.start(**options)
    except JobChangedError as error:
        if not job.is_live:
            error.hint = (
                f"`{command} --reload-config` goes on with what it is now and keeps what is done, "
                f"`{command} --fresh` starts over"
            )
        raise


def _asking(notebook: Notebook, job: Job) -> dict[str, Any]:
    """Questions are put in the dashboard; in a terminal nobody is asked, and the safe answer is taken."""
    if not notebook.has_kernel:
        return {}
    from mozart_nb.jupyter.dashboard.questions import WidgetConfirmations

    asks = WidgetConfirmations(job)
    return {"confirmations": asks, "ask": asks.agrees}


def _shown(notebook: Notebook, job: Job, wish: RunWish) -> Outcome:
    """The job bound to its name, its dashboard below the cell, and waited for if that was asked."""
    notebook.bind(wish.out or DEFAULT_NAME, job)
    notebook.remember(job)
    waits = notebook.settings.waits if wish.wait is None else wish.wait
    wants_dashboard = notebook.settings.dashboard if wish.dashboard is None else wish.dashboard
    dashboard = job.dashboard() if wants_dashboard and notebook.has_kernel else None
    if dashboard is None and not waits:
        notebook.say(_under_way(job))
    value = job if wish.file else None
    return Outcome(value, JobWait(notebook, job, dashboard, wish.raises, value) if waits else None)


def _under_way(job: Job) -> str:
    if not job.is_live:
        return f"job `{job.job_id}` is {job.status}"
    return f"job `{job.job_id}` runs: {plural(job.progress().total, 'batch')}; `%mozart status` shows how it stands"


# --- going on ---------------------------------------------------------------------------------------------------------


def resume(notebook: Notebook, given: Namespace) -> Outcome:
    """`%mozart resume`."""
    job = notebook.job(given.job, given.workspace)
    reload = _new_config(notebook, job, given)
    wish = RunWish(file=job.job_id, out=given.out, wait=given.wait, dashboard=given.dashboard, raises=given.raises)
    if given.handover:
        return _handed_over(notebook, job, wish)
    status = job.status
    is_live = job.is_live and status in LIVE  # one that has just settled goes on as if nobody ran it
    if is_live and reload is not None:
        hint = f"`%mozart modify {job.job_id} -c FILE -r` pauses it first"
        raise MisuseError(f"job `{job.job_id}` is {status}: its config cannot change now", hint=hint)
    if status == "completed" and reload is None:
        notebook.say(nothing_to_do(job.job_id))
        return _shown(notebook, job, wish)
    if not is_live:
        said = _going_on(job, keeps_failed=given.keep_failed)
    else:
        said = f"job `{job.job_id}` {'does not pause: it goes on' if status == 'pausing' else 'runs already'}"
    known = len(job.notices)
    job.resume(
        reload=reload,
        batches=given.batches,
        keep_failed=given.keep_failed,
        infer=given.infer,
        max_concurrent=given.max_concurrent or notebook.settings.max_concurrent,
        self_healing=given.self_healing or notebook.settings.self_healing,
        escalation=given.escalation,
        conductor=_goes_to_conductor(notebook, reload or job, given.conductor),
        **_asking(notebook, job),
    )
    notebook.say(said, *job.notices[known:])
    return _shown(notebook, job, wish)


def _handed_over(notebook: Notebook, job: Job, wish: RunWish) -> Outcome:
    known = len(job.notices)
    job.hand_over()
    notebook.say(*job.notices[known:])
    return _shown(notebook, job, wish)


def _new_config(notebook: Notebook, job: Job, given: Namespace) -> Job | None:
    """The job with the config that it is to go on with, if another one was asked for."""
    if given.config:
        return _same_job(notebook, job, Path(given.config))
    if not given.reload_config:
        return None
    loaded = job.prepared.loaded
    if loaded.file in ("", CELL):
        hint = "run that cell with `%%mozart --reload-config`"
        raise MisuseError(f"job `{job.job_id}` was described in a cell", hint=hint, job_id=job.job_id)
    return _same_job(notebook, job)


def _same_job(notebook: Notebook, job: Job, file: Path | None = None) -> Job:
    """The job as `file`, or its own file, describes it now. Raises as `Job.reread`."""
    new = job.reread(file, namespace=notebook.names)
    show_checks(notebook, new)
    return new


def _going_on(job: Job, *, keeps_failed: bool) -> str:
    progress = job.progress()
    what = f"{plural(progress.total - progress.done, 'batch')} left"
    if progress.failed:
        what += f", {progress.failed:,} failed ({'they stay' if keeps_failed else 'they are tried again'})"
    reason = f": {one_line(progress.reason)}" if progress.reason and progress.status != "failed" else ""
    return f"job `{job.job_id}` goes on: {what}, {progress.status}{reason}"


def _reload(notebook: Notebook, job: Job, options: dict[str, Any]) -> Job:
    """Go on with the record of a job, and with the config that it has now."""
    if job.is_live:
        hint = f"`%mozart pause {job.job_id}` first"
        raise MisuseError(f"job `{job.job_id}` is {job.status}: its config cannot change now", hint=hint)
    if options["limit"] or options["start_batch"] > 1:
        raise MisuseError("--reload-config goes on with the whole job", hint="leave --limit and --start-batch out")
    recorded = Job.at(job.layout, namespace=notebook.names)
    kept = {name: value for name, value in options.items() if name not in ("limit", "start_batch")}
    notebook.say(_going_on(recorded, keeps_failed=False))
    recorded.resume(reload=job, **kept)
    notebook.say(*recorded.notices)
    return recorded


# --- another config ---------------------------------------------------------------------------------------------------


def modify(notebook: Notebook, given: Namespace) -> Outcome:
    """`%mozart modify`: checks the new file completely, then pauses the job if it runs, and has it take the file."""
    job = notebook.job(given.job, given.workspace)
    new = _same_job(notebook, job, Path(given.config))
    changed = renewed(job.prepared, new.prepared.loaded)
    _require_fit(job, changed.plan)
    if job.prepared.digest == changed.digest:
        notebook.say(f"job `{job.job_id}` has this config already: nothing was changed")
        return Outcome(job)

    async def take() -> Job:
        if job.is_live:
            notebook.say(f"job `{job.job_id}` is asked to pause: running batches finish first")
            job.pause()
            await job
        _require_fit(job, changed.plan)  # more batches may have run meanwhile
        if given.resume:
            job.resume(reload=new, conductor=_goes_to_conductor(notebook, new, given.conductor))
            notebook.say(f"job `{job.job_id}` goes on with {given.config}")
            return job
        # A run in which no attempt begins: it ends what a dead host left open, takes the config and settles.
        options = RunOptions(keep_failed=True, recover=True)
        channel_of(job.layout, host_for).begin(Wish(job.prepared, options, {"reload": changed}))
        await job
        if job.error is not None:
            raise job.error
        now = Job.at(job.layout, namespace=notebook.names)
        notebook.remember(now)
        notebook.say(f"job `{job.job_id}` is {now.status} and has its new config; `%mozart resume` goes on with it")
        return now

    return Outcome(pending=Work(take))


def _require_fit(job: Job, plan: Any) -> None:
    conflicts = job.read(lambda state: compatible(state.plan, plan, state.batches))
    if conflicts:
        raise PlanMismatchError(
            f"the new config would change batches that have run: {'; '.join(conflicts)}; nothing was changed",
            hint=f"job `{job.job_id}` is {job.status}, with its old config",
            job_id=job.job_id,
        )
