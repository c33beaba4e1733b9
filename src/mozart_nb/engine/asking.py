"""Puts the open questions of a run to whoever is there, each in a task of its own.

The journal decides what is asked: a task begins when a question is open in the state and ends when it is not any more,
whoever answered. What the person says comes back as a request like any other, so the first answer counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from mozart_nb.engine.asked import Asked, objection
from mozart_nb.engine.confirm import BY_NOBODY, Triggers
from mozart_nb.engine.crew import gather_quietly
from mozart_nb.engine.desk import Composer
from mozart_nb.engine.ports import Question, Reply, Request
from mozart_nb.engine.state import BatchState, JobState

MOST_TRIES = 3
"""So often a person is asked whose answers are none; then the safe one is taken for them."""

Key = tuple[int, int, float]
"""Batch, attempt, and when it was asked: the same attempt may be asked about again."""


class Asking:
    """The questions that somebody here is being asked now. Changes no state: answers go to `request`."""

    def __init__(
        self, state: JobState, triggers: Triggers, composer: Composer, request: Callable[[Request], None]
    ) -> None:
        self._state = state
        self._triggers = triggers
        self._composer = composer
        self._request = request
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def follow(self) -> None:
        """Ask what has been journaled since the last time, and let go of what needs no answer any more."""
        questions = self._state.job.questions
        if not questions and not self._tasks:
            return
        wanted = {(number, asked.attempt, asked.asked_at): asked for number, asked in self._open()}
        for key in [key for key in self._tasks if key not in wanted]:
            self._let_go(self._tasks.pop(key))
            self._tidy(self._state.batches[key[0]])
        for key, asked in wanted.items():
            if key not in self._tasks:
                name = f"mozart question about batch {key[0]}"
                self._tasks[key] = asyncio.create_task(self._ask(self._state.batches[key[0]], asked), name=name)

    def _open(self) -> list[tuple[int, Asked]]:
        batches = self._state.batches
        found = ((number, batches[number].question) for number in self._state.job.questions)
        return [(number, question) for number, question in found if question is not None]

    def _tidy(self, batch: BatchState) -> None:
        """A draft is only of use to an attempt that goes on."""
        if batch.answered is None:
            self._triggers.forget(batch.number)

    async def close(self) -> None:
        """Leave no task behind. The questions stay as they are."""
        for task in self._tasks.values():
            self._let_go(task)
        self._tasks.clear()
        await gather_quietly(list(self._leaving))

    def _let_go(self, task: asyncio.Task[None]) -> None:
        if not task.done():
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            task.cancel()

    async def _ask(self, batch: BatchState, asked: Asked) -> None:
        try:
            reply = await self._reply(asked, await self._question(batch, asked))
        except Exception as error:
            text = f"the question could not be asked ({type(error).__name__}: {error})"
            reply = Reply(action="abort", text=text, by=BY_NOBODY)
        self._request(
            Request(
                kind="answer",
                batches=(batch.number,),
                attempt=asked.attempt,
                action=reply.action,
                text=reply.text,
                by=reply.by,
            )
        )

    async def _reply(self, asked: Asked, question: Question) -> Reply:
        """What the person says. Who gives an answer that is none is told why and asked again, but not for ever."""
        message, why = question.message, ""
        for _ in range(MOST_TRIES):
            reply = await self._triggers.person.ask(question)
            if not (why := objection(asked, reply.action, reply.text)):
                return reply
            question = msgspec.structs.replace(question, message=f"{message}\n({why})".strip())
        return Reply(action="abort", text=why, by=reply.by)

    async def _question(self, batch: BatchState, asked: Asked) -> Question:
        return Question(
            job_id=self._triggers.job_id,
            batch=batch.number,
            attempt=asked.attempt,
            mode=asked.mode,
            triggers=asked.triggers,
            message=asked.message,
            prompt=await self._prompt(batch, asked),
            kind=asked.kind,
            code=asked.code,
        )

    async def _prompt(self, batch: BatchState, asked: Asked) -> str:
        """What would be sent; of a batch that is about to fail, what it was asked first: that is what may be edited."""
        draft = self._triggers.draft_of(batch)
        if draft is not None:
            return draft.prompt
        first = BatchState(batch.number, attempts=batch.attempts, edited=batch.edited)
        try:
            return (await self._composer.compose(first, continues=False)).prompt
        except Exception:  # a question without its prompt is better than none
            return asked.prompt
