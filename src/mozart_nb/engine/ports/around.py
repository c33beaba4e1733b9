"""What is around a job: people who are asked, the limits of the account, time, and what prompts are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from mozart_nb.events import Mode, QuestionKind, ReplyAction


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has to agree to before an attempt begins, or to decide before a batch fails (`escalation`).

    `message` may be empty; `prompt` is what will be sent; `code` is what an escalated batch failed of.
    """

    job_id: str
    batch: int
    attempt: int
    mode: Mode
    triggers: tuple[str, ...]
    message: str
    prompt: str
    kind: QuestionKind = "confirmation"
    code: str = ""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """`proceed`; `skip` the batch; `abort`: the job pauses; `add`: proceed with `text` at the end of the prompt.

    With `skip` and `abort`, `text` is the reason and may be empty. Of a batch that is about to fail, `abort` lets it
    fail, and `retry` gives it fresh budgets and, where it is not empty, `text` instead of its prompt. `by` says who
    answered.
    """

    action: ReplyAction = "proceed"
    text: str = ""
    by: str = ""


class Confirmations(Protocol):
    """Whoever is asked before attempts that a trigger of the job file chooses. Questions may overlap."""

    async def ask(self, question: Question) -> Reply:
        """The answer, however long that takes, without blocking the event loop.

        On cancellation the question is withdrawn and `CancelledError` leaves this method at once.
        """


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


class Turns(Protocol):
    """Whose session is next, among all jobs that share a host. One instance per run of a job, on the job's loop.

    The number of a job's open sessions is the job's own truth, told with every call: nothing is handed out that could
    fail to be given back. Sessions that wait at the service for hours are not among them.
    """

    def begin(self, wake: Callable[[], None]) -> None:
        """The run begins. `wake` is called, on the loop, whenever it is worth asking again."""

    def may_start(self, open_sessions: int, batch: int) -> bool:
        """Whether a session may begin now, besides `open_sessions` others of this job; answers at once.

        After a refusal `wake` is called. `batch` is the batch whose session it would be.
        """

    def settle(self, open_sessions: int, wanting: bool) -> None:
        """So many sessions of the job are open now; `wanting`: one more would begin if it were the job's turn."""

    def close(self) -> None:
        """The run is over, whatever became of its sessions; nothing is called any more."""


class Clock(Protocol):
    """Two faces of time."""

    def wall(self) -> float:
        """UTC epoch seconds, for times that somebody named. May jump."""

    def fair(self) -> float:
        """Monotonic seconds that do not run while the event loop is blocked, for time-outs."""

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""


class Materials(Protocol):
    """What a prompt needs beyond the config."""

    def rows(self, start: int, end: int) -> list[Any]:
        """The items `start..end` (1-based, inclusive); empty when the job has no `items`."""

    def read_text(self, path: str) -> str | None:
        """Text of a file, or None if there is none."""

    def glob(self, pattern: str) -> list[str]:
        """Paths below the workspace, sorted."""

    def digests(self, paths: Sequence[str]) -> tuple[str, ...]:
        """What stands for the content of each of these files (absolute paths), "" where one cannot be read."""

    def exists(self, path: str) -> bool:
        """Whether something stands at that absolute path; True where it cannot be looked up."""


# --- pace -------------------------------------------------------------------------------------------------------------


class Allowance(msgspec.Struct, frozen=True):
    """What a service said about one of its limits: `remaining` of `limit`, full again at `reset_at` (epoch seconds).

    `kind` is `requests`, `tokens`, `input-tokens` or `output-tokens`.
    """

    kind: str
    limit: float
    remaining: float
    reset_at: float = 0.0


class Pace(Protocol):
    """Requests and tokens per minute: as configured, and as the service says. One `used` follows each `admit`."""

    async def admit(self, tokens: int) -> None:
        """Wait until a request of about `tokens` (input and expected output) may be sent."""

    def used(self, expected: int, actual: int) -> None:
        """A request admitted with `expected` tokens used `actual` ones; 0 when it was refused or never sent."""

    def heard(self, allowances: Sequence[Allowance]) -> None:
        """What the service said about its limits in its last reply."""
