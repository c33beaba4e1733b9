"""What is true of a job now: the fold of its events.

`apply(state, event)` is the only mutation, costs O(1) per event (resume, blocking and settling look at the batches they
change), and is called by the driver alone; readers fold their own copy from the journal. A batch that nothing has
happened to has no record: 100,000 planned batches weigh as much as one plan.
"""

from __future__ import annotations

from copy import copy
from typing import Literal

import msgspec

from mozart_nb.engine.adaptive import Window
from mozart_nb.engine.agenda import Agenda
from mozart_nb.engine.asked import Answered, Asked
from mozart_nb.events import Finding, Mode, PlanShape, RuleResult, RunOptions, SessionOpened, Usage, Wording
from mozart_nb.job.plan import Plan

JobStatus = Literal["pending", "running", "waiting", "pausing", "paused", "completed", "failed", "cancelled"]
BatchStatus = Literal["pending", "running", "waiting", "completed", "failed", "blocked", "skipped", "cancelled"]
Phase = Literal["", "started", "opened", "finished", "judged", "healing", "asked", "agreed"]
"""How far a running attempt has come; what a crash leaves behind is picked up from here.

The last two are of batches that do not run: one that a person is, or is to be, asked about, and one whose attempt goes
on as soon as there is room."""

SETTLED: frozenset[str] = frozenset({"paused", "completed", "failed", "cancelled"})
SATISFIED: frozenset[str] = frozenset({"completed", "skipped"})


class BatchState(msgspec.Struct, omit_defaults=True, gc=False):
    """One batch, once anything has happened to it.

    `mode` is the kind of the running attempt or of the next one. `retries`, `completions`, `heals` are budget used;
    `waits` and `abandoned` attempts used none. `share` is the part (0–1) of the rules that passed last time.
    `retry_after` seconds to wait were named at `heard_at`.
    `is_silent`: the last session said nothing, so the answer that is kept is an earlier one; `reused`: no session was
    needed. `beyond_help`: no remedy was found for the last failure; `remedies` are what was applied or advised.
    `question` is open now; `answered` is the last one that was. `escalations` are fresh budgets that people gave,
    and `edited` is what they want sent instead of the rendered prompt.
    `baseline` holds the signatures of the rules' files before the first attempt. Money in US dollars, `cost_known`
    False when a session ended without saying what it cost; durations in seconds, summed over all sessions.
    """

    number: int
    status: BatchStatus = "pending"
    phase: Phase = ""
    mode: Mode = "first"
    attempts: int = 0
    retries: int = 0
    completions: int = 0
    heals: int = 0
    waits: int = 0
    abandoned: int = 0
    run: int = 0
    probe: bool = False
    due: float = 0.0
    code: str = ""
    message: str = ""
    reason: str = ""
    blocked_by: int = 0
    retry_after: float = 0.0
    retry_source: str = ""
    heard_at: float = 0.0
    share: float = 0.0
    validation_passed: bool | None = None
    validation_details: tuple[RuleResult, ...] = ()
    exit_code: int | None = None
    exit_code_ignored: bool = False
    stdout_tail: str = ""
    stderr_tail: str = ""
    started_at: float = 0.0
    attempt_at: float = 0.0
    finished_at: float = 0.0
    duration: float = 0.0
    cost_usd: float = 0.0
    cost_known: bool = True
    usage: Usage = Usage()
    model: str = ""
    turns: int = 0
    session: SessionOpened | None = None
    session_id: str = ""
    continuable: bool = False
    baseline: dict[str, str] | None = None
    prompt_tokens: int = 0
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    answer_at: int = -1
    answer_size: int = 0
    is_silent: bool = False
    reused: bool = False
    beyond_help: bool = False
    remedies: tuple[str, ...] = ()
    question: Asked | None = None
    answered: Answered | None = None
    escalations: int = 0
    edited: str = ""


class LimitState(msgspec.Struct, omit_defaults=True):
    """A rate limit that holds the job back.

    `probe` is the batch whose attempt tries the gate, 0 if none does; `passed`: it got through.
    """

    code: str
    until: float
    hit_at: float
    wait_seconds: float
    source: str
    message: str = ""
    probe: int = 0
    passed: bool = False


class BreakerState(msgspec.Struct, omit_defaults=True):
    """The circuit breaker. `failures` in a row; `trial` is the batch that tries when half open, 0 if none does.

    `verdict` is how that trial ended.
    """

    status: Literal["closed", "open", "half_open"] = "closed"
    failures: int = 0
    until: float = 0.0
    trial: int = 0
    verdict: Literal["", "passed", "failed"] = ""


