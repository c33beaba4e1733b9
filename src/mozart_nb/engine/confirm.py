"""Questions to a person before chosen attempts: which attempts, what is asked, and what the answer means.

An attempt is asked about after its prompt is ready and before its session is opened, so a question that is withdrawn
or answered with a stop has cost nothing. Who asks is behind `engine.ports.Confirmations`.
"""

from __future__ import annotations

from collections.abc import Sequence

from mozart_nb.engine.ports import Confirmations, Question, Reply
from mozart_nb.engine.state import BatchState
from mozart_nb.job.outputs import CheckpointsConfig, CheckpointTrigger

NOBODY = "nobody is there to ask"


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
    """The trigger with its message, in one line: `trigger `deploy`: Is the window open?`."""
    names = ", ".join(f"`{name}`" for name in question.triggers)
    word = "trigger" if len(question.triggers) == 1 else "triggers"
    message = " ".join(question.message.split())
    return f"{word} {names}: {message}" if message else f"{word} {names}"


def skip_reason(question: Question, reply: Reply) -> str:
    """Why a person's answer skips the batch, for its record."""
    return f"skipped at {asked_text(question)}" + (f" ({reply.text})" if reply.text else "")


def pause_reason(question: Question, reply: Reply) -> str:
    """Why the job pauses instead of beginning the attempt, and how it goes on."""
    why = reply.text or "whoever was asked said stop"
    how = f"`mozart resume {question.job_id} -y` goes on without asking"
    return f"batch {question.batch} is not confirmed ({asked_text(question)}): {why}; {how}"


class NobodyToAsk:
    """No terminal, no widget: the safe answer is to stop."""

    async def ask(self, question: Question) -> Reply:
        return Reply(action="abort", text=NOBODY)


class WithoutAsking:
    """Everything was agreed to beforehand (`-y`), or nothing is at stake (a rehearsal)."""

    async def ask(self, question: Question) -> Reply:
        return Reply()


class Triggers:
    """The questions of one run. An answer holds until the batch used some of its budget: an attempt that a rate limit
    sent back is not asked about again."""

    def __init__(
        self, config: CheckpointsConfig | None = None, person: Confirmations | None = None, job_id: str = ""
    ) -> None:
        self._triggers = config.triggers if config is not None and config.enabled else ()
        self._person = person or NobodyToAsk()
        self._job_id = job_id
        self._answers: dict[tuple[object, ...], Reply] = {}

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
        return notices, question_about(asking, batch, prompt, self._job_id)

    async def ask(self, question: Question, batch: BatchState) -> Reply:
        """The answer; a stop when the question cannot be asked. On cancellation the question is withdrawn."""
        key = (question.batch, question.triggers, batch.retries, batch.completions)
        if key not in self._answers:
            try:
                reply = await self._person.ask(question)
            except Exception as error:
                text = f"the question could not be asked ({type(error).__name__}: {error})"
                reply = Reply(action="abort", text=text)
            if reply.action in ("skip", "abort"):
                return reply
            self._answers[key] = reply
        return self._answers[key]
