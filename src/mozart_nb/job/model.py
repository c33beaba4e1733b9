"""The job file as a model: one class per section, gathered in `JobConfig`."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from mozart_nb.job.backends import BackendConfig, BatchOverride, RehearsalConfig, RehearsalStep
from mozart_nb.job.batch import BatchConfig, SkipCommand, count_batches
from mozart_nb.job.notifications import NotificationConfig
from mozart_nb.job.outputs import (
    CheckpointsConfig,
    CheckpointTrigger,
    ConcertConfig,
    CrossBatchConfig,
    HookConfig,
    IsolationConfig,
    LearningConfig,
    LoggingConfig,
    RuleConfig,
    WorkspaceLifecycleConfig,
)
from mozart_nb.job.policies import (
    CircuitBreakerPolicy,
    CostLimits,
    ParallelConfig,
    RateLimitPolicy,
    RetryPolicy,
    StaleDetectionConfig,
)
from mozart_nb.job.section import Fault, Seconds, Section, refuse

__all__ = [
    "AnswerConfig",
    "BackendConfig",
    "BatchConfig",
    "BatchOverride",
    "CheckpointTrigger",
    "CheckpointsConfig",
    "CircuitBreakerPolicy",
    "ConcertConfig",
    "CostLimits",
    "CrossBatchConfig",
    "HookConfig",
    "IsolationConfig",
    "ItemsConfig",
    "JobConfig",
    "LearningConfig",
    "LoggingConfig",
    "NotificationConfig",
    "ParallelConfig",
    "PromptConfig",
    "RateLimitPolicy",
    "RehearsalConfig",
    "RehearsalStep",
    "RetryPolicy",
    "RuleConfig",
    "SkipCommand",
    "StaleDetectionConfig",
    "WorkspaceLifecycleConfig",
    "count_batches",
    "job_id_of",
    "missing_counts",
]

MAX_JOB_ID_BYTES: Final = 150
"""Room for suffixes within the 255 bytes that file systems allow a name."""


class ItemsConfig(Section):
    """Where the rows come from. `batch.total_items` then follows from them."""

    file: str | None = Field(None, description="A .csv, .jsonl, .json, .parquet or .txt file (one item per line).")
    glob: str | None = Field(None, description="Wildcards; every file that matches is an item, in order of name.")
    command: str | None = Field(None, description="Shell command; every line it prints is an item.")
    given: bool = Field(
        False,
        description="The rows are given when the job is started: in a notebook `--items df`. Need not be written: "
        "giving them is enough.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.file, self.glob, self.command)) + self.given != 1:
            refuse([Fault((), "`items` needs exactly one source", allowed="one of file, glob and command")])
        return self


class PromptConfig(Section):
    """What is asked."""

    template: str | None = Field(None, description="The prompt, a Jinja template.")
    template_file: str | None = Field(None, description="File that holds the template.")
    variables: dict[str, Any] = Field(
        default_factory=dict,
        description="Further names for templates and placeholders: name to value. They win over the built-in names.",
    )
    stakes: str | None = Field(
        None,
        description="What depends on it: `{{ stakes }}` in the template. A template that prints neither this nor "
        "`thinking_method` gets both at its end.",
    )
    thinking_method: str | None = Field(
        None, description="How to go about it: `{{ thinking_method }}` in the template."
    )
    prompt_extensions: tuple[str, ...] = Field(
        (), description="Text added to every prompt: texts, or names of .md or .txt files."
    )

    @model_validator(mode="after")
    def _one_template(self) -> Self:
        if self.template is not None and self.template_file is not None:
            refuse([Fault(("template_file",), "template and template_file cannot both be given", self.template_file)])
        return self


class AnswerConfig(Section):
    """What the final answer must look like."""

    format: Literal["text", "json"] = Field(
        "text", description="`text`, or `json` for an answer that must be JSON; `schema` and `per_item` imply it."
    )
    json_schema: dict[str, Any] | str | None = Field(
        None,
        alias="schema",
        description="JSON Schema of the answer: inline, the name of a file, or in a notebook that of a pydantic class.",
    )
    per_item: bool = Field(
        False,
        description="The answer is a list with one object per item of the batch, in order; `schema` is that of one "
        "object.",
    )

    @property
    def wants_json(self) -> bool:
        """Whether answers must be JSON."""
        return self.format == "json" or self.json_schema is not None or self.per_item


class JobConfig(Section):
    """A whole job file."""

    SYNONYMS: ClassVar[dict[str, str]] = {
        "sheet": "batch",
        "cross_sheet": "cross_batch",
        "pause_between_sheets_seconds": "pause_between_batches_seconds",
    }

    name: str = Field(
        min_length=1, description="Name of the job. Its id is made of the letters, digits, `-`, `_` and `.` of it."
    )
    description: str | None = Field(None, description="What the job is for.")
    workspace: str = Field(
        "./workspace", min_length=1, description="Folder for results and state; made when it does not exist."
    )
    state_backend: Literal["json", "sqlite"] = Field(
        "json", description="`sqlite` adds a queryable copy of the state; the journal stays the truth."
    )
    state_path: str | None = Field(
        None,
        min_length=1,
        description="Where the state is kept: a folder, or a file's name that stands for the folder around it. Unset: "
        "in the workspace. Results stay in the workspace either way.",
    )
    pause_between_batches_seconds: Seconds = Field(0.0, description="Seconds between two batches.")
    backend: BackendConfig = Field(default_factory=BackendConfig, description="Who runs the sessions.")
    batch: BatchConfig = Field(default_factory=BatchConfig, description="How the work is cut into batches.")
    items: ItemsConfig | None = Field(None, description="Where the rows come from.")
    prompt: PromptConfig = Field(default_factory=PromptConfig, description="What is asked.")
    answer: AnswerConfig = Field(default_factory=AnswerConfig, description="What the answer must look like.")
    parallel: ParallelConfig = Field(default_factory=ParallelConfig, description="Several batches at once.")
    retry: RetryPolicy = Field(default_factory=RetryPolicy, description="What happens after failures.")
    rate_limit: RateLimitPolicy = Field(default_factory=RateLimitPolicy, description="Waiting for limits.")
    circuit_breaker: CircuitBreakerPolicy = Field(
        default_factory=CircuitBreakerPolicy, description="A pause after failures in a row."
    )
    cost_limits: CostLimits = Field(default_factory=CostLimits, description="Money the job may spend, in US dollars.")
    validations: tuple[RuleConfig, ...] = Field((), description="Rules: what must be true after each batch.")
    rehearsal: RehearsalConfig = Field(default_factory=RehearsalConfig, description="How a rehearsal behaves.")
    isolation: IsolationConfig = Field(default_factory=IsolationConfig, description="A git worktree for the job.")
    notifications: tuple[NotificationConfig, ...] = Field((), description="Whom to tell when something happens.")
    logging: LoggingConfig = Field(default_factory=LoggingConfig, description="The job's log file.")
    cross_batch: CrossBatchConfig = Field(
        default_factory=CrossBatchConfig, description="What later batches see of earlier ones."
    )
    stale_detection: StaleDetectionConfig = Field(
        default_factory=StaleDetectionConfig, description="Sessions that went silent."
    )
    learning: LearningConfig = Field(default_factory=LearningConfig, description="What is remembered across jobs.")
    on_success: tuple[HookConfig, ...] = Field((), description="What to start after the job completed.")
    workspace_lifecycle: WorkspaceLifecycleConfig = Field(
        default_factory=WorkspaceLifecycleConfig,
        description="What happens to old results when a job starts from the beginning.",
    )
    concert: ConcertConfig = Field(default_factory=ConcertConfig, description="Jobs that start each other.")
    checkpoints: CheckpointsConfig = Field(
        default_factory=CheckpointsConfig, description="Questions to a person before chosen batches."
    )

    @field_validator("name")
    @classmethod
    def _name_gives_an_id(cls, value: str) -> str:
        if not job_id_of(value):
            refuse([Fault((), "no job id can be made from this name", allowed="a text with a letter or digit")])
        return value

    @model_validator(mode="after")
    def _work_is_known(self) -> Self:
        refuse(missing_counts(self.batch.model_fields_set, has_items=self.items is not None))
        return self

    @property
    def job_id(self) -> str:
        """The id made from `name`; safe as a file name."""
        return job_id_of(self.name)


def missing_counts(given: Collection[str], *, has_items: bool) -> list[Fault]:
    """What `batch` must say about the amount of work and does not; `items` says it as well."""
    if has_items:
        return []
    hint = "or a section `items`"
    return [
        Fault(("batch", key), "`{path}` is required", allowed=f"a whole number from 1, {hint}")
        for key in ("size", "total_items")
        if key not in given
    ]


def job_id_of(name: str) -> str:
    """The slug of `name`: letters, digits, `-`, `_` and `.`, at most 150 bytes of UTF-8; empty when nothing is left.

    It never begins or ends with a dot, so it is neither hidden nor a way out of the workspace.
    """
    text = unicodedata.normalize("NFC", name)
    kept = "".join(char if char.isalnum() or char in "-_." else " " for char in text)
    slug = re.sub(r"\.{2,}", ".", "-".join(kept.split())).strip("-.")
    if not any(char.isalnum() for char in slug):
        return ""
    data = slug.encode()
    if len(data) <= MAX_JOB_ID_BYTES:
        return slug
    # Cut names stay different when what was cut off was different.
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{data[: MAX_JOB_ID_BYTES - 9].decode(errors='ignore').rstrip('-.')}-{mark}"
