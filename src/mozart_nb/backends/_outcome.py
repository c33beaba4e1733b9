"""From what a session printed and how its process ended to one `SessionResult`.

Success needs three things at once: exit code 0, a `result` line with `subtype: "success"`, and `is_error: false` in it.
A session that was adopted has no exit code for us; one that we ended ourselves has one that says nothing. In both
cases the result line alone decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mozart_nb.backends._stream import (
    StreamReader,
    as_int,
    as_mapping,
    as_number,
    as_text,
    is_aborted,
    is_success,
)
from mozart_nb.backends._text import clip, printable, whole
from mozart_nb.engine.ports import NOT_PERMITTED, SessionResult
from mozart_nb.events import Outcome, Usage
from mozart_nb.words import percent

Cause = Literal["exited", "adopted", "timeout", "stale"]

SIGINT, SIGKILL = 2, 9

_ERROR_TEXT = 4000
_WARNINGS = 10
_LOST = "No conversation found"
_DIAGNOSTIC = "[ede_diagnostic]"  # internal to the program, says nothing to a reader


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process came to its end.

    `adopted`: it is gone and was not our child, so nobody told us how. `forced`: it had to be killed after `cause`
    `timeout` or `stale`. `exit_code` is negative for a signal and None where it is unknown or says nothing.
    `lacked_memory`: it was killed while the kernel killed for lack of memory; which processes it does not say.
    """

    cause: Cause
    exit_code: int | None = None
    forced: bool = False
    duration: float = 0.0
    lacked_memory: bool = False


def session_result(
    reader: StreamReader, ended: Ended, *, stderr: str = "", expects_data: bool = False
) -> SessionResult:
    """What happened to the session that `reader` heard, given how its process ended.

    `stderr` is the end of its standard error. `expects_data`: a JSON schema was asked for, so an answer without
    structured output is a failure. `cost_usd` is None when the program was ended before it could name it.
    """
    record = reader.result or {}
    outcome, signal = _outcome(reader, ended)
    subtype = as_text(record.get("subtype"))
    if outcome == "ok" and record.get("num_turns") == 0:
        outcome, subtype = "error", "local_command"
    if outcome == "ok" and expects_data and record.get("structured_output") is None:
        outcome, subtype = "error", "no_structured_output"
    lost = reader.result is None or subtype == "error_during_execution"
    return SessionResult(
        outcome=outcome,
        text=_answer(reader),
        data=whole_tree(record.get("structured_output")),
        exit_code=ended.exit_code,
        signal=signal,
        api_status=as_int(record.get("api_error_status")),
        error_kind="" if outcome == "ok" else _error_kind(reader, ended),
        subtype=subtype,
        terminal_reason=as_text(record.get("terminal_reason")),
        stop_reason=as_text(record.get("stop_reason")),
        error_text="" if outcome == "ok" else _error_text(reader, ended, subtype, stderr),
        reset_at=_reset_at(reader) if outcome != "ok" else None,
        has_result=reader.result is not None,
        lost_session=lost and _LOST in "\n".join((*_errors(record), stderr)),
        usage=_usage(record),
        cost_usd=_cost(reader, ended),
        model=reader.model,
        turns=as_int(record.get("num_turns")) or 0,
        session_id=reader.session_id or as_text(record.get("session_id")),
        warnings=tuple(_warnings(reader, ended, outcome)),
        duration=ended.duration,
    )


def _outcome(reader: StreamReader, ended: Ended) -> tuple[Outcome, int]:
    succeeded = reader.result is not None and is_success(reader.result)
    if ended.cause in ("timeout", "stale"):
        if succeeded:
            return "ok", 0  # the work was done and said so; only the program did not go away
        return ("timeout" if ended.cause == "timeout" else "stale"), SIGKILL if ended.forced else SIGINT
    if killed_by := signal_of(ended.exit_code):
        return "killed", killed_by
    if reader.result is not None and is_aborted(reader.result):
        return "killed", SIGINT
    return ("ok" if succeeded and ended.exit_code in (0, None) else "error"), 0


def signal_of(exit_code: int | None) -> int:
    """The signal that an exit code stands for, 0 if none: -9 from the kernel, 143 as programs and shells say it."""
    if exit_code is None:
        return 0
    return -exit_code if exit_code < 0 else max(0, exit_code - 128) if exit_code <= 192 else 0


def _answer(reader: StreamReader) -> str:
    if reader.result is not None and is_success(reader.result):
        return as_text(reader.result.get("result"))
    return reader.text


