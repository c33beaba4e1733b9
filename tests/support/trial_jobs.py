"""Small rehearsed jobs for tests of `Job`, and patience with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mozart_nb.engine.ports import Request
from mozart_nb.hosts.channel import running_here


def config(workspace: Path, *, batches: int = 6, latency: float = 0.05, **sections: Any) -> dict[str, Any]:
    """A job named `trial` of so many batches, two at a time; sections as in a job file."""
    return {
        "name": "trial",
        "workspace": str(workspace),
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": batches},
        "parallel": {"enabled": True, "max_concurrent": 2, "fail_fast": False},
        "prompt": {"template": "say {{ batch_num }}"},
        "retry": {"max_retries": 0},
        "rehearsal": {"latency_seconds": latency, **sections.pop("rehearsal", {})},
        **sections,
    }


def until(what: Callable[[], object], seconds: float = 20) -> None:
    """Return once `what` holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def end_all_runs() -> None:
    """No run may outlive its test."""
    for channel in running_here():
        channel.request(Request(kind="cancel"))
    until(lambda: not running_here())
