"""Asking the person in front of the dashboard: before attempts that the job file names, and before remedies.

Every open question stands in all dashboards of its job, whichever process runs it; the first answer counts. A question
of this process waits as long as somebody could see it: without a dashboard on anybody's screen the safe answer is given
at once, as without a terminal. Questions of other processes are answered by a request to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.asked import Asked
from mozart_nb.engine.confirm import BY_NOBODY, NOBODY, asked_text
from mozart_nb.engine.ports import Question, Reply
from mozart_nb.events import CHOICES, ReplyAction
from mozart_nb.jupyter.dashboard.watched import Watched
from mozart_nb.looking.questions import prompt_of
from mozart_nb.words import clean

RENDER_SECONDS: Final = 3.0
"""How long a dashboard that was just opened may take to appear on a screen."""

BY: Final = "notebook"
"""Who answers, as the journal names it."""

_LOOK_SECONDS: Final = 0.1
_MOST_PROMPTS: Final = 50

_TOLD: Final = (ev.BatchAsked, ev.BatchAnswered, ev.BatchQuestionWithdrawn)


def concerns_questions(events: Sequence[ev.Event]) -> bool:
    """Whether other questions are open after these events than before."""
    return any(isinstance(event, _TOLD) for event in events)


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
    def choices(self) -> tuple[ReplyAction, ...]:
        return CHOICES[self.question.kind] if self.question is not None else ("proceed", "abort")

    def reply(self, action: ReplyAction, text: str = "") -> None:
        """Answer it, on its loop; an answer that comes too late changes nothing."""
        if action == "add" and not text.strip():
            action = "proceed"
        self.settle(Reply(action=action, text=text.strip(), by=BY))

    def settle(self, reply: Reply | None) -> None:
        if not self.answer.done():
            self.answer.set_result(reply)


@dataclass(eq=False)
class FromAfar:
    """A question of a process that is not this one, as the journal tells it. An answer goes there as a request."""

    job: Watched
    batch: int
    asked: Asked
    prompt: str
    text: str = ""

    @property
    def head(self) -> str:
        return _head(self.batch, self.asked.attempt, self.asked.mode, self.asked.text)

    @property
    def choices(self) -> tuple[ReplyAction, ...]:
        return self.asked.choices

    def reply(self, action: ReplyAction, text: str = "") -> None:
        """Answer it; the first answer counts, whoever gives it. Raises `MisuseError` when nobody runs the job."""
        self.job.answer(self.batch, action, text, attempt=self.asked.attempt)


Key = tuple[int, int, float]
"""Batch, attempt, and when it was asked."""


class Desk:
    """The open questions of one job, oldest first, and the dashboards that show them. Lives on the job's loop."""

    def __init__(self) -> None:
        self.open: list[Open] = []
        self._places: list[Place] = []
        self._prompts: dict[Key, str] = {}

    def add(self, place: Place) -> Callable[[], None]:
        """Questions are shown there too from now on; returns what ends that."""
        self._places.append(place)

        def remove() -> None:
            if place in self._places:
                self._places.remove(place)
            for question in () if self._places else self.open:
                question.settle(None)

        return remove

    def questions(self, job: Watched) -> list[Open | FromAfar]:
        """All that the job asks now: what waits here, then what the journal tells of others."""
        here = {one.question.batch for one in self.open if one.question is not None}
        return [*self.open, *(one for one in self._from_afar(job) if one.batch not in here)]

    def _from_afar(self, job: Watched) -> list[FromAfar]:
        if not job.is_live:
            return []
        state, found = job.state, []
        for number in state.job.questions:
            asked = state.batches[number].question
            if asked is not None:
                found.append(FromAfar(job, number, asked, self._prompt(job, number, asked)))
        return found

    def _prompt(self, job: Watched, number: int, asked: Asked) -> str:
        """As the journal tells it; else it is composed aside, and the dashboards hear of it when it is there."""
        key = (number, asked.attempt, asked.asked_at)
        if asked.prompt or key in self._prompts or job.prepared is None:
            return asked.prompt or self._prompts.get(key, "")
        if len(self._prompts) > _MOST_PROMPTS:
            self._prompts.clear()
        self._prompts[key] = ""
        job.host.spawn(self._compose(job, number, key))
        return ""

    async def _compose(self, job: Watched, number: int, key: Key) -> None:
        prepared, state = job.prepared, job.state.still()
        with suppress(Exception):  # a template that needs what only a run has: the question is shown without it
            assert prepared is not None
            self._prompts[key] = await asyncio.to_thread(prompt_of, prepared, state, number)
            self._tell()

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
        head = _head(question.batch, question.attempt, question.mode, asked_text(question))
        reply = await self._desk.put(Open(head, question=question))
        return reply or Reply(action="abort", text=f"{NOBODY}: no dashboard is on a screen", by=BY_NOBODY)

    async def agrees(self, question: str) -> bool:
        """Yes or no about a remedy (`healing.Ask`); no when no dashboard is on a screen."""
        reply = await self._desk.put(Open("A remedy needs your consent", text=question))
        return reply is not None and reply.action == "proceed"


def _head(batch: int, attempt: int, mode: str, asked: str) -> str:
    return f"Batch {batch}, attempt {attempt} ({mode}) waits for you: {clean(asked)}"
