"""What the Message Batches API takes and shows, as plain data: pure.

Source: https://platform.claude.com/docs/en/build-with-claude/batch-processing, …/docs/en/api/creating-message-batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from mozart_nb.backends._anthropic_outcome import Price, error_of, result_of_error, result_of_message
from mozart_nb.engine.ports import RemoteBatch, RemoteResult, SessionRequest, SessionResult

PATH: Final = "/v1/messages/batches"
MOST_REQUESTS: Final = 100_000
MOST_BYTES: Final = 255_000_000
"""The service takes 256 MB; a little is left for what stands around the requests."""

_COUNTS: Final = ("processing", "succeeded", "errored", "canceled", "expired")


class _Shown(msgspec.Struct):
    id: str
    processing_status: str
    created_at: str
    request_counts: dict[str, int]
    archived_at: str | None = None


class _Page(msgspec.Struct):
    data: list[_Shown]
    has_more: bool = False
    last_id: str | None = None


class _Line(msgspec.Struct):
    custom_id: str
    result: dict[str, Any]


_decode_shown = msgspec.json.Decoder(_Shown).decode
_decode_page = msgspec.json.Decoder(_Page).decode
_decode_line = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


def entry(custom_id: str, params: Mapping[str, Any]) -> bytes:
    """One request of a batch."""
    return _encode({"custom_id": custom_id, "params": params})


def body(entries: Sequence[bytes]) -> bytes:
    """The body of a call of create."""
    return b'{"requests":[%b]}' % b",".join(entries)


def batch_shown(document: bytes) -> tuple[RemoteBatch, str]:
    """A batch as one call shows it, and since when its results cannot be had any more (empty while they can).

    Raises `msgspec.MsgspecError` and `ValueError` when it is something else.
    """
    shown = _decode_shown(document)
    return _batch(shown), shown.archived_at or ""


def page_shown(document: bytes) -> tuple[list[RemoteBatch], str]:
    """A page of the list, newest first, and where the next one begins (empty when there is none). Raises as above."""
    page = _decode_page(document)
    return [_batch(shown) for shown in page.data], page.last_id or "" if page.has_more else ""


def _batch(shown: _Shown) -> RemoteBatch:
    return RemoteBatch(
        id=shown.id,
        created_at=datetime.fromisoformat(shown.created_at).timestamp(),
        requests=sum(shown.request_counts.get(name, 0) for name in _COUNTS),
        is_over=shown.processing_status == "ended",
    )


def results_in(lines: Sequence[bytes], request: SessionRequest, price: Price) -> list[RemoteResult]:
    """What lines of a results file say. `request` stands for all of them: only its options count.

    A line that makes no sense is left out; whoever counts the results misses it.
    """
    found = []
    for line in lines:
        try:
            one = _decode_line(line)
        except msgspec.MsgspecError:
            continue
        found.append(_result(one, request, price))
    return found


def _result(line: _Line, request: SessionRequest, price: Price) -> RemoteResult:
    kind = line.result.get("type")
    message = line.result.get("message")
    if kind == "succeeded" and isinstance(message, Mapping):
        result = result_of_message(message, request, price, is_batch=True)
    elif kind == "errored":
        error = error_of(line.result.get("error"))
        result = result_of_error(None, error.type, error.message or "the request failed")
    elif kind == "expired":
        result = _unprocessed("the remote batch expired before the service came to this request")
    elif kind == "canceled":
        result = _unprocessed("the remote batch was cancelled before the service came to this request")
    else:
        result = _unprocessed(f"the service answered with a result of unknown type: {kind}")
    return RemoteResult(line.custom_id, result, is_cancelled=kind == "canceled")


def _unprocessed(why: str) -> SessionResult:
    """Not the request's fault, and nothing was paid."""
    return SessionResult(outcome="error", error_text=why, has_result=True, cost_usd=0.0, stderr_tail=why)
