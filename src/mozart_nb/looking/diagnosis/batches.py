"""Failed batches one by one: what their attempts went through, what blocks what, what preflight noticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mozart_nb import events as ev
from mozart_nb.engine.policy.judging import MOST_HEALINGS
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.job.model import JobConfig
from mozart_nb.looking.details.attempts import attempts_of
from mozart_nb.looking.diagnosis.failures import LONGEST_MESSAGE
from mozart_nb.looking.diagnosis.findings import (
    BatchTimeline,
    BlockedChain,
    PromptFinding,
    Prompts,
    Remedy,
    Used,
)
from mozart_nb.words import clean

MOST_TIMELINES: Final = 20
"""Failed batches whose attempts are told one by one."""
_MOST_ATTEMPTS: Final = 30
_MOST_FINDINGS: Final = 50


def batches_to_tell(state: JobState) -> tuple[list[int], int]:
    """Failed batches, or else those that are tried again, whose story is worth telling, and how many more there are.

    Of each code the lowest ones, in turn: a rare failure is not hidden behind a frequent one.
    """
    failed = [batch for batch in state.batches.values() if batch.status == "failed"]
    failed = failed or [
        batch for batch in state.batches.values() if batch.code and batch.status in ("waiting", "running")
    ]
    by_code: dict[str, list[int]] = {}
    for batch in failed:
        by_code.setdefault(batch.code, []).append(batch.number)
    queues = [sorted(numbers)[:MOST_TIMELINES] for numbers in by_code.values()]
    taken = [queue[place] for place in range(MOST_TIMELINES) for queue in queues if place < len(queue)]
    return sorted(taken[:MOST_TIMELINES]), max(0, len(failed) - MOST_TIMELINES)


def timeline_of(state: JobState, number: int, story: Sequence[ev.Event], config: JobConfig | None) -> BatchTimeline:
    """The attempts of a failed batch, put together from its events."""
    batch = state.batches.get(number, BatchState(number))
    attempts = attempts_of(story)
    retry = config.retry if config is not None else None
    heals = MOST_HEALINGS if state.job.options.self_healing else 0
    return BatchTimeline(
        batch=number,
        status=batch.status,
        code=batch.code,
        message=_short(batch.message),
        attempts=attempts[-_MOST_ATTEMPTS:],
        omitted=max(0, len(attempts) - _MOST_ATTEMPTS),
        retries=Used(batch.retries, retry.max_retries if retry is not None else None),
        completions=Used(batch.completions, retry.max_completion_attempts if retry is not None else None),
        heals=Used(batch.heals, heals),
        worked_seconds=batch.duration,
        waited_seconds=sum(attempt.wait_seconds for attempt in attempts),
        cost_usd=batch.cost_usd,
        cost_known=batch.cost_known,
    )


def blocked_chains(state: JobState) -> Iterator[BlockedChain]:
    """What waits behind which failed batch, the longest chain first."""
    behind: dict[int, list[int]] = {}
    for batch in state.batches.values():
        if batch.status == "blocked":
            behind.setdefault(batch.blocked_by, []).append(batch.number)
    for failed, blocked in sorted(behind.items(), key=lambda chain: (-len(chain[1]), chain[0])):
        first = state.batches.get(failed)
        code, message = (first.code, first.message) if first is not None else ("", "")
        yield BlockedChain(failed, code, _short(message), tuple(sorted(blocked)))


def remedies_of(state: JobState) -> Iterator[Remedy]:
    """What self-healing did or advises; the same for many batches once."""
    whose: dict[str, list[int]] = {text: [] for text in state.job.remedies}
    for batch in state.batches.values():
        for text in dict.fromkeys(batch.remedies):
            whose.setdefault(text, []).append(batch.number)
    for text, numbers in whose.items():
        yield Remedy(_short(text), tuple(sorted(numbers)))


def prompts_of(state: JobState) -> Prompts:
    """Sizes of what was sent, and what preflight noticed; the same for many batches once."""
    largest = max(state.batches.values(), key=lambda batch: batch.prompt_tokens, default=None)
    found: dict[tuple[str, str], list[int]] = {}
    for batch in state.batches.values():
        for finding in batch.findings:
            if len(found) < _MOST_FINDINGS or (finding.message, finding.code) in found:
                found.setdefault((finding.message, finding.code), []).append(batch.number)
    findings = tuple(
        PromptFinding(_short(message), tuple(sorted(numbers)), code)
        for (message, code), numbers in sorted(found.items(), key=lambda item: (not item[0][1], -len(item[1])))
    )
    has_size = largest is not None and largest.prompt_tokens > 0
    return Prompts(
        sent=state.job.opened_sessions,
        tokens=state.job.prompt_tokens,
        largest_tokens=largest.prompt_tokens if largest is not None and has_size else 0,
        largest_batch=largest.number if largest is not None and has_size else 0,
        findings=findings,
    )


def _short(text: str) -> str:
    return clean(text[:LONGEST_MESSAGE])
