"""What is asked of the conductor about jobs: the parameters of its methods, checked before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mozart_nb.errors import MisuseError

Text = Annotated[str, Meta(max_length=4096)]
Batch = Annotated[int, Meta(ge=1)]
Amount = Annotated[int, Meta(ge=0)]
Moment = Annotated[float, Meta(ge=0)]


class Params(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters of one method. What a method does not know is refused."""


class NoParams(Params, kw_only=True):
    """Nothing is to be said."""


class OfJob(Params, kw_only=True):
    """One job, by its id."""

    job_id: Annotated[Text, Meta(description="Id of the job; found from anywhere.")]
    workspace: Annotated[Text, Meta(description="Where it is, if several workspaces have a job of that id.")] = ""

    @property
    def folder(self) -> Path | None:
        return absolute(self.workspace, "workspace") if self.workspace else None


class OfMaybeJob(Params, kw_only=True):
    """One job, or none in particular."""

    job_id: Annotated[Text, Meta(description="Id of the job; without one, all jobs.")] = ""
    workspace: Annotated[Text, Meta(description="Where it is, if several workspaces have a job of that id.")] = ""

    @property
    def folder(self) -> Path | None:
        return absolute(self.workspace, "workspace") if self.workspace else None


class How(Params, kw_only=True):
    """How a job runs, beyond what its file says: as the options of `mozart run` and `mozart resume`."""

    batches: Annotated[Text, Meta(description="The only batches to run: `3,7-9`.")] = ""
    max_concurrent: Annotated[Amount, Meta(description="Sessions at once, instead of what the file says.")] = 0
    self_healing: Annotated[bool, Meta(description="Mend what can be mended before a batch is given up.")] = False
    escalation: Annotated[bool, Meta(description="Ask about a batch that used up its budgets.")] = False
    yes: Annotated[bool, Meta(description="Nobody is asked anything.")] = False
    priority: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="1 to 1000, lower is sooner; null for the usual one."),
    ] = None
    keep_failed: Annotated[bool, Meta(description="Leave failed batches as they are.")] = False
    reload_config: Annotated[bool, Meta(description="Take the job file as it is now.")] = False
    config: Annotated[Text, Meta(description="Take this job file from now on (absolute path).")] = ""
    infer: Annotated[bool, Meta(description="Batches whose rules pass count as completed.")] = False
    handover: Annotated[bool, Meta(description="Whoever runs the job now gives it away first.")] = False
    chain: Annotated[
        Annotated[str, Meta(max_length=65_536)],
        Meta(description="The chain of jobs that it goes on with: `MOZART_NB_CHAIN` of a hook."),
    ] = ""


