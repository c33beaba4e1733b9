"""The command `notify-test`: a message on every channel, now."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mozart_nb.cli.output import FAILED, OK, STYLES, Output, Row
from mozart_nb.consumers.notify.advice import next_step
from mozart_nb.consumers.notify.messages import Message, facts_of
from mozart_nb.consumers.notify.sending import Answer, Sender
from mozart_nb.consumers.notify.texts import worded
from mozart_nb.engine.state import JobRecord
from mozart_nb.errors import MisuseError
from mozart_nb.events import JobCompleted, PlanShape
from mozart_nb.hosts.headless import run_briefly
from mozart_nb.job.load import LoadedJob, load_job
from mozart_nb.job.notifications import NotificationConfig
from mozart_nb.plans.secrets import know_secrets
from mozart_nb.words import roughly

_WORDS = {"delivered": "delivered", "again": "failed", "refused": "failed", "skipped": "skipped"}


def notify_test(output: Output, file: Path, *, number: int | None, dry_run: bool) -> int:
    """Send a test message on every channel of a job file, or on one. Exit code 0: all were delivered, else 1.

    Raises `ConfigError`, and `MisuseError` when there is no such channel.
    """
    loaded = load_job(file)
    know_secrets(loaded.config)
    chosen = _chosen(loaded, number)
    if dry_run:
        return _show(output, loaded, chosen)
    sent = run_briefly(_send(loaded, chosen))
    rows = [
        _row(number, channel, answer, seconds)
        for (number, channel), (answer, seconds) in zip(chosen, sent, strict=True)
    ]
    if output.json:
        output.document({"file": str(file), "channels": rows})
    else:
        _tell(output, rows)
    return OK if all(row["status"] == "delivered" for row in rows) else FAILED


def _chosen(loaded: LoadedJob, number: int | None) -> list[tuple[int, NotificationConfig]]:
    channels = list(enumerate(loaded.config.notifications, 1))
    if not channels:
        raise MisuseError("the job file has no `notifications`", hint="docs/notifications.md says how to add some")
    if number is not None and number > len(channels):
        raise MisuseError(f"there is no channel {number}", hint=f"the job file has {len(channels)}, counted from 1")
    return [one for one in channels if number in (None, one[0])]


async def _send(loaded: LoadedJob, channels: Sequence[tuple[int, NotificationConfig]]) -> list[tuple[Answer, float]]:
    """One try each, one after the other: a test says what happens, it does not wait for better times."""
    found = []
    for number, channel in channels:
        sender, began = Sender(channel, os.environ), time.monotonic()
        try:
            answer = await sender.send(_message(loaded, number, channel))
        finally:
            await sender.close()
        found.append((answer, time.monotonic() - began))
    return found


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


def _tell(output: Output, rows: Sequence[dict[str, Any]]) -> None:
    from rich.text import Text

    styles = {"delivered": STYLES["ok"], "failed": STYLES["error"], "skipped": STYLES["warning"]}
    table: list[Row] = [
        [
            str(row["channel"]),
            row["type"],
            Text(row["status"], style=styles[row["status"]]),
            row["error"] or f"in {roughly(row['seconds'])}",
        ]
        for row in rows
    ]
    output.table(["", "", "", ""], table, flexible=3)
    for row in rows:
        if row["next"]:
            output.show(f"channel {row['channel']}: {row['next']}")


def _show(output: Output, loaded: LoadedJob, channels: Sequence[tuple[int, NotificationConfig]]) -> int:
    """What would be sent, as text."""
    shown = []
    for number, channel in channels:
        said = worded(channel.settings, _message(loaded, number, channel).facts)
        shown.append({"channel": number, "type": channel.type, "title": said.title, "text": said.text})
    if output.json:
        output.document({"channels": shown})
        return OK
    for one in shown:
        output.show(f"{one['channel']} {one['type']}: {one['title']} – {one['text']}")
    return OK
