"""A diagnosis as JSON data: times as ISO 8601 in UTC, durations in seconds, money in US dollars."""

from __future__ import annotations

from typing import Any

from mozart_nb.consumers.rows import iso
from mozart_nb.events import RuleResult
from mozart_nb.looking.details.attempts import AttemptDetails
from mozart_nb.looking.diagnosis.findings import (
    BatchTimeline,
    BlockedChain,
    Diagnosis,
    Environment,
    ErrorGroup,
    Example,
    FailedRule,
    NextStep,
    SessionOutput,
    Trouble,
    Used,
)
from mozart_nb.masking import masked


def diagnosis_document(found: Diagnosis) -> dict[str, Any]:
    """Everything a diagnosis found. Commands are those of the shell."""
    return {
        "job_id": found.job_id,
        "job_name": found.name,
        "status": found.status,
        "is_healthy": found.is_healthy,
        "headline": found.headline,
        "cause": found.cause,
        "next": found.first,
        "reason": found.reason,
        "error": _error(found),
        "progress": {"total": found.total, "done": found.done, **dict(found.counts)},
        "groups": [_group(group) for group in found.groups],
        "blocked": [_chain(chain) for chain in found.blocked],
        "timelines": [_timeline(timeline) for timeline in found.timelines],
        "timelines_omitted": found.timelines_omitted,
        "waits": _waits(found),
        "circuit_breaker": _breaker(found),
        "crashes": _crashes(found),
        "remedies": [{"text": remedy.text, "batches": list(remedy.batches)} for remedy in found.remedies],
        "cost": _cost(found),
        "prompts": _prompts(found),
        "troubles": [_trouble(trouble) for trouble in found.troubles],
        "warnings": list(found.warnings),
        "environment": _environment(found.environment),
        "outputs": [_output(output) for output in found.outputs],
        "next_steps": [_step(step) for step in found.next_steps],
        "looked_at": iso(found.looked_at),
    }


def _chain(chain: BlockedChain) -> dict[str, Any]:
    return {"failed": chain.failed, "code": chain.code, "message": chain.message, "batches": list(chain.blocked)}


def _crashes(found: Diagnosis) -> dict[str, Any]:
    crashes = found.crashes
    return {
        "runs": crashes.runs,
        "in_a_row": crashes.in_a_row,
        "lost_sessions": crashes.lost_sessions,
        "last_at": iso(crashes.last_at),
    }


def _trouble(trouble: Trouble) -> dict[str, Any]:
    return {
        "kind": trouble.kind,
        "severity": trouble.severity,
        "what": trouble.what,
        "cause": trouble.cause,
        "advice": trouble.advice,
    }


def _output(output: SessionOutput) -> dict[str, Any]:
    return {
        "batch": output.batch,
        "attempt": output.attempt,
        "text": output.text,
        "files": list(output.files),
        "is_cut": output.is_cut,
    }


def _step(step: NextStep) -> dict[str, Any]:
    return {"command": step.command, "magic": step.magic, "python": step.python, "why": step.why}


def _error(found: Diagnosis) -> dict[str, Any] | None:
    if not found.code:
        return None
    return {"code": found.code, "meaning": found.meaning, "advice": found.advice}


def _group(group: ErrorGroup) -> dict[str, Any]:
    return {
        "code": group.code,
        "category": group.category,
        "meaning": group.meaning,
        "cause": group.cause,
        "advice": group.advice,
        "retriable": group.retriable,
        "count": group.count,
        "unresolved": group.unresolved,
        "batches": list(group.batches),
        "unresolved_batches": list(group.unresolved_batches),
        "first_at": iso(group.first_at),
        "last_at": iso(group.last_at),
        "messages": [{"message": message, "count": count} for message, count in group.messages],
        "rules": [_rule(rule) for rule in group.rules],
        "example": _example(group.example),
    }


def _rule(rule: FailedRule) -> dict[str, Any]:
    return {
        "rule": rule.rule,
        "type": rule.type,
        "count": rule.count,
        "description": rule.description,
        "path": rule.path,
        "expected": rule.expected,
        "actual": rule.actual,
        "message": rule.message,
        "batch": rule.batch,
        "could_not_run": rule.could_not_run,
    }


