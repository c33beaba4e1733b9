"""A loopback server of the Message Batches API: create, list, retrieve, results and cancel as the real one does.

    with BatchesServer(processing_seconds=0.2).in_thread() as server:
        ...  # base_url: server.url
    assert server.sent_twice == []

    cd tests && python -m support.batches_server --processing 2 8      serves until its stdin is closed; prints its URL

What a batch answers is decided by `fate` (by custom id and prompt) and made up when its results are fetched. Tests
queue `Trouble` for the next calls of create: refusals, and connections that break before or after the batch was
accepted.
`GET /_books` says what was counted, so that a test can read it from another process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

from support.loopback_http import Incoming, LoopbackServer

from mozart_nb.engine import remote

if TYPE_CHECKING:
    import pytest

Fate = Literal["succeeded", "errored", "expired", "canceled"]
CUSTOM_ID = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
MOST_REQUESTS, MOST_BYTES = 100_000, 256_000_000
USAGE = {"input_tokens": 100, "output_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
LINES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to the next call of create. `accept`: the batch exists all the same; `cut`: nobody is told."""

    status: int = 500
    kind: str = "api_error"
    accept: bool = False
    cut: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


CUT_AFTER_ACCEPTING = Trouble(accept=True, cut=True)
CUT_BEFORE_ACCEPTING = Trouble(cut=True)


def refusal(status: int, kind: str, **headers: str) -> Trouble:
    """A definite no; `retry_after="7"` becomes the header `retry-after`."""
    return Trouble(status, kind, headers={name.replace("_", "-"): value for name, value in headers.items()})


@dataclass(slots=True)
class RemoteBatch:
    """One remote batch. Times are epoch seconds; `cancelled_at` 0 while nobody cancelled it."""

    id: str
    created_at: float
    ends_at: float
    entries: list[tuple[str, str]]
    cancelled_at: float = 0.0

    @property
    def has_ended(self) -> bool:
        return time.time() >= self.ends_at

    @property
    def status(self) -> str:
        if self.has_ended:
            return "ended"
        return "canceling" if self.cancelled_at else "in_progress"


