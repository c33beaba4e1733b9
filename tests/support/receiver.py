"""A receiver of notifications on 127.0.0.1 that fails, hangs and recovers as it is told.

with Receiver().in_thread() as receiver:
    receiver.answers(status(500), HANGS, status(429, retry_after=1))     # then 200 for ever
    ...
    receiver.got          # what came, in order, whatever it was answered
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from support.loopback_http import Incoming, LoopbackServer


class Reply(NamedTuple):
    """What a request is answered: a status, or nothing at all (0), or the end of the connection (-1)."""

    status: int
    headers: Mapping[str, str] = {}
    body: str = ""


HANGS = Reply(0)
HANGS_UP = Reply(-1)


def status(code: int, *, retry_after: float | None = None, location: str = "", body: str = "") -> Reply:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Reply(code, {**headers, "Location": location} if location else headers, body)


class Got(NamedTuple):
    """One request that came in."""

    path: str
    headers: Mapping[str, str]
    document: dict[str, Any]
    answered: int

    @property
    def id(self) -> str:
        return self.headers["idempotency-key"]

    @property
    def event(self) -> str:
        return str(self.document["event_type"])


class Receiver(LoopbackServer):
    """Answers 200 unless told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Got] = []
        self._replies: deque[Reply] = deque()
        self.otherwise = status(200, body="ok")
        self._came = threading.Condition()

    def answers(self, *replies: Reply) -> None:
        """Answer the next requests like this, in turn."""
        self._replies.extend(replies)

    @property
    def accepted(self) -> list[Got]:
        return [one for one in self.got if one.answered == 200]

    def wait_for(self, count: int, seconds: float = 15) -> list[Got]:
        """The first `count` accepted messages, once they are there."""
        with self._came:
            if not self._came.wait_for(lambda: len(self.accepted) >= count, seconds):
                raise TimeoutError(f"{len(self.accepted)} of {count} messages came")
        return self.accepted

    async def respond(self, request: Incoming, writer: asyncio.StreamWriter) -> bool:
        reply = self._replies.popleft() if self._replies else self.otherwise
        with self._came:
            self.got.append(Got(request.path, request.headers, json.loads(request.body), reply.status))
            self._came.notify_all()
        if reply == HANGS:
            await request.reader.read()  # until the client goes away
            return False
        if reply == HANGS_UP:
            return False
        head = [f"HTTP/1.1 {reply.status} -", f"Content-Length: {len(reply.body.encode())}"]
        head += [f"{name}: {value}" for name, value in reply.headers.items()]
        writer.write("\r\n".join([*head, "", reply.body]).encode())
        await writer.drain()
        return True
