"""`%mozart history` and `%mozart list`: what was run before, and what is known."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mozart_nb.consumers.history.rows import RunRow, by_job
from mozart_nb.jupyter.looks.history import runs_html, runs_text
from mozart_nb.jupyter.looks.jobs import LISTED, RAN, jobs_html, jobs_text, listed_row, ran_row
from mozart_nb.jupyter.magics.notebook import Notebook, Outcome
from mozart_nb.looking.history import RunWish, find_runs, moment_of, run_wish, runs_at
from mozart_nb.words import page

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Runs:
    """The runs of a job, the last one first, as a page. `frame` is the DataFrame with one row per run."""

    job_id: str
    rows: Sequence[RunRow]
    notes: Sequence[str] = ()
    looked_at: float = field(default_factory=time.time)

    @cached_property
    def frame(self) -> pd.DataFrame:
        from mozart_nb.frames import runs_frame

        return runs_frame(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        return page([*runs_text(self.rows, self.looked_at), *self.notes] or ["no such runs"])

    def _repr_html_(self) -> str:
        return runs_html(self.rows, job_id=self.job_id, now=self.looked_at, notes=self.notes)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


@dataclass(frozen=True)
class Jobs:
    """Jobs as a page, one line each, in `rows` under `heads`. `frame` is the DataFrame with all that is known of them.

    What is done with the view is done with its frame: `jobs["cost"].sum()`, `jobs.query("failed > 0")`.
    """

    frame: pd.DataFrame
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, key: Any) -> Any:
        return self.frame[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "frame":  # a copy in the making has no frame yet
            raise AttributeError(name)
        return getattr(self.frame, name)

    def __str__(self) -> str:
        return page([*jobs_text(self.heads, self.rows), *self.notes])

    def _repr_html_(self) -> str:
        return jobs_html(self.heads, self.rows, self.notes)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def history(notebook: Notebook, given: Namespace) -> Outcome:
    """The runs of a job; without an id what the runs of each known job came to."""
    wish = run_wish(status=given.status, since=given.since, until=given.until, limit=given.limit)
    if given.job:
        job = notebook.job(given.job, given.workspace)
        notes: list[str] = []
        return Outcome(Runs(job.job_id, runs_at([job.layout], wish, notes), notes))
    frame, now = _jobs(given), time.time()
    notices: list[str] = []
    place = Path(given.workspace) if given.workspace else None
    everything = RunWish(wish.status, wish.since, wish.until)
    runs = by_job(find_runs(None, place, everything, notices))[: given.limit or None]
    return Outcome(Jobs(frame, RAN, [ran_row(of_one, now) for of_one in runs], notices))


def known(given: Namespace) -> Outcome:
    """The jobs that are known, with what most people want to see of them."""
    frame, now = _jobs(given), time.time()
    return Outcome(Jobs(frame, LISTED, [listed_row(job, now) for job in frame.itertuples()]))


def _jobs(given: Namespace) -> pd.DataFrame:
    import pandas as pd

    from mozart_nb import history as jobs

    frame = jobs(given.workspace or None)
    if given.status:
        frame = frame[frame["status"] == given.status]
    if getattr(given, "backend", ""):
        frame = frame[frame["backend"] == given.backend]
    if getattr(given, "name", ""):
        wanted = given.name.lower()
        frame = frame[[_is_called(wanted, one) for one in zip(frame["job_id"], frame["name"], strict=True)]]
    begin = moment_of(given.since, "--since")
    end = moment_of(getattr(given, "until", ""), "--until", after=begin)
    if begin:
        frame = frame[frame["updated_at"] >= pd.Timestamp(begin, unit="s", tz="UTC")]
    if end:
        frame = frame[frame["updated_at"] <= pd.Timestamp(end, unit="s", tz="UTC")]
    return frame.head(given.limit) if given.limit else frame


def _is_called(wanted: str, names: tuple[Any, ...]) -> bool:
    return any(wanted in str(name).lower() or fnmatchcase(str(name).lower(), wanted) for name in names)
