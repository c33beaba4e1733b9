"""From events to messages: which event is told on which channel, with what facts, and how a flood becomes a summary."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from mozart_nb import events as ev
from mozart_nb.engine.state import BatchState, JobRecord
from mozart_nb.job.notifications import NotificationConfig, NotificationEvent
from mozart_nb.masking import masked
from mozart_nb.words import spans

SINGLE_MESSAGES: Final = 20
"""How many messages about batches a channel gets within a window; what comes on top is told in one summary."""

WINDOW_SECONDS: Final = 60.0

MOST_NUMBERS: Final = 200
"""How many batches a summary keeps the numbers of."""

LONGEST_TEXT: Final = 1000
"""Characters kept of a reason."""

_NAMESPACE: Final = uuid.UUID("6f1f54a2-7d7e-5c0b-9e06-3d0a4b1cf0aa")

DeliveryStatus = Literal["delivered", "failed", "skipped", "retrying"]


class Message(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="message"):
    """One message for one channel. `channel` is its number in the job file, from 1.

    `id` is the same however often the message is made or sent. `seq` is the last event it tells of; `created_at` is
    when it was made, epoch seconds. `facts` hold no secret and no text of the channel.
    """

    id: str
    channel: int
    type: str
    event: NotificationEvent
    seq: int
    created_at: float
    facts: dict[str, Any]


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a message. `at` is epoch seconds, `attempts` how often it was sent.

    `retrying`: it does not get through and is still tried. `skipped`: there is no such channel here, for example no
    desktop. `error` says why, without address and key.
    """

    id: str
    channel: int
    type: str
    event: str
    status: DeliveryStatus
    at: float
    attempts: int = 0
    error: str = ""
    http_status: int = 0

    @property
    def is_final(self) -> bool:
        return self.status != "retrying"


_TOLD_AS: Final[Mapping[type[ev.Event], NotificationEvent]] = {
    ev.JobStarted: "job_start",
    ev.JobResumed: "job_resumed",
    ev.JobCompleted: "job_complete",
    ev.JobFailed: "job_failed",
    ev.JobPaused: "job_paused",
    ev.BatchStarted: "batch_start",
    ev.BatchCompleted: "batch_complete",
    ev.BatchFailed: "batch_failed",
    ev.LimitHit: "rate_limit_detected",
}


def event_of(event: ev.Event) -> NotificationEvent | None:
    """What an event is called in `on_events`; None when nobody can be told of it."""
    if isinstance(event, ev.BatchStarted) and event.mode != "first":
        return None  # a further attempt at a batch of which its start was told
    return _TOLD_AS.get(type(event))


def wanted_kinds(channels: Sequence[NotificationConfig]) -> frozenset[str]:
    """Kinds of events that some channel tells of: all that has to be read of a journal to catch up."""
    wanted = {name for channel in channels for name in channel.on_events}
    return frozenset(ev.kind_of(event) for event, name in _TOLD_AS.items() if name in wanted)


def record_mark(job: JobRecord) -> str:
    """Tells the record of a job from those it had before it was started over."""
    return f"{job.job_id}/{job.seed:x}/{job.created_at!r}"


def message_id(record: str, event: str, seq: int, channel: int) -> str:
    """The id of a message: the same for the same event, whoever makes it and when."""
    return str(uuid.uuid5(_NAMESPACE, f"{record}/{event}/{seq}/{channel}"))


def facts_of(
    name: NotificationEvent, event: ev.Event, job: JobRecord, batches: Mapping[int, BatchState], host: str
) -> dict[str, Any]:
    """What a message about `event` says; the names are those of `job.notifications.TEXT_VARIABLES`."""
    number = getattr(event, "batch", 0)
    batch = batches.get(number) if number else None
    reason = getattr(event, "reason", "") or getattr(event, "message", "")
    began = job.run_started_at or job.started_at or event.at
    return {
        "event_type": name,
        "job_id": job.job_id,
        "job_name": job.name,
        "run_id": job.run_id,
        "host": host,
        "status": job.status,
        "total_batches": job.plan.total,
        "completed_batches": job.counts.get("completed", 0),
        "failed_batches": job.counts.get("failed", 0),
        "batch_num": number,
        "count": 1,
        "batches": "",
        "error_code": getattr(event, "code", ""),
        "error_message": masked(reason)[:LONGEST_TEXT],
        "wait_seconds": round(getattr(event, "wait_seconds", 0.0), 1),
        "cost_usd": round(batch.cost_usd if batch is not None else job.cost_usd, 6),
        "duration_seconds": round(batch.duration if batch is not None else max(0.0, event.at - began), 1),
        "at": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="seconds"),
    }


