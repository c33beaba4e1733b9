"""What templates say: numbers, times and statuses as everywhere else, and the doors for foreign text.

Templates know this module as `w`. All of it is plain text that Jinja escapes; texts of users and models go through
`line`, `text` or `parts`, which clean and mask them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mozart_nb.codes import lookup
from mozart_nb.consumers.phrases import advice_for, money_text, running_phrases, wait_text
from mozart_nb.consumers.progress import Progress, RunningBatch
from mozart_nb.events import RuleResult
from mozart_nb.jupyter.looks.head import fact_pairs, shares_words, standing
from mozart_nb.jupyter.looks.head import shares as shares_of
from mozart_nb.jupyter.looks.text import duration, shown, shown_line
from mozart_nb.jupyter.looks.theme import LOOKS, look_of
from mozart_nb.looking.details import AttemptDetails
from mozart_nb.looking.history import describe
from mozart_nb.looking.questions import PROMPT_EXCERPT
from mozart_nb.words import clock, cost, count, dollars, moment, percent, plural, rough_eta, roughly, spans, time_of_day

__all__ = [
    "answer_hint", "attempt_cost", "attempt_look", "attempt_words", "choice_hint", "choice_label", "clock", "cost",
    "count", "counts", "doing", "duration", "facts", "is_whole", "kind", "line", "line_mark", "lines_kept", "moment",
    "money", "number", "parts", "plural", "reason", "rough_eta", "roughly", "rule_look", "rule_what", "share",
    "shares", "shares_words", "spans", "symbol", "text", "time_of_day", "wait", "waited", "why_run",
]  # fmt: skip

_QUOTED: Final = re.compile("`([^`]+)`")
_RULE_LOOKS: Final = {"passed": "completed", "rehearsed": "completed", "failed": "failed", "skipped": "skipped"}
_LINE_MARKS: Final = {"tool": "→ ", "tool_result": "← ", "system": "· ", "result": "= ", "error": "✕ ", "stderr": "! "}

line = shown_line
text = shown
counts = standing
facts = fact_pairs
wait = wait_text
money = money_text
why_run = describe


# --- statuses ---------------------------------------------------------------------------------------------------------


def kind(status: str) -> str:
    """The status as part of a class; one of a newer version is `other`."""
    return status if status in LOOKS else "other"


def symbol(status: str) -> str:
    """The sign that stands beside the word."""
    return look_of(status).symbol


def parts(told: str, most: int = 600) -> Iterator[tuple[str, bool]]:
    """A sentence in pieces, with what stands in backticks as code: (text, whether it is code)."""
    for place, piece in enumerate(_QUOTED.split(shown_line(told, most))):
        if piece:
            yield piece, bool(place % 2)


# --- numbers ----------------------------------------------------------------------------------------------------------


def number(value: int) -> str:
    """`12,345`."""
    return f"{value:,}"


def share(part: float | None) -> str:
    """A part of a whole (0 to 1), nothing where it is not known."""
    return "" if part is None else percent(part)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar, in thousandths of its width."""

    status: str
    x: float
    width: float


def shares(progress: Progress) -> Iterator[Piece]:
    """The parts of the bar from the left; what occurs can be seen, however few there are."""
    at, total = 0.0, max(1, progress.total)
    for status, many in shares_of(progress):
        width = max(4.0, 1000 * many / total)
        yield Piece(status, round(at, 1), round(width, 1))
        at += width


# --- a job ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something does not go on. `text` is what was said, `advice` what helps; either may be empty."""

    kind: str
    code: str = ""
    meaning: str = ""
    text: str = ""
    advice: str = ""


def reason(progress: Progress) -> Reason | None:
    """Why a job does not go on; None where there is nothing to say."""
    status = progress.status
    if status in ("completed", "running", "pending"):
        return None
    look = "failed" if status == "failed" else "waiting"
    if progress.code:
        advice = advice_for(progress.code, is_over=status == "failed")
        says_it = status not in ("failed", "paused") or advice in progress.reason
        meaning = lookup(progress.code).meaning
        return Reason(look, progress.code, meaning, progress.reason, "" if says_it else advice)
    if status == "interrupted":
        advice = "nothing is lost; Resume goes on where it stopped"
        return Reason(look, text=progress.reason or "Nobody runs this job any more.", advice=advice)
    return Reason(look, text=progress.reason) if progress.reason else None


def lines_kept(progress: Progress, most: int) -> int:
    """Lines that stay free while batches come and go, so that what stands below does not jump."""
    if progress.status != "running" or progress.concurrency is None:
        return 0
    at_once = min(progress.concurrency[1], progress.running + progress.pending + progress.waiting)
    return min(at_once, most + 1)


def doing(batch: RunningBatch) -> str:
    """What a running batch is at."""
    return " · ".join(running_phrases(batch))


# --- a batch ----------------------------------------------------------------------------------------------------------


def rule_look(status: str) -> str:
    """The look of a rule's result."""
    return _RULE_LOOKS.get(status, "other")


def rule_what(result: RuleResult) -> str:
    """What a rule is about."""
    return " ".join(said for said in (result.type, result.path, result.description) if said)


def attempt_look(attempt: AttemptDetails) -> str:
    """The look of an attempt: judged well or badly, running, or lost."""
    if attempt.passed is not None:
        return "completed" if attempt.passed else "failed"
    return "running" if not attempt.finished_at else "waiting"


def attempt_words(attempt: AttemptDetails) -> str:
    """How an attempt ended."""
    if attempt.outcome == "ok" and attempt.passed is not None:
        return "good" if attempt.passed else "not good enough"
    return shown_line(attempt.outcome or ("running" if not attempt.finished_at else "ended"), 30)


def attempt_cost(attempt: AttemptDetails) -> str:
    """What an attempt cost."""
    if attempt.reused:
        return "reused"
    return dollars(attempt.cost_usd) if attempt.cost_usd is not None else "unknown"


def waited(attempt: AttemptDetails) -> str:
    """How long passed before an attempt, and why."""
    return f"{clock(attempt.wait_seconds)} {attempt.wait_reason}".strip() if attempt.wait_seconds >= 1 else ""


def line_mark(kind_of_line: str) -> str:
    """What stands before a line of a session's output."""
    return _LINE_MARKS.get(kind_of_line, "")


# --- questions --------------------------------------------------------------------------------------------------------

_LABELS: Final = {
    "proceed": "Proceed",
    "add": "Add text",
    "retry": "Retry",
    "skip": "Skip",
    "abort": "Abort",
}
_HINTS: Final = {
    "proceed": "Go on",
    "add": "Go on with this text at the end of the prompt",
    "retry": "Try it again with fresh budgets; a text replaces the prompt",
    "skip": "Leave this batch out",
    "abort": "Do not go on with it",
}


def choice_label(choice: str) -> str:
    """What is written on a button."""
    return _LABELS.get(choice, choice)


def choice_hint(choice: str) -> str:
    """What the button does."""
    return _HINTS.get(choice, "")


def is_whole(prompt: str) -> bool:
    """Whether that is all of a prompt, and not only how it begins."""
    return 0 < len(prompt) < PROMPT_EXCERPT


def answer_hint(question: Any) -> str:
    """What may be written beside the buttons."""
    if "retry" in question.choices:
        return "a prompt that replaces this one when it is tried again; or a reason"
    return "a reason, or text for the end of the prompt"
