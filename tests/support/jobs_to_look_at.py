"""Jobs in every state worth looking at, as the view-models that looks are made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mozart_nb.consumers.progress import Progress, RunningBatch, Wait
from mozart_nb.engine.state import BatchState, JobRecord, JobState
from mozart_nb.events import PlanShape, RuleResult, Usage
from mozart_nb.looking.details import AttemptDetails, BatchDetails, Excerpt, LogLine, LogTail

NOW = 1_790_000_000.0


def progress(status: str = "running", total: int = 200, **facts: Any) -> Progress:
    """A job of that status; counts not named are 0, what is left is pending."""
    counts = ("completed", "failed", "skipped", "blocked", "cancelled", "running", "waiting")
    stand = {name: facts.pop(name, 0) for name in counts}
    plain: dict[str, Any] = {
        "job_id": "review-commits",
        "name": "review-commits",
        "status": status,
        "total": total,
        **stand,
        "pending": total - sum(stand.values()),
        "percent": int(1000 * (stand["completed"] + stand["skipped"]) / total) / 10 if total else 0.0,
        "elapsed_seconds": 754.0,
        "eta_seconds": None,
        "cost_usd": 1.2345,
        "unknown_costs": 0,
        "usage": Usage(1_200_000, 340_000),
        "retries": 0,
        "completions": 0,
        "limit_waits": 0,
        "reason": "",
        "code": "",
        "running_batches": (),
        "waits": (),
    }
    return Progress(**{**plain, **facts})


RUNNING = progress(
    total=12,
    completed=4,
    running=3,
    eta_seconds=1211.0,
    concurrency=(3, 3),
    limit_usd=5.0,
    running_batches=(
        RunningBatch(5, 1, "first", "working", 45.0, 2.0, 12_345, "Read src/engine/driver.py"),
        RunningBatch(6, 2, "retry", "checking", 312.0, 45.0, 99_345),
        RunningBatch(7, 1, "first", "preparing", 1.2),
    ),
)
WAITING = progress(
    "waiting",
    completed=80,
    failed=2,
    waiting=9,
    skipped=4,
    retries=12,
    completions=3,
    limit_waits=2,
    unknown_costs=2,
    saved_usd=0.22,
    concurrency=(4, 10),
    waits=(
        Wait("limit", NOW + 5025, 5025.0, "E102", "message", "You've hit your limit"),
        Wait("retry", NOW + 25, 25.0, "E003", "back-off", "overloaded_error: Overloaded", batch=17),
    ),
)
FAILED = progress(
    "failed", completed=30, failed=3, blocked=12, code="E501", reason="401 authentication_error: invalid x-api-key"
)
PAUSED = progress(
    "paused",
    10_000,
    completed=6100,
    failed=61,
    blocked=20,
    skipped=100,
    code="E506",
    reason="the cost limit of $5.00 for the job is reached",
    cost_usd=4.99,
    limit_usd=5.0,
)
COMPLETED = progress("completed", 2_000, completed=1990, skipped=10, retries=31)
INTERRUPTED = progress("interrupted", 100_000, completed=51_000, failed=300, running=16)

ALL = (progress("pending", 1), RUNNING, WAITING, FAILED, PAUSED, COMPLETED, INTERRUPTED)


def job_state(total: int, statuses: dict[int, str], **batch: Any) -> JobState:
    """A state whose touched batches have these statuses, and all else in common."""
    counts: dict[str, int] = {}
    for status in statuses.values():
        counts[status] = counts.get(status, 0) + 1
    shape = PlanShape(total=total, size=5, total_items=5 * total - 2)
    record = JobRecord(job_id="review-commits", seq=1, plan=shape, counts=counts)
    batches = {n: BatchState(n, status=status, **batch) for n, status in statuses.items()}  # type: ignore[arg-type]
    return JobState(record, batches)


def details(text: str = "", **facts: Any) -> BatchDetails:
    """A failed batch with three attempts; `text` stands wherever foreign text may stand."""
    said = text or "reports/0012.md does not exist"
    asked, answered = text or "Review commit abc123.", text or "I reviewed it."
    record = BatchState(
        12, status="failed", attempts=3, code="E201", message=said, duration=145.0, cost_usd=0.12, model="claude-x"
    )
    plain = BatchDetails(
        12,
        "failed",
        56,
        60,
        record,
        prompt=Excerpt(asked, len(asked)),
        prompt_source="sent",
        prompt_note=text,
        rows=({"id": 1, "text": said},),
        row_count=3,
        answer=Excerpt(answered, len(answered)),
        answer_note=text,
        validations=(
            RuleResult(1, "file_exists", "passed", path="reports/0012.json", expected="a file", actual="4.1 kB"),
            RuleResult(2, "file_exists", "failed", said, said, said, said, said),
            RuleResult(3, "content_contains", "skipped", path=said),
        ),
        attempts=(
            AttemptDetails(1, "first", NOW - 400, NOW - 350, 50.0, "ok", False, "E201", said, cost_usd=0.04),
            AttemptDetails(2, "completion", NOW - 300, NOW - 260, 40.0, "error", False, "E003", said, wait_seconds=5.0),
            AttemptDetails(3, "retry", NOW - 200, wait_seconds=60.0, wait_reason=said, model=said),
        ),
        log=LogTail(
            3,
            tuple(LogLine(kind, said) for kind in ("system", "text", "tool", "tool_result", "error", "raw", "stderr")),
            (12_345, 20),
            is_cut=True,
            source="file",
        ),
        remedies=(said,),
        reasons=(said,),
        warnings=(said,),
    )
    return replace(plain, **facts)


def error_group(text: str = "it does not exist", unresolved: int = 2) -> dict[str, Any]:
    """A group as `error_groups` makes them."""
    return {
        "code": "E201",
        "meaning": "output validation failed",
        "advice": "look at the rules",
        "count": 7,
        "unresolved": unresolved,
        "unresolved_batches": [1, 2][:unresolved],
        "last_message": text,
    }
