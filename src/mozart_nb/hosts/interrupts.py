"""What an interrupt of a wait means: the job pauses, everything is saved, and one line says how to go on."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

from mozart_nb.consumers.progress import Progress
from mozart_nb.errors import MisuseError
from mozart_nb.hosts.kernel import in_kernel, shell
from mozart_nb.words import plural

MAGIC = "%mozart"

_CELL = "run_cell_async"
"""The coroutine of IPython that executes a cell."""


class MozartInterrupted(KeyboardInterrupt):
    """Somebody interrupted the wait for a job. A front end stops the cells behind the one that waited."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class Interruptible(Protocol):
    """A job, as far as an interrupt concerns it."""

    @property
    def job_id(self) -> str: ...
    @property
    def is_live(self) -> bool: ...
    @property
    def runs_here(self) -> bool: ...
    def progress(self) -> Progress: ...
    def pause(self) -> Any: ...


def interrupted(job: Interruptible, mozart: str = "") -> MozartInterrupted:
    """Have the job pause, and say what is saved and how to go on.

    A job of another process goes on: only the wait has ended. `mozart` is how commands begin here.
    """
    name = f"job `{job.job_id}`"
    mozart = mozart or ("mozart" if shell() is None else MAGIC)
    progress = job.progress()
    done = f"{progress.done:,} of {plural(progress.total, 'batch')} done and saved"
    if not job.is_live or not progress.is_live:
        hooks = "; its hooks still run" if job.is_live and progress.status == "completed" else ""
        return MozartInterrupted(f"{name} is {progress.status}: {done}{hooks}")
    if not job.runs_here:
        return MozartInterrupted(f"{name} goes on in another process: {done}; `{mozart} pause {job.job_id}` pauses it")
    with contextlib.suppress(MisuseError):  # it has settled at this very moment
        job.pause()
    return MozartInterrupted(
        f"{name} pauses: {done}{finishing(progress.running)}; `{mozart} resume {job.job_id}` goes on with it"
    )


def finishing(running: int) -> str:
    """What is said of batches that a pause waits for; nothing when there are none."""
    return f", {running:,} running {'batch finishes' if running == 1 else 'batches finish'} first" if running else ""


def is_cell() -> bool:
    """Whether a cell of a notebook awaits right here: an interrupt of the kernel cancels exactly that task."""
    task = asyncio.current_task()
    name = getattr(task.get_coro(), "__name__", "") if task is not None else ""
    return name == _CELL and in_kernel()
