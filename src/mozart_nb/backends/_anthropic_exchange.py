"""One streamed request to the Messages API and its answer, from the first byte to one `SessionResult`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

import msgspec

from mozart_nb.backends._anthropic_client import Access
from mozart_nb.backends._anthropic_failures import result_of_broken_reply, result_of_exception
from mozart_nb.backends._anthropic_headers import Headers, plain_headers
from mozart_nb.backends._anthropic_messages import version_headers
from mozart_nb.backends._anthropic_outcome import (
    Price,
    error_of,
    result_of_error,
    result_of_message,
    text_of,
    usage_of,
)
from mozart_nb.backends._anthropic_stream import MessageReader, StreamError
from mozart_nb.backends._deadline import Deadline
from mozart_nb.backends._text import last_bytes, printable
from mozart_nb.engine.ports import Clock, Report, SessionRequest, SessionResult

if TYPE_CHECKING:
    import anthropic
    import httpx2

PROGRESS_SECONDS: Final = 0.2
"""Seconds between two reports of progress of one session."""

_PATH: Final = b"v1/messages"
_JSON: Final = {"content-type": "application/json"}
_encode = msgspec.json.Encoder().encode
_addresses: WeakKeyDictionary[anthropic.AsyncAnthropic, httpx2.URL] = WeakKeyDictionary()
_LINGER_SECONDS: Final = 1.0  # for the end of the body after the end of the message, so that its connection is kept


def _address(client: anthropic.AsyncAnthropic) -> str:
    """Where messages go, already parsed: the SDK would put it together and parse it for every request."""
    known = _addresses.get(client)
    if known is None:
        known = _addresses[client] = client.base_url.copy_with(raw_path=client.base_url.raw_path + _PATH)
    return cast(str, known)


class Exchange:
    """Sends one request and reads its answer. `heard` is told the headers, `began` that the answer has begun."""

    def __init__(
        self,
        request: SessionRequest,
        report: Report,
        *,
        clock: Clock,
        access: Access,
        price: Price,
        heard: Callable[[Headers], None],
        began: Callable[[], None],
    ) -> None:
        self._request = request
        self._report = report
        self._clock = clock
        self._access = access
        self._price = price
        self._heard = heard
        self._began = began
        self._reader = MessageReader()
        self._whole: Any = None  # the reply of a service that did not stream
        self._headers: Headers = {}
        self._is_structured = False
        self._reported_at = float("-inf")

    async def run(self, client: anthropic.AsyncAnthropic, params: Mapping[str, Any]) -> SessionResult:
        """What came of it. Raises nothing but `CancelledError`; the connection is closed by then."""
        self._is_structured = "output_config" in params
        start = self._clock.fair()
        deadline = Deadline(self._clock, self._request.timeout_seconds, self._request.idle_timeout_seconds)
        failure = None
        try:
            async with deadline:
                await self._converse(client, params, deadline)
        except Exception as error:  # a session that fails is a result, whatever failed
            failure = error
            self._hear(getattr(error, "response", None))
        result = self._result(deadline, failure)
        return msgspec.structs.replace(result, duration=self._clock.fair() - start)

    async def _converse(self, client: anthropic.AsyncAnthropic, params: Mapping[str, Any], deadline: Deadline) -> None:
        from anthropic import AsyncStream

        # Through `post` and not `messages.create`: the parameters are complete, and the bytes are read here.
        stream = await client.post(
            _address(client),
            content=_encode({**params, "stream": True}),
            # All options are given: what is left out would be a deep copy of its default, made for every request.
            options={"headers": {**_JSON, **version_headers(params)}, "max_retries": 0, "timeout": client.timeout},
            cast_to=object,
            stream=True,
            stream_cls=AsyncStream[object],
        )
        try:
            await self._listen(stream.response, deadline)
        finally:
            await stream.response.aclose()

    async def _listen(self, response: httpx2.Response, deadline: Deadline) -> None:
        self._hear(response)
        deadline.heard()
        if not self._headers.get("content-type", "").startswith("text/event-stream"):
            self._whole = _json_or_text(await response.aread())
            if _is_message(self._whole):
                self._began()
            return
        is_plain = self._headers.get("content-encoding", "identity") == "identity"
        async for chunk in response.aiter_raw() if is_plain else response.aiter_bytes():
            deadline.heard()
            self._take(chunk, deadline)

    def _hear(self, response: httpx2.Response | None) -> None:
        if response is not None:
            self._headers = plain_headers(response.headers.raw)
            self._heard(self._headers)

    def _take(self, chunk: bytes, deadline: Deadline) -> None:
        reader = self._reader
        if reader.is_complete:
            return
        had_begun = reader.has_begun
        reader.feed(chunk)
        if reader.has_begun and not had_begun:
            self._began()
        if reader.is_complete:
            deadline.shorten(_LINGER_SECONDS)
        now = self._clock.fair()
        if (reader.size or reader.thought) and now - self._reported_at >= PROGRESS_SECONDS:
            self._reported_at = now
            self._report.progress(reader.size, reader.lines, "" if reader.size else "thinking")

    # --- what it amounts to -------------------------------------------------------------------------------------------

    def _result(self, deadline: Deadline, failure: Exception | None) -> SessionResult:
        reader = self._reader
        if reader.is_complete and reader.error is None:  # whatever happened to the connection afterwards
            return self._answered(reader.message())
        if deadline.cause:
            return self._partial(self._too_long(deadline))
        if reader.error is not None:
            cost = None if reader.has_begun else 0.0
            error = reader.error
            return self._partial(
                result_of_error(None, error.type, error.message, self._headers, wall=self._clock.wall(), cost_usd=cost)
            )
        if failure is not None:
            begun = bool(self._headers)
            return self._partial(
                self._broken(str(failure))
                if isinstance(failure, StreamError)
                else result_of_exception(failure, self._access, has_begun=begun, wall=self._clock.wall())
            )
        if self._whole is not None:
            return self._unstreamed(self._whole)
        return self._partial(self._broken("the answer was cut off before its end"))

    def _answered(self, message: Mapping[str, Any]) -> SessionResult:
        return result_of_message(message, self._request, self._price, is_structured=self._is_structured)

    def _unstreamed(self, value: Any) -> SessionResult:
        """Some services answer in one piece, whatever they are asked."""
        if _is_message(value):
            return self._answered(value)
        if (error := error_of(value)).type:
            return result_of_error(None, error.type, error.message, self._headers, wall=self._clock.wall())
        kind = self._headers.get("content-type") or "no type at all"
        return self._broken(f"{self._access.address} answered with {kind} instead of a message: {str(value)[:200]}")

    def _broken(self, why: str) -> SessionResult:
        return result_of_broken_reply(why, self._headers)

    def _too_long(self, deadline: Deadline) -> SessionResult:
        request = self._request
        if deadline.cause == "stale":
            limit = "stale_detection.idle_timeout_seconds"
            text = f"nothing came for {request.idle_timeout_seconds:g} seconds ({limit})"
        else:
            text = f"the answer was not complete after {request.timeout_seconds:g} seconds (backend.timeout_seconds)"
        result = result_of_error(None, "", text, cost_usd=None)
        return msgspec.structs.replace(result, outcome=deadline.cause or "timeout")

    def _partial(self, result: SessionResult) -> SessionResult:
        """`result` with what had arrived until then: text, tokens and, where the service said the last word, cost."""
        reader, request = self._reader, self._request
        if not reader.has_begun:
            return result
        message = reader.message()
        text, usage = text_of(message), usage_of(message["usage"])
        charge = self._price(str(message.get("model")), usage) if reader.is_settled else None
        return msgspec.structs.replace(
            result,
            text=text,
            usage=usage,
            cost_usd=None if charge is None else charge.cost_usd,
            saved_usd=0.0 if charge is None else charge.saved_usd,
            model=str(message.get("model") or ""),
            session_id=str(message.get("id") or ""),
            stdout_tail=last_bytes(printable(text), request.capture_bytes),
        )


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("type") == "message"


def _json_or_text(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return body.decode("utf-8", "replace")
