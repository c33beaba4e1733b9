"""A loopback server of the Messages API whose answers a test scripts in Python.

    def handler(call: Call) -> Reply:
        if call.tool_results:
            return text("all written")
        return use("Write", file_path="/tmp/a.md", content="x")

    with AnthropicServer(handler).in_thread() as server:
        ...  # ANTHROPIC_BASE_URL=server.url

The handler sees one request at a time and may be a coroutine function. `server.calls` remembers what came in; nothing
of the bodies is kept but what identifies them.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from support.loopback_http import Incoming, LoopbackServer

Handler = Callable[["Call"], "Reply | Awaitable[Reply]"]

USAGE = {"input_tokens": 1200, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 300, "output_tokens": 25}


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send back. `status` 200 carries `blocks`, any other an error of kind `kind` with `message`.

    `delay` seconds pass before anything is sent; `hang` sends nothing at all, for as long as the client stays. `usage`
    is what the answer says it used, `USAGE` by default. Streamed texts come in `pieces`, `pause` seconds after each.
    `ending` says what happens to a stream instead of its end: `cut` (the connection is closed), `reset`, `silent`
    (nothing more, for as long as the client stays), `malformed`, or `error` (an event with `kind` and `message`). `raw`
    is sent as it is, as `content_type`, with any status.
    """

    blocks: Sequence[dict[str, Any]] = ()
    status: int = 200
    kind: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    stop_reason: str = ""
    delay: float = 0.0
    hang: bool = False
    usage: Mapping[str, Any] = field(default_factory=lambda: dict(USAGE))
    pieces: int = 1
    pause: float = 0.0
    ending: Literal["", "cut", "reset", "silent", "malformed", "error"] = ""
    raw: str | None = None
    content_type: str = "application/json"


def text(words: str, **options: Any) -> Reply:
    """An answer in words."""
    return Reply(({"type": "text", "text": words},), **options)


_tool_numbers = itertools.count(1)


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    """One use of a tool, for `uses`."""
    return {"type": "tool_use", "id": f"toolu_{next(_tool_numbers):06d}", "name": name, "input": arguments}


def use(name: str, **arguments: Any) -> Reply:
    """Ask for one tool."""
    return uses(tool(name, **arguments))


def uses(*tools: dict[str, Any], words: str = "") -> Reply:
    """Ask for several tools in one answer."""
    said = ({"type": "text", "text": words},) if words else ()
    return Reply((*said, *tools), stop_reason="tool_use")


def refuse(status: int, message: str = "refused", **headers: str) -> Reply:
    """An error; `retry_after="7"` becomes the header `retry-after`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, kind=_KINDS.get(status, "invalid_request_error"), message=message, headers=named)


_KINDS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}

HANG = Reply(hang=True)


@dataclass(frozen=True, slots=True)
class Call:
    """One request of `/v1/messages`. `turn` counts the requests of its session from 1, `number` all of them."""

    body: dict[str, Any]
    headers: dict[str, str]
    session_id: str
    turn: int
    number: int

    @property
    def prompts(self) -> list[str]:
        """What the user said, in order, without what the program adds."""
        said = [_user_text(message) for message in self.body.get("messages", []) if message.get("role") == "user"]
        return [words for texts in said for words in texts if not words.lstrip().startswith("<system-reminder>")]

    @property
    def prompt(self) -> str:
        """The last thing the user said."""
        return self.prompts[-1] if self.prompts else ""

    @property
    def tool_results(self) -> list[dict[str, Any]]:
        """Results of the tools asked for in the answer before; empty when the user has just spoken."""
        messages = self.body.get("messages") or [{}]
        content = messages[-1].get("content")
        blocks = content if isinstance(content, list) else []
        return [block for block in blocks if block.get("type") == "tool_result"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of a call."""

    session_id: str
    turn: int
    prompt: str
    model: str
    status: int


def model_described(name: str) -> Reply:
    """What the API says about a model that is there."""
    return Reply(raw=json.dumps({"id": name, "type": "model", "display_name": name, "lifecycle": "active"}))


