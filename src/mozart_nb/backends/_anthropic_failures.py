"""From what went wrong on the way to the Messages API to one `SessionResult`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any, Final

from mozart_nb.backends._anthropic_client import Access
from mozart_nb.backends._anthropic_headers import Headers, plain_headers
from mozart_nb.backends._anthropic_outcome import api_error, result_of_error
from mozart_nb.backends._text import clip, printable
from mozart_nb.engine.ports import SessionResult

NO_ENDPOINT: Final = "no_such_endpoint"
"""Word for an address that is not the API's: `engine.classify` takes it for a mistake in the job file."""

_SNIPPET: Final = 300
_TAG: Final = re.compile(r"<(script|style)\b(?:(?!<(?:script|style)\b).)*?</\1>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def result_of_exception(error: Exception, access: Access, *, has_begun: bool, wall: float) -> SessionResult:
    """What an exception of the SDK, of its transport or of our reader means.

    `has_begun`: something of the answer had arrived. What it cost is unknown, unless nothing can have been answered.
    """
    if (response := getattr(error, "response", None)) is not None and hasattr(error, "status_code"):
        headers = plain_headers(response.headers.raw)
        result = result_of_refusal(response.status_code, response.content, headers, access.address, wall=wall)
    elif is_network_error(error):
        result = _unreachable(error, access, has_begun)
    else:
        text = f"{type(error).__name__}: {error}"
        result = result_of_error(None, "", text, exception=type(error).__name__, cost_usd=None if has_begun else 0.0)
    return result


def result_of_refusal(status: int, body: bytes, headers: Headers, address: str, *, wall: float) -> SessionResult:
    """What a reply with an error status means, whoever sent it: the API, a gateway or a proxy."""
    found = api_error(body)
    if found.type:
        return result_of_error(status, found.type, found.message, headers, wall=wall)
    words = clip(" ".join(printable(_TAG.sub(" ", body[:20_000].decode("utf-8", "replace"))).split()), _SNIPPET)
    if status == 404:
        text = f"{address} does not answer like the Messages API; check backend.base_url. It said: {words}"
        return result_of_error(status, NO_ENDPOINT, text, headers, wall=wall)
    return result_of_error(status, "", words or "the reply is empty", headers, wall=wall)


def result_of_broken_reply(why: str, headers: Headers) -> SessionResult:
    """A reply that ended too early or makes no sense. What it cost is unknown."""
    return result_of_error(None, "", why, headers, exception="RemoteProtocolError", cost_usd=None)


def is_network_error(error: BaseException) -> bool:
    """Whether the connection is to blame, however deep that is buried."""
    import aiohttp
    import httpx2

    kinds = (OSError, httpx2.TransportError, aiohttp.ClientError, asyncio.TimeoutError)
    return any(isinstance(one, kinds) and not isinstance(one, aiohttp.InvalidURL) for one in _chain(error))


def _unreachable(error: Exception, access: Access, has_begun: bool) -> SessionResult:
    import aiohttp

    chain = list(_chain(error))
    never_sent = any(isinstance(one, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) for one in chain)
    timed_out = any(isinstance(one, TimeoutError) or "Timeout" in type(one).__name__ for one in chain)
    what = "cannot be reached" if never_sent else "broke the connection off" if has_begun else "did not answer"
    return result_of_error(
        None,
        "",
        f"{access.address} {what}: {_words(chain)}",
        exception="TimeoutError" if timed_out else "ConnectionError",
        cost_usd=0.0 if never_sent else None,
    )


def _words(chain: list[BaseException]) -> str:
    """The innermost exception that says anything: the outer ones repeat it or speak of nothing."""
    said: Any = next((one for one in reversed(chain) if str(one)), chain[-1])
    return f"{type(said).__name__}: {said}" if str(said) else type(said).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
