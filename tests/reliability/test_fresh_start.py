"""Starting over while sessions of the run before are still at work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.obedient import write_obedient

from mozart_nb import events as ev
from mozart_nb.engine.driver import Driver
from mozart_nb.engine.ports import Request
from mozart_nb.errors import MisuseError
from mozart_nb.job.load import load_mapping
from mozart_nb.runtime import prepare, run_job


async def test_a_fresh_start_waits_until_nobody_writes_into_the_old_results_any_more(tmp_path: Path) -> None:
    config = {
        "name": "restless",
        "workspace": str(tmp_path / "results"),
        "backend": {"type": "claude_cli", "cli_path": write_obedient(tmp_path), "permission_mode": "acceptEdits"},
        "batch": {"size": 1, "total_items": 1},
        "prompt": {"template": "open_(); time.sleep(60); done()"},
    }
    prepared = prepare(load_mapping(config, base_dir=tmp_path))
    drivers: list[Driver] = []

    async def detach_once_open(events: Sequence[ev.Event]) -> None:
        if any(isinstance(event, ev.SessionProgress) for event in events):
            drivers[0].request(Request(kind="detach", by="test"))

    state = await run_job(prepared, ev.RunOptions(), observers=[detach_once_open], on_start=drivers.append)
    assert (state.status, state.count("running")) == ("paused", 1)

    with pytest.raises(MisuseError, match="still run: batch 1") as caught:
        await run_job(prepared, ev.RunOptions(), fresh=True)
    assert "mozart cancel restless" in caught.value.hint

    def cancel(driver: Driver) -> None:
        driver.request(Request(kind="cancel", by="test"))

    state = await run_job(prepared, ev.RunOptions(keep_failed=True, recover=True), on_start=cancel)
    assert state.status == "cancelled"
    quick = {**config, "prompt": {"template": "open_(); done()"}}
    again = prepare(load_mapping(quick, base_dir=tmp_path))
    state = await asyncio.wait_for(run_job(again, ev.RunOptions(), fresh=True), 60)
    assert state.status == "completed", state.job.reason
