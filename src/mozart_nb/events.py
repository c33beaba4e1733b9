"""Everything that can happen to a job, as frozen data.

An event is one line of the journal; `kind` names it there, in the log, in watch streams and in the docs. State is the
fold of these events (`engine.state.apply`), so an event carries whatever the fold needs and nothing bulky: answers and
raw output live in files of their own and are referred to.

Times (`at`, `until`, `due`) are UTC epoch seconds on the journal's own clock, which never runs backwards in one job.
Costs are US dollars; `None` means unknown, which is not zero. Durations are seconds.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

FORMAT = 1
"""Version of the event vocabulary; a journal that names a higher one is refused with E702."""

Mode = Literal["first", "retry", "completion", "healed"]
Outcome = Literal["ok", "error", "timeout", "stale", "killed", "cancelled"]
RuleStatus = Literal["passed", "failed", "skipped", "rehearsed"]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one session, as the backend reported them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens


class PlanShape(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the work is cut: batches, items and the stages they wait for.

    `stages` holds the number of instances of each stage when there is a fan-out and is empty otherwise: then every
    batch is its own stage. `dependencies` maps a stage to the stages it waits for.
    """

    total: int
    size: int = 1
    start_item: int = 1
    total_items: int = 0
    stages: tuple[int, ...] = ()
    dependencies: dict[int, tuple[int, ...]] = msgspec.field(default_factory=dict)


class RunOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one invocation asked for beyond the config.

    `only`: inclusive ranges of batches to run, empty for all; `limit`: settle as paused after so many batches (a
    pilot); `start_batch`: earlier batches are skipped; `max_concurrent`: 0 leaves the config's value; `keep_failed`:
    a resume leaves failed batches as they are; `recover`: no attempt begins, results are only looked at.
    """

    only: tuple[tuple[int, int], ...] = ()
    limit: int = 0
    start_batch: int = 1
    max_concurrent: int = 0
    keep_failed: bool = False
    recover: bool = False


class RuleResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one validation rule saw. `evidence`: a file rule whose file this attempt itself wrote."""

    rule: int
    type: str
    status: RuleStatus
    description: str = ""
    path: str = ""
    expected: str = ""
    actual: str = ""
    message: str = ""
    evidence: bool = False
    could_not_run: bool = False
    duration: float = 0.0


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something preflight noticed about a prompt. `code` is set where it is an error."""

    message: str
    code: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """Base of all events. The driver fills in `seq` (from 1, without gaps) and `at`."""

    seq: int = 0
    at: float = 0.0


# --- the job ----------------------------------------------------------------------------------------------------------


class JobPlanned(Event, frozen=True, kw_only=True, tag="job.planned"):
    """First event of every journal. `seed` feeds every random choice of the job."""

    job_id: str
    name: str
    plan: PlanShape
    seed: int
    config_digest: str
    format: int = FORMAT
    backend: str = ""
    description: str = ""


class JobStarted(Event, frozen=True, kw_only=True, tag="job.started"):
    """A host took the job up for the first time."""

    run_id: str
    host: str = ""
    pid: int = 0
    options: RunOptions = RunOptions()


class JobResumed(Event, frozen=True, kw_only=True, tag="job.resumed"):
    """A host took the job up again. `crashed`: the run before never settled."""

    run_id: str
    host: str = ""
    pid: int = 0
    options: RunOptions = RunOptions()
    crashed: bool = False


class JobWaiting(Event, frozen=True, kw_only=True, tag="job.waiting"):
    """Nothing can run before `until`: the rate limit or the circuit breaker holds everything back."""

    until: float
    reason: str


class JobPausing(Event, frozen=True, kw_only=True, tag="job.pausing"):
    """No new attempts; running ones finish, or are ended when `stop` is `cancel`. `by` says who asked.

    `stop` says how the job settles then: as paused, failed or cancelled.
    """

    reason: str
    by: str = ""
    code: str = ""
    stop: Literal["pause", "fail", "cancel"] = "pause"


class JobPaused(Event, frozen=True, kw_only=True, tag="job.paused"):
    """Settled for now, resumable."""

    reason: str = ""
    code: str = ""


class JobCompleted(Event, frozen=True, kw_only=True, tag="job.completed"):
    """Every batch is completed or skipped."""


class JobFailed(Event, frozen=True, kw_only=True, tag="job.failed"):
    """Settled with failed batches or a failure of the job itself."""

    reason: str
    code: str = ""


class JobCancelled(Event, frozen=True, kw_only=True, tag="job.cancelled"):
    """Settled at the user's request; sessions were ended."""

    by: str = ""


