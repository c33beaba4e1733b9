"""Events as JSON, and the one union of them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

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
from mozart_nb.events.isolation import JobIsolated, WorktreeKept, WorktreeRemoved
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
from mozart_nb.events.questions import BatchAnswered, BatchAsked, BatchContinued, BatchQuestionWithdrawn
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
    | JobIsolated
    | WorktreeKept
    | WorktreeRemoved
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
    | BatchAsked
    | BatchAnswered
    | BatchContinued
    | BatchQuestionWithdrawn
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


_OURS: Final = frozenset(
    "kind about action job_id replaces run_id config_digest backend mode status outcome how stop code type source "
    "retry_source session_id remote_id marker log files prompt_hash request_hash worktree directory "
    "branch base head".split()
)
"""Fields with words and names of our own, that a run goes by: a password like `completion`, or one that is also the
name of a folder, must not change them."""


def without_secrets(record: T) -> T:
    """`record` with secrets blotted out of what others wrote: sessions and servers print keys now and then."""
    document = encode_event(record).decode()
    return record if masked(document) == document else _rewritten(record, masked, keep=_OURS)


def _rewritten(record: T, rewrite: Callable[[str], str], keep: frozenset[str] = frozenset()) -> T:
    return msgspec.convert(_mapped(msgspec.to_builtins(record), rewrite, keep), type(record))


def _mapped(value: Any, rewrite: Callable[[str], str], keep: frozenset[str]) -> Any:
    """`value` with every text in it rewritten: keys included, or all but keys and what stands below the keys `keep`."""
    if isinstance(value, str):
        return rewrite(value)
    if isinstance(value, dict):
        return {
            key if keep else _mapped(key, rewrite, keep): item if key in keep else _mapped(item, rewrite, keep)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_mapped(item, rewrite, keep) for item in value]
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
