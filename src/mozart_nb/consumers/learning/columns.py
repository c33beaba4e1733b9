"""Rows of what was learned, and their columns: templates, rules, times, suggestions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mozart_nb.consumers.rows import Column

MEASURES: Final = {
    "duration_seconds": "time",
    "input_tokens": "tokens sent",
    "output_tokens": "tokens answered",
    "prompt_tokens": "tokens of the prompt",
    "cost": "cost",
}
"""What a `TimeRow` measures, in words."""

FIXES: Final = (
    ("completion", "completion"),
    ("retry", "retry"),
    ("healed", "self-healing"),
    ("later_run", "a later run"),
    ("recovered", "recover"),
    ("not_fixed", "nothing yet"),
)
"""Columns of a `RuleRow` that count what made failures of the rule good, and their names."""

SETTINGS: Final = ("timeout_seconds", "max_concurrent", "completion_threshold_percent")


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """What came of the first tries of a template, with hints in its prompts or without."""

    template: str
    key: str
    hints: bool
    rehearsal: bool
    jobs: int
    batches: int
    passed_first: int
    low: float | None
    high: float | None
    attempts: int
    retries: int
    completions: int
    healed: int
    refused: int
    abandoned: int
    reused: int
    cost: float
    cost_known: bool
    last_at: float

    @property
    def first_try_success(self) -> float | None:
        return self.passed_first / self.batches if self.batches else None


TEMPLATE_COLUMNS: tuple[Column[TemplateRow], ...] = (
    Column("template", "str", lambda t: t.template, "file of the template, or the name of the job that has it"),
    Column("key", "str", lambda t: t.key, "begin of the SHA-256 of its text: the same text is the same template"),
    Column("hints", "bool", lambda t: t.hints, "whether hints were in its prompts (`learning.apply`)"),
    Column("rehearsal", "bool", lambda t: t.rehearsal, "answers of the rehearsal backend"),
    Column("jobs", "int", lambda t: t.jobs, "jobs that used it"),
    Column("batches", "int", lambda t: t.batches, "batches whose first try was judged"),
    Column("passed_first", "int", lambda t: t.passed_first, "those of them that passed at the first try"),
    Column("first_try_success", "float", lambda t: t.first_try_success, "their share, 0 to 1"),
    Column("low", "float", lambda t: t.low, "lower end of its 95 % interval (Wilson)"),
    Column("high", "float", lambda t: t.high, "upper end"),
    Column("attempts", "int", lambda t: t.attempts, "attempts in all"),
    Column("retries", "int", lambda t: t.retries, "retries among them"),
    Column("completions", "int", lambda t: t.completions, "completion attempts among them"),
    Column("healed", "int", lambda t: t.healed, "attempts after self-healing"),
    Column("refused", "int", lambda t: t.refused, "attempts refused by a rate limit"),
    Column("abandoned", "int", lambda t: t.abandoned, "attempts that were lost or cancelled"),
    Column("reused", "int", lambda t: t.reused, "attempts that a kept answer took the place of"),
    Column("cost", "float", lambda t: t.cost, "US dollars, as far as known"),
    Column("cost_known", "bool", lambda t: t.cost_known, "whether that is all of it"),
    Column("last_at", "timestamp", lambda t: t.last_at or None, "newest outcome"),
)


@dataclass(frozen=True, slots=True)
class RuleRow:
    """How often a rule failed, and what helped."""

    template: str
    key: str
    hints: bool
    rehearsal: bool
    rule: str
    judged_first: int
    failed_first: int
    low: float | None
    high: float | None
    failures: int
    completion: int
    retry: int
    healed: int
    later_run: int
    recovered: int

    @property
    def failed_share(self) -> float | None:
        return self.failed_first / self.judged_first if self.judged_first else None

    @property
    def not_fixed(self) -> int:
        return self.failures - self.completion - self.retry - self.healed - self.later_run - self.recovered


RULE_COLUMNS: tuple[Column[RuleRow], ...] = (
    Column("template", "str", lambda r: r.template, "file of the template, or the name of the job that has it"),
    Column("key", "str", lambda r: r.key, "begin of the SHA-256 of its text"),
    Column("hints", "bool", lambda r: r.hints, "whether hints were in its prompts (`learning.apply`)"),
    Column("rehearsal", "bool", lambda r: r.rehearsal, "answers of the rehearsal backend"),
    Column("rule", "str", lambda r: r.rule, "kind of the rule and what it is for, or what it looks at"),
    Column("judged_first", "int", lambda r: r.judged_first, "first tries that it judged"),
    Column("failed_first", "int", lambda r: r.failed_first, "first tries that it found wanting"),
    Column("failed_share", "float", lambda r: r.failed_share, "their share, 0 to 1"),
    Column("low", "float", lambda r: r.low, "lower end of its 95 % interval (Wilson)"),
    Column("high", "float", lambda r: r.high, "upper end"),
    Column("failures", "int", lambda r: r.failures, "times a batch began to fail it, at any attempt"),
    Column("fixed_by_completion", "int", lambda r: r.completion, "then satisfied by a completion attempt"),
    Column("fixed_by_retry", "int", lambda r: r.retry, "by a retry"),
    Column("fixed_by_healing", "int", lambda r: r.healed, "by an attempt after self-healing"),
    Column("fixed_in_later_run", "int", lambda r: r.later_run, "by an attempt of a later run"),
    Column("recovered", "int", lambda r: r.recovered, "by something else: `recover` found it satisfied"),
    Column("not_fixed", "int", lambda r: r.not_fixed, "by nothing so far"),
)


@dataclass(frozen=True, slots=True)
class TimeRow:
    """How one measure of good sessions is distributed."""

    template: str
    key: str
    rehearsal: bool
    model: str
    measure: str
    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    largest: float


TIME_COLUMNS: tuple[Column[TimeRow], ...] = (
    Column("template", "str", lambda t: t.template, "file of the template, or the name of the job that has it"),
    Column("key", "str", lambda t: t.key, "begin of the SHA-256 of its text"),
    Column("rehearsal", "bool", lambda t: t.rehearsal, "answers of the rehearsal backend"),
    Column("model", "str", lambda t: t.model or None, "model that answered"),
    Column("measure", "category", lambda t: t.measure, "what was measured, per session", tuple(MEASURES)),
    Column("count", "int", lambda t: t.count, "sessions that ended well and said so"),
    Column("mean", "float", lambda t: t.mean, "seconds, tokens or US dollars"),
    Column("p50", "float", lambda t: t.p50, "half of them took no more (to 1 %)"),
    Column("p90", "float", lambda t: t.p90, "nine in ten took no more"),
    Column("p99", "float", lambda t: t.p99, "99 in 100 took no more"),
    Column("max", "float", lambda t: t.largest, "the largest"),
)


@dataclass(frozen=True, slots=True)
class SuggestionRow:
    """What the outcomes say about one setting. `suggested` is None where it fits, and where too little is known."""

    template: str
    key: str
    setting: str
    present: float | None
    suggested: float | None
    outcomes: int
    missing: int
    evidence: str


SUGGESTION_COLUMNS: tuple[Column[SuggestionRow], ...] = (
    Column("template", "str", lambda s: s.template, "file of the template, or the name of the job that has it"),
    Column("key", "str", lambda s: s.key, "begin of the SHA-256 of its text"),
    Column("setting", "category", lambda s: s.setting, "key of the job file", SETTINGS),
    Column("present", "float", lambda s: s.present, "its value in the newest job"),
    Column("suggested", "float", lambda s: s.suggested, "a better one; empty: it fits, or too little is known"),
    Column("outcomes", "int", lambda s: s.outcomes, "outcomes that this rests on"),
    Column("missing", "int", lambda s: s.missing, "how many more are needed before anything is said"),
    Column("evidence", "str", lambda s: s.evidence, "the numbers behind it"),
)
