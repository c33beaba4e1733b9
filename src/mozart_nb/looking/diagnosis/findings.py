"""What a look at a job's troubles finds, as plain data.

Everything a person may see is cleaned and without secrets already. Texts that name a command write it as the shell
does, in backticks: `mozart resume ID`; `steps.in_words_of` translates them for the notebook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mozart_nb.checkpoint.follow import ShownStatus
from mozart_nb.events import RuleResult

if TYPE_CHECKING:
    import pandas as pd

    from mozart_nb.looking.details.attempts import AttemptDetails

DiagnosedStatus = ShownStatus | Literal["unreadable"]
"""`pending` is also a job that never began, `unreadable` one whose record cannot be read."""

Severity = Literal["error", "warning", "ok", "unknown"]


# --- failures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Example:
    """One failed attempt that stands for its group. `rules` did not pass; texts are cleaned and short."""

    batch: int
    attempt: int
    at: float
    message: str
    rules: tuple[RuleResult, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""


@dataclass(frozen=True, slots=True)
class FailedRule:
    """A rule of the job file that failures of a group did not pass: how often, and what one of them expected and saw.

    `rule` counts from 1; 0 is the form of the answer. `batch` is whose example it is.
    """

    rule: int
    type: str
    count: int
    description: str = ""
    path: str = ""
    expected: str = ""
    actual: str = ""
    message: str = ""
    batch: int = 0
    could_not_run: bool = False


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failures with the same code. `unresolved_batches` still stand as failed or unfinished.

    `cause` is the likely cause in words. `messages` are what failed attempts said most often, and how often; numbers
    and names of files may differ within one. `rules` were not passed, the most frequent first.
    """

    code: str
    category: str
    meaning: str
    advice: str
    retriable: bool
    count: int
    unresolved: int
    batches: tuple[int, ...]
    unresolved_batches: tuple[int, ...]
    example: Example | None = None
    cause: str = ""
    messages: tuple[tuple[str, int], ...] = ()
    rules: tuple[FailedRule, ...] = ()
    first_at: float = 0.0
    last_at: float = 0.0


@dataclass(frozen=True, slots=True)
class BlockedChain:
    """Batches that wait, directly or not, for one that failed first."""

    failed: int
    code: str
    message: str
    blocked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Used:
    """What is used of a budget; `most` is None where the job's config is not known."""

    used: int = 0
    most: int | None = None

    def __str__(self) -> str:
        return f"{self.used}/{'?' if self.most is None else self.most}"


@dataclass(frozen=True, slots=True)
class BatchTimeline:
    """The attempts of one failed batch, oldest first; `omitted` earlier ones are left out.

    `worked_seconds` is the time of its sessions, `waited_seconds` that between its attempts.
    """

    batch: int
    status: str
    code: str = ""
    message: str = ""
    attempts: tuple[AttemptDetails, ...] = ()
    omitted: int = 0
    retries: Used = Used()
    completions: Used = Used()
    heals: Used = Used()
    worked_seconds: float = 0.0
    waited_seconds: float = 0.0
    cost_usd: float = 0.0
    cost_known: bool = True


# --- what happened on the way -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waits:
    """What rate limits cost: how often they were hit, and for how many seconds they held the job back, by code."""

    hits: int = 0
    seconds: float = 0.0
    longest_seconds: float = 0.0
    by_code: tuple[tuple[str, int, float], ...] = ()
    breaker_opened: int = 0
    until: float = 0.0
    """When the current wait is over, epoch seconds; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """The circuit breaker now: `failures` in a row, open `until` (epoch seconds)."""

    status: Literal["closed", "open", "half_open"] = "closed"
    failures: int = 0
    until: float = 0.0
    opened: int = 0
    """How often it opened so far."""


@dataclass(frozen=True, slots=True)
class Crashes:
    """Runs that ended without settling, and sessions that were lost."""

    runs: int = 0
    in_a_row: int = 0
    lost_sessions: int = 0
    last_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Remedy:
    """What self-healing did or advises. No batches: it concerned the job as a whole."""

    text: str
    batches: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """Money: US dollars. `limit_usd` is None without a limit; `unknown_costs` counts sessions that said nothing.

    `unpriced` are those of them that were paid for: model and how many. `earlier_usd` was spent before the job was
    started over.
    """

    cost_usd: float = 0.0
    unknown_costs: int = 0
    limit_usd: float | None = None
    is_exhausted: bool = False
    saved_usd: float = 0.0
    earlier_usd: float = 0.0
    unpriced: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PromptFinding:
    """Something preflight noticed, and of which batches. `code` is set where it is an error."""

    message: str
    batches: tuple[int, ...]
    code: str = ""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Sizes of what was sent, in estimated tokens. `sent` counts sessions, `tokens` is the sum over all of them."""

    sent: int = 0
    tokens: int = 0
    largest_tokens: int = 0
    largest_batch: int = 0
    findings: tuple[PromptFinding, ...] = ()

    @property
    def mean_tokens(self) -> int:
        return round(self.tokens / self.sent) if self.sent else 0


