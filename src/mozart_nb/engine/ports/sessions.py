"""Sessions: what a backend is asked for, what it tells meanwhile, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol, runtime_checkable

import msgspec

from mozart_nb.events import Mode, Outcome, Usage

NOT_PERMITTED: Final = "was not permitted"
"""What the warning about a tool that a session was not allowed to use says behind the tool's name."""


class ExpectedFile(msgspec.Struct, frozen=True):
    """A file that a rule of this batch names; the rehearsal backend writes it. `path` is absolute."""

    type: str
    path: str
    pattern: str = ""


class Script(msgspec.Struct, frozen=True):
    """What a rehearsed session shall do, already rendered for its batch: answer and files to write (absolute path)."""

    answer: str
    writes: Mapping[str, str]
    root: str = ""
    """When set, nothing outside this folder may be written."""


class Turn(msgspec.Struct, frozen=True):
    """One message of a conversation that a completion attempt goes on with."""

    role: Literal["user", "assistant"]
    text: str


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a backend needs to run one attempt.

    `session_id` is chosen by us; with `continues` it names the session to go on with. `marker` goes into the
    environment of every process of the session. `log` is an absolute path without suffix: the raw output goes to
    `<log>.out` and `<log>.err`, the prompt to `<log>.prompt`. Times in seconds; `idle_timeout_seconds` 0 means off.
    `options` is the config's `backend` section with the batch's overrides applied.

    `earlier` are the messages before `prompt`, for a backend that continues by messages. `attachments` are absolute
    paths of files that belong to the first message. `answer_schema` is the JSON Schema of the whole answer, None for
    free text. The first `shared_prefix` characters of the first message are the same in every batch (0: not worth a
    prompt cache). `prompt_tokens` is an estimate of everything that is sent.
    """

    job_id: str
    batch: int
    attempt: int
    mode: Mode
    prompt: str
    session_id: str
    marker: str
    log: str
    working_directory: str
    workspace: str
    timeout_seconds: float
    continues: bool = False
    idle_timeout_seconds: float = 0.0
    kill_grace_seconds: float = 5.0
    capture_bytes: int = 10240
    seed: int = 0
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    expects: Sequence[ExpectedFile] = ()
    script: Script | None = None
    earlier: Sequence[Turn] = ()
    attachments: Sequence[str] = ()
    answer_schema: Mapping[str, Any] | None = None
    shared_prefix: int = 0
    prompt_tokens: int = 0


class SessionResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to a session: facts only; `classify` turns them into a code.

    `outcome` is `ok` only when the backend has positive proof of success. `text` is the answer; `error_text` holds
    error messages and never the body of an answer. `data` is the answer as JSON data where the service gave it so.
    `cost_usd` None means unknown; `saved_usd` is what the prompt cache saved, negative where it cost. `retry_after`
    (seconds) and `reset_at` (epoch seconds) are what a server named. `has_result`: the program said how it ended.
    `lost_session`: the session to continue does not exist any more, nothing was sent. `address` and `credential` say in
    words that may be shown where a failed session was sent and as whom; `classify` names them where they matter.
    """

    outcome: Outcome
    text: str = ""
    data: Any = None
    exit_code: int | None = None
    signal: int = 0
    api_status: int | None = None
    error_kind: str = ""
    subtype: str = ""
    terminal_reason: str = ""
    stop_reason: str = ""
    error_text: str = ""
    exception: str = ""
    retry_after: float | None = None
    reset_at: float | None = None
    has_result: bool = False
    lost_session: bool = False
    usage: Usage = Usage()
    cost_usd: float | None = None
    saved_usd: float = 0.0
    model: str = ""
    turns: int = 0
    session_id: str = ""
    warnings: tuple[str, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""
    duration: float = 0.0
    address: str = ""
    credential: str = ""


class Health(msgspec.Struct, frozen=True):
    """Whether a backend can work at all. `code` says what is wrong when it cannot; `facts` are for people."""

    ok: bool
    code: str = ""
    message: str = ""
    facts: Mapping[str, str] = msgspec.field(default_factory=dict)


class Report(Protocol):
    """How a running session tells the engine about itself.

    `detaching` is set before a cancellation that must leave the session running: its host goes away and somebody else
    will reattach. Only backends with `outlives_host` look at it.
    """

    detaching: bool

    async def opened(self, session_id: str) -> None:
        """The session is about to start; returns once that is durable. Called before anything is spawned or sent."""

    def progress(self, bytes_received: int, lines_received: int, note: str = "") -> None:
        """The session printed something; totals so far."""


Continuation = Literal["", "session", "messages"]


class Backend(Protocol):
    """Runs one Claude session per call. Stateless between calls: concurrent calls never share output."""

    name: str
    family: str
    """Whose answers these are. Answers of one family may stand for each other and are kept by content; empty: never."""
    continues_by: Continuation
    """How a completion attempt goes on with the conversation: the backend keeps the `session`, or is sent the earlier
    `messages` again; empty: it cannot."""
    outlives_host: bool
    """Sessions survive the death of their host and can be picked up again through `reattach`."""
    is_free: bool
    """Sessions cost nothing, so that one that never said what it cost is known to have cost nothing."""

    async def run(self, request: SessionRequest, report: Report) -> SessionResult:
        """Run `request` to its end and return what happened; never raises for a failed session.

        On cancellation the session and all of its child processes are gone before `CancelledError` leaves this method
        (bounded by `request.kill_grace_seconds`), unless `report.detaching` is set and the session outlives its host.
        """

    async def check(self) -> Health:
        """Whether sessions can be started, found out free of charge."""

    async def close(self) -> None:
        """Let go of connections, once no session runs here any more."""


@runtime_checkable
class Reattaches(Protocol):
    """A backend whose sessions outlive their host."""

    async def reattach(self, request: SessionRequest, report: Report) -> SessionResult | None:
        """Find the session of `request.marker` again: follow it if it runs, read it if it has finished.

        None when it is gone without a result. `request.prompt` is empty. There is no exit code to be had: the
        session's own result line decides. Cancellation as in `Backend.run`.
        """


class Stray(msgspec.Struct, frozen=True):
    """A session that goes on: the ids of its processes, what they are known by, and the file its program writes to."""

    pids: tuple[int, ...]
    marker: str = ""
    session_id: str = ""
    log: str = ""


class Strays(Protocol):
    """Finds and ends sessions of one job that it has lost sight of. Everything blocks for some milliseconds."""

    def all(self) -> Sequence[Stray]:
        """Every session of the job whose program runs, whoever follows it."""

    def left_of(self, session_id: str) -> Stray | None:
        """The tools that still run of the session with this id; None when there are none."""

    def end(self, stray: Stray) -> bool:
        """End it and its tools; True when nothing is left. Blocks for some seconds at most."""
