"""The page about a job as a whole: how it stands, what is the matter, its runs, what it was made from."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Final

import yaml

from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.errors import MozartError
from mozart_nb.jupyter.server.pages.shared import Page
from mozart_nb.jupyter.server.pages.views import JobView, job_view
from mozart_nb.looking.board import Board, JobLook, Plan
from mozart_nb.looking.diagnosis import Diagnosis
from mozart_nb.looking.history import RunWish

REFRESH_SECONDS: Final = 10
RUNS_SHOWN: Final = 8
_SHORT_LINES: Final = 60
_HEALTHY: Final = frozenset({"pending", "running", "completed"})


@dataclass(frozen=True, slots=True)
class PlanView:
    """What the job was planned from: the job file as it was read, else what it came to."""

    title: str
    yaml: str
    file: str

    @property
    def is_short(self) -> bool:
        return self.yaml.count("\n") <= _SHORT_LINES


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page."""

    job: JobView
    diagnosis: Diagnosis | None
    runs: list[RunRow]
    plan: PlanView | None


def overview(board: Board, key: str) -> Overview:
    """Read what the page shows. Blocks."""
    look = board.look(key)
    return Overview(
        job=job_view(look, board.questions(key) if look.questions else ()),
        diagnosis=board.diagnosis(key) if _needs_words(look) else None,
        runs=board.runs(key, RunWish(limit=RUNS_SHOWN)),
        plan=_plan(board, key),
    )


def _needs_words(look: JobLook) -> bool:
    progress = look.progress
    return bool(progress.failed) or progress.status not in _HEALTHY


def _plan(board: Board, key: str) -> PlanView | None:
    with contextlib.suppress(MozartError, OSError):
        plan: Plan = board.plan(key)
        if plan.text:
            return PlanView("Job file as it was read", plan.text, plan.file)
        return PlanView("What it was planned from", as_yaml(plan.document), plan.file)
    return None  # its record can be shown without it


class _Tidy(yaml.SafeDumper):
    """Texts of several lines as people write them."""


def _text(dumper: _Tidy, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Tidy.add_representer(str, _text)


def as_yaml(document: Any) -> str:
    """JSON data as people write it."""
    return yaml.dump(document, Dumper=_Tidy, sort_keys=False, allow_unicode=True, width=100)


class Job(Page):
    """`/mozart/jobs/{key}`."""

    async def get(self, key: str) -> None:
        found = await self.in_thread(overview, self.board, key)
        self.show(
            "job.html",
            live=self.live(REFRESH_SECONDS, self.to.events(key) if found.job.progress.is_live else ""),
            tab="job",
            then=None,
            job=found.job,
            diagnosis=found.diagnosis,
            runs=found.runs,
            plan=found.plan,
        )
