"""Kills a conductor with SIGKILL again and again while it carries many jobs, and finds out what became of each.

    storm = kill_again_and_again(conductor, jobs, rng, kills=20, lives=(0.5, 3.0))
    assert storm.problems == []

Every job is looked at after every kill, and at the end, as `support.kill9` does it: on the disk, without the product.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.conductor import Conductor
from support.kill9 import Job, Moment, Series, rehearsed_job
from support.raw_journal import of_kind

from mozart_nb.errors import MozartError

FINISH_SECONDS = 600.0


@dataclass
class Storm:
    """What was done, and how each job looked at the end."""

    series: Sequence[Series]
    kills: int = 0
    asked_again: int = 0
    carried_at_kill: list[int] = field(default_factory=list)
    begun_seconds: list[float] = field(default_factory=list)
    """From the start of a conductor until it answered."""

    @property
    def problems(self) -> list[str]:
        return [f"{one.job.config['name']}: {text}" for one in self.series for text in one.tally.problems]

    @property
    def events(self) -> int:
        return sum(one.tally.events for one in self.series)

    def count(self, kind: str) -> int:
        """Events of that kind, in all jobs."""
        return sum(len(of_kind(one.rows, kind)) for one in self.series)


def jobs_in(folder: Path, count: int, batches: int, latency: float) -> list[Job]:
    """Rehearsed jobs with names of their own, some of whose sessions fail and are tried again."""
    found = []
    for number in range(1, count + 1):
        job = rehearsed_job(folder / f"job-{number}", batches, number, latency=latency)
        job.config["name"] = f"storm-{number}"
        job.write()
        found.append(job)
    return found


def kill_again_and_again(
    conductor: Conductor, jobs: Sequence[Job], rng: random.Random, *, kills: int, lives: tuple[float, float]
) -> Storm:
    """Have a conductor carry the jobs and kill it so often, after a random time between `lives` (seconds) each time."""
    storm = Storm([Series(job, conductor.environ, rng, moments=lambda _: Moment(0.0)) for job in jobs])
    _start(conductor, storm)
    for job in jobs:
        conductor.call("submit", file=str(job.file))
    for _ in range(kills):
        time.sleep(rng.uniform(*lives))
        storm.carried_at_kill.append(_carried(conductor))
        conductor.kill()
        storm.kills += 1
        for series in storm.series:
            series._look(killed=True)
        _start(conductor, storm)
        _ask_again(conductor, storm)
    _let_finish(conductor, storm)
    for series in storm.series:
        series._look(killed=False)
        series._verify()
    return storm


def _start(conductor: Conductor, storm: Storm) -> None:
    began = time.monotonic()
    conductor.start()
    storm.begun_seconds.append(time.monotonic() - began)


def _carried(conductor: Conductor) -> int:
    """Jobs that it carries at this moment, as its account says."""
    return len(json.loads(conductor.place.carried.read_bytes())["jobs"])


def _ask_again(conductor: Conductor, storm: Storm) -> None:
    """Five deaths in a row without a completed batch pause a job: that is what it is for, and then somebody asks again.

    Nothing else may need to be asked for again.
    """
    for series in storm.series:
        last = series.rows[-1] if series.rows else {}
        if last.get("kind") == "job.paused":
            storm.asked_again += 1
            conductor.call("submit", job_id=series.job.config["name"])


def _let_finish(conductor: Conductor, storm: Storm) -> None:
    end = time.monotonic() + FINISH_SECONDS
    while time.monotonic() < end:
        health = _health(conductor)
        if health is not None and not health["carried"]:
            for series in storm.series:
                series._look(killed=False)
            if all(series.rows and series.rows[-1]["kind"] == "job.completed" for series in storm.series):
                return
            _ask_again(conductor, storm)
        time.sleep(0.2)
    raise AssertionError(f"the jobs did not finish\n{conductor.log[-4000:]}")


def _health(conductor: Conductor) -> dict[str, object] | None:
    try:
        found = conductor.call("health")
    except MozartError:
        return None
    assert isinstance(found, dict)
    return found