class Stop(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why no new attempts begin: somebody asked, or a failure that concerns the whole job."""

    kind: Literal["pause", "fail", "cancel"]
    reason: str
    code: str = ""
    by: str = ""

    @property
    def is_asked(self) -> bool:
        """A pause that somebody wanted, which can be withdrawn; not one that a failure or an empty budget forces."""
        return self.kind == "pause" and not self.code


RemoteStatus = Literal["submitting", "unconfirmed", "submitted", "cancelling", "beyond_reach"]


class RemoteState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A parcel of requests that a service answers hours later, until its last result is journaled.

    `entries` are ranges: first batch, last batch, attempt. `sent_at` (wall clock) and `run` say when it was sent;
    `remote_id` is empty until the service has it for sure. `cancelling`: the service was asked to stop; `beyond_reach`:
    in vain.
    """

    number: int
    entries: tuple[tuple[int, int, int], ...]
    requests: int
    sent_at: float = 0.0
    run: int = 0
    status: RemoteStatus = "submitting"
    remote_id: str = ""

    def holds(self, number: int) -> bool:
        """Whether a request of that batch is in it."""
        return any(first <= number <= last for first, last, _ in self.entries)


class IsolationState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job's git worktree. `note` says why it was kept, or why there is none.

    `worktree`: a run works in it, or was cut off there. `kept` and `removed`: the run that used it is over. `none`:
    there could be none, and sessions work in the working directory itself. Empty: the job is not isolated.
    The branch began at the commit `base`; `head` and `commits` (since `base`) are as the last run left them.
    """

    status: Literal["", "worktree", "kept", "removed", "none"] = ""
    worktree: str = ""
    directory: str = ""
    branch: str = ""
    base: str = ""
    repository: str = ""
    head: str = ""
    commits: int = 0
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something has to be done about the worktree before the job settles."""
        return self.status == "worktree"


class JobRecord(msgspec.Struct, omit_defaults=True):
    """Everything about the job that is not about one batch.

    `paid_sessions` cost something that is known. `unknown_costs` counts sessions that never said what they cost;
    `unpriced` are those of them that were paid for: model → how many, and their tokens. `warned_limit` is the cost
    limit (US dollars) that was last warned of. `prompt_tokens` are the estimates of all `opened_sessions`.
    `questions` are the batches that a person is being asked about, the longest waiting first.
    """

    job_id: str = ""
    name: str = ""
    status: JobStatus = "pending"
    description: str = ""
    seq: int = 0
    at: float = 0.0
    format: int = 0
    plan: PlanShape = PlanShape(total=0)
    seed: int = 0
    config_digest: str = ""
    backend: str = ""
    run_id: str = ""
    runs: int = 0
    host: str = ""
    pid: int = 0
    options: RunOptions = RunOptions()
    created_at: float = 0.0
    started_at: float = 0.0
    run_started_at: float = 0.0
    finished_at: float = 0.0
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    skipped: list[tuple[int, int]] = msgspec.field(default_factory=list)
    run_batches: int = 0
    run_completed: int = 0
    run_failures: int = 0
    last_settled_at: float = 0.0
    retries: int = 0
    completions: int = 0
    limit_waits: int = 0
    run_waits: int = 0
    run_quota_waits: int = 0
    backoffs: int = 0
    crashes: int = 0
    cost_usd: float = 0.0
    paid_sessions: int = 0
    unknown_costs: int = 0
    unpriced: dict[str, tuple[int, Usage]] = msgspec.field(default_factory=dict)
    warned_limit: float = 0.0
    saved_usd: float = 0.0
    opened_sessions: int = 0
    prompt_tokens: int = 0
    reused: int = 0
    asks_anew: bool = False
    replaces: str = ""
    earlier_usd: float = 0.0
    wording: Wording = Wording()
    usage: Usage = Usage()
    duration: float = 0.0
    answers_end: int = 0
    limit: LimitState | None = None
    cleared_at: float = 0.0
    cleared_wait: float = 0.0
    breaker: BreakerState = msgspec.field(default_factory=BreakerState)
    window: Window = Window()
    submissions: int = 0
    remotes: dict[int, RemoteState] = msgspec.field(default_factory=dict)
    waiting_reason: str = ""
    waiting_until: float = 0.0
    stop: Stop | None = None
    reason: str = ""
    code: str = ""
    remedies: tuple[str, ...] = ()
    isolation: IsolationState = IsolationState()
    questions: list[int] = msgspec.field(default_factory=list)

    def still(self) -> JobRecord:
        """A copy that later events do not reach: frozen parts are shared, others copied."""
        kept = copy(self)
        for name in self.__struct_fields__:
            value = getattr(self, name)
            is_mutable_record = isinstance(value, msgspec.Struct) and not value.__struct_config__.frozen
            if isinstance(value, list | dict) or is_mutable_record:
                setattr(kept, name, copy(value))
        return kept


class JobState:
    """A job's record, the records of its touched batches, and the agenda derived from both.

    Only `engine.fold.apply` changes it.
    """

    __slots__ = ("agenda", "batches", "job", "plan")

    def __init__(self, job: JobRecord | None = None, batches: dict[int, BatchState] | None = None) -> None:
        self.job = job or JobRecord()
        self.batches = batches if batches is not None else {}
        self.plan = Plan(self.job.plan)
        self.agenda = Agenda(self)
        if self.job.seq:
            self.agenda.rebuild()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobState):
            return NotImplemented
        return (self.job, self.batches, self.agenda.view()) == (other.job, other.batches, other.agenda.view())

    __hash__ = None  # type: ignore[assignment]  # mutable

    def still(self) -> JobState:
        """A copy for readers that stays as it is while this one goes on; its agenda is empty."""
        still = JobState.__new__(JobState)
        still.job = self.job.still()
        still.batches = {number: copy(batch) for number, batch in self.batches.items()}
        still.plan, still.agenda = self.plan, Agenda(still)
        return still

    @property
    def status(self) -> JobStatus:
        return self.job.status

    @property
    def is_settled(self) -> bool:
        return self.job.status in SETTLED

    @property
    def total(self) -> int:
        return self.job.plan.total

    def status_of(self, number: int) -> BatchStatus:
        """The status of any batch of the plan, touched or not."""
        record = self.batches.get(number)
        if record is not None:
            return record.status
        return "skipped" if any(low <= number <= high for low, high in self.job.skipped) else "pending"

    def is_satisfied(self, number: int) -> bool:
        """Whether batches that depend on `number` may run."""
        return self.status_of(number) in SATISFIED

    def count(self, status: str) -> int:
        """How many batches have this status; untouched ones are pending."""
        if status == "pending":
            return self.total - sum(n for name, n in self.job.counts.items() if name != "pending")
        return self.job.counts.get(status, 0)
