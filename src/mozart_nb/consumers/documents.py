"""Jobs as JSON documents: one shape for `--json`, REST and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mozart_nb.codes import lookup
from mozart_nb.consumers.isolation import isolation_document
from mozart_nb.consumers.progress import Progress, Pulse, Wait, progress_of
from mozart_nb.consumers.rows import (
    BATCH_COLUMNS,
    ERROR_COLUMNS,
    ErrorRecord,
    batch_view,
    iso,
    row_of,
)
from mozart_nb.engine.state import JobState
from mozart_nb.events import Usage
from mozart_nb.job.model import JobConfig
from mozart_nb.masking import masked

MAX_BATCHES: Final = 10_000
"""Jobs with more batches list them only when asked for."""


def status_document(
    state: JobState,
    config: JobConfig | None,
    now: float,
    *,
    is_live: bool = True,
    batches: Iterable[int] | None = None,
    pulses: Mapping[int, Pulse] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Everything about a job at `now` (epoch seconds). `batches` are those to list; None: all of a job of up to 10,000.

    `more` are further facts for the top of the document (workspace, owner).
    """
    progress = progress_of(state, config, now, pulses=pulses, is_live=is_live)
    job = state.job
    if batches is None:
        batches = range(1, state.total + 1) if state.total <= MAX_BATCHES else ()
    listed = {str(number): _batch(state, number) for number in batches}
    return {
        "job_id": job.job_id,
        "job_name": job.name,
        "description": job.description,
        "status": progress.status,
        "reason": masked(progress.reason),
        "backend": job.backend,
        "run_id": job.run_id,
        **more,
        "progress": _progress(progress),
        "timing": _timing(state, progress),
        "cost": _cost(progress, job.earlier_usd),
        "tokens": tokens(job.usage),
        "execution": _execution(state, progress),
        "circuit_breaker": _breaker(state),
        "error": _error(progress),
        "remedies": list(job.remedies),
        "isolation": isolation_document(state),
        "batches": listed,
        "batches_omitted": state.total - len(listed),
    }


def _batch(state: JobState, number: int) -> dict[str, Any]:
    row = row_of(BATCH_COLUMNS, batch_view(state, number))
    del row["batch"]  # the key says it
    return row


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "total": progress.total,
        "completed": progress.completed,
        "failed": progress.failed,
        "skipped": progress.skipped,
        "blocked": progress.blocked,
        "cancelled": progress.cancelled,
        "running": progress.running,
        "waiting": progress.waiting,
        "waiting_for_answers": progress.questions,
        "pending": progress.pending,
        "percent": progress.percent,
        "eta_seconds": None if progress.eta_seconds is None else round(progress.eta_seconds, 1),
    }


def _timing(state: JobState, progress: Progress) -> dict[str, Any]:
    job = state.job
    return {
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "run_started_at": iso(job.run_started_at),
        "updated_at": iso(job.at),
        "finished_at": iso(job.finished_at),
        "elapsed_seconds": round(progress.elapsed_seconds, 3),
        "session_seconds": round(job.duration, 3),
    }


def _cost(progress: Progress, earlier_usd: float) -> dict[str, Any]:
    return {
        "usd": round(progress.cost_usd, 6),
        "earlier_usd": round(earlier_usd, 6),
        "is_complete": not progress.unknown_costs,
        "sessions_without_cost": progress.unknown_costs,
        "saved_usd": round(progress.saved_usd, 6),
        "limit_usd": progress.limit_usd,
        "percent_of_limit": round(100 * progress.cost_usd / progress.limit_usd, 1) if progress.limit_usd else None,
    }


def tokens(usage: Usage) -> dict[str, int]:
    """Tokens by kind, and their sum."""
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cache_read": usage.cache_read_tokens,
        "cache_write": usage.cache_write_tokens,
        "total": usage.total,
    }


def _execution(state: JobState, progress: Progress) -> dict[str, Any]:
    waits = [_wait(wait) for wait in progress.waits]
    return {
        "runs": state.job.runs,
        "reused_answers": state.job.reused,
        "retries": progress.retries,
        "completions": progress.completions,
        "rate_limit_waits": progress.limit_waits,
        "concurrency": _concurrency(progress),
        "current_wait": waits[0] if waits else None,
        "waits": waits,
    }


def _concurrency(progress: Progress) -> dict[str, int] | None:
    """How many sessions may run at once: fewer than at most while the service does not bear more."""
    if progress.concurrency is None:
        return None
    now, most = progress.concurrency
    return {"now": now, "most": most}


def _wait(wait: Wait) -> dict[str, Any]:
    return {
        "kind": wait.kind,
        "until": iso(wait.until),
        "seconds_left": round(wait.seconds, 1),
        "code": wait.code or None,
        "source": wait.source,
        "message": masked(wait.message),
        "batch": wait.batch or None,
        "probing_batch": wait.probing or None,
    }


def _breaker(state: JobState) -> dict[str, Any]:
    breaker = state.job.breaker
    return {"status": breaker.status, "failures": breaker.failures, "until": iso(breaker.until)}


def _error(progress: Progress) -> dict[str, Any] | None:
    if progress.status != "failed" and not progress.code:
        return None
    row = lookup(progress.code) if progress.code else None
    return {
        "code": progress.code or None,
        "meaning": row.meaning if row else None,
        "message": masked(progress.reason),
        "advice": row.advice if row else None,
    }


def error_groups(errors: Sequence[ErrorRecord]) -> list[dict[str, Any]]:
    """Errors by code, those that still stand first, then by number."""
    groups: dict[str, list[ErrorRecord]] = {}
    for error in errors:
        groups.setdefault(error.code, []).append(error)
    documents = [_group(code, members) for code, members in groups.items()]
    return sorted(documents, key=lambda group: (-group["unresolved"], -group["count"], group["code"]))


def _group(code: str, members: Sequence[ErrorRecord]) -> dict[str, Any]:
    row = lookup(code)
    last = members[-1]
    return {
        "code": code,
        "category": row.category.value,
        "meaning": row.meaning,
        "advice": row.advice,
        "retriable": row.retriable,
        "count": len(members),
        "unresolved": sum(not error.is_resolved for error in members),
        "jobs": sorted({error.job_id for error in members}),
        "batches": sorted({error.batch for error in members if error.batch}),
        "unresolved_batches": sorted({error.batch for error in members if error.batch and not error.is_resolved}),
        "last_message": masked(last.message),
        "last_at": iso(last.at),
    }


def error_document(error: ErrorRecord, *, verbose: bool = False) -> dict[str, Any]:
    """One error; `verbose` adds what each failed rule expected and saw, and the ends of the session's output.

    Secrets are masked: what sessions printed may hold some.
    """
    document = row_of(ERROR_COLUMNS, error)
    if verbose:
        document["rules"] = [
            {
                "type": result.type,
                "status": result.status,
                "path": masked(result.path),
                "description": masked(result.description),
                "expected": masked(result.expected),
                "actual": masked(result.actual),
                "message": masked(result.message),
            }
            for result in error.results
            if result.status != "passed"
        ]
        document["stdout_tail"] = masked(error.stdout_tail)
        document["stderr_tail"] = masked(error.stderr_tail)
    return document
