"""Events as JSON, and the one union of them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

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
from mozart_nb.events.remote import (
    RemoteCancelling,
    RemoteEnded,
    RemoteLost,
    RemoteSubmitted,
    RemoteSubmitting,
    RemoteUnconfirmed,
)
from mozart_nb.events.sessions import SessionAbandoned, SessionAdopted, SessionFinished, SessionOpened, SessionProgress
from mozart_nb.masking import masked

T = TypeVar("T", bound=msgspec.Struct)

AnyEvent = (
    JobPlanned
    | JobStarted
    | JobResumed
    | JobWaiting
    | JobPausing
    | JobPauseWithdrawn
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
    | BatchRenewed
    | BatchHealed
    | BatchHealing
    | BatchCompleted
    | BatchFailed
    | BatchBlocked
    | BatchSkipped
    | SessionOpened
    | SessionProgress
    | SessionFinished
    | SessionAbandoned
    | SessionAdopted
    | RemoteSubmitting
    | RemoteSubmitted
    | RemoteUnconfirmed
    | RemoteLost
    | RemoteCancelling
    | RemoteEnded
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
        return _rewritten(record, lambda text: text.encode("utf-8", "replace").decode("utf-8"))
    return record


def without_secrets(record: T) -> T:
    """`record` with what has the shape of a secret blotted out: sessions and servers print keys now and then."""
    document = encode_event(record).decode()
    return record if masked(document) == document else _rewritten(record, masked)


def _rewritten(record: T, rewrite: Callable[[str], str]) -> T:
    return msgspec.convert(_mapped(msgspec.to_builtins(record), rewrite), type(record))


def _mapped(value: Any, rewrite: Callable[[str], str]) -> Any:
    """`value` with every text in it, keys included, rewritten."""
    if isinstance(value, str):
        return rewrite(value)
    if isinstance(value, dict):
        return {_mapped(key, rewrite): _mapped(item, rewrite) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(item, rewrite) for item in value]
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
