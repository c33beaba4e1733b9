"""A job's events as they happen, as server-sent events: the same bytes for everybody who listens.

Messages without a name are events of the journal, their number as `id`. `status` is the job as it stands (the status
document, and which batches have changed); `reset` says that a new journal began, `reload` that more happened than was
kept for this client, `gone` that the job is no longer there. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from tornado.iostream import StreamClosedError

from mozart_nb.jupyter.server.api import queries
from mozart_nb.jupyter.server.api.operation import Ask, OperationHandler
from mozart_nb.looking.board import News

MEDIA_TYPE: Final = "text/event-stream"

HEARTBEAT_SECONDS: Final = 15.0
"""Proxies end what is silent for longer, usually after a minute."""

LONGEST_SECONDS: Final = 3600.0
"""Then the client comes back by itself, and it is looked again who it is."""

PATIENCE_SECONDS: Final = 30.0
"""How long a client may take to read what it was sent."""

MOST_STREAMS: Final = 200
"""Open at once, for all jobs together."""

_open: set[OperationHandler] = set()


async def stream(handler: OperationHandler, ask: Ask[queries.EventsQuery, None]) -> None:
    """Answer with news until the client goes, the job is gone, or an hour is over."""
    if handler.request.method == "HEAD":
        await handler.in_thread(ask.board.version, ask.key)
        _head(handler)
        await handler.finish_stream()
        return
    if len(_open) >= MOST_STREAMS:
        handler.refuse(503, "Too many clients listen already.", hint="Ask for pages of events instead.")
    await handler.in_thread(ask.board.version, ask.key)  # an error is answered before the stream begins
    since = _since(handler, ask.query)
    _open.add(handler)
    try:
        async with contextlib.aclosing(ask.board.subscribe(ask.key, since=since, record=ask.query.record)) as news:
            _head(handler)
            handler.write(b"retry: 2000\n\n")
            await _send_all(handler, news)
    except (StreamClosedError, TimeoutError):
        return  # the client has gone, or does not read
    finally:
        _open.discard(handler)
    with contextlib.suppress(StreamClosedError):
        await handler.finish_stream()


def _head(handler: OperationHandler) -> None:
    handler.set_header("Content-Type", MEDIA_TYPE)
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Vary", "Accept")
    handler.set_header("X-Accel-Buffering", "no")  # nginx: https://nginx.org/en/docs/http/ngx_http_proxy_module.html


def _since(handler: OperationHandler, query: queries.EventsQuery) -> int | None:
    """Where to go on: what the browser saw last outranks what the address says, which it repeats."""
    last = handler.request.headers.get("Last-Event-ID", "")
    if re.fullmatch(r"\d{1,16}", last, re.ASCII):
        return int(last)
    return query.since if query.since is not msgspec.UNSET else None


async def _send_all(handler: OperationHandler, news: AsyncIterator[News]) -> None:
    until = time.monotonic() + LONGEST_SECONDS
    coming: asyncio.Future[News | None] = asyncio.ensure_future(anext(news, None))
    try:
        while time.monotonic() < until:
            awaited: set[asyncio.Future[Any]] = {coming, handler.client_gone}
            await asyncio.wait(awaited, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if handler.client_gone.done():
                return
            if not coming.done():
                await _send(handler, b": still here\n\n")
                continue
            found = coming.result()
            if found is None:
                return
            await _send(handler, found.encoded)
            coming = asyncio.ensure_future(anext(news, None))
    finally:
        coming.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await coming


async def _send(handler: OperationHandler, encoded: bytes) -> None:
    handler.write(encoded)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await handler.flush()