class Wanted(How, kw_only=True):
    """A job to be run: exactly one of `file`, `text` and `job_id`."""

    file: Annotated[Text, Meta(description="The job file (absolute path).")] = ""
    text: Annotated[str, Meta(description="The job as YAML; relative paths start in `base_dir`.")] = ""
    base_dir: Annotated[Text, Meta(description="Where relative paths of `text` start (absolute path).")] = ""
    job_id: Annotated[Text, Meta(description="A job that is on disk.")] = ""
    workspace: Annotated[Text, Meta(description="Its workspace, instead of that of the file (absolute path).")] = ""
    overrides: Annotated[list[Text], Meta(description="`KEY=VALUE`, as `--set`.")] = []
    strict: Annotated[bool, Meta(description="Unknown keys are errors.")] = False
    rehearse: Annotated[bool, Meta(description="A stand-in answers, free of charge, in a scratch folder.")] = False
    fresh: Annotated[bool, Meta(description="Start over; what was there is archived.")] = False
    limit: Annotated[Amount, Meta(description="A pilot: pause after so many batches.")] = 0
    start_batch: Annotated[Batch, Meta(description="Skip batches before this one.")] = 1

    def __post_init__(self) -> None:
        given = [name for name in ("file", "text", "job_id") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("exactly one of `file`, `text` and `job_id` is wanted")
        if self.text and not self.base_dir:
            raise ValueError("`text` needs `base_dir`, where its relative paths start")

    @property
    def folder(self) -> Path | None:
        return absolute(self.workspace, "workspace") if self.workspace else None

    def plain(self) -> dict[str, Any]:
        """As it was asked for, without what is as usual."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class Resumed(How, kw_only=True):
    """A job on disk that is to go on."""

    job_id: Annotated[Text, Meta(description="Id of the job; found from anywhere.")]
    workspace: Annotated[Text, Meta(description="Where it is, if several workspaces have a job of that id.")] = ""

    @property
    def folder(self) -> Path | None:
        return absolute(self.workspace, "workspace") if self.workspace else None


class Modified(Resumed, kw_only=True):
    """A new config for a job."""

    resume: Annotated[bool, Meta(description="It goes on at once, with the new config.")] = False


class Recovered(OfJob, kw_only=True):
    """Failed batches whose rules are to be checked again."""

    dry_run: Annotated[bool, Meta(description="Only say which would be recovered.")] = False


class Answered(OfJob, kw_only=True):
    """The answer to the open question of a batch."""

    batch: Annotated[Batch, Meta(description="The batch that is asked about.")]
    action: Annotated[
        Literal["proceed", "skip", "abort", "add", "retry"], Meta(description="What is to be done about it.")
    ]
    text: Annotated[str, Meta(description="What goes with it: words to add, or an edited prompt.")] = ""
    attempt: Annotated[int, Meta(ge=0, description="Only what was asked about this attempt; 0: whatever is asked.")] = 0


class Retried(OfJob, kw_only=True):
    """Failed batches to be tried again."""

    batches: Annotated[list[Batch], Meta(description="Which; none named: all that failed.")] = []


class Watched(OfMaybeJob, kw_only=True):
    """A stream of events: of a job, or without one of the conductor itself."""

    since_seq: Annotated[Amount, Meta(description="Only events after this number.")] = 0


class Listed(Params, kw_only=True):
    """Which jobs to list."""

    status: Annotated[Text, Meta(description="Only jobs with this status.")] = ""
    limit: Annotated[Annotated[int, Meta(ge=1, le=1000)], Meta(description="At most so many.")] = 100
    carried: Annotated[bool, Meta(description="Only those that the conductor carries.")] = False


class Failures(OfMaybeJob, kw_only=True):
    """Which failures to list."""

    batch: Annotated[Amount, Meta(description="Of this batch; 0 stands for all.")] = 0
    code: Annotated[Text, Meta(description="With this code.")] = ""
    type: Annotated[Text, Meta(description="`transient`, `rate_limit` or `permanent`.")] = ""
    limit: Annotated[Annotated[int, Meta(ge=1, le=10_000)], Meta(description="The last so many.")] = 1000


class Diagnosed(OfJob, kw_only=True):
    """What to explain."""

    include_output: Annotated[bool, Meta(description="With what sessions of failed batches printed.")] = False


class Past(OfMaybeJob, kw_only=True):
    """Which runs to list."""

    limit: Annotated[Annotated[int, Meta(ge=1, le=1000)], Meta(description="The last so many.")] = 50


class Statuses(OfJob, kw_only=True):
    """How much of a job's status."""

    batches: Annotated[bool, Meta(description="With every batch of a job of up to 10,000.")] = False


class Settings(Params, kw_only=True):
    """Whether to read the settings again."""

    reload: Annotated[bool, Meta(description="Read the file again; settings that are wrong change nothing.")] = False


class Shutdown(Params, kw_only=True):
    """How to stop."""

    seconds: Annotated[Moment | None, Meta(description="How long running sessions may take; null: as set.")] = None


class Adopted(Params, kw_only=True):
    """Jobs to take up whose host died."""

    job_ids: Annotated[list[Text], Meta(description="Which; none named: all that there are.")] = []


def absolute(path: str, name: str) -> Path:
    """The path, which must not depend on where the conductor happens to be. Raises `MisuseError`."""
    found = Path(path).expanduser()
    if not found.is_absolute():
        raise MisuseError(f"`{name}` must be an absolute path, not `{path}`")
    return found
