"""A streamed message, read without any I/O: bytes in, one message out.

Events: https://platform.claude.com/docs/en/build-with-claude/streaming. Unknown events, blocks and deltas mean nothing;
usage is cumulative, so the last number that was said counts.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from mozart_nb.backends._anthropic_outcome import ApiError, error_of
from mozart_nb.backends._sse import SseError, SseFramer

_UNNAMED: Final = ApiError("api_error", "the stream ended with an error that says nothing")


class StreamError(ValueError):
    """The bytes are no streamed message."""


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None
    stop_details: dict[str, Any] | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    message: dict[str, Any] | None = None
    content_block: dict[str, Any] | None = None
    delta: _Delta | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(_Event).decode


class MessageReader:
    """Reads one stream.

    `has_begun`: the head of a message has arrived. `is_settled`: the service said how it
    ends and what it used; `is_complete`: and ended it. `error` is what it said instead of the rest. `size` counts bytes
    of text, `lines` its newlines, `thought` characters of thinking.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self.is_settled = False
        self.error: ApiError | None = None
        self.size = 0
        self.lines = 0
        self.thought = 0
        self._framer = SseFramer()
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._texts: list[str] = []
        self._stop_reason: str | None = None
        self._stop_details: dict[str, Any] | None = None

    @property
    def has_begun(self) -> bool:
        """The head of the message has arrived."""
        return bool(self._head)

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes. Raises `StreamError` where they make no sense; what came before stays readable."""
        try:
            for event in self._framer.feed(chunk):
                if event.data and event.name != "ping" and not self.is_complete:
                    self._take(_read(event.data), event.name)
        except (SseError, msgspec.MsgspecError, ValueError) as error:
            raise StreamError(f"the reply cannot be read as a stream of events: {error}") from error

    def message(self) -> dict[str, Any]:
        """The message as far as it has come, in the form of a reply that was not streamed."""
        return {
            **self._head,
            "content": [{"type": "text", "text": "".join(self._texts)}],
            "stop_reason": self._stop_reason,
            "stop_details": self._stop_details,
            "usage": self._usage,
        }

    def _take(self, event: _Event, name: str) -> None:
        kind = event.type or name
        if kind == "content_block_delta" and event.delta is not None:
            self._hear(event.delta.text)
            self.thought += len(event.delta.thinking or "")
        elif kind == "content_block_start" and event.content_block is not None:
            self._hear(event.content_block.get("text"))
        elif kind == "message_start":
            self._head = event.message or {}
            self._count(self._head.get("usage"))
        elif kind == "message_delta":
            self._count(event.usage)
            if event.delta is not None and event.delta.stop_reason:
                self._stop_reason, self._stop_details = event.delta.stop_reason, event.delta.stop_details
                self.is_settled = True
        elif kind == "message_stop":
            self.is_complete = True
        elif kind == "error":
            found = error_of(event.error)
            self.error = found if found.type else _UNNAMED

    def _hear(self, text: Any) -> None:
        if isinstance(text, str) and text:
            self._texts.append(text)
            self.size += len(text) if text.isascii() else len(text.encode(errors="replace"))
            self.lines += text.count("\n")

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._usage.update((name, value) for name, value in usage.items() if value is not None)


def _read(data: bytes) -> _Event:
    try:
        return _decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # Half a surrogate pair is JSON to most, and some services cut answers in the middle of one.
        return msgspec.convert(json.loads(data), _Event)
