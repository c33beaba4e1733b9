"""A test message on every channel of a job's notifications: once and now, whatever runs."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from mozart_nb.consumers.notify.advice import next_step
from mozart_nb.consumers.notify.messages import Message, facts_of
from mozart_nb.consumers.notify.sending import Answer, Sender
from mozart_nb.consumers.notify.texts import worded
from mozart_nb.engine.state import JobRecord
from mozart_nb.errors import MisuseError
from mozart_nb.events import JobCompleted, PlanShape
from mozart_nb.job.load import LoadedJob
from mozart_nb.job.notifications import NotificationConfig
from mozart_nb.plans.secrets import know_secrets

Chosen = Sequence[tuple[int, NotificationConfig]]
"""Channels with their numbers, which count from 1."""

_WORDS: Final = {"delivered": "delivered", "again": "failed", "refused": "failed", "skipped": "skipped"}


def chosen(loaded: LoadedJob, number: int | None = None) -> Chosen:
    """The channels of a job file, or one of them. Raises `MisuseError` when there is none."""
    know_secrets(loaded.config)
    channels = list(enumerate(loaded.config.notifications, 1))
    if not channels:
        raise MisuseError("the job file has no `notifications`", hint="docs/notifications.md says how to add some")
    if number is not None and number > len(channels):
        raise MisuseError(f"there is no channel {number}", hint=f"the job file has {len(channels)}, counted from 1")
    return [one for one in channels if number in (None, one[0])]


async def send_tests(loaded: LoadedJob, channels: Chosen) -> list[dict[str, Any]]:
    """One try each, one after the other: a test says what happens, it does not wait for better times.

    Each row has `channel`, `type`, `status` (`delivered`, `failed` or `skipped`), `http_status`, `seconds`, `error` and
    `next`, which says what to do.
    """
    rows = []
    for number, channel in channels:
        sender, began = Sender(channel, os.environ), time.monotonic()
        try:
            answer = await sender.send(_message(loaded, number, channel))
        finally:
            await sender.close()
        rows.append(_row(number, channel, answer, time.monotonic() - began))
    return rows


def shown_tests(loaded: LoadedJob, channels: Chosen) -> list[dict[str, Any]]:
    """What would be sent, as text: `channel`, `type`, `title`, `text`."""
    shown = []
    for number, channel in channels:
        said = worded(channel.settings, _message(loaded, number, channel).facts)
        shown.append({"channel": number, "type": channel.type, "title": said.title, "text": said.text})
    return shown


def _message(loaded: LoadedJob, number: int, channel: NotificationConfig) -> Message:
    """What looks like the first event that the channel asks for, and says that it is a test."""
    config, now = loaded.config, time.time()
    name = channel.on_events[0] if channel.on_events else "job_complete"
    job = JobRecord(job_id=config.job_id, name=f"{config.name} (a test)", plan=PlanShape(total=config.batch.count))
    facts = facts_of(name, JobCompleted(at=now), job, {}, socket.gethostname())
    return Message(str(uuid.uuid4()), number, channel.type, name, 0, now, {**facts, "test": True})


def _row(number: int, channel: NotificationConfig, answer: Answer, seconds: float) -> dict[str, Any]:
    status = _WORDS[answer.status]
    return {
        "channel": number,
        "type": channel.type,
        "status": status,
        "http_status": answer.http_status or None,
        "seconds": round(seconds, 2),
        "error": answer.error,
        "next": "" if status == "delivered" else next_step(channel.type, answer.error, answer.http_status),
    }
