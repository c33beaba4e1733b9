"""One pass through a job's journal for everything a diagnosis needs of it: a small part of its lines is parsed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import without_collector
from mozart_nb.checkpoint.scan import Unread, events_of, scan, times_of
from mozart_nb.engine.state import JobState
from mozart_nb.looking.diagnosis.failures import Failures
from mozart_nb.looking.diagnosis.journey import Journey
from mozart_nb.looking.failures import FAILED_SESSION, OVERRULED
from mozart_nb.looking.timeline.catching_up import GoesOn, Slices, always

_WHOLE: Final = (
    ev.ValidationFailed,
    ev.SessionAbandoned,
    ev.LimitHit,
    ev.LimitCleared,
    ev.BreakerOpened,
    ev.JobResumed,
    ev.JobPaused,
    ev.JobFailed,
    ev.JobCancelled,
    ev.JobCompleted,
)
"""Events that are read whichever batch they are about."""

_STORY: Final = (
    ev.BatchStarted,
    ev.BatchRetrying,
    ev.BatchCompleting,
    ev.BatchWaiting,
    ev.BatchHealed,
    ev.BatchFailed,
)
"""Events that are read of a few batches only, to tell their story."""

_ON_THE_WAY: Final = (
    ev.LimitHit,
    ev.LimitCleared,
    ev.BreakerOpened,
    ev.JobResumed,
    ev.JobPaused,
    ev.JobFailed,
    ev.JobCancelled,
    ev.JobCompleted,
    ev.SessionAbandoned,
)
_MOST_EVENTS: Final = 1000
"""Events of one batch that are kept, the newest."""


@dataclass
class Read:
    """What a journal says beyond the state. `stories` are the events of the batches that were asked for.

    `notices` are about the journal itself.
    """

    failures: Failures
    journey: Journey = field(default_factory=Journey)
    stories: dict[int, list[ev.Event]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def read(layout: Layout, state: JobState, batches: Collection[int], goes_on: GoesOn = always) -> Read:
    """Read the journal as far as `state` knows it; `batches` are those whose story is wanted.

    Raises what `checkpoint.scan.scan` raises, and `InterruptedReadError` once `goes_on()` is false.
    """
    found = Read(Failures(state), stories={number: [] for number in batches})
    on_the_way: list[ev.Event] = []
    slices, unread = Slices(goes_on), Unread()
    slices.rest()
    with without_collector():
        for event in scan(layout, _wanted(batches), unread=unread):
            slices.rest()
            if event.seq > state.job.seq:
                break  # of a job that runs: what happened since its state was read
            found.failures.take(event)
            if isinstance(event, _ON_THE_WAY):
                on_the_way.append(event)
            story = found.stories.get(getattr(event, "batch", 0))
            if story is not None:
                story.append(event)
                del story[:-_MOST_EVENTS]
    _tell_journey(layout, found.journey, on_the_way)
    found.notices = unread.notices()
    return found


def _wanted(batches: Collection[int]) -> Mapping[str, bytes | re.Pattern[bytes]]:
    story = events_of(batches)
    return {
        **{ev.kind_of(kind): b"" for kind in _WHOLE},
        **({ev.kind_of(kind): story for kind in _STORY} if batches else {}),
        ev.kind_of(ev.SessionFinished): events_of(batches, FAILED_SESSION),
        ev.kind_of(ev.ValidationPassed): re.compile(rb"(?:%b|.*%b)" % (story.pattern, OVERRULED)),
    }


def _tell_journey(layout: Layout, journey: Journey, events: list[ev.Event]) -> None:
    crashed = [event.seq - 1 for event in events if isinstance(event, ev.JobResumed) and event.crashed]
    times = times_of(layout, crashed)
    for event in events:
        journey.take(event, times.get(event.seq - 1, event.at))
