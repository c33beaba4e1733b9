"""A conductor on the loop of the test itself: no process, no socket, and real jobs.

async with conducting(folder) as conductor:
    await conductor.submit(Wanted(file=...))
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml

from mozart_nb.hosts.conductor.carried import Register
from mozart_nb.hosts.conductor.log import Log
from mozart_nb.hosts.conductor.service import Conductor
from mozart_nb.hosts.conductor.settings import ConductorSettings
from mozart_nb.hosts.loops import host_of, serve_on

PATIENCE_SECONDS = 60.0


@contextlib.asynccontextmanager
async def conducting(folder: Path, *, seconds: float = 10.0, **settings: Any) -> AsyncIterator[Conductor]:
    """One whose account is in `folder`; it goes on with what is in there, and stops with the block."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - an empty folder
    register = Register(folder / "carried.json")
    register.load()
    host = host_of(asyncio.get_running_loop(), threading.get_ident(), "test")
    conductor = Conductor(host, register, ConductorSettings(**settings), Log(level="debug"))
    serve_on(host)
    try:
        await conductor.begin_again()
        yield conductor
    finally:
        await conductor.stop(seconds)
        serve_on(None)


async def until(what: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
    """Return once `what` holds."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - what tests wait for tells nobody
            await asyncio.sleep(0.01)


def job_file(folder: Path, batches: int = 4, *, latency: float = 0.01, concurrent: int = 2, **more: Any) -> Path:
    """A job of rehearsed batches, each of which answers with its number."""
    config: dict[str, Any] = {
        "name": folder.name,
        "workspace": "./ws",
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": batches},
        "prompt": {"template": "Say {{ batch_num }}."},
        "parallel": {"enabled": True, "max_concurrent": concurrent, "fail_fast": False},
        "retry": {"max_retries": 0, "base_delay_seconds": 0.01},
        "circuit_breaker": {"enabled": False},
        "rehearsal": {"latency_seconds": latency, "answer": "{{ batch_num }}"},
    }
    for name, value in more.items():
        config[name] = {**config[name], **value} if isinstance(config.get(name), dict) else value
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file
