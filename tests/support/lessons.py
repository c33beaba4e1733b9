"""Jobs that teach something: events with a wording, and a history that counted them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection
from support.histories import History, ListSink

from mozart_nb import events as ev
from mozart_nb.consumers.history import JobIdentity, News
from mozart_nb.consumers.history.database import opened
from mozart_nb.consumers.history.tables import JOBS
from mozart_nb.consumers.learning import LearningSection
from mozart_nb.engine.state import JobRecord

WORDING = ev.Wording("t" * 64, "review.j2", ("file_exists: a", "file_exists: b"))


def life(seed: int, count: int = 160) -> list[ev.Event]:
    """The first events of a random job, which says what its rules are called."""
    sink = ListSink()
    for _ in History(random.Random(seed), sink).play(count):
        continue
    return [_reworded(event) for event in sink.events]


def _reworded(event: ev.Event) -> ev.Event:
    if isinstance(event, ev.JobPlanned | ev.ConfigReloaded):
        return msgspec.structs.replace(event, wording=WORDING)
    return event


def planned(wording: ev.Wording = WORDING) -> ev.JobPlanned:
    return ev.JobPlanned(job_id="j", name="j", plan=ev.PlanShape(9), seed=1, config_digest="d", wording=wording)


def judged(
    attempt: int,
    *statuses: ev.RuleStatus,
    mode: ev.Mode = "first",
    batch: int = 1,
    seconds: float = 2.0,
) -> list[ev.Event]:
    """An attempt of a batch, of which each rule found this."""
    results = tuple(ev.RuleResult(n, "file_exists", status) for n, status in enumerate(statuses, 1))
    where: dict[str, Any] = {"batch": batch, "attempt": attempt}
    end = (
        ev.ValidationPassed(**where, results=results)
        if all(status == "passed" for status in statuses)
        else ev.ValidationFailed(**where, results=results, code="E201", message="no")
    )
    usage = ev.Usage(100, 20)
    finished = ev.SessionFinished(**where, outcome="ok", duration=seconds, cost_usd=0.1, model="m", usage=usage)
    return [ev.BatchStarted(**where, mode=mode), ev.SessionOpened(**where), finished, end]


def first_tries(passed: int, failed: int, wording: ev.Wording = WORDING) -> list[ev.Event]:
    """A job of so many batches whose first rule was satisfied at the first try, and of those where it was not."""
    statuses: list[ev.RuleStatus] = ["passed"] * passed + ["failed"] * failed
    attempts = [event for batch, status in enumerate(statuses, 1) for event in judged(1, status, batch=batch)]
    return [planned(wording), *attempts]


def add_job(connection: Connection, job: int, job_id: str = "j", state_workspace: str = "/w") -> None:
    """A row of `jobs`, which counts belong to."""
    row = {"id": job, "job_id": job_id, "state_workspace": state_workspace, "record": ""}
    connection.execute(JOBS.insert().values(row))


def news(events: Sequence[ev.Event], *, job: int = 1, journal: str = "one", is_rehearsal: bool = False) -> News:
    identity = JobIdentity(job_id="j", state_workspace="/w", is_rehearsal=is_rehearsal)
    return News(job, journal, identity, JobRecord(), events)


def numbered(events: Iterable[ev.Event]) -> list[ev.Event]:
    """The same as a journal has them."""
    return [msgspec.structs.replace(event, seq=seq, at=1e9 + seq) for seq, event in enumerate(events, 1)]


def teach(
    database: Path,
    events: Iterable[ev.Event],
    *,
    job_id: str = "j",
    state_workspace: str = "/w",
    is_rehearsal: bool = False,
) -> None:
    """Count a job in the history at `database`."""
    with opened(database) as history, history.writing() as connection:
        job = len(connection.execute(JOBS.select()).all()) + 1
        add_job(connection, job, job_id, state_workspace)
        LearningSection().write(connection, news(numbered(events), job=job, is_rehearsal=is_rehearsal))
