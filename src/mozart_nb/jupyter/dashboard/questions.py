"""Asking the person in front of the dashboard: before attempts that the job file names, and before remedies.

Every open question stands in all dashboards of its job; the first answer counts. A question waits as long as somebody
could see it: without a dashboard on anybody's screen the safe answer is given at once, as without a terminal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.confirm import NOBODY, asked_text
from mozart_nb.engine.ports import Question, Reply
from mozart_nb.words import clean

RENDER_SECONDS: Final = 3.0
"""How long a dashboard that was just opened may take to appear on a screen."""

_LOOK_SECONDS: Final = 0.1

Answer = Literal["proceed", "skip", "abort", "add"]


class Place(Protocol):
    """Where questions are shown: a dashboard."""

    def is_seen(self) -> bool:
        """Whether a front end shows it now."""

    def may_appear(self) -> bool:
        """Whether it was opened so lately that a front end may still be at it."""

    def questions_changed(self) -> None:
        """Show the open questions as they are now."""


@dataclass(eq=False)
class Open:
    """A question that waits for its answer. `question` is None for a yes or no about a remedy."""

    head: str
    text: str = ""
    question: Question | None = None
    answer: asyncio.Future[Reply | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def prompt(self) -> str:
        return self.question.prompt if self.question is not None else ""

    @property
    def choices(self) -> tuple[Answer, ...]:
        return ("proceed", "skip", "abort", "add") if self.question is not None else ("proceed", "abort")

    def reply(self, action: Answer, text: str = "") -> None:
        """Answer it, on its loop; an answer that comes too late changes nothing."""
        if action == "add" and not text.strip():
            action = "proceed"
        self.settle(Reply(action=action, text=text.strip()))

    def settle(self, reply: Reply | None) -> None:
        if not self.answer.done():
            self.answer.set_result(reply)


class Desk:
    """The open questions of one job, oldest first, and the dashboards that show them. Lives on the job's loop."""

    def __init__(self) -> None:
        self.open: list[Open] = []
        self._places: list[Place] = []

    def add(self, place: Place) -> Callable[[], None]:
        """Questions are shown there too from now on; returns what ends that."""
        self._places.append(place)

        def remove() -> None:
            if place in self._places:
                self._places.remove(place)
            for question in () if self._places else self.open:
                question.settle(None)

        return remove

    async def put(self, question: Open) -> Reply | None:
        """The answer; None when nobody can see the question, or no longer. On cancellation it is withdrawn."""
        if not await self._is_seen():
            return None
        self.open.append(question)
        self._tell()
        try:
            return await question.answer
        finally:
            self.open.remove(question)
            self._tell()

    async def _is_seen(self) -> bool:
        while not any(place.is_seen() for place in self._places):
            if not any(place.may_appear() for place in self._places):
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    def _tell(self) -> None:
        for place in self._places:
            place.questions_changed()


class HasLayout(Protocol):
    """A job, as far as it matters which one it is."""

    @property
    def layout(self) -> Layout: ...


_desks: dict[str, Desk] = {}


def desk_of(job: HasLayout) -> Desk:
    """The one desk of this job, for all its handles."""
    return _desks.setdefault(str(job.layout.root.resolve()), Desk())


class WidgetConfirmations:
    """Asks in the dashboards of a job (`engine.ports.Confirmations`)."""

    def __init__(self, job: HasLayout) -> None:
        self._desk = desk_of(job)

    async def ask(self, question: Question) -> Reply:
        """The person's answer; a stop when no dashboard is on a screen."""
        head = f"Batch {question.batch}, attempt {question.attempt} ({question.mode}) waits for you: "
        reply = await self._desk.put(Open(head + clean(asked_text(question)), question=question))
        return reply or Reply(action="abort", text=f"{NOBODY}: no dashboard is on a screen")

    async def agrees(self, question: str) -> bool:
        """Yes or no about a remedy (`healing.Ask`); no when no dashboard is on a screen."""
        reply = await self._desk.put(Open("A remedy needs your consent", text=question))
        return reply is not None and reply.action == "proceed"
