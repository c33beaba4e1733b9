"""From what the Messages API answered to one `SessionResult`: pure, and the same for single and batched requests.

Success needs a complete message that ended by itself: `stop_reason` `end_turn` or `stop_sequence`. An answer that was
cut short by a limit, or refused, keeps its text and its cost, and is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from mozart_nb.backends._anthropic_headers import Headers, is_usage_limit, request_id, reset_at, retry_after
from mozart_nb.backends._text import clip, last_bytes, printable, whole
from mozart_nb.engine.ports import SessionRequest, SessionResult
from mozart_nb.events import Usage

_ERROR_TEXT: Final = 4000
_COMPLETE: Final = ("end_turn", "stop_sequence")

# https://platform.claude.com/docs/en/api/errors. An error inside a stream, or in the results of a batch, has no status.
_STATUS_OF: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class Charged(Protocol):
    """What a price table says about one session, in US dollars."""

    @property
    def cost_usd(self) -> float: ...
    @property
    def saved_usd(self) -> float: ...


class Price(Protocol):
    """Puts a price on tokens; None when no price is known for the model."""

    def __call__(self, model: str, usage: Usage, /, *, is_batch: bool = False) -> Charged | None: ...


class ApiError(NamedTuple):
    """An error in the API's own form; both parts are empty when the body has another form."""

    type: str = ""
    message: str = ""


def result_of_message(
    message: Mapping[str, Any],
    request: SessionRequest,
    price: Price,
    *,
    is_batch: bool = False,
    is_structured: bool = False,
    warnings: tuple[str, ...] = (),
    duration: float = 0.0,
) -> SessionResult:
    """What a complete message amounts to.

    `message` is the reply's JSON. `is_structured`: a schema was sent along, so the text is read as the answer's data.
    `duration` in seconds. The cost is None where the model has no price.
    """
    text = text_of(message)
    stop = str(message.get("stop_reason") or "")
    fault = _fault(message, stop, request)
    usage = usage_of(message.get("usage"))
    model = str(message.get("model") or request.options.get("model") or "")
    charge = price(model, usage, is_batch=is_batch)
    return SessionResult(
        outcome="error" if fault.text else "ok",
        text=text,
        data=_data(text) if is_structured and not fault.text else None,
        error_kind=fault.kind,
        terminal_reason=fault.terminal_reason,
        stop_reason=stop,
        error_text=clip(fault.text, _ERROR_TEXT),
        has_result=True,
        usage=usage,
        cost_usd=None if charge is None else charge.cost_usd,
        saved_usd=0.0 if charge is None else charge.saved_usd,
        model=model,
        turns=1,
        session_id=str(message.get("id") or request.session_id),
        warnings=warnings,
        stdout_tail=last_bytes(printable(text), request.capture_bytes),
        stderr_tail=last_bytes(fault.text, request.capture_bytes),
        duration=duration,
    )


def result_of_error(
    status: int | None,
    error_type: str,
    message: str,
    headers: Headers | None = None,
    *,
    wall: float = 0.0,
    cost_usd: float | None = 0.0,
    exception: str = "",
    duration: float = 0.0,
) -> SessionResult:
    """What a refusal or a failure amounts to.

    `status` None: the error came without one, so it follows from `error_type`. `headers`: names in small letters.
    `wall`: now in epoch seconds. Errors cost nothing, unless the caller knows otherwise or does not know (None).
    """
    headers = headers or {}
    status = _STATUS_OF.get(error_type) if status is None else status
    limited = status in (429, 503, 529) or error_type in ("rate_limit_error", "overloaded_error")
    text = clip(f"{printable(whole(message)).strip()}{_reference(status, error_type, headers)}".strip(), _ERROR_TEXT)
    return SessionResult(
        outcome="error",
        api_status=status,
        error_kind="usage_limit" if status == 429 and is_usage_limit(headers) else error_type,
        error_text=text,
        exception=exception,
        retry_after=retry_after(headers, wall),
        reset_at=reset_at(headers) if limited else None,
        cost_usd=cost_usd,
        stderr_tail=text,
        duration=duration,
    )


def api_error(body: bytes) -> ApiError:
    """The error that the body of a reply describes in the API's own form: `{"type": "error", "error": {…}}`."""
    try:
        return error_of(msgspec.json.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ApiError()


def error_of(value: Any) -> ApiError:
    """As `api_error`, from JSON already read; also the error itself without what is around it."""
    if not isinstance(value, Mapping):
        return ApiError()
    inner = value.get("error")
    error = inner if isinstance(inner, Mapping) else value
    kind, message = error.get("type"), error.get("message")
    if not isinstance(kind, str) or not isinstance(message, str):
        return ApiError()
    return ApiError(kind, message)


def text_of(message: Mapping[str, Any]) -> str:
    """The words of a message, without thinking."""
    blocks = message.get("content")
    texts = [block.get("text") for block in blocks if isinstance(block, Mapping)] if isinstance(blocks, list) else []
    return whole("".join(text for text in texts if isinstance(text, str)))


def usage_of(given: Any) -> Usage:
    """Tokens as the API counts them; what is missing counts as none."""
    if not isinstance(given, Mapping):
        return Usage()
    kept = given.get("cache_creation")
    return Usage(
        input_tokens=_count(given.get("input_tokens")),
        output_tokens=_count(given.get("output_tokens")),
        cache_read_tokens=_count(given.get("cache_read_input_tokens")),
        cache_write_tokens=_count(given.get("cache_creation_input_tokens")),
        cache_write_1h_tokens=_count(kept.get("ephemeral_1h_input_tokens")) if isinstance(kept, Mapping) else 0,
    )


def _count(value: Any) -> int:
    return max(0, value) if isinstance(value, int) else 0


class _Fault(NamedTuple):
    text: str = ""
    kind: str = ""
    terminal_reason: str = ""


def _fault(message: Mapping[str, Any], stop: str, request: SessionRequest) -> _Fault:
    if stop in _COMPLETE:
        return _Fault()
    if stop == "max_tokens":
        limit = request.options.get("max_tokens")
        said = f" ({limit} tokens)" if limit else ""
        return _Fault(f"the answer was cut off at its limit{said}: raise backend.max_tokens", "max_output_tokens")
    if stop == "model_context_window_exceeded":
        return _Fault("the prompt and its answer do not fit into the model's context", "", "prompt_too_long")
    if stop == "refusal":
        details = message.get("stop_details")
        why = details.get("explanation") or details.get("category") if isinstance(details, Mapping) else ""
        return _Fault(f"the model refused to answer{f': {printable(str(why))}' if why else ''}")
    return _Fault(f"the answer ended in an unexpected way (stop_reason {stop or 'missing'})")


def _data(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _reference(status: int | None, error_type: str, headers: Headers) -> str:
    parts = [f"HTTP {status}"] if status is not None else []
    parts += [error_type] if error_type in _STATUS_OF else []
    parts += [f"request {found}"] if (found := request_id(headers)) else []
    return f" ({', '.join(parts)})" if parts else ""