# --- around the job ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about the machine or the installation: `name`, and what it is. `hint` says what to do if need be."""

    name: str
    detail: str
    status: Severity = "ok"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the job's lock, or died holding it. `is_alive` is None for another machine: nobody here can tell."""

    host: str
    pid: int
    since: float
    is_alive: bool | None


@dataclass(frozen=True, slots=True)
class Orphan:
    """Processes of a session that nobody follows any more, and the log that they write to."""

    pids: tuple[int, ...]
    log: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong around the job: `what` happened, its likely `cause`, and what to do."""

    kind: str
    what: str
    cause: str = ""
    advice: str = ""
    severity: Severity = "warning"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and with what the job works. Paths as texts; `program` is the `claude` that sessions would start."""

    facts: tuple[Fact, ...] = ()
    workspace: str = ""
    state: str = ""
    backend: str = ""
    holder: Holder | None = None
    orphans: tuple[Orphan, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionOutput:
    """The end of what a session printed, readable and without secrets. `is_cut`: there is more before it."""

    batch: int
    attempt: int
    text: str
    files: tuple[str, ...] = ()
    is_cut: bool = False


# --- all of it --------------------------------------------------------------------------------------------------------

SHELL_ONLY = frozenset(
    {"conductor", "conductor-status", "doctor", "learning", "limits", "rehearse", "restart", "schema", "start", "stop"}
)
"""Commands that are no verbs of `%mozart`: a notebook runs them in a shell."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """Something to do now: the command of the shell, the same as Python (empty: there is none), and what it does.

    What only a notebook can do is the notebook's own command: a cell is run again with `%%mozart`.
    """

    command: str
    python: str
    why: str

    @property
    def magic(self) -> str:
        """The same line in a notebook."""
        if self.command.startswith("%"):
            return self.command
        verb = self.command.split()[1] if self.command.startswith("mozart ") else ""
        return f"!{self.command}" if not verb or verb in SHELL_ONLY else f"%{self.command}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A job's troubles, ordered by what matters. Times in epoch seconds, durations in seconds, money in US dollars.

    `headline` says how it stands and why, `cause` the likely cause in words, `first` what to do about it first; both
    are empty where nothing is wrong. `code`, `meaning` and `advice` are of the job as a whole, empty when only batches
    failed; `counts` are batches by status. `groups` with failures that still stand come first. `timelines` and
    `outputs` are of a few failed batches, `timelines_omitted` says of how many there are none.
    """

    job_id: str
    name: str
    status: DiagnosedStatus
    headline: str
    total: int = 0
    done: int = 0
    cause: str = ""
    first: str = ""
    counts: tuple[tuple[str, int], ...] = ()
    reason: str = ""
    code: str = ""
    meaning: str = ""
    advice: str = ""
    groups: tuple[ErrorGroup, ...] = ()
    blocked: tuple[BlockedChain, ...] = ()
    timelines: tuple[BatchTimeline, ...] = ()
    timelines_omitted: int = 0
    waits: Waits = Waits()
    breaker: Breaker = Breaker()
    crashes: Crashes = Crashes()
    remedies: tuple[Remedy, ...] = ()
    budget: Budget = Budget()
    prompts: Prompts = Prompts()
    troubles: tuple[Trouble, ...] = ()
    warnings: tuple[str, ...] = ()
    environment: Environment = Environment()
    outputs: tuple[SessionOutput, ...] = ()
    next_steps: tuple[NextStep, ...] = ()
    looked_at: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Nothing stands as failed and nothing holds it up: it is completed, or runs without waiting."""
        troubles = any(group.unresolved for group in self.groups) or self.blocked or self.code
        is_broken = any(trouble.severity == "error" for trouble in self.troubles)
        return self.status in ("pending", "running", "completed") and not troubles and not is_broken

    def frame(self) -> pd.DataFrame:
        """One row per code of failure, those that still stand first. Columns: `columns.GROUP_COLUMNS`."""
        from mozart_nb.frames.typed import frame_of
        from mozart_nb.looking.diagnosis.columns import GROUP_COLUMNS, GroupView

        return frame_of(GROUP_COLUMNS, [GroupView(self.job_id, group) for group in self.groups])

    def document(self) -> dict[str, Any]:
        """All of it as JSON data: what `mozart diagnose --json` prints."""
        from mozart_nb.looking.diagnosis.documents import diagnosis_document

        return diagnosis_document(self)

    def text(self, mozart: str = "%mozart") -> str:
        """All of it as lines for people; `mozart` is how commands begin where it is shown."""
        from mozart_nb.looking.diagnosis.text import lines

        return "\n".join(line.text for line in lines(self, mozart))

    def __str__(self) -> str:
        return self.text()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How IPython displays it: as lines for a person."""
        printer.text(str(self))

    def _repr_html_(self) -> str:
        """How a notebook displays it: as a page with lines to copy."""
        from mozart_nb.jupyter.looks.diagnosis import diagnosis_html  # the door to the notebook

        return diagnosis_html(self)
