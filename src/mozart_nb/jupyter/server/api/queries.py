"""What may be asked: query parameters and bodies. What is not here, or not of its type, is answered with 400."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from mozart_nb.consumers.lines import Level
from mozart_nb.looking.board.shapes import BatchSort, JobSort

LONGEST_CONFIG: Final = 150_000
"""Characters of a job file that is sent: whatever they are, they fit into a body as JSON."""

_Meta = msgspec.Meta

JobStatusName = Literal[
    "pending",
    "running",
    "waiting",
    "pausing",
    "paused",
    "completed",
    "failed",
    "cancelled",
    "interrupted",
    "unreadable",
]
BatchStatusName = Literal["pending", "running", "waiting", "completed", "failed", "blocked", "skipped", "cancelled"]
RunStatusName = Literal["", "running", "paused", "completed", "failed", "cancelled", "interrupted"]
FailureType = Literal["", "transient", "rate_limit", "validation", "timeout", "signal", "fatal", "permanent"]
Offset = Annotated[int, _Meta(ge=0, le=10_000_000, description="how many to leave out at the beginning")]
Words = Annotated[str, _Meta(max_length=200)]
Moment = Annotated[str, _Meta(max_length=64, description="`14:00`, `2h`, `2026-11-21T07:05`")]
BatchNumber = Annotated[int, _Meta(ge=1, le=10_000_000, description="number of a batch, from 1")]


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No parameters."""


class JobsQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: Annotated[tuple[JobStatusName, ...], _Meta(description="only these, comma-separated")] = ()
    q: Annotated[Words, _Meta(description="looked for in id, name, description and workspace")] = ""
    sort: JobSort = "updated"
    order: Literal["asc", "desc"] = "desc"
    offset: Offset = 0
    limit: Annotated[int, _Meta(ge=1, le=500, description="how many at most")] = 50


class StatusQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    batches: Annotated[Words, _Meta(description="batches to list, `3,7-9`; at most 1,000")] = ""


class BatchesQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: Annotated[tuple[BatchStatusName, ...], _Meta(description="only these, comma-separated")] = ()
    code: Annotated[
        tuple[Annotated[str, _Meta(pattern=r"^E\d{3}$")], ...], _Meta(description="only with these error codes")
    ] = ()
    numbers: Annotated[Words, _Meta(description="only these, `3,7-9`")] = ""
    q: Annotated[Words, _Meta(description="looked for in code, message and reason")] = ""
    sort: BatchSort = "batch"
    order: Literal["asc", "desc"] = "asc"
    offset: Offset = 0
    limit: Annotated[int, _Meta(ge=1, le=1000, description="how many at most")] = 100


class OutputQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    attempt: Annotated[int, _Meta(ge=0, le=100_000, description="0: the last one")] = 0
    lines: Annotated[int, _Meta(ge=1, le=500, description="how many at most")] = 40


class EventsQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    since: Annotated[int, _Meta(ge=0, le=2**53, description="events after this number")] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    record: Annotated[Words, _Meta(description="the journal that `since` is of; another one begins with `reset`")] = ""
    limit: Annotated[int, _Meta(ge=1, le=1000, description="of a JSON page")] = 100


class LogsQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Annotated[int, _Meta(ge=1, le=1000, description="how many at most")] = 50
    level: Level = "DEBUG"
    batch: Annotated[int, _Meta(ge=0, le=10_000_000, description="0: all")] = 0
    event: Annotated[
        tuple[Annotated[str, _Meta(max_length=64)], ...], _Meta(description="names, `*` and `?` as wildcards")
    ] = ()
    since: Moment = ""
    until: Moment = ""


class ErrorsQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: Annotated[str, _Meta(pattern=r"^(E\d{3})?$")] = ""
    batch: Annotated[int, _Meta(ge=0, le=10_000_000, description="0: all")] = 0
    type: Annotated[FailureType, _Meta(description="category of the code, as `mozart errors --type`")] = ""
    since: Moment = ""
    until: Moment = ""
    offset: Offset = 0
    limit: Annotated[int, _Meta(ge=1, le=1000, description="how many at most")] = 100


class AnswersQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    first_batch: BatchNumber = 1
    limit: Annotated[int, _Meta(ge=1, le=1000, description="rows; whole batches are told")] = 100
    failed: Annotated[bool, _Meta(description="only what has no answer and will get none")] = False


class HistoryQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    job: Annotated[Words, _Meta(description="key of a job; without it the runs of all jobs")] = ""
    status: RunStatusName = ""
    since: Moment = ""
    until: Moment = ""
    offset: Offset = 0
    limit: Annotated[int, _Meta(ge=1, le=1000, description="how many at most")] = 100


# --- bodies -----------------------------------------------------------------------------------------------------------

Config = Annotated[str, _Meta(min_length=1, max_length=LONGEST_CONFIG, description="a job file, as YAML")]
Folder = Annotated[
    str,
    _Meta(
        max_length=1000,
        description="where relative paths of the job file begin: a folder below the one the server was started for",
    ),
]
Overrides = Annotated[
    tuple[Annotated[str, _Meta(max_length=10_000)], ...],
    _Meta(max_length=100, description="`key.path=value`, as `--set`"),
]


class ConfigBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job file that is to be checked."""

    config: Config
    folder: Folder = ""
    strict: Annotated[bool, _Meta(description="unknown keys are errors")] = False
    overrides: Overrides = ()


class RehearseBody(ConfigBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job file whose plan is to be worked out; nothing is sent and nothing written."""

    show: Annotated[int, _Meta(ge=0, le=10_000_000, description="batch whose prompt is wanted; 0: none")] = 1
    limit: Annotated[int, _Meta(ge=0, le=10_000_000, description="only so many batches; 0: all")] = 0
    batches: Annotated[str, _Meta(max_length=200, description="only these, `3,7-9`")] = ""


class CreateBody(ConfigBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job file that is to be run by the conductor."""

    rehearse: Annotated[bool, _Meta(description="free of charge, in a scratch folder")] = False
    fresh: Annotated[bool, _Meta(description="start over; what was there is archived")] = False
    limit: Annotated[int, _Meta(ge=0, le=10_000_000, description="only so many batches; 0: all")] = 0
    batches: Annotated[str, _Meta(max_length=200, description="only these, `3,7-9`")] = ""
    max_concurrent: Annotated[int, _Meta(ge=0, le=10_000, description="0: as the job file says")] = 0
    self_healing: bool = False
    escalation: Annotated[bool, _Meta(description="ask before a batch fails for good")] = False
    yes: Annotated[bool, _Meta(description="confirm whatever would be asked")] = False
    priority: Annotated[int, _Meta(ge=-1000, le=1000, description="a lower one starts sooner")] | None = None


class ActionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done. `answer` needs one batch and a `reply`; `modify` needs a `config`."""

    action: Literal["pause", "resume", "cancel", "retry", "modify", "answer"]
    batches: Annotated[
        tuple[BatchNumber, ...],
        _Meta(max_length=10_000, description="for `retry` (none: all that failed) and `answer`"),
    ] = ()
    reply: Literal["", "proceed", "skip", "abort", "add", "retry"] = ""
    text: Annotated[
        str, _Meta(max_length=100_000, description="what goes with a reply: more text, an edited prompt")
    ] = ""
    attempt: Annotated[
        int, _Meta(ge=0, le=10_000_000, description="answer only what was asked about this attempt; 0: whatever is")
    ] = 0
    config: Annotated[str, _Meta(max_length=LONGEST_CONFIG, description="the new job file, as YAML")] = ""
    resume: Annotated[bool, _Meta(description="with `modify`: go on at once")] = True
