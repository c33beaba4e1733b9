"""`%mozart errors` and `%mozart diagnose`: what failed, why, and what to do."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mozart_nb.consumers.documents import error_groups
from mozart_nb.consumers.rows import ERROR_COLUMNS, ErrorRecord
from mozart_nb.errors import MisuseError, MozartError
from mozart_nb.jupyter.looks.failures import NONE_SUCH, failures_html, failures_text
from mozart_nb.jupyter.magics.lines import in_notebook
from mozart_nb.jupyter.magics.notebook import Look, Notebook, Outcome
from mozart_nb.looking.diagnosis.anything import diagnose_any
from mozart_nb.looking.failures import FailureFilter, failure_filter, failures_at, failures_of_all
from mozart_nb.looking.finding import known_layouts
from mozart_nb.words import page

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Failures:
    """What failed, as a page. `frame` is the DataFrame with one row per failure, `groups` are they by code.

    `details` are shown one by one; `is_narrow`: only some were asked for; `notes` say what could not be read.
    """

    records: Sequence[ErrorRecord]
    details: Sequence[ErrorRecord] = ()
    names_jobs: bool = False
    is_over: bool = True
    is_narrow: bool = False
    notes: Sequence[str] = ()
    looked_at: float = field(default_factory=time.time)

    @cached_property
    def frame(self) -> pd.DataFrame:
        from mozart_nb.frames.tables import INDEXES
        from mozart_nb.frames.typed import frame_of

        return frame_of(ERROR_COLUMNS, self.records, index=INDEXES["errors"])

    @cached_property
    def groups(self) -> list[dict[str, Any]]:
        return error_groups(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __str__(self) -> str:
        lines = [*failures_text(self.groups)] or [NONE_SUCH if self.is_narrow else "no errors"]
        return in_notebook(page([*lines, *(f"note: {note}" for note in self.notes)]))

    def _repr_html_(self) -> str:
        return failures_html(
            self.groups,
            self.details,
            now=self.looked_at,
            names_jobs=self.names_jobs,
            is_over=self.is_over,
            is_narrow=self.is_narrow,
            notes=self.notes,
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def errors(notebook: Notebook, given: Namespace) -> Outcome:
    """What failed in a job, or with `--all` in all of them."""
    wanted = failure_filter(code=given.code, batch=given.batch, kind=given.type, since=given.since, until=given.until)
    if given.all:
        if given.job or given.batch:
            raise MisuseError("--all shows every job", hint="leave the id and --batch out")
        return Outcome(pending=Look(lambda: _of_all(given, wanted)))
    job = notebook.job(given.job, given.workspace)
    is_over = not job.is_live

    def look() -> Failures:
        found = failures_at(job.layout, wanted, with_tails=given.verbose) if job.layout.exists else []
        return Failures(found, found if given.verbose else (), is_over=is_over, is_narrow=wanted.is_narrow)

    return Outcome(pending=Look(look))


def _of_all(given: Namespace, wanted: FailureFilter) -> Failures:
    place = Path(given.workspace) if given.workspace else None
    found, unread = failures_of_all(known_layouts(place), wanted, with_tails=given.verbose)
    notes = [f"{one.job_id}: {one.message}" for one in unread]
    details = found if given.verbose else ()
    return Failures(found, details, names_jobs=True, is_narrow=wanted.is_narrow, notes=notes)


def diagnosis(notebook: Notebook, given: Namespace) -> Outcome:
    """Why a job is where it is: one of this notebook, one of that id, or the one that a file describes."""
    place = Path(given.workspace) if given.workspace else None
    include = given.include_output
    try:
        job = notebook.job(given.job, given.workspace)
    except (MozartError, OSError):
        if not given.job:
            raise
        return Outcome(pending=Look(lambda: diagnose_any(given.job, place, include_output=include)))
    return Outcome(pending=Look(lambda: job.diagnose(include_output=include)))
