"""What a person is asked about a batch, and what was answered, as the state keeps it."""

from __future__ import annotations

import msgspec

from mozart_nb.codes import lookup
from mozart_nb.events import CHOICES, Mode, QuestionKind, ReplyAction
from mozart_nb.masking import hides_secrets

LONGEST_TEXT = 200_000
"""Characters that an answer may bring: an edited prompt stands in the journal."""


class Asked(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a batch waits for: the answer of a person. Fields as in `batch.asked`; `asked_at` in epoch seconds."""

    attempt: int
    kind: QuestionKind = "confirmation"
    mode: Mode = "first"
    triggers: tuple[str, ...] = ()
    message: str = ""
    code: str = ""
    prompt: str = ""
    prompt_hash: str = ""
    asked_at: float = 0.0

    @property
    def choices(self) -> tuple[ReplyAction, ...]:
        """What may be answered."""
        return CHOICES[self.kind]

    @property
    def text(self) -> str:
        """What is asked, in one line."""
        return question_text(self.kind, self.triggers, self.message, self.code)


class Answered(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a person said about a batch; it holds until the batch used some of its budget or is settled.

    `question` is what was asked.
    """

    action: ReplyAction
    question: Asked
    text: str = ""
    by: str = ""


def question_text(kind: QuestionKind, triggers: tuple[str, ...], message: str, code: str = "") -> str:
    """A question in one line: ``trigger `deploy`: Is the window open?``, or what the batch is about to fail of."""
    said = " ".join(message.split())
    if kind == "escalation":
        failure = f"{code} {lookup(code).meaning}" if code else "it failed"
        return f"its budgets are used up: {failure}" + (f" ({said.rstrip('.')})" if said else "")
    names = ", ".join(f"`{name}`" for name in triggers)
    head = f"{'trigger' if len(triggers) == 1 else 'triggers'} {names}"
    return f"{head}: {said}" if said else head


def pause_reason(job_id: str, batch: int, question: str, why: str) -> str:
    """Why the job pauses instead of beginning an attempt, and how it goes on."""
    why = why or "whoever was asked said stop"
    return f"batch {batch} is not confirmed ({question}): {why}; `mozart resume {job_id} -y` goes on without asking"


def objection(question: Asked, action: str, text: str) -> str:
    """Why that is no answer to the question; empty when it is one."""
    if action not in question.choices:
        return f"`{action}` is no answer to {a_kind(question.kind)}; one of {', '.join(question.choices)} is"
    if len(text) > LONGEST_TEXT:
        return f"the text has {len(text):,} characters, and an answer may bring {LONGEST_TEXT:,}"
    if action in ("add", "retry") and hides_secrets(text):
        # What is sent is what stands in the journal, and there it would be masked: a session paid for nothing.
        return (
            "the text holds what looks like a secret, or where one was masked: the journal keeps none, so leave it out"
        )
    return ""


def a_kind(kind: QuestionKind) -> str:
    """The kind of a question with its article."""
    return "an escalation" if kind == "escalation" else "a confirmation"
