"""Waiting for a job below the cell that started it, while the kernel stays responsive."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from mozart_nb.hosts.interrupts import MAGIC, MozartInterrupted, interrupted
from mozart_nb.job_handle import Job

T = TypeVar("T")

TICK_SECONDS: Final = 0.1
"""An interrupt is noticed when the loop next turns: ipykernel does not wake a loop that sleeps (ipykernel#881)."""


async def until_settled(job: Job) -> None:
    """Return when nobody runs `job` any more. Raises `MozartInterrupted` on an interrupt: then the job pauses."""
    try:
        await _patiently(_settled(job))
    except asyncio.CancelledError:
        raise interrupted(job, MAGIC) from None


async def until_done(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. On an interrupt it is cancelled, and `MozartInterrupted` raised."""
    try:
        return await _patiently(work)
    except asyncio.CancelledError:
        raise MozartInterrupted("what was begun has been given up") from None


async def _patiently(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` on a loop that turns often enough for interrupts to arrive."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=TICK_SECONDS)
    finally:
        task.cancel()
    return task.result()


async def _settled(job: Job) -> None:
    await job


def require_completed(job: Job) -> None:
    """Raise `UnfinishedError` unless the job did what was asked; a pilot that did its share and paused has."""
    if job.error is not None or job.status != "paused" or job.read(lambda state: state.job.stop is not None):
        job.raise_for_status()
