"""Events as JSON, and the one union of them all."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from mozart_nb.events.base import Event
from mozart_nb.events.batches import (
    BatchBlocked,
    BatchCompleted,
    BatchCompleting,
    BatchFailed,
    BatchHealed,
    BatchPreflight,
    BatchRetrying,
    BatchSkipped,
    BatchStarted,
    BatchWaiting,
    ValidationFailed,
    ValidationPassed,
)
from mozart_nb.events.job import (
    ConfigReloaded,
    CostUpdated,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobNotice,
    JobPaused,
    JobPausing,
    JobPlanned,
    JobResumed,
    JobStarted,
    JobWaiting,
)
from mozart_nb.events.limits import BreakerClosed, BreakerHalfOpen, BreakerOpened, LimitCleared, LimitHit
from mozart_nb.events.sessions import SessionAbandoned, SessionAdopted, SessionFinished, SessionOpened, SessionProgress

T = TypeVar("T", bound=msgspec.Struct)

AnyEvent = (
    JobPlanned
    | JobStarted
    | JobResumed
    | JobWaiting
    | JobPausing
    | JobPaused
    | JobCompleted
    | JobFailed
    | JobCancelled
    | ConfigReloaded
    | CostUpdated
    | JobNotice
    | BatchStarted
    | BatchPreflight
    | ValidationPassed
    | ValidationFailed
    | BatchRetrying
    | BatchCompleting
    | BatchWaiting
    | BatchHealed
    | BatchCompleted
    | BatchFailed
    | BatchBlocked
    | BatchSkipped
    | SessionOpened
    | SessionProgress
    | SessionFinished
    | SessionAbandoned
    | SessionAdopted
    | LimitHit
    | LimitCleared
    | BreakerOpened
    | BreakerHalfOpen
    | BreakerClosed
)
"""The one discriminated union of all events."""


encode_event = msgspec.json.Encoder().encode
decode_event = msgspec.json.Decoder(AnyEvent).decode


def writable(record: T) -> T:
    """`record` without lone surrogates, which a model or a file name can contain and no journal can hold."""
    try:
        encode_event(record)
    except UnicodeEncodeError:
        return msgspec.convert(_without_surrogates(msgspec.to_builtins(record)), type(record))
    return record


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


def kind_of(event: Event | type[Event]) -> str:
    """The event's name as journal, log and docs spell it."""
    tag = event.__struct_config__.tag
    return str(tag)


VOLATILE: tuple[type[Event], ...] = (SessionProgress, JobNotice)
"""Told to observers as they happen and never journaled."""


def event_types() -> tuple[type[Event], ...]:
    """Every event class, in the order of their definition."""
    return tuple(AnyEvent.__args__)