class ConfigReloaded(Event, frozen=True, kw_only=True, tag="job.config_reloaded"):
    """A new config with a compatible plan took over."""

    config_digest: str
    plan: PlanShape


class CostUpdated(Event, frozen=True, kw_only=True, tag="job.cost_update"):
    """The job's cost passed a mark worth telling (`warn_at_percent`, a limit)."""

    cost_usd: float
    limit_usd: float | None = None
    message: str = ""


class JobNotice(Event, frozen=True, kw_only=True, tag="job.notice"):
    """Something to tell people (the clock went back, an observer broke). Told to observers only; never journaled."""

    message: str


# --- batches ----------------------------------------------------------------------------------------------------------


class BatchStarted(Event, frozen=True, kw_only=True, tag="batch.started"):
    """An attempt began. `attempt` counts from 1 within the batch and is never used twice."""

    batch: int
    attempt: int
    mode: Mode = "first"
    probe: bool = False


class BatchPreflight(Event, frozen=True, kw_only=True, tag="batch.preflight"):
    """What was noticed about the prompt before it was sent; journaled only when there is something to say."""

    batch: int
    attempt: int
    prompt_tokens: int = 0
    findings: tuple[Finding, ...] = ()


class ValidationPassed(Event, frozen=True, kw_only=True, tag="batch.validation_passed"):
    """Every rule passed. `code` is the session's own failure, which such evidence overrules, or empty."""

    batch: int
    attempt: int
    results: tuple[RuleResult, ...] = ()
    code: str = ""
    exit_code_ignored: bool = False
    stdout_tail: str = ""
    stderr_tail: str = ""


