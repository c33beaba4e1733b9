"""From this process to the conductor: a job that was made ready here, with whatever a notebook gave it.

What the job needs is frozen on disk here, and the conductor takes it up from there. So it runs exactly what was checked
here, rows of DataFrames and values of variables included, whatever happens to the files and the notebook afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mozart_nb import events as ev
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.errors import MisuseError
from mozart_nb.hosts.steering import Say, Submission, Submitted, silently, submit
from mozart_nb.job.borrowed import named_functions
from mozart_nb.plans.prepared import Prepared
from mozart_nb.runtime import run_job

T = TypeVar("T")


def send(
    prepared: Prepared,
    *,
    plants: bool = False,
    fresh: bool = False,
    anew: bool = False,
    reload: Prepared | None = None,
    say: Say = silently,
    **how: Any,
) -> Submitted:
    """Have the conductor run `prepared`, or go on with it; returns once it has accepted it.

    `plants`: nothing of it is on disk yet. `fresh`, `anew` and `reload` are as for `run_job`: what was there before is
    archived, or takes the new config, in a run in which no attempt begins. `how` are fields of `Submission`.

    Raises `MisuseError` for what cannot leave this process, `JobBusyError` where somebody else was faster, what
    `run_job` raises, and what `submit` does.
    """
    now = reload or prepared
    require_sendable(now)
    if fresh or anew or reload is not None:
        options = ev.RunOptions(keep_failed=True, recover=True, fresh=fresh)
        _in_own_loop(run_job(prepared, options, fresh=fresh, anew=anew, reload=reload))
    elif plants:
        _plant(now)
    return submit(Submission(job_id=now.job_id, workspace=now.layout.workspace, **how), say=say)


def require_sendable(prepared: Prepared) -> None:
    """Raise `MisuseError` for a job that needs this process, or has no use for another one."""
    job = prepared.job_id
    if prepared.rehearsed:
        hint = "leave `conductor` out"
        raise MisuseError(f"a rehearsal of job `{job}` runs here only", hint=hint, job_id=job)
    names = sorted({f"`{name}`" for name in named_functions(prepared.loaded.config)})
    if names:
        raise MisuseError(
            f"job `{job}` cannot go to the conductor: its rules call {', '.join(names)} of this notebook",
            hint="run it here, or make a `command_succeeds` rule of what the function checks",
            job_id=job,
        )


def staying_behind(prepared: Prepared) -> list[str]:
    """What of this notebook will not be there when the conductor runs the job, one sentence each."""
    borrowed = prepared.loaded.borrowed
    if not borrowed.class_has_checks:
        return []
    return [
        f"the conductor checks answers against the schema of `{borrowed.class_name}` only: the class itself, with its "
        "validators, stays in this notebook"
    ]


def _plant(prepared: Prepared) -> None:
    """Freeze what the first run of a job needs; its journal is begun by whoever runs it."""
    layout = prepared.layout
    with JobLock(layout):
        if not layout.exists:
            prepared.frozen.write(layout)


def _in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to on a loop of its own in a thread: whatever loop runs here stands still meanwhile."""
    with ThreadPoolExecutor(1, "mozart planting") as thread:
        return thread.submit(asyncio.run, work).result()
