"""What happens to questions that a person has to answer."""

from __future__ import annotations

from mozart_nb.events.base import Event
from mozart_nb.events.records import Mode, QuestionKind, ReplyAction


class BatchAsked(Event, frozen=True, kw_only=True, tag="batch.asked"):
    """A person is asked about the batch, which waits for the answer and holds up no other one.

    `about` is `confirmation` before an attempt whose prompt is ready (`triggers` of the job file chose it), or
    `escalation` before a batch fails whose budgets are used up (`code` and `message` say of what). `prompt` is the
    beginning of what would be sent, `prompt_hash` stands for all of it.
    """

    batch: int
    attempt: int
    about: QuestionKind = "confirmation"
    mode: Mode = "first"
    triggers: tuple[str, ...] = ()
    message: str = ""
    code: str = ""
    prompt: str = ""
    prompt_hash: str = ""


class BatchAnswered(Event, frozen=True, kw_only=True, tag="batch.answered"):
    """Somebody answered; the first answer counts. `by` says who, or that nobody was there.

    `proceed`: the attempt goes on; `add`: with `text` at the end of its prompt; `skip`: the batch is not run; `abort`:
    the job pauses, or the batch fails where it was about to; `retry`: with fresh budgets and, where `text` is not
    empty, with that instead of its prompt.
    """

    batch: int
    attempt: int
    action: ReplyAction
    text: str = ""
    by: str = ""


class BatchContinued(Event, frozen=True, kw_only=True, tag="batch.continued"):
    """There is room again for the attempt whose question was answered: it goes on to its session."""

    batch: int
    attempt: int
    probe: bool = False


class BatchQuestionWithdrawn(Event, frozen=True, kw_only=True, tag="batch.question_withdrawn"):
    """Nobody needs to answer any more: the job stops. The batch is asked about again when it comes to it."""

    batch: int
    attempt: int
    reason: str = ""
