"""What an attempt amounts to, once its session is over and the rules have been checked."""

from __future__ import annotations

from collections.abc import Sequence

from mozart_nb.engine.classify import Verdict
from mozart_nb.engine.ports import NOT_PERMITTED, SessionResult
from mozart_nb.events import RuleResult, SessionFinished, ValidationFailed, ValidationPassed
from mozart_nb.masking import masked_tail

TAIL_OF_PASSED = 500
"""Characters of output kept in state for an attempt that passed."""


def session_finished(
    batch: int, attempt: int, result: SessionResult, verdict: Verdict, *, session_id: str, request_hash: str
) -> SessionFinished:
    """What is journaled of a session's end. `session_id` is the one that was announced."""
    return SessionFinished(
        batch=batch,
        attempt=attempt,
        outcome=result.outcome,
        code=verdict.code,
        message=verdict.message,
        exit_code=result.exit_code,
        signal=result.signal,
        duration=round(result.duration, 3),
        usage=result.usage,
        cost_usd=result.cost_usd,
        saved_usd=result.saved_usd,
        model=result.model,
        turns=result.turns,
        session_id=result.session_id or session_id,
        request_hash=request_hash,
        retry_after=verdict.retry_after,
        retry_source=verdict.source,
        warnings=result.warnings,
        characters=len(result.text),
    )


def judge(
    batch: int,
    attempt: int,
    *,
    code: str,
    message: str,
    results: Sequence[RuleResult],
    fault: RuleResult | None = None,
    warnings: Sequence[str] = (),
    stdout_tail: str = "",
    stderr_tail: str = "",
) -> ValidationPassed | ValidationFailed:
    """Success needs every rule to pass and either a session that succeeded or a file that this attempt itself wrote.

    `code` is the session's own failure, empty when it succeeded. A failed session without such evidence is a failure
    whatever the rules say: leftovers of an earlier attempt prove nothing. `fault` is what is wrong with the form of the
    answer; it comes before the rules. `warnings` are the session's: a tool that it was not allowed to use may be why a
    rule was not met, so the message says so.
    """
    results = (fault, *results) if fault is not None else results
    failed = [result for result in results if result.status in ("failed", "skipped")]
    if not failed and (not code or any(result.evidence for result in results)):
        return ValidationPassed(
            batch=batch,
            attempt=attempt,
            results=tuple(results),
            code=code,
            exit_code_ignored=bool(code),
            stdout_tail=masked_tail(stdout_tail, TAIL_OF_PASSED),
            stderr_tail=masked_tail(stderr_tail, TAIL_OF_PASSED),
        )
    if not code and fault is not None:
        code, message = "E202", fault.message
    elif not code:
        code = "E203" if any(result.could_not_run for result in failed) else "E201"
        message = _unmet(failed) + _denied(warnings)
    return ValidationFailed(
        batch=batch,
        attempt=attempt,
        code=code,
        message=message,
        results=tuple(results),
        stdout_tail=stdout_tail,
        stderr_tail=stderr_tail,
    )


def _unmet(failed: Sequence[RuleResult]) -> str:
    unmet = [result for result in failed if result.status == "failed"]
    named = "; ".join(_name(result) for result in unmet[:3])
    return f"{named} (and {len(unmet) - 3} more)" if len(unmet) > 3 else named


def _denied(warnings: Sequence[str]) -> str:
    denied = [warning for warning in warnings if NOT_PERMITTED in warning]
    more = f" (and {len(denied) - 1} more)" if len(denied) > 1 else ""
    return f"; {denied[0]}{more}" if denied else ""


def _name(result: RuleResult) -> str:
    return result.message or result.description or f"{result.type} {result.path}".strip()
