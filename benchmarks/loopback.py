"""A fast loopback server of the Messages API, so that what is measured is the client.

    python benchmarks/loopback.py --latency-ms 50        prints its address, serves until it is ended

    POST /v1/messages               an answer after the latency; server-sent events when the body says `"stream": true`
    GET  /v1/models/…               one model
    GET  /stats, POST /reset        what was counted: requests, most in flight at once, CPU seconds

Bare asyncio protocols and answers that were encoded beforehand: about 0.1 ms of CPU per request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEXT = "One sentence about it."
USAGE = {"input_tokens": 12, "output_tokens": 6, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
MODEL = "claude-sonnet-5"

LIMITS = "".join(
    f"anthropic-ratelimit-{kind}-{what}: 400000000\r\n"
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
    for what in ("limit", "remaining")
)


def _message(number: int) -> dict[str, Any]:
    return {
        "id": f"msg_{number:08}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def _stream(number: int) -> tuple[bytes, bytes]:
    """What comes at once, and what comes after the latency."""
    begun = {**_message(number), "content": [], "stop_reason": None}
    first = _event("message_start", message=begun)
    rest = [
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(
            _event("content_block_delta", index=0, delta={"type": "text_delta", "text": TEXT[at : at + 12]})
            for at in range(0, len(TEXT), 12)
        ),
        _event("content_block_stop", index=0),
        _event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=USAGE),
        _event("message_stop"),
    ]
    return first, b"".join(rest)


FIRST, REST = _stream(1)


class Counters:
    """What happened since the last reset."""

    def __init__(self) -> None:
        self.requests = self.in_flight = self.most = 0
        self.cpu = time.process_time()

    def view(self) -> dict[str, float]:
        cpu = round(time.process_time() - self.cpu, 3)
        return {"requests": self.requests, "most_in_flight": self.most, "cpu_seconds": cpu}


COUNTERS = Counters()


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, as clients that keep connections alive send them."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + size])
            del self._buffer[: end + 4 + size]
            self._answer(head.split(b" ", 2)[1], body)

    def _answer(self, path: bytes, body: bytes) -> None:
        if path.startswith(b"/v1/messages"):
            COUNTERS.requests += 1
            COUNTERS.in_flight += 1
            COUNTERS.most = max(COUNTERS.most, COUNTERS.in_flight)
            if b'"stream":true' in body or b'"stream": true' in body:
                self._chunk(FIRST, head=True)
                asyncio.get_running_loop().call_later(self._latency, self._finish_stream)
            else:
                asyncio.get_running_loop().call_later(self._latency, self._finish, _message(COUNTERS.requests))
        elif path == b"/stats":
            self._json(COUNTERS.view())
        elif path == b"/reset":
            COUNTERS.__init__()  # type: ignore[misc]  # everything starts anew
            self._json({})
        else:
            self._json({"id": MODEL, "type": "model", "display_name": MODEL, "created_at": "2026-01-01T00:00:00Z"})

    def _finish(self, message: dict[str, Any]) -> None:
        COUNTERS.in_flight -= 1
        self._json(message)

    def _finish_stream(self) -> None:
        COUNTERS.in_flight -= 1
        self._chunk(REST, last=True)

    def _json(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{LIMITS}\r\n"
        self._write(head.encode() + body)

    def _chunk(self, data: bytes, *, head: bool = False, last: bool = False) -> None:
        begun = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{LIMITS}\r\n"
        chunk = b"%x\r\n%b\r\n" % (len(data), data)
        self._write((begun.encode() if head else b"") + chunk + (b"0\r\n\r\n" if last else b""))

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


async def serve(latency: float, port: int) -> None:
    """Serve until cancelled; the first line of output is the address."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(latency), "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def running(latency_ms: float = 50) -> Iterator[str]:
    """The server in a process of its own; yields its address."""
    command = [sys.executable, str(Path(__file__).resolve()), "--latency-ms", str(latency_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def ask(url: str, path: str, *, post: bool = False) -> Any:
    """One of the server's own pages."""
    with urllib.request.urlopen(urllib.request.Request(url + path, method="POST" if post else "GET")) as reply:
        return json.load(reply)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.latency_ms / 1000, given.port))
