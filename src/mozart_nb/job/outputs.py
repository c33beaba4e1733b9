"""What a job must produce, and what it hands on."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from mozart_nb.job.section import (
    Count,
    Fault,
    PositiveCount,
    PositiveSeconds,
    Real,
    Seconds,
    Section,
    Whole,
    refuse,
)

RuleType = Literal[
    "file_exists",
    "file_modified",
    "content_contains",
    "content_regex",
    "command_succeeds",
    "answer_matches",
    "python",
]

REQUIRED_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "file_exists": ("path",),
    "file_modified": ("path",),
    "content_contains": ("path", "pattern"),
    "content_regex": ("path", "pattern"),
    "command_succeeds": ("command",),
    "answer_matches": ("pattern",),
    "python": ("function",),
}
"""What each type of rule cannot do without."""


class RuleConfig(Section):
    """One thing that must be true after a batch. Paths, commands and patterns may hold placeholders."""

    type: RuleType = Field(
        description="`file_exists`: the file is there. `file_modified`: the batch changed it. `content_contains`: the "
        "file holds `pattern` as it stands. `content_regex`: the regular expression `pattern` is found in the file. "
        "`command_succeeds`: the shell command ends with exit code 0. `answer_matches`: the regular expression "
        "`pattern` is found in the answer. `python`: a function of the notebook that starts the job says so."
    )
    path: str | None = Field(None, description="The file; relative to the backend's working directory.")
    pattern: str | None = Field(None, description="Text or regular expression to find.")
    command: str | None = Field(None, description="Shell command.")
    function: str | None = Field(
        None, description="Name of the notebook's function (`python`): `check`, or `tools.check` of what is imported."
    )
    working_directory: str | None = Field(None, description="Where the command runs. Unset: the workspace.")
    description: str | None = Field(None, description="What the rule is for; shown when it fails.")
    stage: Whole = Field(
        1,
        ge=1,
        le=10,
        description="Rules run in the order of their stages; after a stage that failed the later ones are skipped.",
    )
    condition: str | None = Field(
        None, description="Expression; the rule applies only where it is true, for example `batch_num >= 2`."
    )
    timeout_seconds: PositiveSeconds = Field(
        300.0,
        description="Seconds a command or function may take. A function cannot be ended: the rule has failed, and its "
        "thread is left alone.",
    )
    retry_count: Whole = Field(
        0,
        ge=0,
        le=10,
        description="Further looks at a file when the rule fails, for slow file systems; not for what runs code.",
    )
    retry_delay_ms: Whole = Field(200, ge=0, le=5000, description="Milliseconds between two looks.")


class CrossBatchConfig(Section):
    """What later batches see of earlier ones."""

    SYNONYMS: ClassVar[dict[str, str]] = {"lookback_sheets": "lookback_batches"}

    auto_capture_stdout: bool = Field(
        False, description="Hand the output of earlier batches on as `previous_outputs` {batch number: text}."
    )
    max_output_chars: PositiveCount = Field(
        2000, description="Characters kept of each output; the end of the text is kept."
    )
    capture_files: tuple[str, ...] = Field(
        (),
        description="Files handed on as `previous_files` {path: text}: path templates with wildcards, relative to "
        "the workspace.",
    )
    lookback_batches: Count = Field(3, description="How many batches to look back; 0 means all earlier ones.")


WORKTREES: Final = ".worktrees"
"""Folder of the worktrees in a workspace, unless `isolation.worktree_base` names another."""


class IsolationConfig(Section):
    """A git worktree of the job's own, on a branch that keeps every commit. Sessions do not touch your checkout."""

    enabled: bool = Field(False, description="Run the job in a worktree.")
    mode: Literal["worktree", "none"] = Field("worktree", description="`worktree`, or `none` for no isolation.")
    worktree_base: str | None = Field(
        None, description="Folder in which the worktree is made. Unset: `.worktrees` in the workspace."
    )
    branch_prefix: str = Field(
        "mozart",
        pattern=r"^[a-zA-Z][a-zA-Z0-9_-]*$",
        description="The branch that keeps the work is `{prefix}/{job id}`.",
    )
    source_branch: str | None = Field(
        None, description="Branch, tag or commit to begin at. Unset: what is checked out."
    )
    cleanup_on_success: bool = Field(
        True,
        description="Remove the worktree when the job completes, once everything is committed; the branch stays.",
    )
    cleanup_on_failure: bool = Field(False, description="The same when the job fails or is cancelled.")
    lock_during_execution: bool = Field(True, description="Have git keep the worktree while the job runs.")
    fallback_on_error: bool = Field(
        True,
        description="Work in the checkout itself where no worktree can be made; else the job does not begin.",
    )


