"""What attempts work with, and where they report to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mozart_nb import events as ev
from mozart_nb.engine.composed import Composed
from mozart_nb.engine.confirm import Triggers
from mozart_nb.engine.off import FreeText, FreeTurns, NoHealer, NoPost, NothingKept, NotIsolated
from mozart_nb.engine.ports import (
    AnswerContract,
    Backend,
    Checker,
    Clock,
    Healer,
    Isolation,
    KeptAnswers,
    Request,
    SessionRequest,
    SessionResult,
    Turns,
)
from mozart_nb.engine.state import BatchState, JobState


class Composer(Protocol):
    """Makes prompts and requests out of config, plan and state."""

    async def values(self, number: int) -> Mapping[str, Any]:
        """The template variables of a batch."""

    async def compose(self, batch: BatchState, *, continues: bool) -> Composed:
        """The prompt of the attempt that just started. Raises `PromptError`."""

    async def skip_reason(self, number: int) -> str:
        """Why the batch is not to be run at all; empty when it is. Raises `PromptError`."""

    def request(self, batch: BatchState, composed: Composed | None, session: ev.SessionOpened) -> SessionRequest:
        """The request of that session; without `composed`, one to pick it up again."""

    def log_name(self, number: int, attempt: int) -> str:
        """Where raw output goes, relative to the job's folder, without suffix."""


class Desk(Protocol):
    """Where attempts report to: the driver's inbox."""

    def note(self, event: ev.Event) -> None:
        """Journal this in its turn."""

    async def record(self, event: ev.Event, answer: ev.Answer | None = None) -> None:
        """Journal this; returns once it is durable."""

    def tell(self, event: ev.Event) -> None:
        """Tell observers something that is not journaled."""

    def request(self, request: Request) -> None:
        """Ask something of the job as a whole."""

    def is_held(self, number: int) -> bool:
        """Whether a limit was hit before the batch's session began: nothing may be sent now."""

    async def read_answer(self, batch: BatchState) -> ev.Answer | None:
        """The batch's last answer that had any text; None if there is none."""


Collect = Callable[[int, SessionResult], Coroutine[Any, Any, None]]
"""Brings the current attempt of a batch to its end with that result."""


class Post(Protocol):
    """Takes requests that are answered together with many others, much later."""

    takes_requests: bool
    """Whether requests go this way at all."""

    def begin(self, state: JobState, desk: Desk, collect: Collect) -> None:
        """Begin to work for a run, and go on with what earlier hosts have left."""

    async def room(self, batch: int) -> None:
        """Wait until one more request may be made ready."""

    async def hand_in(self, request: SessionRequest) -> None:
        """Take over a request whose session is journaled as opened and parked."""

    def stop(self, *, cancel: bool) -> None:
        """Send nothing more; with `cancel`, take back what can be taken back. May be called again and again."""

    def go_on(self) -> None:
        """What stopped it is withdrawn: send again. May be called again and again."""

    async def close(self) -> None:
        """Leave no task behind. What was sent goes on and is collected by the next run."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What attempts work with."""

    backend: Backend
    checker: Checker
    composer: Composer
    clock: Clock
    patterns: Sequence[str] = ()
    triggers: Triggers = field(default_factory=Triggers)
    contract: AnswerContract = field(default_factory=FreeText)
    kept: KeptAnswers = field(default_factory=NothingKept)
    healer: Healer = field(default_factory=NoHealer)
    post: Post = field(default_factory=NoPost)
    """Where requests go whose answers come hours later."""
    turns: Turns = field(default_factory=FreeTurns)
    """Whose session is next, among all jobs of the host."""
    isolation: Isolation = field(default_factory=NotIsolated)
    """Where sessions work, as far as that is not the working directory itself."""
