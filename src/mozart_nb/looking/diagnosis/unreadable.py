"""Jobs whose record cannot be read: a diagnosis is built from what is there."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Final

from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.follow import Glimpse
from mozart_nb.checkpoint.journal import JournalScan
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.codes import lookup
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import JobState
from mozart_nb.errors import CheckpointCorruptError, CheckpointTooNewError, MozartError
from mozart_nb.job.load import LoadedJob
from mozart_nb.looking.diagnosis.environment import Surroundings
from mozart_nb.looking.diagnosis.findings import Diagnosis, NextStep, Trouble
from mozart_nb.looking.finding import Found
from mozart_nb.plans.frozen import read_frozen, workspace_of
from mozart_nb.plans.secrets import know_secrets
from mozart_nb.words import clean, one_line, plural

_MOST_SALVAGED: Final = 300_000
"""Events of a damaged journal that are looked at."""


def salvaged(layout: Layout, now: float) -> Found:
    """A job as far as its record can be read: what its frozen plan says, and its journal up to the first damage."""
    state = JobState()
    with contextlib.suppress(MozartError, OSError, ValueError, LookupError):
        for count, event in enumerate(JournalScan(layout, DiskFiles())):
            if count == _MOST_SALVAGED:
                break
            apply(state, event)
    loaded, workspace = _plan(layout)
    config = loaded.config if loaded is not None else None
    return Found(layout, Glimpse(state, state.status, None), config, workspace, now, loaded)


def _plan(layout: Layout) -> tuple[LoadedJob | None, Path]:
    with contextlib.suppress(MozartError, OSError):
        frozen = read_frozen(layout)
        know_secrets(frozen.loaded.config)
        return frozen.loaded, workspace_of(frozen, layout)
    return None, layout.workspace


def plan_troubles(found: Found) -> Iterator[Trouble]:
    """What the job was planned with cannot be read: it can be looked at, but not gone on with."""
    layout = found.layout
    if found.config is not None or found.progress.status == "completed" or not layout.snapshot.exists():
        return
    why = "it was damaged or removed"
    with contextlib.suppress(OSError):
        try:
            read_frozen(layout)
        except MozartError as error:
            why = error.message
    advice = f"restore {layout.plan} from a backup (where there is none, `mozart run JOB.yaml --fresh` starts over)"
    yield Trouble("plan", "its plan cannot be read, so that it cannot go on", one_line(why, 240), advice, "error")


def unreadable(found: Found, known: Diagnosis | None, error: MozartError | OSError) -> Diagnosis:
    """What can be said about a job whose record could not be read because of `error`.

    `known` is the diagnosis of what could be read, if anything.
    """
    layout, job = found.layout, found.state.job
    again = _start_over(found.loaded)
    code = error.code if isinstance(error, MozartError) and error.code else "E701"
    row = lookup(code)
    message = error.message if isinstance(error, MozartError) else _os_message(error)
    start_over = NextStep(again, "", "start over; what is there is archived")
    told = f": {_how_far(found)}" if job.seq else ""
    base = known or _bare(found)
    return replace(
        base,
        job_id=layout.job_id,
        name=job.name or (found.config.name if found.config is not None else ""),
        status="unreadable",
        headline=f"{layout.job_id} unreadable: its record cannot be read{told}",
        cause=clean(f"{code} {row.meaning}: {message}" if not isinstance(error, OSError) else message),
        first=_first(layout, error, again),
        code="" if isinstance(error, OSError) else code,
        meaning="" if isinstance(error, OSError) else row.meaning,
        advice="" if isinstance(error, OSError) else row.advice,
        reason=clean(message),
        next_steps=(start_over,) if isinstance(error, CheckpointCorruptError) else (),
    )


def _bare(found: Found) -> Diagnosis:
    around = Surroundings(found.layout, found.loaded, found.workspace, is_live=True).environment(found.now)
    return Diagnosis(found.layout.job_id, "", "unreadable", "", environment=around, looked_at=found.now)


def _how_far(found: Found) -> str:
    state = found.state
    done = state.count("completed") + state.count("skipped")
    batches = f"{done:,} of {plural(state.total, 'batch')}"
    return f"up to event {state.job.seq:,} it can, there {batches} were done"


def _start_over(loaded: LoadedJob | None) -> str:
    """The command that begins anew."""
    if loaded is None:
        return "mozart run JOB.yaml --fresh"
    return f"mozart run {quote(str(loaded.path))} --fresh" if loaded.path is not None else "%%mozart --fresh"


def _first(layout: Layout, error: MozartError | OSError, again: str) -> str:
    if isinstance(error, CheckpointTooNewError):
        return "upgrade mozart_nb (`pip install --upgrade mozart_nb`), or use the version that ran the job"
    if isinstance(error, CheckpointCorruptError):
        return f"restore {layout.root} from a backup, or start over with `{again}`"
    if isinstance(error, OSError):
        path = error.filename or layout.root
        return f"let {_user()} read {path}, then `mozart diagnose {layout.job_id}` again"
    return clean(error.hint)


def _os_message(error: OSError) -> str:
    return f"{error.filename or 'its folder'}: {error.strerror or error}"


def _user() -> str:
    try:
        return f"the user {getpass.getuser()}"
    except (OSError, KeyError, ImportError):
        return "this user"
