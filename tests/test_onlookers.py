"""Who listens to a run cannot keep it from running, not even by failing to be made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mozart_nb import events as ev
from mozart_nb import onlookers as made
from mozart_nb.job.load import load_job
from mozart_nb.runtime import prepare, run_job

NAMES = ("LogWriter", "Notifier", "HistoryKeeper")


@pytest.mark.parametrize("broken", NAMES)
def test_an_onlooker_that_cannot_be_made_is_told_of_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def broken_one(*given: Any, **more: Any) -> None:
        raise RuntimeError("there is no such thing here")

    monkeypatch.setattr(made, broken, broken_one)
    told: list[str] = []

    async def observe(events: Sequence[ev.Event]) -> None:
        told.extend(event.message for event in events if isinstance(event, ev.JobNotice))

    job = {
        "name": "watched",
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": 2},
        "prompt": {"template": "go"},
        "rehearsal": {"latency_seconds": 0},
        "notifications": [{"type": "desktop"}],
    }
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job))
    state = asyncio.run(run_job(prepare(load_job(file)), ev.RunOptions(), observers=[observe]))
    assert state.job.status == "completed"
    assert any("this run is without" in text and "no such thing here" in text for text in told), told
