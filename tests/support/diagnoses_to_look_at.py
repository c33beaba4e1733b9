"""Diagnoses worth looking at: one with everything that can be in it, one of a healthy job."""

from __future__ import annotations

from typing import Any

from support.jobs_to_look_at import NOW

from mozart_nb.looking.details import AttemptDetails
from mozart_nb.looking.diagnosis.findings import (
    BatchTimeline,
    BlockedChain,
    Breaker,
    Budget,
    Crashes,
    Diagnosis,
    Environment,
    ErrorGroup,
    Example,
    Fact,
    FailedRule,
    Holder,
    NextStep,
    Orphan,
    PromptFinding,
    Prompts,
    Remedy,
    SessionOutput,
    Trouble,
    Used,
    Waits,
)

HEALTHY = Diagnosis(
    "reviews", "reviews", "completed", "reviews completed: 12 of 12 batches done", 12, 12, looked_at=NOW,
    counts=(("completed", 12),),
)  # fmt: skip


def ailing(text: str = "", groups: int = 2) -> Diagnosis:
    """A failed job with every kind of trouble; `text` stands wherever foreign text may stand."""
    said = text or "the answer has no match of ^Number"
    return Diagnosis(
        text or "review-commits",
        text or "review-commits",
        "failed",
        f"review-commits failed: 30 of 42 batches done, 7 failed. {text}",
        42,
        30,
        cause=text or "the model leaves the number out when the commit touches no code",
        first=text or "say in the template what to answer then, and run `mozart resume review-commits --reload-config`",
        counts=(("completed", 30), ("failed", 7), ("blocked", 5)),
        reason=said,
        groups=tuple(_group(code, said) for code in ("E201", "E003", "E006", "E102", "E501", "E604")[:groups]),
        blocked=(BlockedChain(12, "E201", said, (13, 14, 15, 16, 17)),),
        timelines=tuple(_timeline(number, said) for number in (7, 12, 19)),
        timelines_omitted=4,
        waits=Waits(3, 5400.0, 3600.0, (("E102", 2, 5000.0), ("E105", 1, 400.0)), 1),
        breaker=Breaker("closed", 0, 0.0, 1),
        crashes=Crashes(1, 0, 2, NOW - 9000),
        remedies=(Remedy(said, (3,)), Remedy("made the folder reports", ())),
        budget=Budget(4.2, 1, 5.0, saved_usd=0.4, earlier_usd=1.0),
        prompts=Prompts(61, 610_000, 21_000, 12, (PromptFinding(said, (3, 4), "E302"),)),
        troubles=(Trouble("disk", said, "other programs write there", "make room", "error"),),
        warnings=(said,),
        environment=Environment(
            facts=(Fact("mozart_nb", "1.0"), Fact("claude", said, "error", "install it"), Fact("disk", "4.1 GB free")),
            workspace="/home/me/reviews",
            state=said,
            backend="claude_cli",
            holder=Holder("here", 4242, NOW - 90, False),
            orphans=(Orphan((71, 72), said),),
        ),
        outputs=(SessionOutput(12, 3, said * 3, (said,), True),),
        next_steps=(
            NextStep("mozart errors review-commits", "job.errors()", "every failure, and what each rule saw"),
            NextStep("mozart resume review-commits --reload-config", "", f"after the template is mended {text}"),
        ),
        looked_at=NOW,
    )  # fmt: skip


def _group(code: str, said: str) -> ErrorGroup:
    rule: dict[str, Any] = {"expected": said, "actual": said, "description": said, "path": said, "batch": 12}
    return ErrorGroup(
        code, "validation", "an expected result is missing", "look at the answer: `mozart errors ID`", True, 9, 7,
        (3, 7, 12), (7, 12), Example(12, 3, NOW - 60, said, (), said, said), said, ((said, 5), ("other", 1)),
        (FailedRule(1, "answer_matches", 5, **rule), FailedRule(0, "schema", 1, message=said, could_not_run=True)),
        NOW - 400, NOW - 60,
    )  # fmt: skip


def _timeline(number: int, said: str) -> BatchTimeline:
    attempts = (
        AttemptDetails(1, "first", NOW - 400, NOW - 350, 50.0, "ok", False, "E201", said, cost_usd=0.04),
        AttemptDetails(2, "completion", NOW - 300, NOW - 260, 40.0, "error", False, "E003", said, wait_seconds=50.0),
        AttemptDetails(3, "retry", NOW - 200, NOW - 20, 180.0, "ok", False, "E201", said, 0, 0.04, wait_seconds=60.0),
    )
    return BatchTimeline(
        number, "failed", "E201", said, attempts, 1, Used(1, 3), Used(1, 1), Used(), 270.0, 110.0, 0.12, False
    )
