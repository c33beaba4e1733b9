"""Who listens to a run besides its host: log file, history, notifications. They see events only, and cannot hurt it.

Each hands what it hears to a thread or a process of its own. Its `close` puts away what is left, in bounded time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from mozart_nb.checkpoint.ends import events_since
from mozart_nb.checkpoint.index import home
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.scan import scan
from mozart_nb.consumers.history import Delivery, HistoryKeeper, JobIdentity
from mozart_nb.consumers.learning.section import LearningSection
from mozart_nb.consumers.log import log_file
from mozart_nb.consumers.log.writer import LogWriter
from mozart_nb.consumers.notify import Notifier, deliveries, wanted_kinds
from mozart_nb.consumers.notify.outbox import messages
from mozart_nb.engine.state import JobState
from mozart_nb.events import Event
from mozart_nb.job.wording import template_key
from mozart_nb.plans.hints import HISTORY
from mozart_nb.plans.notifications import channels_of
from mozart_nb.plans.prepared import Prepared

Tell = Callable[[str], None]
"""Says something to whoever watches the run, once; may be called from any thread."""


class Onlooker(Protocol):
    """One who listens."""

    async def observe(self, events: Sequence[Event]) -> None:
        """Hear a burst of events; returns at once."""

    async def close(self) -> None:
        """The run is over: put away what is left. Never raises."""


def onlookers(prepared: Prepared, state: JobState, tell: Tell, warnings: list[str]) -> list[Onlooker]:
    """Who listens to this run. Call it on the job's loop; `state` is the driver's and may be read there only.

    One that cannot be made is left out, and `warnings` gets the reason.
    """
    found: list[Onlooker] = []
    for what, make in _wanted(prepared, state, tell):
        try:
            found.append(make())
        except Exception as error:  # whatever it is, the run goes on
            warnings.append(f"this run is without {what} ({type(error).__name__}: {error})")
    return found


def _wanted(prepared: Prepared, state: JobState, tell: Tell) -> Iterator[tuple[str, Callable[[], Onlooker]]]:
    yield "its log", partial(_log, prepared, tell)
    if prepared.loaded.config.notifications and not prepared.rehearsed:
        yield "notifications", partial(_notifier, prepared, state, tell)
    is_mirrored = prepared.loaded.config.state_backend == "sqlite"
    if is_mirrored or not prepared.rehearsed:
        yield "history", partial(_keeper, prepared, state, tell, is_mirrored=is_mirrored)


def from_any_thread(tell: Tell) -> Tell:
    """`tell` of the present loop, for others; what comes after the loop's end is said to nobody."""
    loop = asyncio.get_running_loop()

    def said(text: str) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, text)

    return said


def identity_of(prepared: Prepared) -> JobIdentity:
    """Which job it is, for the history."""
    config = prepared.loaded.config
    return JobIdentity(
        job_id=prepared.job_id,
        name=config.name,
        workspace=str(prepared.places.workspace.resolve()),
        state_workspace=str(prepared.layout.workspace.resolve()),
        template=config.prompt.template_file or "",
        template_digest=template_key(config, prepared.frozen.texts),
        backend="rehearsal" if prepared.is_rehearsal else config.backend.type,
        is_rehearsal=prepared.is_rehearsal,
    )


def deliveries_of(layout: Layout) -> Iterator[Delivery]:
    """The job's notifications as the history keeps them. Blocks; reads two files of the job's folder."""
    answers = {answer.id: answer for answer in deliveries(layout.notifications)}
    for message in messages(layout.notifications):
        answer = answers.get(message.id)
        yield Delivery(
            id=message.id,
            channel=f"{message.channel} {message.type}",
            event=message.event,
            run_id=str(message.facts.get("run_id", "")),
            created_at=message.created_at,
            delivered_at=answer.at if answer is not None and answer.status == "delivered" else 0.0,
            attempts=answer.attempts if answer is not None else 0,
            status=answer.status if answer is not None else "waiting",
            error=answer.error if answer is not None else "",
        )


def _log(prepared: Prepared, tell: Tell) -> LogWriter:
    config, places = prepared.loaded.config.logging, prepared.places
    file = log_file(config, places.workspace, str(places.root or ""))
    return LogWriter(config, file, job_id=prepared.job_id, tell=tell)


def _notifier(prepared: Prepared, state: JobState, tell: Tell) -> Notifier:
    channels = channels_of(prepared)
    return Notifier(
        channels=channels,
        outbox=prepared.layout.notifications,
        state=state,
        read_since=lambda seq: scan(prepared.layout, wanted_kinds(channels), since_seq=seq),
        tell=tell,
    )


def _keeper(prepared: Prepared, state: JobState, tell: Tell, *, is_mirrored: bool) -> HistoryKeeper:
    return HistoryKeeper(
        database=None if prepared.rehearsed else home() / HISTORY,
        mirror=prepared.layout.mirror if is_mirrored else None,
        state=state,
        identity=identity_of(prepared),
        read_since=partial(events_since, prepared.layout),
        sections=[LearningSection()],
        deliveries=partial(deliveries_of, prepared.layout),
        tell=tell,
    )
