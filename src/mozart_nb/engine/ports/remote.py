"""Requests that are handed in together and answered, together, up to a day later.

A *remote batch* is one such parcel, as the service knows it. Every request in it carries a custom id of ours, and the
service shows custom ids with the results only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from mozart_nb.engine.ports.sessions import SessionRequest, SessionResult


class RemoteBatch(msgspec.Struct, frozen=True):
    """A remote batch as the service shows it. `created_at` is on the service's own clock (epoch seconds).

    `is_over`: every request was answered, failed, expired or was cancelled, and the results can be read.
    """

    id: str
    created_at: float
    requests: int
    is_over: bool


class RemoteResult(msgspec.Struct, frozen=True, gc=False):
    """What became of one request. `is_cancelled`: it was taken back before the service came to it."""

    custom_id: str
    result: SessionResult
    is_cancelled: bool = False


class RemoteError(Exception):
    """A call that failed. `result` holds the facts for the classifier.

    `is_refusal`: the service said no, so nothing was done; otherwise nobody knows. `is_gone`: what was asked for does
    not exist (any more).
    """

    def __init__(self, result: SessionResult, *, is_refusal: bool, is_gone: bool = False) -> None:
        super().__init__(result.error_text or result.exception)
        self.result = result
        self.is_refusal = is_refusal
        self.is_gone = is_gone


@runtime_checkable
class Remote(Protocol):
    """A backend that takes requests by the thousand: at most `most_requests` and `most_bytes` in one remote batch.

    Every method but `encode` raises `RemoteError`; whoever does not read a generator to its end closes it.
    """

    most_requests: int
    most_bytes: int

    async def encode(self, custom_id: str, request: SessionRequest) -> bytes | SessionResult:
        """The request as it will be sent; a failed session when it cannot be (an attachment that is not there)."""

    async def create(self, documents: Sequence[bytes]) -> RemoteBatch:
        """Hand in encoded requests as one remote batch. Never tried twice: that is for the caller to decide."""

    async def look(self, remote_id: str) -> RemoteBatch:
        """How a remote batch is doing."""

    def newest(self) -> AsyncGenerator[RemoteBatch, None]:
        """Every remote batch of the account, the newest first; pages are fetched as they are needed."""

    def results(self, remote_id: str) -> AsyncGenerator[Sequence[RemoteResult], None]:
        """The results of a remote batch that is over, some hundred at a time, in any order."""

    async def cancel(self, remote_id: str) -> None:
        """Ask the service to process no more of it. What it has answered by then can still be read."""
