"""What happens to batches: attempts, judgements, decisions."""

from __future__ import annotations

from mozart_nb.events.base import Event
from mozart_nb.events.records import Finding, Mode, RuleResult


class BatchStarted(Event, frozen=True, kw_only=True, tag="batch.started"):
    """An attempt began. `attempt` counts from 1 within the batch and is never used twice."""

    batch: int
    attempt: int
    mode: Mode = "first"
    probe: bool = False


class BatchPreflight(Event, frozen=True, kw_only=True, tag="batch.preflight"):
    """What was noticed about the prompt before it was sent; journaled only when there is something to say."""

    batch: int
    attempt: int
    prompt_tokens: int = 0
    findings: tuple[Finding, ...] = ()


class ValidationPassed(Event, frozen=True, kw_only=True, tag="batch.validation_passed"):
    """Every rule passed. `code` is the session's own failure, which such evidence overrules, or empty."""

    batch: int
    attempt: int
    results: tuple[RuleResult, ...] = ()
    code: str = ""
    exit_code_ignored: bool = False
    stdout_tail: str = ""
    stderr_tail: str = ""


class ValidationFailed(Event, frozen=True, kw_only=True, tag="batch.validation_failed"):
    """The attempt is not good enough: `code` and `message` say why."""

    batch: int
    attempt: int
    code: str
    message: str
    results: tuple[RuleResult, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""


class BatchRetrying(Event, frozen=True, kw_only=True, tag="batch.retrying"):
    """A full retry is due at `due`; consumes one unit of the retry budget."""

    batch: int
    due: float
    delay: float
    number: int
    code: str = ""


class BatchCompleting(Event, frozen=True, kw_only=True, tag="batch.completing"):
    """A completion attempt is due at `due`; consumes one unit of the completion budget."""

    batch: int
    due: float
    delay: float
    number: int


class BatchWaiting(Event, frozen=True, kw_only=True, tag="batch.waiting"):
    """Held back by a rate limit; no budget was used."""

    batch: int
    code: str


class BatchHealing(Event, frozen=True, kw_only=True, tag="batch.healing"):
    """Nothing else helps: a remedy is looked for. `number` counts the batch's healings."""

    batch: int
    number: int


class BatchHealed(Event, frozen=True, kw_only=True, tag="batch.healed"):
    """What came of it: `remedy` was applied and the retry budget starts anew, or, when it is empty, there is none.

    `guidance` is what a person should know or do. Batch 0 stands for the job as a whole.
    """

    batch: int
    attempt: int = 0
    remedy: str = ""
    guidance: str = ""
    due: float = 0.0


class BatchCompleted(Event, frozen=True, kw_only=True, tag="batch.completed"):
    """Settled well. `recovered`: re-validated after the fact instead of executed."""

    batch: int
    recovered: bool = False


class BatchFailed(Event, frozen=True, kw_only=True, tag="batch.failed"):
    """Settled badly: budgets used up, or a failure that another try cannot mend."""

    batch: int
    code: str
    message: str = ""


class BatchRenewed(Event, frozen=True, kw_only=True, tag="batch.renewed"):
    """Somebody wants these failed batches tried again while the job runs: they get fresh budgets."""

    batches: tuple[int, ...]
    by: str = ""


class BatchBlocked(Event, frozen=True, kw_only=True, tag="batch.blocked"):
    """These batches wait, directly or not, for one that failed."""

    batches: tuple[int, ...]
    by: int


class BatchSkipped(Event, frozen=True, kw_only=True, tag="batch.skipped"):
    """Not run, on purpose; satisfies what depends on it."""

    batch: int
    reason: str
    last: int = 0
    """When set, the event covers the untouched batches `batch..last`."""
