"""`run` of a job that is completed and unchanged: said at once, without loading what it takes to run one.

Half of the time of such a command would go into templates, checks, backends and event loops that it has no use for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mozart_nb.cli.output import Output
from mozart_nb.errors import MozartError
from mozart_nb.job.load import LoadedJob, load_job
from mozart_nb.plans.prepared import Prepared, Standing, prepare, standing
from mozart_nb.plans.starting import nothing_to_do

_HEAD_BYTES = 512
_COMPLETED = b'"status": "completed"'


def finished(
    output: Output, file: Path, *, overrides: Sequence[str] = (), strict: bool = False, workspace: Path | None = None
) -> bool:
    """Whether there is nothing to do for this job; then that is said. Everything else is left to `run`."""
    try:
        loaded = load_job(file, overrides=overrides, strict=strict)
        if loaded.config.on_success or not _seems_completed(loaded, workspace):
            return False
        prepared = prepare(loaded, workspace=workspace)
        found = standing(prepared)
    except (MozartError, OSError):
        return False  # to be told by whoever goes on
    if found.kind != "completed" or found.state is None:
        return False
    output.say(nothing_to_do(prepared.job_id))
    if output.json:
        _document(output, prepared, found)
    return True


def _seems_completed(loaded: LoadedJob, workspace: Path | None) -> bool:
    """A look at the beginning of the snapshot, so that no rows are read in vain."""
    folder = workspace.absolute() if workspace is not None else loaded.state_folder
    with (folder / f"{loaded.config.job_id}.json").open("rb") as file:
        return _COMPLETED in file.read(_HEAD_BYTES)


def _document(output: Output, prepared: Prepared, found: Standing) -> None:
    from mozart_nb.consumers.documents import status_document

    assert found.state is not None
    place = str(prepared.places.workspace)
    config = prepared.loaded.config
    output.document(status_document(found.state, config, time.time(), is_live=False, workspace=place, hooks=[]))