def _error_kind(reader: StreamReader, ended: Ended) -> str:
    """The program's own word for the error, or ours where it has none (`engine.classify` knows both)."""
    if reader.limit.get("status") == "rejected":
        return "usage_limit"
    if reader.error_kind or reader.result is not None or ended.cause != "exited":
        return reader.error_kind
    if ended.exit_code == 0:
        return "no_result"
    return "crashed" if reader.opened else "not_started"


def _error_text(reader: StreamReader, ended: Ended, subtype: str, stderr: str) -> str:
    if ended.lacked_memory:
        return "the session was ended with SIGKILL while the kernel killed processes because it was out of memory"
    if subtype == "local_command":
        return "the prompt was taken for a command of the program, nothing was sent"
    if subtype == "no_structured_output":
        return "the session ended without the structured output that was asked for"
    record = reader.result
    if record is None:
        text = printable(stderr).strip() or printable(reader.plain).strip()
    elif record.get("subtype") == "success" and record.get("is_error") is not False:
        text = printable(as_text(record.get("result")))
    else:
        text = "\n".join(_errors(record)) or (printable(stderr).strip() if is_success(record) else "")
    return clip(text, _ERROR_TEXT)


def _errors(record: Mapping[str, Any]) -> list[str]:
    errors = record.get("errors")
    texts = [printable(as_text(error)) for error in errors] if isinstance(errors, list) else []
    return [text for text in texts if text and not text.startswith(_DIAGNOSTIC)]


def _reset_at(reader: StreamReader) -> float | None:
    return as_number(reader.limit.get("resetsAt")) if reader.limit.get("status") == "rejected" else None


def _usage(record: Mapping[str, Any]) -> Usage:
    """Tokens by `modelUsage`, which includes sub-agents; the record's own `usage` leaves them out."""
    models = [as_mapping(model) for model in as_mapping(record.get("modelUsage")).values()]
    if models:
        return sum((_tokens(model, _MODEL_USAGE) for model in models), Usage())
    return _tokens(as_mapping(record.get("usage")), _RECORD_USAGE)


_MODEL_USAGE = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
_RECORD_USAGE = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def _tokens(source: Mapping[str, Any], names: tuple[str, ...]) -> Usage:
    return Usage(*(max(0, as_int(source.get(name)) or 0) for name in names))


def _cost(reader: StreamReader, ended: Ended) -> float | None:
    if reader.result is None:
        never_opened = ended.cause == "exited" and ended.exit_code not in (0, None) and not reader.opened
        return 0.0 if never_opened and not signal_of(ended.exit_code) else None
    cost = as_number(reader.result.get("total_cost_usd"))
    return cost if cost is not None and cost >= 0 else None


def _warnings(reader: StreamReader, ended: Ended, outcome: Outcome) -> Iterator[str]:
    yield from _denials(reader.result or {})
    if reader.limit.get("status") == "allowed_warning":
        yield _near_limit(reader.limit)
    if outcome == "ok" and ended.cause in ("timeout", "stale"):
        yield "the program did not exit after its result and was ended"
    if outcome != "ok" and reader.retry_status is not None and reader.result is None:
        yield f"it was retrying after an answer {reader.retry_status} {reader.retry_kind} ({reader.retries} times)"
    if reader.result is None and reader.oversized:
        yield f"{reader.oversized} lines of output were too long to be read"


def _denials(record: Mapping[str, Any]) -> Iterator[str]:
    denials = record.get("permission_denials")
    listed = [as_mapping(denial) for denial in denials] if isinstance(denials, list) else []
    for denial in listed[:_WARNINGS]:
        tool = clip(printable(as_text(denial.get("tool_name"))), 60) or "a tool"
        subject = _subject(as_mapping(denial.get("tool_input")))
        yield f"{tool} {NOT_PERMITTED}: {subject}" if subject else f"{tool} {NOT_PERMITTED}"
    if len(listed) > _WARNINGS:
        yield f"{len(listed) - _WARNINGS} more tool uses were not permitted"


def _subject(tool_input: Mapping[str, Any]) -> str:
    for name in ("file_path", "command", "notebook_path", "url", "path", "query"):
        if text := as_text(tool_input.get(name)):
            return clip(" ".join(printable(text).split()), 160)
    return ""


def _near_limit(limit: Mapping[str, Any]) -> str:
    kind = clip(printable(as_text(limit.get("rateLimitType"))), 40).replace("_", " ")
    used = as_number(limit.get("utilization"))
    share = f": {percent(used)} used" if used is not None and used <= 1 else ""
    return f"close to the usage limit{f' ({kind})' if kind else ''}{share}"


def whole_tree(value: Any) -> Any:
    """`value` with every text in it safe to encode."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [whole_tree(item) for item in value]
    if isinstance(value, Mapping):
        return {whole(str(key)): whole_tree(item) for key, item in value.items()}
    return value
