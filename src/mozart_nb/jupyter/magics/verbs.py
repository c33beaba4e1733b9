"""What may be asked of `%mozart`: one function per verb, each returning what the notebook displays.

A verb gets the notebook and its parsed options. Mistakes are `MozartError`s; what takes a while is left pending, so
that a cell which awaits stays interruptible.
"""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.progress import Progress
from mozart_nb.errors import MisuseError, MozartError
from mozart_nb.events import RunOptions
from mozart_nb.hosts.channel import running_here
from mozart_nb.hosts.interrupts import finishing
from mozart_nb.job.load import load_job
from mozart_nb.job_handle import Job
from mozart_nb.jupyter.magics.checks import verdict_on
from mozart_nb.jupyter.magics.failures import diagnosis, errors
from mozart_nb.jupyter.magics.history import history, known
from mozart_nb.jupyter.magics.lines import RunWish
from mozart_nb.jupyter.magics.logs import logs
from mozart_nb.jupyter.magics.mending import mend_file
from mozart_nb.jupyter.magics.notebook import Notebook, Outcome, Work
from mozart_nb.jupyter.magics.pages import estimate_page, jobs_page, sent_page, tested_page
from mozart_nb.jupyter.magics.questions import questions, reply
from mozart_nb.jupyter.magics.runs import modify, resume, run_file
from mozart_nb.jupyter.magics.text_view import wait_in_terminal
from mozart_nb.looking.finding import Found, find, known_layouts
from mozart_nb.plans.estimating import Counted, can_be_counted, counted, estimate
from mozart_nb.runtime import recover_job
from mozart_nb.selection import numbers_in, parse_batches
from mozart_nb.words import Page, one_line, page, plural

if TYPE_CHECKING:
    pass

MOST_JOBS: Final = 20
"""Jobs that `%mozart` alone shows."""


def perform(notebook: Notebook, verb: str, given: Namespace) -> Outcome:
    """Do what `%mozart VERB` asks. Raises `MozartError`."""
    return _VERBS[verb](notebook, given)


# --- asking a job for something ---------------------------------------------------------------------------------------


def _run(notebook: Notebook, given: Namespace) -> Outcome:
    return run_file(notebook, RunWish.of(given))


def _pause(notebook: Notebook, given: Namespace) -> Outcome:
    job = notebook.job(given.job, given.workspace)
    if job.status == "paused":
        notebook.say(f"job `{job.job_id}` is paused already")
        return Outcome(job)
    running = job.progress().running
    job.pause()
    notebook.say(f"job `{job.job_id}` is asked to pause{finishing(running)}")
    return Outcome(job)


def _cancel(notebook: Notebook, given: Namespace) -> Outcome:
    job = notebook.job(given.job, given.workspace)
    job.cancel()
    notebook.say(f"job `{job.job_id}` is asked to end at once; `%mozart resume {job.job_id}` can go on with it")
    return Outcome(job)


def _recover(notebook: Notebook, given: Namespace) -> Outcome:
    job = notebook.job(given.job, given.workspace)
    if job.is_live:
        hint = f"`%mozart pause {job.job_id}` first"
        raise MisuseError(f"job `{job.job_id}` is {job.status}", hint=hint, job_id=job.job_id)

    async def work() -> Page:
        found = await recover_job(job.prepared, dry_run=given.dry_run)
        lines = []
        for entry in found:
            failed = next((result for result in entry.results if result.status == "failed"), None)
            why = "no rule says what it should have produced" if failed is None else one_line(failed.message)
            lines.append(f"batch {entry.batch}  {'passes now' if entry.passed else f'still fails: {why}'}")
        passed = sum(entry.passed for entry in found)
        done = "would be completed" if given.dry_run else "completed"
        told = f"{passed:,} of {plural(len(found), 'failed batch')} {done}; nothing was executed"
        return page([*lines, told if found else "no batch has failed"])

    return Outcome(pending=Work(work))


# --- looking ----------------------------------------------------------------------------------------------------------


def say_jobs(notebook: Notebook) -> Outcome:
    """`%mozart` alone: the jobs of this notebook, of this process and of this folder; never an error."""
    here: dict[Layout, tuple[Progress, str]] = {}
    for job in notebook.jobs:
        with contextlib.suppress(MozartError, OSError):  # its workspace may have been deleted
            here[job.layout] = job.progress(), "this notebook"
    others = [(channel.layout, "this kernel") for channel in running_here()]
    others += [(layout, "") for layout in known_layouts(None) if layout.workspace.is_relative_to(Path.cwd())]
    for layout, place in others:
        found = None if layout in here or len(here) >= MOST_JOBS else _on_disk(layout)
        if found is not None:
            here[layout] = found.progress, place or str(found.workspace)
    if not here:
        return Outcome(Page("no jobs here yet; `%%mozart --help` shows how to start one, `%mozart list` lists all"))
    return Outcome(jobs_page(here.values()))


