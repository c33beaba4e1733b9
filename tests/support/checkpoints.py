"""Jobs on disk for tests: a random history written through the real store."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.histories import History, Tee

from mozart_nb import events as ev
from mozart_nb.checkpoint.files import DiskFiles, Files
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import Loaded, load_state
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.checkpoint.store import JobStore
from mozart_nb.engine.state import JobState


@dataclass
class Written:
    """What was done to a job's folder. `safe` counts the events that a commit without an error has covered."""

    layout: Layout
    state: JobState = field(default_factory=JobState)
    events: list[ev.Event] = field(default_factory=list)
    answers: list[tuple[ev.Answer, int, int]] = field(default_factory=list)
    safe: int = 0
    warnings: list[str] = field(default_factory=list)
    pressure: str = ""


def layout_in(folder: Path, job_id: str = "job") -> Layout:
    return Layout(folder / "ws", job_id)


def load(layout: Layout, *, holder: bool = False) -> Loaded:
    return load_state(layout, DiskFiles(), holder=holder)


async def open_store(layout: Layout, *, files: Files | None = None, **options: Any) -> tuple[JobStore, Loaded]:
    """A store on the job's folder, as its host opens it."""
    lock = JobLock(layout)
    lock.acquire("run")
    files = files or DiskFiles()
    try:
        loaded = load_state(layout, files, holder=True)
        return JobStore(layout, loaded, files=files, lock=lock, **options), loaded
    except BaseException:
        lock.release()
        raise


async def write_history(
    layout: Layout,
    rng: random.Random,
    count: int,
    *,
    files: Files | None = None,
    written: Written | None = None,
    checkpoint: bool = False,
    shape: ev.PlanShape | None = None,
    **options: Any,
) -> Written:
    """Write `count` random events, committed in bursts of random size; errors of a commit come through."""
    written = written or Written(layout)
    store, loaded = await open_store(layout, files=files, **options)
    written.state = loaded.state
    tee = Tee(store)
    life = History(rng, tee, state=loaded.state, shape=shape)
    written.warnings = [*loaded.warnings]
    try:
        for _ in life.play(count):
            if rng.random() < 0.4:
                await store.commit(life.state)
                written.safe = life.state.job.seq
                await asyncio.sleep(0)
        await store.commit(life.state)
        written.safe = life.state.job.seq
        if checkpoint:
            await store.checkpoint(life.state)
    finally:
        written.events += tee.events
        written.answers += tee.answers
        written.warnings += store.warnings
        written.pressure = store.pressure
        await store.close()
    return written


def write_job(layout: Layout, seed: int, count: int, **options: Any) -> Written:
    """A job on disk, written in one go."""
    return asyncio.run(write_history(layout, random.Random(seed), count, **options))