class LoggingConfig(Section):
    """The job's log file."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The least important level kept.")
    format: Literal["console", "json", "both"] = Field(
        "console",
        description="Lines for people, JSON lines, or both: then the JSON lines are beside the file, with the suffix "
        "`.jsonl`.",
    )
    file_path: str | None = Field(
        None,
        description="The log file, relative to the workspace. Unset: `mozart.log` there. `/dev/null`: none.",
    )
    max_file_size_mb: Real = Field(
        50.0, gt=0, le=1000, description="Megabytes (of 1,000,000 bytes) after which a new file is started."
    )
    backup_count: Whole = Field(5, ge=0, le=100, description="How many old files are kept, compressed.")
    include_timestamps: bool = Field(True, description="Begin each line with the time.")
    include_context: bool = Field(True, description="Add job, run, batch and attempt to each line.")

    @field_validator("level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _a_file(self) -> Self:
        if self.file_path is not None and ("\0" in self.file_path or not PurePosixPath(self.file_path).name):
            refuse([Fault(("file_path",), "this names no file", value=repr(self.file_path))])
        return self


class LearningConfig(Section):
    """What is remembered across jobs."""

    enabled: bool = Field(
        True, description="Count what came of each attempt, by template and rule; `mozart learning` tells."
    )
    apply: bool = Field(
        False,
        description="Add up to three sentences to prompts: which rules the first try of this template failed most in "
        "earlier runs. Worked out when the job is planned. Unset: nothing is added.",
    )


class HookConfig(Section):
    """Something to start after the job completed."""

    type: Literal["run_job", "run_command", "run_script"] = Field(
        description="`run_job` runs another job file, `run_command` a shell command, `run_script` a program with its "
        "arguments."
    )
    job_path: str | None = Field(None, description="The job file (`run_job`).")
    job_workspace: str | None = Field(None, description="Another workspace for that job.")
    inherit_learning: bool = Field(True, description="No effect: all jobs share what is remembered.")
    command: str | None = Field(None, description="The command (`run_command`, `run_script`).")
    working_directory: str | None = Field(None, description="Where it runs. Unset: the backend's working directory.")
    description: str | None = Field(None, description="What it is for.")
    on_failure: Literal["continue", "abort"] = Field("continue", description="`abort`: the hooks after it do not run.")
    timeout_seconds: PositiveSeconds | None = Field(
        None, description="Seconds it may take. Unset: 300, and for `run_job` no limit."
    )
    detached: bool = Field(False, description="Do not wait for it; what it prints goes to a log file.")
    fresh: bool = Field(False, description="Start that job from the beginning.")

    @model_validator(mode="after")
    def _something_to_start(self) -> Self:
        key = "job_path" if self.type == "run_job" else "command"
        if not getattr(self, key):
            refuse([Fault((), f"a hook of type `{self.type}` needs `{key}`")])
        return self


class ConcertConfig(Section):
    """Jobs that start each other."""

    enabled: bool = Field(False, description="Allow chains of jobs. Without it one job may follow, and no more.")
    max_chain_depth: Whole = Field(5, ge=1, le=100, description="How many jobs may follow the first one.")
    cooldown_between_jobs_seconds: Seconds = Field(30.0, description="Seconds between two jobs of a chain.")
    inherit_workspace: bool = Field(True, description="The next job uses the same workspace.")
    concert_log_path: str | None = Field(None, description="Log of the chain: a JSON line per step.")
    abort_concert_on_hook_failure: bool = Field(
        False, description="A failed hook ends the chain, and the exit code is 1."
    )


class WorkspaceLifecycleConfig(Section):
    """What happens to old results when a job starts from the beginning."""

    archive_on_fresh: bool = Field(
        False,
        description="When the job starts from the beginning (`--fresh`), move what is in the workspace into an archive "
        "first. States of jobs stay.",
    )
    archive_dir: str = Field(
        "archive", min_length=1, description="Folder of the archives; a relative one is in the workspace."
    )
    archive_naming: Literal["iteration", "timestamp"] = Field(
        "iteration",
        description="`iteration`: `iteration-N`, with N from the workspace's file `.iteration` if there is one, else "
        "one more than the last. `timestamp`: `archive-20261121-070500`, in UTC.",
    )
    max_archives: Count = Field(
        0, description="How many archives are kept; 0 means all. Older ones are deleted after a new one was made."
    )
    preserve_patterns: tuple[str, ...] = Field(
        (".iteration", ".mozart-*", ".coverage", "archive/**", ".worktrees/**"),
        description="What stays where it is: wildcards for names at the top of the workspace. A pattern with `/` keeps "
        "the whole entry in which it finds something.",
    )

    @field_validator("preserve_patterns")
    @classmethod
    def _patterns_stay_inside(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        allowed = "a pattern relative to the workspace, without `..`"
        refuse([Fault((n,), "this cannot match", text, allowed) for n, text in enumerate(patterns) if _leaves(text)])
        return patterns


def _leaves(pattern: str) -> bool:
    path = PurePosixPath(pattern)
    return not path.parts or path.is_absolute() or ".." in path.parts


class CheckpointTrigger(Section):
    """When to ask a person before a session is opened. All conditions given must hold."""

    SYNONYMS: ClassVar[dict[str, str]] = {"sheet_nums": "batch_nums"}

    name: str = Field(description="What the question is called.")
    batch_nums: tuple[PositiveCount, ...] | None = Field(None, description="Before these batches.")
    prompt_contains: tuple[str, ...] | None = Field(
        None, description="When the prompt holds one of these texts, in upper or lower case."
    )
    min_retry_count: Count | None = Field(None, description="When so many retries of the batch are used.")
    requires_confirmation: bool = Field(True, description="Wait for the answer; `false` only tells.")
    message: str = Field("", description="What is asked, or told.")

    @model_validator(mode="after")
    def _when(self) -> Self:
        if self.batch_nums is None and self.prompt_contains is None and self.min_retry_count is None:
            refuse([Fault((), "a trigger needs a condition", allowed="batch_nums, prompt_contains or min_retry_count")])
        return self


class CheckpointsConfig(Section):
    """Questions to a person before chosen batches: go on, skip the batch, pause the job, or add to the prompt. Where
    nobody is there to ask, the job pauses; `-y` of `run` and `resume` goes on without asking."""

    enabled: bool = Field(False, description="Ask before the batches that the triggers choose.")
    triggers: tuple[CheckpointTrigger, ...] = Field((), description="When to ask; needed when enabled.")
    escalation: bool = Field(
        False,
        description="Ask before a batch fails whose retries are used up: try it again, with another prompt if need "
        "be, skip it, or let it fail. `-e` of `run` and `resume` asks as well. Where nobody is there it fails. "
        "`learning.escalation_enabled` means the same.",
    )

    @model_validator(mode="after")
    def _enabled_with_triggers(self) -> Self:
        if self.enabled and not self.triggers:
            refuse([Fault(("enabled",), "there are no triggers", "true", "at least one trigger as well")])
        return self
