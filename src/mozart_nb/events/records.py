"""Plain data that events carry."""

from __future__ import annotations

from typing import Literal

import msgspec

FORMAT = 1
"""Version of the event vocabulary; a journal that names a higher one is refused with E702."""

Mode = Literal["first", "retry", "completion", "healed"]
Outcome = Literal["ok", "error", "timeout", "stale", "killed", "cancelled"]
RuleStatus = Literal["passed", "failed", "skipped", "rehearsed"]
QuestionKind = Literal["confirmation", "escalation"]
ReplyAction = Literal["proceed", "skip", "abort", "add", "retry"]

CHOICES: dict[QuestionKind, tuple[ReplyAction, ...]] = {
    "confirmation": ("proceed", "skip", "abort", "add"),
    "escalation": ("retry", "skip", "abort"),
}
"""What may be answered to which kind of question."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Tokens of one session, as the backend reported them.

    Each token is in one of the four kinds only; `cache_write_1h_tokens` says how many of `cache_write_tokens` were
    written to be kept for an hour, which costs more than five minutes.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cache_write_1h_tokens + other.cache_write_1h_tokens,
        )

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens


class PlanShape(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the work is cut: batches, items and the stages they wait for.

    `stages` holds the number of instances of each stage when there is a fan-out and is empty otherwise: then every
    batch is its own stage. `dependencies` maps a stage to the stages it waits for.
    """

    total: int
    size: int = 1
    start_item: int = 1
    total_items: int = 0
    stages: tuple[int, ...] = ()
    dependencies: dict[int, tuple[int, ...]] = msgspec.field(default_factory=dict)


class Wording(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked, as far as outcomes of different jobs are compared by it (`learning`).

    `template` is the SHA-256 (hex) of the prompt's template, `name` its file or else the name of the job; `rules` names
    the rules in a few words each, in their order; `hints` are the sentences from earlier outcomes that stand at the end
    of every prompt.
    """

    template: str = ""
    name: str = ""
    rules: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


class RunOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one invocation asked for beyond the config.

    `only`: inclusive ranges of batches to run, empty for all; `limit`: settle as paused after so many batches (a
    pilot); `start_batch`: earlier batches are skipped; `max_concurrent`: 0 leaves the config's value; `keep_failed`:
    a resume leaves failed batches as they are; `recover`: no attempt begins, results are only looked at;
    `self_healing`: remedies may be applied before a batch is given up; `fresh`: answers kept of earlier runs do not
    count; `escalation`: a person is asked before a batch fails whose budgets are used up.
    """

    only: tuple[tuple[int, int], ...] = ()
    limit: int = 0
    start_batch: int = 1
    max_concurrent: int = 0
    keep_failed: bool = False
    recover: bool = False
    self_healing: bool = False
    fresh: bool = False
    escalation: bool = False


class RuleResult(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What one validation rule saw. `evidence`: a file rule whose file this attempt itself wrote."""

    rule: int
    type: str
    status: RuleStatus
    description: str = ""
    path: str = ""
    expected: str = ""
    actual: str = ""
    message: str = ""
    evidence: bool = False
    could_not_run: bool = False
    duration: float = 0.0


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Something preflight noticed about a prompt. `code` is set where it is an error."""

    message: str
    code: str = ""