class AnthropicServer(LoopbackServer):
    """Answers on 127.0.0.1, on a port of its own choice. `url` is valid while it serves.

    `describe` answers for `/v1/models/NAME`; `asked` has the header of each of those requests.
    """

    def __init__(self, handler: Handler | None = None) -> None:
        super().__init__()
        self.handler: Handler = handler or (lambda call: text(f"answer to: {call.prompt[:200]}"))
        self.describe: Callable[[str], Reply] = model_described
        self.asked: list[Mapping[str, str]] = []
        self.calls: list[Seen] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._turns: Counter[str] = Counter()

    @property
    def sessions(self) -> dict[str, int]:
        """Requests per session, in the order in which the sessions first called."""
        return dict(self._turns)

    # --- one request --------------------------------------------------------------------------------------------------

    async def respond(self, request: Incoming, writer: asyncio.StreamWriter) -> bool:
        """One request; every connection is closed after it."""
        method, path, headers, raw, reader = request.method, request.path, request.headers, request.body, request.reader
        wire = _Wire(writer, reader, with_body=method != "HEAD")
        if method == "HEAD":
            await wire.send(200, b"")
        elif path == "/v1/messages/count_tokens":
            await wire.send(200, {"input_tokens": len(raw) // 4})
        elif method == "GET" and path.startswith("/v1/models/"):
            self.asked.append(headers)
            reply = self.describe(path.removeprefix("/v1/models/"))
            if reply.hang:
                await reader.read()
                return False
            await wire.reply(reply, {})
        elif method == "POST" and path == "/v1/messages":
            await self._converse(json.loads(raw), headers, wire, reader)
        else:
            await wire.send(404, {"type": "error", "error": {"type": "not_found_error", "message": f"no {path} here"}})
        return False

    async def _converse(
        self, body: dict[str, Any], headers: Mapping[str, str], wire: _Wire, reader: asyncio.StreamReader
    ) -> None:
        session_id = _session_of(body, headers)
        self._turns[session_id] += 1
        call = Call(body, headers, session_id, self._turns[session_id], len(self.calls) + 1)
        index = len(self.calls)
        self.calls.append(Seen(session_id, call.turn, call.prompt, body.get("model", ""), 0))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = self.handler(call)
            if inspect.isawaitable(reply):
                reply = await reply
            if reply.hang:
                await reader.read()  # until the client goes away
                return
            await asyncio.sleep(reply.delay)
            await wire.reply(reply, body)
            self.calls[index] = Seen(session_id, call.turn, call.prompt, body.get("model", ""), reply.status)
        finally:
            self.in_flight -= 1


def _session_of(body: dict[str, Any], headers: dict[str, str]) -> str:
    if named := headers.get("x-claude-code-session-id"):
        return named
    user = (body.get("metadata") or {}).get("user_id", "")
    return user.rpartition("session_")[2] or user


def _user_text(message: dict[str, Any]) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [block.get("text", "") for block in content or [] if block.get("type") == "text"]


class _Wire:
    """Writes one response."""

    def __init__(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader, *, with_body: bool) -> None:
        self._writer = writer
        self._reader = reader
        self._with_body = with_body

    async def send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self._head(status, {"content-length": str(len(data)), **(headers or {})}, "application/json")
        if self._with_body:
            self._writer.write(data)
        await self._writer.drain()

    async def reply(self, reply: Reply, body: dict[str, Any]) -> None:
        if reply.raw is not None:
            data = reply.raw.encode()
            size = {"content-length": str(len(data))}
            await self._head(reply.status, {**size, **reply.headers}, reply.content_type)
            self._writer.write(data)
            await self._writer.drain()
        elif reply.status != 200:
            error = {"type": reply.kind, "message": reply.message}
            await self.send(reply.status, {"type": "error", "error": error}, reply.headers)
        elif body.get("stream"):
            await self._stream(_message(reply, body), reply)
        else:
            await self.send(200, _message(reply, body), reply.headers)

    async def _stream(self, message: dict[str, Any], reply: Reply) -> None:
        await self._head(200, reply.headers, "text/event-stream; charset=utf-8")
        usage = {**message["usage"], "output_tokens": 1}
        await self._event("message_start", message={**message, "content": [], "stop_reason": None, "usage": usage})
        await self._event("ping")
        for index, block in enumerate(message["content"]):
            await self._block(index, block, reply)
        if reply.ending:
            await self._end_badly(reply)
            return
        stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        await self._event("message_delta", delta=stop, usage=message["usage"])
        await self._event("message_stop")

    async def _end_badly(self, reply: Reply) -> None:
        match reply.ending:
            case "reset":
                await asyncio.sleep(0.02)  # what was written is on its way
                self._writer.transport.abort()
            case "silent":
                await self._reader.read()  # until the client goes away
            case "malformed":
                self._writer.write(b'event: content_block_delta\ndata: {"type": "content_block_delta", "del\n\n')
                await self._writer.drain()
            case "error":
                await self._event("error", error={"type": reply.kind, "message": reply.message})

    async def _block(self, index: int, block: dict[str, Any], reply: Reply) -> None:
        if block["type"] == "text":
            size = -(-len(block["text"]) // reply.pieces) or 1
            parts = [block["text"][at : at + size] for at in range(0, len(block["text"]), size)]
            start, deltas = {**block, "text": ""}, [{"type": "text_delta", "text": part} for part in parts]
        elif block["type"] == "thinking":
            start, deltas = {**block, "thinking": ""}, [{"type": "thinking_delta", "thinking": block["thinking"]}]
        else:
            start = {**block, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        await self._event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            await self._event("content_block_delta", index=index, delta=delta)
            if reply.pause:
                await asyncio.sleep(reply.pause)
        await self._event("content_block_stop", index=index)

    async def _event(self, kind: str, **data: Any) -> None:
        self._writer.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode())
        await self._writer.drain()

    async def _head(self, status: int, headers: dict[str, str], content_type: str) -> None:
        lines = {"content-type": content_type, "connection": "close", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._writer.write(f"HTTP/1.1 {status} .\r\n{head}\r\n".encode())
        await self._writer.drain()


def _message(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"msg_{next(_tool_numbers):06d}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "claude-test"),
        "content": list(reply.blocks),
        "stop_reason": reply.stop_reason or "end_turn",
        "stop_sequence": None,
        "usage": dict(reply.usage),
    }
