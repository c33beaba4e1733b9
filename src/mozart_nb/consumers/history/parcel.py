"""What the keeper hands to its thread, and what the thread says about it. Imports no database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from mozart_nb.consumers.history.section import JobIdentity
from mozart_nb.engine.state import BatchState, JobRecord
from mozart_nb.events import Event

ReadSince = Callable[[int], Iterator[Event]]
"""The journal's events after a `seq`, in order. May raise `MozartError` and `OSError`."""


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands, copied: `record`, `batches` and the `events` since the last parcel.

    `seq` is the last event heard. `batches` are copies of batches that were touched. When `drained`, every batch that
    events from `since + 1` to `seq` touched stands in this parcel or in one before that was written.
    """

    identity: JobIdentity
    journal: str
    seq: int
    record: JobRecord
    events: Sequence[Event] = ()
    batches: Sequence[BatchState] = ()
    since: int = 0
    drained: bool = True


class Missing(msgspec.Struct, kw_only=True):
    """Batches that a database has to be told of besides those of a parcel: events after `since` have touched them.

    `sweep`: and all that events may have changed without naming them.
    """

    since: int
    numbers: set[int] = msgspec.field(default_factory=set)
    sweep: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What came of a parcel. `is_off`: nothing can be written in this run, so nothing more need be handed over."""

    missing: Sequence[Missing] = ()
    is_off: bool = False


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One notification to one channel, as its row in `notifications`. Secrets are masked by whoever makes it."""

    id: str
    channel: str
    event: str
    run_id: str = ""
    created_at: float = 0.0
    delivered_at: float = 0.0
    attempts: int = 0
    status: str = ""
    error: str = ""


def parts_of(sequence: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """`sequence` in parts of at most `size`."""
    for begin in range(0, len(sequence), size):
        yield sequence[begin : begin + size]
