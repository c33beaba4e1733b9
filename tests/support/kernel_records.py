"""What a driven kernel said, in words of tests: messages, cells with their outputs, traffic, beats of its loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from support.kernel_wire import Content


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the kernel: when it came (monotonic seconds) and its bytes on the wire."""

    at: float
    channel: str
    kind: str
    parent: str
    content: Content
    size: int


@dataclass
class Cell:
    """One execution, and what a front-end would show below it by now."""

    msg_id: str
    code: str
    sent_at: float
    replied_at: float | None = None
    reply: Content = field(default_factory=dict)
    is_idle: bool = False
    outputs: list[Content] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`ok`, `error` or `aborted`; empty while it runs."""
        return str(self.reply.get("status", ""))

    @property
    def seconds(self) -> float:
        """From the request to the reply."""
        assert self.replied_at is not None, f"still running: {self.code}"
        return self.replied_at - self.sent_at

    def shown(self, mime: str = "text/plain") -> list[str]:
        """Every output that has this form, from the top; streams and errors count as plain text."""
        return [text for output in self.outputs if (text := _form(output, mime)) is not None]

    @property
    def text(self) -> str:
        return "".join(self.shown())

    @property
    def html(self) -> str:
        return "".join(self.shown("text/html"))

    def show(self, content: Content, kind: str) -> None:
        """Append an output, or the text of a stream to the stream before it."""
        last = self.outputs[-1] if self.outputs else {}
        if kind == "stream" and last.get("kind") == "stream" and last["name"] == content["name"]:
            last["text"] += content["text"]
        else:
            self.outputs.append({"kind": kind, **content})


def _form(output: Content, mime: str) -> str | None:
    if "data" in output:
        return output["data"].get(mime)
    if mime != "text/plain":
        return None
    return "\n".join(output["traceback"]) if output["kind"] == "error" else output["text"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What came over the channel that browsers listen to, between two moments."""

    messages: int
    size: int
    seconds: float
    kinds: Mapping[str, int]

    @property
    def messages_per_second(self) -> float:
        return self.messages / self.seconds

    @property
    def bytes_per_second(self) -> float:
        return self.size / self.seconds


@dataclass(frozen=True, slots=True)
class Gap:
    """How late one beat of the loop was, and for how much of that the loop's thread used the processor. Seconds."""

    late: float
    cpu: float