def _example(example: Example | None) -> dict[str, Any] | None:
    if example is None:
        return None
    return {
        "batch": example.batch or None,
        "attempt": example.attempt or None,
        "at": iso(example.at),
        "message": example.message,
        "rules": rules_document(example.rules),
        "stdout_tail": example.stdout_tail,
        "stderr_tail": example.stderr_tail,
    }


def rules_document(results: tuple[RuleResult, ...]) -> list[dict[str, Any]]:
    """What rules that did not pass expected and saw, without secrets."""
    return [
        {
            "rule": result.rule,
            "type": result.type,
            "status": result.status,
            "path": masked(result.path),
            "description": masked(result.description),
            "expected": masked(result.expected),
            "actual": masked(result.actual),
            "message": masked(result.message),
        }
        for result in results
        if result.status != "passed"
    ]


def _timeline(timeline: BatchTimeline) -> dict[str, Any]:
    return {
        "batch": timeline.batch,
        "status": timeline.status,
        "code": timeline.code or None,
        "message": timeline.message,
        "retries": _used(timeline.retries),
        "completions": _used(timeline.completions),
        "heals": _used(timeline.heals),
        "worked_seconds": round(timeline.worked_seconds, 3),
        "waited_seconds": round(timeline.waited_seconds, 3),
        "cost_usd": round(timeline.cost_usd, 6),
        "cost_known": timeline.cost_known,
        "omitted": timeline.omitted,
        "attempts": [_attempt(attempt) for attempt in timeline.attempts],
    }


def _used(budget: Used) -> dict[str, int | None]:
    return {"used": budget.used, "most": budget.most}


def _attempt(attempt: AttemptDetails) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "mode": attempt.mode,
        "started_at": iso(attempt.started_at),
        "finished_at": iso(attempt.finished_at),
        "duration_seconds": round(attempt.duration, 3),
        "waited_seconds": round(attempt.wait_seconds, 3),
        "wait_reason": masked(attempt.wait_reason),
        "outcome": attempt.outcome or None,
        "passed": attempt.passed,
        "code": attempt.code or None,
        "message": masked(attempt.message),
        "exit_code": attempt.exit_code,
        "cost_usd": attempt.cost_usd,
        "rules": rules_document(attempt.results),
    }


def _waits(found: Diagnosis) -> dict[str, Any]:
    waits = found.waits
    return {
        "hits": waits.hits,
        "seconds": round(waits.seconds, 3),
        "longest_seconds": round(waits.longest_seconds, 3),
        "by_code": [
            {"code": code, "hits": hits, "seconds": round(seconds, 3)} for code, hits, seconds in waits.by_code
        ],
        "until": iso(waits.until),
    }


def _breaker(found: Diagnosis) -> dict[str, Any]:
    breaker = found.breaker
    return {
        "status": breaker.status,
        "failures": breaker.failures,
        "until": iso(breaker.until),
        "opened": breaker.opened,
    }


def _cost(found: Diagnosis) -> dict[str, Any]:
    budget = found.budget
    return {
        "usd": round(budget.cost_usd, 6),
        "is_complete": not budget.unknown_costs,
        "sessions_without_cost": budget.unknown_costs,
        "unpriced": dict(budget.unpriced),
        "limit_usd": budget.limit_usd,
        "is_exhausted": budget.is_exhausted,
        "saved_usd": round(budget.saved_usd, 6),
        "earlier_usd": round(budget.earlier_usd, 6),
    }


def _prompts(found: Diagnosis) -> dict[str, Any]:
    prompts = found.prompts
    return {
        "sent": prompts.sent,
        "tokens": prompts.tokens,
        "mean_tokens": prompts.mean_tokens,
        "largest_tokens": prompts.largest_tokens,
        "largest_batch": prompts.largest_batch or None,
        "findings": [
            {"code": finding.code or None, "message": finding.message, "batches": list(finding.batches)}
            for finding in prompts.findings
        ],
    }


def _environment(around: Environment) -> dict[str, Any]:
    holder = around.holder
    return {
        "facts": [
            {"name": fact.name, "status": fact.status, "detail": fact.detail, "hint": fact.hint}
            for fact in around.facts
        ],
        "workspace": around.workspace,
        "state": around.state,
        "backend": around.backend,
        "owner": None
        if holder is None
        else {
            "host": holder.host,
            "pid": holder.pid,
            "started_at": iso(holder.since),
            "is_alive": holder.is_alive,
        },
        "orphans": [{"pids": list(orphan.pids), "log": orphan.log} for orphan in around.orphans],
    }
