"""Messages, channels and couriers of tests, with pauses of hundredths of a second."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mozart_nb.consumers.notify.courier import Courier, Pace
from mozart_nb.consumers.notify.messages import Message, facts_of, message_id
from mozart_nb.consumers.notify.outbox import OUTBOX, GrowingFile
from mozart_nb.engine.state import JobRecord
from mozart_nb.events import JobCompleted, PlanShape
from mozart_nb.job.notifications import NotificationConfig

QUICK = Pace(rounds=(0.02,), give_up=0.3, linger=0.05, look=0.01, handover=0.3)
PATIENT = Pace(rounds=(0.02,), give_up=60, linger=0.05, look=0.01, handover=0.3)

RECORD = JobRecord(job_id="trial", name="Trial job", seed=7, created_at=1.5, plan=PlanShape(total=10))


def channel(type_: str = "webhook", **settings: Any) -> NotificationConfig:
    settings.setdefault("retry_delay", 0.01)
    return NotificationConfig.model_validate({"type": type_, **settings})


def message(
    seq: int, number: int = 1, *, type_: str = "webhook", age: float = 0.0, name: str = "job_complete"
) -> Message:
    event = JobCompleted(seq=seq, at=1_700_000_000.0)
    facts = facts_of(name, event, RECORD, {}, "here")  # type: ignore[arg-type]
    made = message_id("trial", name, seq, number)
    return Message(made, number, type_, name, seq, time.time() - age, facts)  # type: ignore[arg-type]


def put(folder: Path, *messages: Message) -> list[str]:
    """Put messages into an outbox; returns their ids."""
    file = GrowingFile(folder / OUTBOX)
    file.append(messages)
    file.close()
    return [one.id for one in messages]


async def deliver(folder: Path, *channels: NotificationConfig, pace: Pace = QUICK, **environ: str) -> None:
    """Let a courier of this process deliver everything."""
    assert await Courier(folder, channels, environ, pace=pace).run()


async def until(what: Callable[[], Any], seconds: float = 15) -> Any:
    """The value of `what` once it is one."""
    ends = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > ends:
            raise TimeoutError
        await asyncio.sleep(0.005)
    return found


def content(folder: Path) -> bytes:
    """All bytes of all files below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def modes(folder: Path) -> tuple[int, set[int]]:
    """Permissions of a folder and of what is in it."""
    return stat.S_IMODE(folder.stat().st_mode), {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def moved_away(folder: Path) -> Path:
    return folder.rename(folder.with_name("archived"))


def left_behind(file: Path) -> None:
    """An empty file that nobody stands behind any more."""
    file.touch()
