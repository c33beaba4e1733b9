"""Questions of a job that wait for a person, as every surface shows them.

open_questions(state)               what the record says of them
open_questions(state, prepared)     with the prompts composed of batches that are about to fail
"""

from __future__ import annotations

from typing import Final, cast

import msgspec

from mozart_nb.engine.asked import Asked, objection, question_text
from mozart_nb.engine.ports import Request
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError, MozartError
from mozart_nb.events import Mode, QuestionKind, ReplyAction
from mozart_nb.masking import masked, masked_head
from mozart_nb.plans.prepared import Prepared
from mozart_nb.words import one_line

PROMPT_EXCERPT: Final = 1_500
"""Characters of a prompt that are shown with a question."""

_MOST_COMPOSED: Final = 20


class OpenQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """One question. `asked_at` in epoch seconds; `choices` are the actions that an answer may have.

    `prompt` is at most the first `PROMPT_EXCERPT` characters of what would be sent, without secrets; empty where it
    could not be composed.
    """

    batch: int
    attempt: int
    mode: Mode
    kind: QuestionKind
    triggers: tuple[str, ...]
    message: str
    code: str
    asked_at: float
    choices: tuple[ReplyAction, ...]
    prompt: str = ""

    @property
    def text(self) -> str:
        """What is asked, in one line."""
        return one_line(question_text(self.kind, self.triggers, self.message, self.code), 300)


def open_questions(state: JobState, prepared: Prepared | None = None) -> list[OpenQuestion]:
    """The open questions, the longest waiting first. With `prepared` it composes prompts, which may block."""
    found = []
    for number in tuple(state.job.questions):
        batch = state.batches.get(number)
        if batch is not None and batch.question is not None:
            found.append(_shown(number, batch.question, batch.edited))
    if prepared is None:
        return found
    missing = [one for one in found if not one.prompt][:_MOST_COMPOSED]
    composed = {one.batch: _head(_composed(prepared, state, one.batch)) for one in missing}
    return [msgspec.structs.replace(one, prompt=composed.get(one.batch, one.prompt)) for one in found]


def prompt_of(prepared: Prepared, state: JobState, number: int) -> str:
    """The whole prompt of a batch that is asked about, without secrets: what a person may edit. Blocks.

    Raises `PromptError` when it cannot be composed.
    """
    from mozart_nb.plans.previews import Preview  # composing takes a backend's worth of modules

    batch = state.batches.get(number)
    if batch is not None and batch.edited:
        return masked(batch.edited)
    return masked(Preview(prepared, state.job.wording.hints).prompt(number))


def open_question(state: JobState, number: int) -> Asked:
    """The open question of a batch. Raises `MisuseError` when there is none, and says why."""
    job = state.job.job_id
    batch = state.batches.get(number)
    if batch is not None and batch.question is not None:
        return batch.question
    if not 1 <= number <= state.total:
        raise MisuseError(f"job `{job}` has no batch {number}: there are batches 1 to {state.total}", job_id=job)
    hint = f"`mozart questions {job}` lists what is asked"
    said = batch.answered if batch is not None else None
    if said is not None:
        by = f" by {said.by}" if said.by else ""
        raise MisuseError(f"batch {number} is answered already: {said.action}{by}", hint=hint, job_id=job, batch=number)
    text = f"nothing is asked about batch {number}, which is {state.status_of(number)}"
    raise MisuseError(text, hint=hint, job_id=job, batch=number)


def require_answer(question: Asked, number: int, action: str, text: str, job_id: str = "") -> ReplyAction:
    """`action` as one that this question may have. Raises `MisuseError` for any other, and for a text that is none."""
    why = objection(question, action, text)
    if not why and action == "add" and not text.strip():
        why = "`add` needs the text to add"
    if why:
        hint = f"`mozart questions {job_id}` shows what is asked" if job_id else ""
        raise MisuseError(f"batch {number}: {why}", hint=hint, job_id=job_id, batch=number)
    return cast(ReplyAction, action)


def answer_to(state: JobState, number: int, action: str, text: str = "", *, by: str, attempt: int = 0) -> Request:
    """The request that answers the open question of a batch, to be given to whoever runs the job.

    With an `attempt` only what was asked about that one is answered: another question may be open by now. Raises
    `MisuseError` when nothing of that kind is asked, or that is no answer to it.
    """
    question, job = open_question(state, number), state.job.job_id
    if attempt not in (0, question.attempt):
        said = f"what was asked about attempt {attempt} of batch {number} is answered; it asks about another one now"
        raise MisuseError(said, hint=f"`mozart questions {job}` shows what is asked", job_id=job, batch=number)
    return Request(
        kind="answer",
        by=by,
        batches=(number,),
        action=require_answer(question, number, action, text, job),
        text=text,
        attempt=question.attempt,
    )


def _shown(number: int, asked: Asked, edited: str) -> OpenQuestion:
    return OpenQuestion(
        batch=number,
        attempt=asked.attempt,
        mode=asked.mode,
        kind=asked.kind,
        triggers=asked.triggers,
        message=asked.message,
        code=asked.code,
        asked_at=asked.asked_at,
        choices=asked.choices,
        prompt=_head(edited or asked.prompt),
    )


def _composed(prepared: Prepared, state: JobState, number: int) -> str:
    try:
        return prompt_of(prepared, state, number)
    except (MozartError, IndexError):  # a plan of another config; a template that needs what only a run has
        return ""


def _head(prompt: str) -> str:
    return masked_head(prompt, PROMPT_EXCERPT)
