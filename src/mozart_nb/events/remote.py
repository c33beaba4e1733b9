"""What happens to remote batches: parcels of requests that a service answers hours later.

`submission` counts the job's parcels from 1. Which requests are in one stands in its first event, as ranges of batches
with the number of their attempt; the service itself shows that only with the results.
"""

from __future__ import annotations

from mozart_nb.events.base import Event


class RemoteSubmitting(Event, frozen=True, kw_only=True, tag="remote.submitting"):
    """Journaled before a parcel is sent. `entries` are ranges: first batch, last batch, attempt; `size` is in bytes.

    `sent_at` is the wall clock, which the service's own clock is compared with.
    """

    submission: int
    entries: tuple[tuple[int, int, int], ...]
    requests: int
    size: int = 0
    sent_at: float = 0.0


class RemoteSubmitted(Event, frozen=True, kw_only=True, tag="remote.submitted"):
    """The service has the parcel. `adopted`: it was found there after a crash or a broken connection."""

    submission: int
    remote_id: str
    adopted: bool = False


class RemoteUnconfirmed(Event, frozen=True, kw_only=True, tag="remote.unconfirmed"):
    """The connection broke before the service said whether it has the parcel. It is looked for, not sent again."""

    submission: int
    message: str = ""


class RemoteLost(Event, frozen=True, kw_only=True, tag="remote.lost"):
    """The service does not have the parcel: it refused it, never received it, or has deleted it."""

    submission: int
    reason: str


class RemoteCancelling(Event, frozen=True, kw_only=True, tag="remote.cancelling"):
    """The service was asked to stop. `message` is set when it could not be reached; the parcel then goes on."""

    submission: int
    message: str = ""


class RemoteEnded(Event, frozen=True, kw_only=True, tag="remote.ended"):
    """Every result of the parcel is journaled."""

    submission: int