def _on_disk(layout: Layout) -> Found | None:
    """None for a job that is just being started, or cannot be read."""
    try:
        return find(layout)
    except (MozartError, OSError):
        return None


def _status(notebook: Notebook, given: Namespace) -> Outcome:
    if not given.job and not given.workspace:
        return say_jobs(notebook)
    job = notebook.job(given.job, given.workspace)
    if not notebook.has_kernel:
        notebook.say(notebook.text_of(job))
    return Outcome(job)


def _list(notebook: Notebook, given: Namespace) -> Outcome:
    return known(given)


def _batches(notebook: Notebook, given: Namespace) -> Outcome:
    job = notebook.job(given.job, given.workspace)
    frame = job.batches(given.status or None)
    if given.batches:
        wanted = numbers_in(parse_batches(given.batches, job.progress().total))
        frame = frame[frame.index.isin(wanted)]
    return Outcome(frame)


def _answers(notebook: Notebook, given: Namespace) -> Outcome:
    frame = notebook.job(given.job, given.workspace).answers(inputs=given.with_items)
    return Outcome(frame[~frame["status"].isin(["completed", "pending"])] if given.failed else frame)


def _insights(notebook: Notebook, given: Namespace) -> Outcome:
    from mozart_nb.jupyter.magics.insights import insights  # SQL is only for whoever asks for it

    return insights(given)


def _dashboard(notebook: Notebook, given: Namespace) -> Outcome:
    job = notebook.job(given.job, given.workspace)
    if notebook.has_kernel:
        job.dashboard()
        return Outcome(job)
    try:
        wait_in_terminal(job)
    except KeyboardInterrupt:
        notebook.say(f"job `{job.job_id}` goes on; `%mozart pause {job.job_id}` pauses it")
        return Outcome(job)
    notebook.say(notebook.text_of(job))
    return Outcome(job)


# --- before a job is run ----------------------------------------------------------------------------------------------


def _described(notebook: Notebook, given: Namespace, **how: Any) -> Job:
    return Job.load(
        Path(given.file),
        workspace=given.workspace or None,
        overrides=given.overrides,
        namespace=notebook.names,
        **how,
    )


def _validate(notebook: Notebook, given: Namespace) -> Outcome:
    if given.fix:
        mend_file(notebook, given.file)
    job = _described(notebook, given, strict=given.strict)
    return Outcome(verdict_on(job, given.file, f"%mozart validate {given.file} --fix"))


def _estimate(notebook: Notebook, given: Namespace) -> Outcome:
    job = _described(notebook, given)

    async def work() -> Page:
        asks = not given.offline and can_be_counted(job.prepared)
        sizes = await counted(job.prepared) if asks else Counted()
        options = RunOptions(max_concurrent=given.max_concurrent)
        return estimate_page(estimate(job.prepared, sizes, options))

    return Outcome(pending=Work(work))


def _notify_test(notebook: Notebook, given: Namespace) -> Outcome:
    from mozart_nb.plans.notify_test import chosen, send_tests, shown_tests  # what sends is for those who send

    loaded = load_job(given.file)
    channels = chosen(loaded, given.channel or None)
    if given.dry_run:
        return Outcome(sent_page(shown_tests(loaded, channels)))

    async def work() -> Page:
        return tested_page(await send_tests(loaded, channels))

    return Outcome(pending=Work(work))


def _init(notebook: Notebook, given: Namespace) -> Outcome:
    from mozart_nb.jupyter.magics.cell_help import starting_cell

    notebook.shell.set_next_input(starting_cell())
    return Outcome()


_VERBS: Final[dict[str, Callable[[Notebook, Namespace], Outcome]]] = {
    "run": _run,
    "resume": resume,
    "pause": _pause,
    "cancel": _cancel,
    "modify": modify,
    "recover": _recover,
    "questions": questions,
    "reply": reply,
    "status": _status,
    "list": _list,
    "batches": _batches,
    "errors": errors,
    "answers": _answers,
    "history": history,
    "logs": logs,
    "insights": _insights,
    "diagnose": diagnosis,
    "validate": _validate,
    "estimate": _estimate,
    "notify-test": _notify_test,
    "dashboard": _dashboard,
    "init": _init,
}
