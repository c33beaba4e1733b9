"""A lock whose host is gone. One of this machine goes with its process; of another machine nobody here can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from mozart_nb.healing.remedy import Finding


def find_stale_lock(job_id: str, owner: str, release: Callable[[], bool]) -> Finding:
    """Another machine is named as the owner of a job, while nobody holds the lock as far as this file system knows.

    `owner` says who for people. `release` takes the name away unless somebody holds the lock after all; it blocks.
    """
    return Finding(
        cause=f"job `{job_id}` is marked as running on another machine ({owner}), and nobody holds its lock",
        deed="the mark was removed",
        question=(
            f"Job `{job_id}` is marked as running on another machine ({owner}), but nobody holds its lock. "
            "Two hosts at once would damage it. Is that host gone for certain?"
        ),
        advice="If that machine is gone for certain, answer yes or use -y; if it may be alive, pause the job there.",
        effect=partial(_release, release),
    )


async def _release(release: Callable[[], bool]) -> None:
    if not await asyncio.to_thread(release):
        raise BlockingIOError("somebody holds the lock after all")
