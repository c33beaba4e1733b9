"""The plumbing of loopback servers: connections, threads and requests, in bare asyncio.

class Echo(LoopbackServer):
    async def respond(self, request: Incoming, writer: asyncio.StreamWriter) -> bool: ...

with Echo().in_thread() as server:
    ...  # server.url
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import NamedTuple, Self


class Incoming(NamedTuple):
    """One request. `target` is path and query, names of `headers` are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    reader: asyncio.StreamReader
    """Ends when the client goes away."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class LoopbackServer:
    """Serves on 127.0.0.1, on a port of its own choice. `url` is valid while it serves."""

    def __init__(self) -> None:
        self.port = 0
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def respond(self, request: Incoming, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is to be closed."""
        raise NotImplementedError

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[Self]:
        """Serve on the running loop."""
        server = await asyncio.start_server(self._on_connection, "127.0.0.1", port, limit=2**26)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve on a loop in a thread."""
        ready, loop = threading.Event(), asyncio.new_event_loop()
        stop = asyncio.Event()

        async def serve() -> None:
            async with self.serving():
                ready.set()
                await stop.wait()

        def body() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())

        thread = threading.Thread(target=body, name=type(self).__name__)
        thread.start()
        if not ready.wait(10):
            raise TimeoutError("the server did not start")
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self.respond(await _read_request(reader), writer):
                continue
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            self._open.discard(task)
            with suppress(ConnectionError):
                writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Incoming:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Incoming(method, target, headers, body, reader)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)
