"""What the engine needs from the world, written from the caller's point of view.

Requests and results are frozen plain data, so that a backend may live on another machine. "Off" is a Null object of
the same protocol, never an `if x is not None`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import msgspec

from mozart_nb.events import Answer, Event, Mode, Outcome, RuleResult, Usage

if TYPE_CHECKING:
    from mozart_nb.engine.state import JobState

# --- sessions ---------------------------------------------------------------------------------------------------------


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


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a backend needs to run one attempt.

    `session_id` is chosen by us; with `continues` it names the session to go on with. `marker` goes into the
    environment of every process of the session. `log` is an absolute path without suffix: the raw output goes to
    `<log>.out` and `<log>.err`, the prompt to `<log>.prompt`. Times in seconds; `idle_timeout_seconds` 0 means off.
    `options` is the config's `backend` section with the batch's overrides applied.
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


class SessionResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to a session: facts only; `classify` turns them into a code.

    `outcome` is `ok` only when the backend has positive proof of success. `text` is the answer; `error_text` holds
    error messages and never the body of an answer. `cost_usd` None means unknown. `retry_after` (seconds) and
    `reset_at` (epoch seconds) are what a server named. `has_result`: the program said how it ended.
    `lost_session`: the session to continue does not exist any more, nothing was sent.
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
    model: str = ""
    turns: int = 0
    session_id: str = ""
    warnings: tuple[str, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""
    duration: float = 0.0


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


class Backend(Protocol):
    """Runs one Claude session per call. Stateless between calls: concurrent calls never share output."""

    name: str
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


@runtime_checkable
class Reattaches(Protocol):
    """A backend whose sessions outlive their host."""

    async def reattach(self, request: SessionRequest, report: Report) -> SessionResult | None:
        """Find the session of `request.marker` again: follow it if it runs, read it if it has finished.

        None when it is gone without a result. `request.prompt` is empty. There is no exit code to be had: the
        session's own result line decides. Cancellation as in `Backend.run`.
        """


# --- checking what came out -------------------------------------------------------------------------------------------


class Checker(Protocol):
    """Checks what a batch produced against the rules of the job. `values` are the batch's template variables."""

    async def signatures(self, values: Mapping[str, Any]) -> dict[str, str]:
        """A signature per file that a rule names ("" if it does not exist), keyed by the expanded path."""

    async def check(
        self,
        values: Mapping[str, Any],
        *,
        answer: str,
        baseline: Mapping[str, str],
        before: Mapping[str, str],
    ) -> tuple[RuleResult, ...]:
        """Results in rule order, rules whose `condition` does not hold left out.

        `baseline`: signatures before the batch's first attempt (what `file_modified` compares with); `before`:
        signatures before this attempt (a file that changed since is `evidence`).
        """

    def expected_files(self, values: Mapping[str, Any]) -> tuple[ExpectedFile, ...]:
        """The files that rules want, for whoever produces them (the rehearsal backend)."""


# --- what is kept -----------------------------------------------------------------------------------------------------


class Store(Protocol):
    """The durable record of one job. One writer: whoever holds the lock."""

    pressure: str
    """Why the job should pause soon although everything is durable so far (disk full); empty when all is well."""

    @property
    def warnings(self) -> Sequence[str]:
        """What people should know and what did not stop the job; only ever grows."""

    def add_answer(self, answer: Answer) -> tuple[int, int]:
        """Buffer an answer; returns where its line will stand in `answers.jsonl` (offset, size in bytes)."""

    def append(self, event: Event, state: JobState) -> None:
        """Buffer an event, before it is applied to `state`."""

    async def commit(self, state: JobState) -> None:
        """Make everything buffered durable: answers first, then events. Off the event loop.

        Raises `CheckpointUnwritableError`; what was durable before still is.
        """

    async def checkpoint(self, state: JobState) -> None:
        """Write a complete snapshot now."""

    async def read_answer(self, offset: int, size: int) -> Answer:
        """The answer that stands there."""

    async def close(self) -> None:
        """Release files and lock."""


RequestKind = Literal["pause", "cancel", "detach", "clear_limit"]


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person or another process wants of a running job; the answer is the event it causes.

    `run_id` limits it to one run ("" for whichever runs); after `expires_at` (epoch seconds, 0 never) it is ignored.
    `reason` is what people read of a pause.
    """

    kind: RequestKind
    by: str = ""
    reason: str = ""
    run_id: str = ""
    expires_at: float = 0.0


class Requests(Protocol):
    """Requests dropped by other processes."""

    async def poll(self) -> Sequence[Request]:
        """New requests since the last call, each delivered once."""


# --- a person who is asked --------------------------------------------------------------------------------------------


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has to agree to before an attempt begins. `message` may be empty; `prompt` is what will be sent."""

    job_id: str
    batch: int
    attempt: int
    mode: Mode
    triggers: tuple[str, ...]
    message: str
    prompt: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """`proceed`; `skip` the batch; `abort`: the job pauses; `add`: proceed with `text` at the end of the prompt.

    With `skip` and `abort`, `text` is the reason and may be empty.
    """

    action: Literal["proceed", "skip", "abort", "add"] = "proceed"
    text: str = ""


class Confirmations(Protocol):
    """Whoever is asked before attempts that a trigger of the job file chooses. Questions may overlap."""

    async def ask(self, question: Question) -> Reply:
        """The answer, however long that takes, without blocking the event loop.

        On cancellation the question is withdrawn and `CancelledError` leaves this method at once.
        """


# --- limits shared by all jobs of an account --------------------------------------------------------------------------


class GateReading(msgspec.Struct, frozen=True):
    """What the account's shared gate says. Times are wall-clock epoch seconds, comparable across processes."""

    until: float = 0.0
    hit_at: float = 0.0
    cleared_at: float = 0.0
    code: str = ""
    message: str = ""
    source: str = ""
    by: str = ""
    probe_by: str = ""
    probe_until: float = 0.0

    @property
    def closed(self) -> bool:
        """A limit was hit and nobody has got through since."""
        return self.hit_at > self.cleared_at


class Gate(Protocol):
    """The wait that all jobs and processes of the user share for one account."""

    async def read(self) -> GateReading:
        """The present state."""

    async def hit(self, reading: GateReading) -> None:
        """Close the gate until `reading.until`; a later time that stands already wins."""

    async def try_probe(self, owner: str, lease_seconds: float) -> bool:
        """Take the right to send the one probe; False when somebody else has it."""

    async def clear(self, by: str) -> None:
        """Open the gate."""


class Clock(Protocol):
    """Two faces of time."""

    def wall(self) -> float:
        """UTC epoch seconds, for times that somebody named. May jump."""

    def fair(self) -> float:
        """Monotonic seconds that do not run while the event loop is blocked, for time-outs."""

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""


# --- what prompts are made of -----------------------------------------------------------------------------------------


class Materials(Protocol):
    """What a prompt needs beyond the config."""

    def rows(self, start: int, end: int) -> list[Any]:
        """The items `start..end` (1-based, inclusive); empty when the job has no `items`."""

    def read_text(self, path: str) -> str | None:
        """Text of a file, or None if there is none."""

    def glob(self, pattern: str) -> list[str]:
        """Paths below the workspace, sorted."""

    def exists(self, path: str) -> bool:
        """Whether something stands at that absolute path; True where it cannot be looked up."""
