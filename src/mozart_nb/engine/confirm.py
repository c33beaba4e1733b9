"""Questions to a person before chosen attempts: which attempts, what is asked, and whether it was agreed to.

An attempt is asked about after its prompt is ready and before its session is opened, so a question that is withdrawn
or answered with a stop has cost nothing. Who asks is behind `engine.ports.Confirmations`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mozart_nb import events as ev
from mozart_nb.engine.asked import Answered, question_text
from mozart_nb.engine.composed import Composed
from mozart_nb.engine.ids import prompt_hash
from mozart_nb.engine.ports import Confirmations, Question, Reply
from mozart_nb.engine.state import BatchState
from mozart_nb.job.outputs import CheckpointsConfig, CheckpointTrigger
from mozart_nb.masking import masked_head

NOBODY = "nobody is there to ask"
BY_NOBODY = "nobody"

PROMPT_EXCERPT = 1_500
"""Characters of a prompt that are journaled with a question."""


def matches(trigger: CheckpointTrigger, *, batch: int, prompt: str, retries: int) -> bool:
    """Whether all conditions of `trigger` hold; of several words one is enough, in upper or lower case.

    `retries` is how much of the batch's retry budget is used.
    """
    if trigger.batch_nums is not None and batch not in trigger.batch_nums:
        return False
    if trigger.min_retry_count is not None and retries < trigger.min_retry_count:
        return False
    if trigger.prompt_contains is None:
        return True
    folded = prompt.casefold()
    return any(word.casefold() in folded for word in trigger.prompt_contains)


def question_about(
    triggers: Sequence[CheckpointTrigger], batch: BatchState, prompt: str, job_id: str = ""
) -> Question | None:
    """The one question that all of these triggers ask together; None when there are none."""
    if not triggers:
        return None
    messages = dict.fromkeys(trigger.message.strip() for trigger in triggers)
    return Question(
        job_id=job_id,
        batch=batch.number,
        attempt=batch.attempts,
        mode=batch.mode,
        triggers=tuple(trigger.name for trigger in triggers),
        message="\n".join(message for message in messages if message),
        prompt=prompt,
    )


def asked_text(question: Question) -> str:
    """The trigger with its message, or what the batch is about to fail of, in one line."""
    return question_text(question.kind, question.triggers, question.message, question.code)


class NobodyToAsk:
    """No terminal, no widget: the safe answer is to stop."""

    async def ask(self, question: Question) -> Reply:
        """Stop, at once."""
        return Reply(action="abort", text=NOBODY, by=BY_NOBODY)


class WithoutAsking:
    """Everything was agreed to beforehand (`-y`), or nothing is at stake (a rehearsal)."""

    async def ask(self, question: Question) -> Reply:
        """Yes; but what becomes of a batch that is about to fail nobody has said beforehand."""
        if question.kind == "escalation":
            return Reply(action="abort", text=NOBODY, by=BY_NOBODY)
        return Reply(by=BY_NOBODY)


class AnsweredFromAfar:
    """Whoever answers is elsewhere: the question stands open in the journal until a request answers it."""

    async def ask(self, question: Question) -> Reply:
        """No answer ever comes this way; the question is withdrawn when it has been answered the other way."""
        never: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        return await never


class Triggers:
    """The questions of one run, and what is ready to be sent where they are answered with a yes.

    An answer is kept with the batch until that used some of its budget, so an attempt that a rate limit sent back is
    not asked about again; it holds for the prompt that was shown and no other.
    """

    def __init__(
        self, config: CheckpointsConfig | None = None, person: Confirmations | None = None, job_id: str = ""
    ) -> None:
        self.person: Confirmations = person or NobodyToAsk()
        self.job_id = job_id
        self._triggers = config.triggers if config is not None and config.enabled else ()
        self._drafts: dict[int, tuple[int, Composed]] = {}

    @property
    def is_agreed(self) -> bool:
        """Whether all that a trigger may ask was agreed to beforehand."""
        return isinstance(self.person, WithoutAsking)

    @property
    def is_deserted(self) -> bool:
        """Whether it is known beforehand that nobody will answer."""
        return isinstance(self.person, NobodyToAsk)

    def look(self, batch: BatchState, prompt: str) -> tuple[list[str], Question | None]:
        """What is only to be told about the attempt that just started, and what is to be asked."""
        found = [
            trigger
            for trigger in self._triggers
            if matches(trigger, batch=batch.number, prompt=prompt, retries=batch.retries)
        ]
        told = [question_about([one], batch, prompt) for one in found if not one.requires_confirmation]
        notices = [f"batch {batch.number}, attempt {batch.attempts}: {asked_text(one)}" for one in told if one]
        asking = [one for one in found if one.requires_confirmation]
        return notices, question_about(asking, batch, prompt, self.job_id)

    def asked(self, question: Question, draft: Composed) -> ev.BatchAsked:
        """What is journaled; `draft` is kept for the answer, so that what was shown is what is sent."""
        self._drafts[question.batch] = (question.attempt, draft)
        return ev.BatchAsked(
            batch=question.batch,
            attempt=question.attempt,
            mode=question.mode,
            triggers=question.triggers,
            message=question.message,
            prompt=masked_head(question.prompt, PROMPT_EXCERPT),
            prompt_hash=prompt_hash(question.prompt),
        )

    def draft_of(self, batch: BatchState) -> Composed | None:
        """What was ready to be sent when this attempt was asked about, if that was in this run."""
        attempt, draft = self._drafts.get(batch.number, (0, None))
        return draft if attempt == batch.attempts else None

    def forget(self, number: int) -> None:
        """The draft of that batch is not needed any more."""
        self._drafts.pop(number, None)


def agreement(batch: BatchState, question: Question) -> Answered | None:
    """The yes that a person has said to this question before; None when there is none."""
    said = batch.answered
    if said is None or said.action not in ("proceed", "add"):
        return None
    covers = set(question.triggers) <= set(said.question.triggers)
    return said if covers and said.question.prompt_hash == prompt_hash(question.prompt) else None