class ValidationFailed(Event, frozen=True, kw_only=True, tag="batch.validation_failed"):
    """The attempt is not good enough: `code` and `message` say why."""

    batch: int
    attempt: int
    code: str
    message: str
    results: tuple[RuleResult, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""


class BatchRetrying(Event, frozen=True, kw_only=True, tag="batch.retrying"):
    """A full retry is due at `due`; consumes one unit of the retry budget."""

    batch: int
    due: float
    delay: float
    number: int
    code: str = ""


class BatchCompleting(Event, frozen=True, kw_only=True, tag="batch.completing"):
    """A completion attempt is due at `due`; consumes one unit of the completion budget."""

    batch: int
    due: float
    delay: float
    number: int


class BatchWaiting(Event, frozen=True, kw_only=True, tag="batch.waiting"):
    """Held back by a rate limit; no budget was used."""

    batch: int
    code: str


class BatchHealed(Event, frozen=True, kw_only=True, tag="batch.healed"):
    """A remedy was applied; the retry budget starts anew."""

    batch: int
    remedy: str
    due: float = 0.0


class BatchCompleted(Event, frozen=True, kw_only=True, tag="batch.completed"):
    """Settled well. `recovered`: re-validated after the fact instead of executed."""

    batch: int
    recovered: bool = False


class BatchFailed(Event, frozen=True, kw_only=True, tag="batch.failed"):
    """Settled badly: budgets used up, or a failure that another try cannot mend."""

    batch: int
    code: str
    message: str = ""


class BatchBlocked(Event, frozen=True, kw_only=True, tag="batch.blocked"):
    """These batches wait, directly or not, for one that failed."""

    batches: tuple[int, ...]
    by: int


class BatchSkipped(Event, frozen=True, kw_only=True, tag="batch.skipped"):
    """Not run, on purpose; satisfies what depends on it."""

    batch: int
    reason: str
    last: int = 0
    """When set, the event covers the untouched batches `batch..last`."""


# --- sessions ---------------------------------------------------------------------------------------------------------


class SessionOpened(Event, frozen=True, kw_only=True, tag="session.opened"):
    """Journaled before anything is spawned or sent.

    `marker` is a value the session's processes carry in their environment; `outlives`: the session survives the death
    of its host and can be adopted or read. `log` is the path of the raw output below the job's folder, without suffix.
    `files` are the signatures of the files that rules name, taken just before ("" for a file that did not exist).
    """

    batch: int
    attempt: int
    session_id: str = ""
    marker: str = ""
    log: str = ""
    outlives: bool = False
    continues: bool = False
    prompt_tokens: int = 0
    prompt_hash: str = ""
    files: dict[str, str] = msgspec.field(default_factory=dict)


class SessionProgress(Event, frozen=True, kw_only=True, tag="session.progress"):
    """A live session printed something. Told to observers only; never journaled, latest wins."""

    batch: int
    attempt: int
    bytes_received: int = 0
    lines_received: int = 0
    note: str = ""


class SessionFinished(Event, frozen=True, kw_only=True, tag="session.finished"):
    """A session came to its end, well or badly; its cost counts whatever happens next.

    `code` is the classifier's verdict, empty for success. `answer_at`/`answer_size` locate the answer's line in
    `answers.jsonl` (bytes). `retry_after` is the wait in seconds a server or message named, 0 if none.
    """

    batch: int
    attempt: int
    outcome: Outcome
    code: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int = 0
    duration: float = 0.0
    usage: Usage = Usage()
    cost_usd: float | None = None
    model: str = ""
    turns: int = 0
    session_id: str = ""
    retry_after: float = 0.0
    retry_source: str = ""
    warnings: tuple[str, ...] = ()
    answer_at: int = -1
    answer_size: int = 0


class SessionAbandoned(Event, frozen=True, kw_only=True, tag="session.abandoned"):
    """The session is gone without a result and not through its own fault: its budget is refunded, its cost is not."""

    batch: int
    attempt: int
    reason: str
    cost_usd: float | None = None


class SessionAdopted(Event, frozen=True, kw_only=True, tag="session.adopted"):
    """A session that outlived its host was found again: still `running` (followed) or `finished` (read)."""

    batch: int
    attempt: int
    how: Literal["running", "finished"]


# --- limits -----------------------------------------------------------------------------------------------------------


class LimitHit(Event, frozen=True, kw_only=True, tag="limit.hit"):
    """The account is over a limit; nothing starts before `until`, then one attempt probes.

    `source` says where the time came from: `retry-after`, `reset time in the message`, `back-off`,
    `rate_limit.wait_minutes`, `another job`. `number` counts the waits of the job; a burst of refusals is one wait.
    """

    code: str
    until: float
    wait_seconds: float
    source: str
    number: int
    message: str = ""


class LimitCleared(Event, frozen=True, kw_only=True, tag="limit.cleared"):
    """The account answers again, or somebody cleared the wait."""

    by: str = ""


class BreakerOpened(Event, frozen=True, kw_only=True, tag="breaker.opened"):
    """Too many attempts failed in a row; nothing starts before `until`."""

    until: float
    failures: int


class BreakerHalfOpen(Event, frozen=True, kw_only=True, tag="breaker.half_open"):
    """The pause is over: one attempt tries."""


class BreakerClosed(Event, frozen=True, kw_only=True, tag="breaker.closed"):
    """An attempt succeeded; back to normal."""


AnyEvent = (
    JobPlanned
    | JobStarted
    | JobResumed
    | JobWaiting
    | JobPausing
    | JobPaused
    | JobCompleted
    | JobFailed
    | JobCancelled
    | ConfigReloaded
    | CostUpdated
    | JobNotice
    | BatchStarted
    | BatchPreflight
    | ValidationPassed
    | ValidationFailed
    | BatchRetrying
    | BatchCompleting
    | BatchWaiting
    | BatchHealed
    | BatchCompleted
    | BatchFailed
    | BatchBlocked
    | BatchSkipped
    | SessionOpened
    | SessionProgress
    | SessionFinished
    | SessionAbandoned
    | SessionAdopted
    | LimitHit
    | LimitCleared
    | BreakerOpened
    | BreakerHalfOpen
    | BreakerClosed
)
"""The one discriminated union of all events."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of `answers.jsonl`: what a session answered, and the event that says so.

    It is synced before that event. An answer that no event refers to (the host died in between) becomes its
    `session.finished` at the next load, so nothing paid for is lost.
    """

    finished: SessionFinished
    text: str = ""
    request_hash: str = ""


encode_event = msgspec.json.Encoder().encode
decode_event = msgspec.json.Decoder(AnyEvent).decode


def writable(record: T) -> T:
    """`record` without lone surrogates, which a model or a file name can contain and no journal can hold."""
    try:
        encode_event(record)
    except UnicodeEncodeError:
        return msgspec.convert(_without_surrogates(msgspec.to_builtins(record)), type(record))
    return record


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


def kind_of(event: Event | type[Event]) -> str:
    """The event's name as journal, log and docs spell it."""
    tag = event.__struct_config__.tag
    return str(tag)


VOLATILE: tuple[type[Event], ...] = (SessionProgress, JobNotice)
"""Told to observers as they happen and never journaled."""


def event_types() -> tuple[type[Event], ...]:
    """Every event class, in the order of their definition."""
    return tuple(AnyEvent.__args__)
