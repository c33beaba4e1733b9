"""What a failed session means: from facts to one code of the table.

Structured facts come first (what the backend itself found, how the process ended, the program's own words for an error,
HTTP status, exception), text last, and only the text of errors: an answer that tells about a 401 page is no
authentication failure. Recorded behaviour of `claude` 2.1.197 is in tests/data/claude_cases, each case with its code.

Where more than one code would do, this is why:

- `max_output_tokens`, `refusal`, a bad request (400): E999. The same prompt would fail again, at full price.
- `error_max_turns`: E001. The work is unfinished, not wrong; the session can go on.
- `error_max_budget_usd`: E999. The cap is on one session, so it must not pause the whole job as E506 does, and a retry
  would spend the cap once more.
- credit balance, 402: E506. Nothing of the job can run until somebody pays; it pauses and can be resumed.
- a session that ended with exit code 0 but without a result, or broke off after it had begun: E001.
- a program that refused to start at all (exit 1, reason on stderr): E502, unless its words say otherwise.
- a rate limit says E102 where the words name an amount of use or its reset, E101 otherwise.
- an overload is E103 only if the server asks for more than a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from mozart_nb.codes import Category, lookup
from mozart_nb.engine.patterns import (
    ANSWER_LIMIT,
    CONNECTION,
    CREDIT,
    DEFAULT,
    OUT_OF_MEMORY,
    ROOT_REFUSED,
    SESSION_IN_USE,
    USAGE_LIMIT,
    code_by_text,
    matches,
    matches_any,
)
from mozart_nb.engine.ports import SessionResult
from mozart_nb.engine.resets import SHORTEST_SECONDS, seconds_until_reset

__all__ = ["DEFAULT", "Verdict", "classify"]

LONG_WAIT_SECONDS = 60.0
"""An overloaded service that asks for more than this is waited for like a limit (E103), not retried (E003)."""

_STALE_RESET_SECONDS = 86400.0
_MESSAGE = 600
_SIGINT, _SIGKILL, _SIGTERM = 2, 9, 15
_CRASHES = {4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 10: "SIGBUS", 11: "SIGSEGV"}
_SIGNALS = {1: "SIGHUP", _SIGINT: "SIGINT", 3: "SIGQUIT", _SIGKILL: "SIGKILL", 13: "SIGPIPE", _SIGTERM: "SIGTERM"}


class Verdict(msgspec.Struct, frozen=True):
    """What a session's end means. `code` is empty for success and for a session that was cancelled.

    `retry_after`: seconds from now that somebody asked to wait, 0 if nobody did; `source` says who: `retry-after`,
    `reset header` or `reset time in the message`.
    """

    code: str
    message: str
    retry_after: float = 0.0
    source: str = ""


def classify(result: SessionResult, *, patterns: Sequence[str] = DEFAULT, wall: float) -> Verdict:
    """The verdict on `result`.

    `patterns` are the job's `rate_limit.detection_patterns`, `wall` is now in epoch seconds.
    Never raises; a pattern that is invalid or takes too long does not match.
    """
    if result.outcome in ("ok", "cancelled"):
        return Verdict("", "")
    case = _Case(result, tuple(patterns), wall)
    code = next((code for rule in _RULES if (code := rule(case))), "E999")
    if not lookup(code).retriable:
        return Verdict(code, _message(case, code))
    wait, source = case.wait() if lookup(code).category is Category.RATE_LIMIT else case.asked_wait()
    return Verdict(code, _message(case, code), wait, source)


@dataclass(frozen=True, slots=True)
class _Case:
    result: SessionResult
    patterns: tuple[str, ...]
    wall: float

    @property
    def text(self) -> str:
        return self.result.error_text

    @property
    def names_usage_limit(self) -> bool:
        return self.result.error_kind == "usage_limit" or matches_any(self.text, USAGE_LIMIT)

    def asked_wait(self) -> tuple[float, str]:
        """The wait that a server named in so many seconds or as a time of its own."""
        if self.result.retry_after is not None and self.result.retry_after > 0:
            return self.result.retry_after, "retry-after"
        left = (self.result.reset_at or 0.0) - self.wall
        if self.result.reset_at and left > -_STALE_RESET_SECONDS:
            return max(left, SHORTEST_SECONDS) if left <= 0 else left, "reset header"
        return 0.0, ""

    def wait(self) -> tuple[float, str]:
        """As `asked_wait`, or the time that the message names."""
        asked = self.asked_wait()
        if asked[0]:
            return asked
        named = seconds_until_reset(self.text, self.wall)
        return (named, "reset time in the message") if named is not None else (0.0, "")


# --- the rules, asked in this order; the first that answers decides ---------------------------------------------------


def _by_backend(case: _Case) -> str:
    """What the backend found out before anything was sent, or instead of a result."""
    if case.result.lost_session:
        return "E001"
    return _BACKEND_KINDS.get(case.result.error_kind, "")


_BACKEND_KINDS = {
    "program_not_found": "E503",
    "working_directory": "E602",
    "arguments": "E502",
    "arguments_too_long": "E502",
    "resources": "E001",
    "log_unwritable": "E703",
    "spawn": "E999",
    "attachment": "E601",
    "attachment_too_large": "E505",
    "no_such_endpoint": "E502",
}


def _by_outcome(case: _Case) -> str:
    if case.result.outcome == "timeout":
        return "E302" if case.result.signal == _SIGKILL else "E301"
    return "E303" if case.result.outcome == "stale" else ""


def _by_signal(case: _Case) -> str:
    signal = case.result.signal
    if not signal and case.result.outcome != "killed":
        return ""
    if matches(case.text, OUT_OF_MEMORY):
        return "E403"
    return "E402" if signal in _CRASHES else "E401"


def _by_subtype(case: _Case) -> str:
    return _SUBTYPES.get(case.result.subtype, "")


_SUBTYPES = {
    "error_max_turns": "E001",
    "error_max_budget_usd": "E999",
    "error_max_structured_output_retries": "E202",
    "no_structured_output": "E202",
    "local_command": "E999",
}


def _by_usage_limit(case: _Case) -> str:
    """A limit on use may come with any status, so its words outrank a vague one; a clear status outranks the words."""
    result = case.result
    if result.error_kind in _LIMIT_KINDS or result.api_status == 429:
        return "E102" if case.names_usage_limit else "E101"
    vague = result.api_status in (None, 400, 403) and result.error_kind in _VAGUE_KINDS
    return "E102" if vague and not matches(case.text, CREDIT) and case.names_usage_limit else ""


_LIMIT_KINDS = frozenset({"usage_limit", "rate_limit", "rate_limit_error"})
_VAGUE_KINDS = frozenset(
    {"", "unknown", "invalid_request", "invalid_request_error", "not_started", "crashed", "no_result"}
)


def _by_reason(case: _Case) -> str:
    result = case.result
    if result.terminal_reason in ("prompt_too_long", "blocking_limit", "rapid_refill_breaker"):
        return "E505"
    if result.stop_reason == "refusal" or result.error_kind == "max_output_tokens" or matches(case.text, ANSWER_LIMIT):
        return "E999"
    if result.api_status == 400 and (code := code_by_text(case.text)) in ("E505", "E506"):
        return code
    return ""


def _by_kind(case: _Case) -> str:
    kind = case.result.error_kind
    if kind in ("server_error", "api_error", "timeout_error", "overloaded", "overloaded_error"):
        if case.result.api_status is None and matches(case.text, CONNECTION):
            return "E002"
        return _unavailable(case)
    return _KINDS.get(kind, "")


_KINDS = {
    "authentication_failed": "E501",
    "oauth_org_not_allowed": "E501",
    "authentication_error": "E501",
    "permission_error": "E501",
    "billing_error": "E506",
    "model_not_found": "E504",
    "not_found_error": "E504",
    "request_too_large": "E505",
}


def _by_status(case: _Case) -> str:
    status = case.result.api_status
    if status is None:
        return ""
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return _unavailable(case)
    return "E999" if 400 <= status < 500 else ""


_STATUSES = {401: "E501", 402: "E506", 403: "E501", 404: "E504", 408: "E002", 409: "E003", 413: "E505"}


def _unavailable(case: _Case) -> str:
    return "E103" if case.asked_wait()[0] > LONG_WAIT_SECONDS else "E003"


def _by_exception(case: _Case) -> str:
    return _EXCEPTIONS.get(case.result.exception, "")


_EXCEPTIONS = {
    **dict.fromkeys(("APIConnectionError", "APITimeoutError", "ConnectionError", "TimeoutError", "SSLError"), "E002"),
    **dict.fromkeys(("ConnectionResetError", "ConnectionRefusedError", "ConnectionAbortedError", "gaierror"), "E002"),
    **dict.fromkeys(("ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "RemoteProtocolError"), "E002"),
    **dict.fromkeys(("ClientConnectorError", "ServerDisconnectedError", "BrokenPipeError"), "E002"),
    "MemoryError": "E403",
}


def _by_text(case: _Case) -> str:
    if matches(case.text, ROOT_REFUSED):
        return "E502"
    if matches(case.text, SESSION_IN_USE):
        return "E001"  # the next attempt brings an id of its own
    if code := code_by_text(case.text):
        return code
    return "E101" if matches_any(case.text, case.patterns) else ""


def _by_exit(case: _Case) -> str:
    result = case.result
    if result.exit_code in (126, 127):
        return "E503"
    if result.error_kind == "not_started":
        return "E502"
    if result.error_kind in ("no_result", "crashed") or result.subtype == "error_during_execution":
        return "E001"
    said_little = result.has_result or result.exit_code is not None
    return "E001" if said_little and not result.exception else ""


_RULES: tuple[Callable[[_Case], str], ...] = (
    _by_backend,
    _by_outcome,
    _by_signal,
    _by_subtype,
    _by_usage_limit,
    _by_reason,
    _by_kind,
    _by_status,
    _by_exception,
    _by_text,
    _by_exit,
)


# --- what is said about it --------------------------------------------------------------------------------------------


def _message(case: _Case, code: str) -> str:
    text = " ".join(case.text.split())
    text = text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 1]}…"
    if code == "E502" and matches(text, ROOT_REFUSED):
        return f"{text} (if this is a sandbox, set IS_SANDBOX: '1' in backend.env; else use another user)"
    return f"{text or _plain_words(case, code)}{_circumstances(case.result, code)}"


def _circumstances(result: SessionResult, code: str) -> str:
    """What was refused and by whom, or what could not be reached: no service says that by itself."""
    address = result.address if result.address.partition(" ")[0] not in result.error_text else ""
    if code == "E501" and result.credential:
        return f": {result.credential}{f', {_sent(address)}' if address else ''}"
    return f": {address}" if code == "E002" and address else ""


def _sent(address: str) -> str:
    return f"sent {address}" if address.startswith("through ") else f"sent to {address}"


def _plain_words(case: _Case, code: str) -> str:
    result = case.result
    if code in ("E401", "E402") and result.signal:
        name = _SIGNALS.get(result.signal) or _CRASHES.get(result.signal) or f"signal {result.signal}"
        return f"something other than mozart ended the session with {name}" if code == "E401" else f"it crashed: {name}"
    if code == "E001" and not result.has_result:
        return f"the session ended without a result (exit code {result.exit_code})"
    return lookup(code).meaning
