"""A diagnosis of whatever is named: a job that is known, one that never began, or the file that describes one."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mozart_nb.checkpoint.index import remembered, resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import AmbiguousJobError, MisuseError, UnknownJobError
from mozart_nb.looking.diagnosis.findings import Diagnosis
from mozart_nb.looking.diagnosis.look import diagnose
from mozart_nb.looking.diagnosis.unborn import (
    JOB_FILES,
    candidates,
    diagnose_file,
    file_of,
    never_began,
    without_record,
)
from mozart_nb.looking.history import last_places
from mozart_nb.plans.prepared import Prepared


def diagnose_any(job: str, workspace: Path | None = None, *, include_output: bool = False) -> Diagnosis:
    """Look at the job with this id, or at the one that this job file describes, even if only parts of it remain.

    Raises `UnknownJobError` when nothing is known of it, `AmbiguousJobError` when several workspaces have it.
    """
    if Path(job).suffix in JOB_FILES and Path(job).is_file():
        return _of_file(Path(job), workspace, include_output=include_output)
    was_at = remembered(job)  # before anything forgets what is gone
    try:
        layout = resolve(job, workspace)
    except UnknownJobError as error:
        was_at = was_at or last_places(job)
        found = _without_layout(job, workspace, was_at)
        if found is None:
            raise error from None
        return found
    except AmbiguousJobError:
        raise
    except OSError:
        layout = was_at[0] if was_at else Layout((workspace or Path.cwd()).absolute(), job)
    return diagnose(layout, include_output=include_output)


def diagnose_prepared(prepared: Prepared, *, include_output: bool = False) -> Diagnosis:
    """Look at a job that was loaded, also before its first run."""
    if prepared.layout.exists:
        return diagnose(prepared.layout, include_output=include_output)
    return never_began(prepared, prepared.loaded.path)


def _of_file(file: Path, workspace: Path | None, *, include_output: bool) -> Diagnosis:
    found = diagnose_file(file, workspace)
    if isinstance(found, Diagnosis):
        return found
    if found.layout.exists:
        return diagnose(found.layout, include_output=include_output)
    return never_began(found, file)


def _without_layout(job: str, workspace: Path | None, was_at: list[Layout]) -> Diagnosis | None:
    there = next((known for known in was_at if known.exists), None)
    if there is not None:  # forgotten while its disk was away; or not where somebody looks for it
        return diagnose(there) if workspace is None else None
    with contextlib.suppress(MisuseError):
        places = [workspace.absolute()] if workspace is not None else [Path.cwd(), Path.cwd() / "workspace"]
        left = without_record([Layout(place, job) for place in places], was_at)
        if left is not None:
            return left
    for folder in candidates(workspace):
        file = file_of(job, folder)
        if file is not None:
            return _of_file(file, workspace, include_output=False)
    return None
