"""Everything that can happen to a job, as frozen data.

An event is one line of the journal; `kind` names it there, in the log, in watch streams and in the docs. State is the
fold of these events (`engine.state.apply`), so an event carries whatever the fold needs and nothing bulky: answers and
raw output live in files of their own and are referred to.

Times (`at`, `until`, `due`) are UTC epoch seconds on the journal's own clock, which never runs backwards in one job.
Costs are US dollars; `None` means unknown, which is not zero. Durations are seconds.
"""

from __future__ import annotations

from mozart_nb.events.base import Event
from mozart_nb.events.batches import (
    BatchBlocked,
    BatchCompleted,
    BatchCompleting,
    BatchFailed,
    BatchHealed,
    BatchHealing,
    BatchPreflight,
    BatchRenewed,
    BatchRetrying,
    BatchSkipped,
    BatchStarted,
    BatchWaiting,
    ValidationFailed,
    ValidationPassed,
)
from mozart_nb.events.codec import (
    VOLATILE,
    AnyEvent,
    decode_event,
    encode_event,
    event_types,
    kind_of,
    without_secrets,
    writable,
)
from mozart_nb.events.job import (
    ConfigReloaded,
    CostUpdated,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobNotice,
    JobPaused,
    JobPauseWithdrawn,
    JobPausing,
    JobPlanned,
    JobResumed,
    JobStarted,
    JobWaiting,
)
from mozart_nb.events.limits import BreakerClosed, BreakerHalfOpen, BreakerOpened, LimitCleared, LimitHit
from mozart_nb.events.records import (
    FORMAT,
    Finding,
    Mode,
    Outcome,
    PlanShape,
    RuleResult,
    RuleStatus,
    RunOptions,
    Usage,
    Wording,
)
from mozart_nb.events.remote import (
    RemoteCancelling,
    RemoteEnded,
    RemoteLost,
    RemoteSubmitted,
    RemoteSubmitting,
    RemoteUnconfirmed,
)
from mozart_nb.events.sessions import (
    Answer,
    SessionAbandoned,
    SessionAdopted,
    SessionFinished,
    SessionOpened,
    SessionProgress,
)

__all__ = [
    "FORMAT",
    "VOLATILE",
    "Answer",
    "AnyEvent",
    "BatchBlocked",
    "BatchCompleted",
    "BatchCompleting",
    "BatchFailed",
    "BatchHealed",
    "BatchHealing",
    "BatchPreflight",
    "BatchRenewed",
    "BatchRetrying",
    "BatchSkipped",
    "BatchStarted",
    "BatchWaiting",
    "BreakerClosed",
    "BreakerHalfOpen",
    "BreakerOpened",
    "ConfigReloaded",
    "CostUpdated",
    "Event",
    "Finding",
    "JobCancelled",
    "JobCompleted",
    "JobFailed",
    "JobNotice",
    "JobPauseWithdrawn",
    "JobPaused",
    "JobPausing",
    "JobPlanned",
    "JobResumed",
    "JobStarted",
    "JobWaiting",
    "LimitCleared",
    "LimitHit",
    "Mode",
    "Outcome",
    "PlanShape",
    "RemoteCancelling",
    "RemoteEnded",
    "RemoteLost",
    "RemoteSubmitted",
    "RemoteSubmitting",
    "RemoteUnconfirmed",
    "RuleResult",
    "RuleStatus",
    "RunOptions",
    "SessionAbandoned",
    "SessionAdopted",
    "SessionFinished",
    "SessionOpened",
    "SessionProgress",
    "Usage",
    "ValidationFailed",
    "ValidationPassed",
    "Wording",
    "decode_event",
    "encode_event",
    "event_types",
    "kind_of",
    "without_secrets",
    "writable",
]
