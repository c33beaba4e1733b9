"""Jobs through the Messages API under limits that a loopback service enforces. Longer ones: benchmarks/limits.py."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.limited_server import LimitedServer, Limits

from mozart_nb import events as ev
from mozart_nb.engine.state import JobState
from mozart_nb.job.load import load_mapping
from mozart_nb.runtime import prepare, run_job

AT_ONCE = 8


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")


async def run(folder: Path, server: LimitedServer, batches: int, name: str = "job", **sections: Any) -> JobState:
    config = {
        "name": name,
        "workspace": str(folder / name),
        "backend": {"type": "anthropic_api", "base_url": server.url, "max_tokens": 100},
        "batch": {"size": 1, "total_items": batches},
        "prompt": {"template": f"{name}: describe item {{{{ batch_num }}}}."},
        "parallel": {"enabled": True, "max_concurrent": AT_ONCE},
        "validations": [{"type": "answer_matches", "pattern": "answer"}],
        **sections,
    }
    return await run_job(prepare(load_mapping(config, base_dir=folder)), ev.RunOptions())


async def test_requests_per_minute_of_the_job_file_are_kept_and_made_use_of(tmp_path: Path) -> None:
    rate = 1200
    # The same rate as in the job file, but of a minute that lasts three seconds: a burst of more than that is refused.
    limits = Limits(requests=rate / 20, tokens=1e9, minute=3.0)
    server = LimitedServer(limits, with_headers=False)

    async with server.serving():
        state = await run(tmp_path, server, 80, rate_limit={"requests_per_minute": rate})

    assert limits.first_at is not None
    assert state.status == "completed"
    assert limits.statuses[429] == 0
    assert limits.statuses[200] / (limits.last_at - limits.first_at) >= 0.9 * rate / 60


async def test_tokens_per_minute_of_the_job_file_are_kept_and_made_use_of(tmp_path: Path) -> None:
    rate = 60_000
    limits = Limits(requests=1e9, tokens=rate / 20, minute=3.0)
    server = LimitedServer(limits, with_headers=False, answer=lambda call: 30 + len(call.prompt) % 40)

    async with server.serving():
        state = await run(tmp_path, server, 80, rate_limit={"tokens_per_minute": rate})

    assert limits.first_at is not None
    assert state.status == "completed"
    assert limits.refused_share < 0.01
    assert limits.tokens_used / (limits.last_at - limits.first_at) >= 0.9 * rate / 60


async def test_jobs_without_limits_stay_below_those_that_the_service_names(tmp_path: Path) -> None:
    limits = Limits(requests=60, tokens=1e9)
    server = LimitedServer(limits)

    async with server.serving():
        states = await asyncio.gather(*(run(tmp_path, server, 31, name) for name in ("one", "other")))

    assert [state.status for state in states] == ["completed", "completed"]
    assert limits.statuses == {200: 62}, "two more than fit into a minute, and nobody was refused"


async def test_nothing_is_sent_into_a_wait_but_what_was_under_way(tmp_path: Path) -> None:
    limits = Limits(requests=30, tokens=1e9, minute=3.0)
    server = LimitedServer(limits, with_headers=False)

    async with server.serving():
        states = await asyncio.gather(*(run(tmp_path, server, 25, name) for name in ("one", "other")))

    assert [state.status for state in states] == ["completed", "completed"]
    assert limits.statuses[429] > 0
    # Under way is also what a busy machine sends in place of good answers before it reads the first refusal.
    assert limits.during_wait <= (2 * AT_ONCE + AT_ONCE) * max(state.job.limit_waits for state in states)
    assert all(state.job.retries == 0 for state in states)
