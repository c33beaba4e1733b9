"""Questions of a job that wait for a person, as every surface shows them.

open_questions(state)               what the record says of them
open_questions(state, prepared)     with the prompts composed of batches that are about to fail
"""

from __future__ import annotations

from typing import Final

import msgspec

from mozart_nb.codes import lookup
from mozart_nb.engine.state import Asked, JobState
from mozart_nb.errors import MisuseError, MozartError
from mozart_nb.events import Mode, QuestionKind, ReplyAction
from mozart_nb.masking import masked, masked_head
from mozart_nb.plans.prepared import Prepared
from mozart_nb.words import one_line

PROMPT_EXCERPT: Final = 1_500
"""Characters of a prompt that are shown with a question."""

LONGEST_TEXT: Final = 200_000
"""Characters that an answer may bring: an edited prompt stands in the journal."""

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
        return asked_about(self.kind, self.triggers, self.message, self.code)


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
        raise MisuseError(
            f"batch {number} is answered already: {said.action}{by}", hint=hint, job_id=job, batch=number
        )
    text = f"nothing is asked about batch {number}, which is {state.status_of(number)}"
    raise MisuseError(text, hint=hint, job_id=job, batch=number)


def require_answer(question: Asked, number: int, action: str, text: str, job_id: str = "") -> ReplyAction:
    """`action` as one that this question may have. Raises `MisuseError` for any other, and for a text that is none."""
    found = next((one for one in question.choices if one == action), None)
    if found is None:
        choices = ", ".join(question.choices)
        said = f"`{action}` is no answer to the {question.kind} of batch {number}"
        raise MisuseError(said, hint=f"one of {choices}", job_id=job_id, batch=number)
    if found == "add" and not text.strip():
        raise MisuseError("`add` needs the text to add", hint="--text", job_id=job_id, batch=number)
    if len(text) > LONGEST_TEXT:
        raise MisuseError(f"the text has {len(text):,} characters; at most {LONGEST_TEXT:,} may be answered")
    return found


def asked_about(kind: QuestionKind, triggers: tuple[str, ...], message: str, code: str) -> str:
    """The question in one line: trigger and message, or what the batch is about to fail of."""
    said = one_line(message, 300)
    if kind == "escalation":
        what = f"{code} {lookup(code).meaning}" if code else "its budgets are used up"
        return f"its budgets are used up: {what}" + (f" ({said})" if said and said != what else "")
    names = ", ".join(f"`{name}`" for name in triggers)
    head = f"{'trigger' if len(triggers) == 1 else 'triggers'} {names}"
    return f"{head}: {said}" if said else head


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
