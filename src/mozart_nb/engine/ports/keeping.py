"""What is kept: the durable record of a job, and what is asked of a running one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from mozart_nb.events import Answer, Event, ReplyAction

if TYPE_CHECKING:
    from mozart_nb.engine.state import JobState


class Store(Protocol):
    """The durable record of one job. One writer: whoever holds the lock."""

    pressure: str
    """Why the job should pause soon although everything is durable so far (disk full); empty when all is well."""

    @property
    def warnings(self) -> Sequence[str]:
        """What people should know and what did not stop the job; only ever grows."""

    def add_answer(self, answer: Answer) -> tuple[int, int]:
        """Buffer an answer; returns where its line will stand in `answers.jsonl` (offset, size in bytes)."""

    def append(self, event: Event, state: JobState) -> None:
        """Buffer an event, before it is applied to `state`."""

    async def commit(self, state: JobState) -> None:
        """Make everything buffered durable: answers first, then events. Off the event loop.

        Raises `CheckpointUnwritableError`; what was durable before still is.
        """

    async def checkpoint(self, state: JobState) -> None:
        """Write a complete snapshot now."""

    async def read_answer(self, offset: int, size: int) -> Answer:
        """The answer that stands there."""

    async def close(self) -> None:
        """Release files and lock."""


RequestKind = Literal["pause", "resume", "retry", "cancel", "detach", "clear_limit", "answer", "handover"]
"""`resume` withdraws a pause that has not settled yet, `retry` renews failed batches of a running job.

`answer` answers the open questions of `batches`, `handover` lets go of the job so that `by` can take it over."""


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person or another process wants of a running job; the answer is the event it causes.

    `run_id` limits it to one run ("" for whichever runs); after `expires_at` (epoch seconds, 0 never) it is ignored.
    `reason` is what people read of a pause, `batches` those to `retry` (none named: every failed one) or to `answer`.
    An answer is `action` with `text`, as `batch.answered` tells it; with an `attempt` it counts only for the question
    that was asked about that one (0: whichever is open).
    """

    kind: RequestKind
    by: str = ""
    reason: str = ""
    batches: tuple[int, ...] = ()
    action: ReplyAction | Literal[""] = ""
    text: str = ""
    attempt: int = 0
    run_id: str = ""
    expires_at: float = 0.0


class Requests(Protocol):
    """Requests dropped by other processes."""

    async def poll(self) -> Sequence[Request]:
        """New requests since the last call, each delivered once."""


class Claim(msgspec.Struct, frozen=True):
    """A batch's request among all that were ever made here. `answer` is the accepted answer kept for it, if any."""

    request_hash: str
    answer: Answer | None = None


class KeptAnswers(Protocol):
    """Accepted answers of all jobs of the workspace, by what was asked."""

    async def claim(self, batch: int, content: str) -> Claim:
        """The identity of this batch's request, whose content hash is `content`.

        Equal requests of one job are told apart by their occurrence, so no two batches share an answer; the same batch
        asking again gets the same identity. Never raises: what cannot be looked up was not kept.
        """
