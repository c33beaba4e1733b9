"""A host that dies between freezing a new config and journaling that it holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.errors import JobChangedError
from mozart_nb.job.load import load_mapping
from mozart_nb.runtime import Prepared, opened, prepare, run_job


def job(folder: Path, template: str) -> Prepared:
    config = {
        "name": "reloaded",
        "workspace": str(folder / "results"),
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": 3},
        "prompt": {"template": template},
        "rehearsal": {"latency_seconds": 0},
    }
    return prepare(load_mapping(config, base_dir=folder))


def test_the_next_run_finishes_a_reload_that_a_crash_cut_short(tmp_path: Path) -> None:
    old, new = job(tmp_path, "old"), job(tmp_path, "new")
    asyncio.run(run_job(old, ev.RunOptions(limit=1)))
    new.frozen.write(new.layout)

    state = asyncio.run(run_job(opened(new.layout), ev.RunOptions()))
    assert state.status == "completed"
    assert state.job.config_digest == new.digest
    reloads = [event for event in read_events(new.layout) if isinstance(event, ev.ConfigReloaded)]
    assert [event.config_digest for event in reloads] == [new.digest]


def test_a_changed_config_takes_over_only_when_that_is_asked_for(tmp_path: Path) -> None:
    old, new = job(tmp_path, "old"), job(tmp_path, "new")
    asyncio.run(run_job(old, ev.RunOptions(limit=1)))
    with pytest.raises(JobChangedError, match="has changed") as caught:
        asyncio.run(run_job(new, ev.RunOptions()))
    assert "--reload-config" in caught.value.hint
    assert asyncio.run(run_job(old, ev.RunOptions(), reload=new)).status == "completed"