class _Summary:
    """Events of one kind that were too many to be told one by one."""

    def __init__(self) -> None:
        self.count = 0
        self.numbers: list[int] = []
        self.last: ev.Event = ev.JobNotice(message="")

    def add(self, event: ev.Event) -> None:
        self.count += 1
        self.last = event
        if len(self.numbers) <= MOST_NUMBERS:
            self.numbers.append(getattr(event, "batch", 0))

    @property
    def facts(self) -> dict[str, Any]:
        """What a summary says instead of what the last event alone would."""
        if self.count == 1:
            return {}
        return {"count": self.count, "batches": spans(self.numbers) if len(self.numbers) <= MOST_NUMBERS else ""}


class Stream:
    """The messages of one channel, in the order of the events. Does no I/O; time is an argument."""

    def __init__(self, number: int, channel: NotificationConfig, host: str, covered: int = 0) -> None:
        self.number = number
        self.covered = covered
        """Every event up to this one is told by what was taken, or need not be told."""
        self._seen = covered
        self._channel = channel
        self._host = host
        self._wanted = frozenset(channel.on_events) if channel.type != "email" else frozenset()
        self._window_ends = 0.0
        self._singles = 0
        self._summaries: dict[NotificationEvent, _Summary] = {}
        self._job = JobRecord()
        self._ready: list[Message] = []

    @property
    def due(self) -> float | None:
        """When a summary is to be handed out, epoch seconds; None when there is none."""
        return self._window_ends if self._summaries else None

    def is_due(self, now: float) -> bool:
        """Whether a summary is to be handed out; also when the clock was set back, which must not hold it up."""
        return bool(self._summaries) and self._is_over(now)

    def _is_over(self, now: float) -> bool:
        return not self._window_ends - WINDOW_SECONDS <= now < self._window_ends

    @property
    def is_ready(self) -> bool:
        return bool(self._ready)

    def add(self, event: ev.Event, job: JobRecord, batches: Mapping[int, BatchState], now: float) -> None:
        """Take an event into account. What it tells is ready at once, or part of a summary later."""
        self._seen = event.seq
        name = event_of(event)
        if name is None or name not in self._wanted:
            return
        self._job = job
        if not name.startswith("batch_"):
            self.flush(now)
            self._ready.append(self._message(name, event, job, batches, now))
            return
        if self._is_over(now):
            self.flush(now)
            self._window_ends, self._singles = now + WINDOW_SECONDS, 0
        if self._singles < SINGLE_MESSAGES:
            self._singles += 1
            self._ready.append(self._message(name, event, job, batches, now))
        else:
            self._summaries.setdefault(name, _Summary()).add(event)

    def saw(self, seq: int) -> None:
        """Nothing that has to be told happened up to this event."""
        self._seen = max(self._seen, seq)

    def flush(self, now: float) -> None:
        """Make the summaries ready, with the job's facts as they are by now."""
        for name, summary in sorted(self._summaries.items(), key=lambda item: item[1].last.seq):
            message = self._message(name, summary.last, self._job, {}, now)
            self._ready.append(msgspec.structs.replace(message, facts={**message.facts, **summary.facts}))
        self._summaries.clear()

    def take(self) -> list[Message]:
        """What is ready, once."""
        taken, self._ready = self._ready, []
        if not self._summaries:
            self.covered = max(self.covered, self._seen)
        elif taken:
            self.covered = max(self.covered, taken[-1].seq)
        return taken

    def _message(
        self, name: NotificationEvent, event: ev.Event, job: JobRecord, batches: Mapping[int, BatchState], now: float
    ) -> Message:
        facts = facts_of(name, event, job, batches, self._host)
        made = message_id(record_mark(job), name, event.seq, self.number)
        return Message(made, self.number, self._channel.type, name, event.seq, now, facts)