class BatchesServer(LoopbackServer):
    """Serves on 127.0.0.1, on a port of its own choice.

    `processing_seconds`: how long a batch takes, a number or a range; `fate` decides what becomes of an entry, given
    its custom id and its prompt; `answer` makes up the text. Half of `create_seconds` passes before a batch is accepted
    and half before the client is told. A batch that is cancelled ends after `cancel_seconds`; about half of its entries
    have been processed by then.
    """

    def __init__(
        self,
        *,
        processing_seconds: float | tuple[float, float] = 0.05,
        cancel_seconds: float = 0.02,
        create_seconds: float = 0.0,
        fate: Callable[[str, str], Fate] = lambda custom_id, prompt: "succeeded",
        answer: Callable[[str], str] = lambda prompt: f"answer to: {prompt[:200]}",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.processing_seconds = processing_seconds
        self.cancel_seconds = cancel_seconds
        self.create_seconds = create_seconds
        self.archived_after_seconds = 29 * 86400.0
        self.fate = fate
        self.answer = answer
        self.batches: dict[str, RemoteBatch] = {}
        self.submitted: Counter[str] = Counter()
        self.results_cut: int = 0
        """So many of the next fetches of results break off in the middle."""
        self.trouble: deque[Trouble] = deque()
        self.poll_trouble: deque[Trouble] = deque()
        self.calls: Counter[str] = Counter()
        self.versions: list[str] = []
        """The version of the API that each call of create asked for."""
        self._rng = random.Random(seed)

    @property
    def sent_twice(self) -> list[str]:
        """Custom ids that were accepted more than once."""
        return sorted(name for name, count in self.submitted.items() if count > 1)

    @property
    def books(self) -> dict[str, Any]:
        """What was counted: remote batches, requests, and rows (first lines of prompts) that came in more than one."""
        rows = Counter(prompt.partition("\n")[0] for batch in self.batches.values() for _, prompt in batch.entries)
        return {
            "batches": len(self.batches),
            "sizes": [len(batch.entries) for batch in self.batches.values()],
            "requests": self.submitted.total(),
            "sent_twice": self.sent_twice,
            "rows": len(rows),
            "rows_again": sorted(row for row, count in rows.items() if count > 1),
            "calls": dict(self.calls),
        }

    # --- serving ------------------------------------------------------------------------------------------------------

    async def respond(self, request: Incoming, writer: asyncio.StreamWriter) -> bool:
        """One request; False when the connection is to be closed."""
        method, target, headers, raw, _ = request
        url = urlsplit(target)
        parts = url.path.removeprefix("/v1/messages/batches").strip("/").split("/")
        if url.path == "/_books":
            await _send(writer, 200, self.books)
        elif "x-api-key" not in headers and "authorization" not in headers:
            await _send(writer, 401, _error("authentication_error", "x-api-key header is required"))
        elif url.path.startswith("/v1/models/"):
            await _send(writer, 200, {"type": "model", "id": url.path.rpartition("/")[2]})
        elif not url.path.startswith("/v1/messages/batches"):
            await _send(writer, 404, {"detail": f"no {url.path} here"})  # as a gateway says it
        elif parts == [""]:
            if method == "POST":
                self.versions.append(headers.get("anthropic-version", ""))
                return await self._create(raw, writer)
            await self._list({name: values[0] for name, values in parse_qs(url.query).items()}, writer)
        else:
            return await self._about_one(method, parts, writer)
        return True

    # --- create -------------------------------------------------------------------------------------------------------

    async def _create(self, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        self.calls["create"] += 1
        trouble = self.trouble.popleft() if self.trouble else None
        if trouble is not None and not trouble.accept:
            return await _in_trouble(writer, trouble)
        entries, fault = _read_entries(raw)
        if fault:
            await _send(writer, 400, _error("invalid_request_error", fault))
            return True
        await asyncio.sleep(self.create_seconds / 2)
        batch = self._accept(entries)
        await asyncio.sleep(self.create_seconds / 2)
        if trouble is not None:
            return await _in_trouble(writer, trouble)
        await _send(writer, 200, self._view(batch))
        return True

    def _accept(self, entries: list[tuple[str, str]]) -> RemoteBatch:
        took = self.processing_seconds
        seconds = took if isinstance(took, int | float) else self._rng.uniform(*took)
        now = time.time()
        batch = RemoteBatch(f"msgbatch_{len(self.batches) + 1:06d}", now, now + seconds, entries)
        self.batches[batch.id] = batch
        self.submitted.update(custom_id for custom_id, _ in entries)
        return batch

    # --- everything else ----------------------------------------------------------------------------------------------

    async def _list(self, query: Mapping[str, str], writer: asyncio.StreamWriter) -> None:
        self.calls["list"] += 1
        newest_first = list(self.batches.values())[::-1]
        ids = [batch.id for batch in newest_first]
        limit = int(query.get("limit", "20"))
        begin = 0
        if "after_id" in query:
            begin = ids.index(query["after_id"]) + 1
        if "before_id" in query:
            begin = max(0, ids.index(query["before_id"]) - limit)
        page = newest_first[begin : begin + limit]
        body = {
            "data": [self._view(batch) for batch in page],
            "has_more": begin + limit < len(newest_first),
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }
        await _send(writer, 200, body)

    async def _about_one(self, method: str, parts: Sequence[str], writer: asyncio.StreamWriter) -> bool:
        batch = self.batches.get(parts[0])
        verb = parts[1] if len(parts) > 1 else ""
        self.calls[verb or "retrieve"] += 1
        if not verb and self.poll_trouble:
            return await _in_trouble(writer, self.poll_trouble.popleft())
        if batch is None:
            await _send(writer, 404, _error("not_found_error", f"no batch {parts[0]}"))
        elif verb == "results":
            return await self._results(batch, writer)
        elif verb == "cancel" and method == "POST":
            if not batch.has_ended and not batch.cancelled_at:
                batch.cancelled_at = time.time()
                batch.ends_at = min(batch.ends_at, batch.cancelled_at + self.cancel_seconds)
            await _send(writer, 200, self._view(batch))
        else:
            await _send(writer, 200, self._view(batch))
        return True

    async def _results(self, batch: RemoteBatch, writer: asyncio.StreamWriter) -> bool:
        if not batch.has_ended:
            await _send(writer, 404, _error("not_found_error", "the batch has no results yet"))
            return True
        cut = self.results_cut > 0
        self.results_cut -= cut
        _head(writer, 200, {"content-type": "application/x-jsonl", "transfer-encoding": "chunked"})
        entries = list(batch.entries)
        random.Random(batch.id).shuffle(entries)
        shown = entries[: len(entries) // 2] if cut else entries
        for begin in range(0, len(shown), LINES_AT_ONCE):
            lines = [self._line(batch, *entry) for entry in shown[begin : begin + LINES_AT_ONCE]]
            data = b"".join(lines)
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
        if cut:
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _line(self, batch: RemoteBatch, custom_id: str, prompt: str) -> bytes:
        return json.dumps({"custom_id": custom_id, "result": self._result(batch, custom_id, prompt)}).encode() + b"\n"

    def _result(self, batch: RemoteBatch, custom_id: str, prompt: str) -> dict[str, Any]:
        fate = self._fate(batch, custom_id, prompt)
        if fate == "errored":
            return {"type": "errored", "error": _error("api_error", "Internal server error")}
        if fate != "succeeded":
            return {"type": fate}
        message = {
            "id": f"msg_{custom_id}",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-5",
            "content": [{"type": "text", "text": self.answer(prompt)}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {**USAGE, "service_tier": "batch"},
        }
        return {"type": "succeeded", "message": message}

    def _fate(self, batch: RemoteBatch, custom_id: str, prompt: str) -> Fate:
        """An entry that was not processed yet when its batch was cancelled is canceled."""
        if batch.cancelled_at:
            share = random.Random(custom_id).random()
            if share >= 0.5:
                return "canceled"
        return self.fate(custom_id, prompt)

    def _view(self, batch: RemoteBatch) -> dict[str, Any]:
        ended = batch.has_ended
        gone_at = batch.ends_at + self.archived_after_seconds
        counts = Counter(self._fate(batch, *entry) for entry in batch.entries) if ended else Counter[str]()
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": batch.status,
            "request_counts": {
                "processing": 0 if ended else len(batch.entries),
                **{name: counts[name] for name in ("succeeded", "errored", "canceled", "expired")},
            },
            "created_at": _stamp(batch.created_at),
            "expires_at": _stamp(batch.created_at + 86400),
            "ended_at": _stamp(batch.ends_at) if ended else None,
            "archived_at": _stamp(gone_at) if time.time() > gone_at else None,
            "cancel_initiated_at": _stamp(batch.cancelled_at) if batch.cancelled_at else None,
            "results_url": f"{self.url}/v1/messages/batches/{batch.id}/results" if ended else None,
        }


# --- requests and replies ---------------------------------------------------------------------------------------------


def _read_entries(raw: bytes) -> tuple[list[tuple[str, str]], str]:
    """Custom id and last words of the user, for every request; and what is wrong with them."""
    requests = json.loads(raw)["requests"]
    entries = [(request["custom_id"], _prompt(request["params"])) for request in requests]
    if not 1 <= len(entries) <= MOST_REQUESTS or len(raw) > MOST_BYTES:
        return [], f"{len(entries)} requests of {len(raw)} bytes"
    for custom_id, _ in entries:
        if not CUSTOM_ID.match(custom_id):
            return [], f"custom_id: {custom_id!r}"
    if len({custom_id for custom_id, _ in entries}) < len(entries):
        return [], "custom_id: not unique"
    return entries, ""


def _prompt(params: Mapping[str, Any]) -> str:
    """Everything the user said in the conversation."""
    return "\n".join(_words(turn["content"]) for turn in params["messages"] if turn["role"] == "user")


def _words(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_test"}


async def _in_trouble(writer: asyncio.StreamWriter, trouble: Trouble) -> bool:
    if not trouble.cut:
        await _send(writer, trouble.status, _error(trouble.kind, "scripted trouble"), trouble.headers)
    return not trouble.cut


def _head(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} .\r\n{lines}\r\n".encode())


async def _send(writer: asyncio.StreamWriter, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
    data = json.dumps(body).encode()
    _head(writer, status, {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})})
    writer.write(data)
    await writer.drain()


# --- as a program -----------------------------------------------------------------------------------------------------


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of this process hand in their requests, and ask for results, after tenths of a second."""
    monkeypatch.setattr(remote, "Timing", partial(remote.Timing, linger=0.1, first_poll=0.1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processing", type=float, nargs=2, default=(0.5, 2.0), metavar="SECONDS")
    parser.add_argument("--create", type=float, default=0.0, help="seconds that one call of create takes")
    parser.add_argument("--expired", type=float, default=0.0, help="share that expires at the first attempt")
    parser.add_argument("--errored", type=float, default=0.0, help="share that fails at the first attempt")
    asked = parser.parse_args()

    def fate(custom_id: str, prompt: str) -> Fate:
        draw = random.Random(custom_id).random()
        if not custom_id.endswith("-1"):
            return "succeeded"
        return "expired" if draw < asked.expired else "errored" if draw < asked.expired + asked.errored else "succeeded"

    async def serve() -> None:
        server = BatchesServer(processing_seconds=tuple(asked.processing), create_seconds=asked.create, fate=fate)
        async with server.serving():
            print(server.url, flush=True)
            await asyncio.to_thread(sys.stdin.read)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
