"""Why a job is where it is, what held it up, and what to do next.

`diagnose` reads everything from the job's folder, so it serves a job of this process, of another one, or of last week.
The result is plain data; `str(diagnosis)` is text for people.
"""

from __future__ import annotations

from dataclasses import dataclass

from mozart_nb.checkpoint.follow import ShownStatus
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.lines import Level
from mozart_nb.events import Event, RuleResult


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
class ErrorGroup:
    """Failures with the same code. `unresolved_batches` still stand as failed or unfinished."""

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
class BlockedChain:
    """Batches that wait, directly or not, for one that failed first."""

    failed: int
    code: str
    message: str
    blocked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """Money: US dollars. `limit_usd` is None without a limit; `unknown_costs` counts sessions that said nothing."""

    cost_usd: float = 0.0
    unknown_costs: int = 0
    limit_usd: float | None = None
    is_exhausted: bool = False


@dataclass(frozen=True, slots=True)
class NextStep:
    """Something to do now: the notebook's magic, the same as Python (empty: there is none), and what it does."""

    magic: str
    python: str
    why: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A job's troubles, ordered by what matters. Times in epoch seconds, durations in seconds, money in US dollars."""

    job_id: str
    name: str
    status: ShownStatus
    headline: str
    total: int
    done: int
    counts: tuple[tuple[str, int], ...] = ()
    reason: str = ""
    code: str = ""
    meaning: str = ""
    advice: str = ""
    groups: tuple[ErrorGroup, ...] = ()
    blocked: tuple[BlockedChain, ...] = ()
    waits: Waits = Waits()
    crashes: Crashes = Crashes()
    remedies: tuple[Remedy, ...] = ()
    budget: Budget = Budget()
    warnings: tuple[str, ...] = ()
    next_steps: tuple[NextStep, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Nothing failed and nothing holds it up."""
        raise NotImplementedError

    def __str__(self) -> str:
        raise NotImplementedError


def diagnose(layout: Layout, *, now: float | None = None) -> Diagnosis:
    """Look a job over. Blocks for as long as reading its journal takes.

    Raises `UnknownJobError`, `CheckpointCorruptError`, `CheckpointTooNewError`.
    """
    raise NotImplementedError


def last_events(layout: Layout, count: int, *, level: Level = "DEBUG", batch: int = 0) -> list[Event]:
    """The last `count` events of at least `level`, of one batch if that is given, oldest first.

    Reads the journal from its end, no more than is needed.
    """
    raise NotImplementedError


def log_lines(layout: Layout, count: int = 50, *, level: Level = "DEBUG", batch: int = 0) -> list[str]:
    """The same as lines of text."""
    raise NotImplementedError
