"""What a `Board` is asked for, and what it answers: plain frozen data, safe to keep and to pass between threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner
from mozart_nb.consumers.answers import AnswerRecord, AnswerTable
from mozart_nb.consumers.progress import Progress
from mozart_nb.consumers.rows import BatchView
from mozart_nb.engine.state import JobRecord, JobState
from mozart_nb.job.model import JobConfig

JobSort = Literal["updated", "created", "name", "status", "cost", "percent", "failed", "total"]
BatchSort = Literal["batch", "status", "attempts", "duration", "cost", "tokens", "started", "finished", "code"]
NewsKind = Literal["events", "reset", "reload", "gone"]

JOB_SORTS: Final = ("updated", "created", "name", "status", "cost", "percent", "failed", "total")
BATCH_SORTS: Final = ("batch", "status", "attempts", "duration", "cost", "tokens", "started", "finished", "code")


# --- jobs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWish:
    """Which jobs are asked for. `text` is looked for in id, name, description and workspace, in any case.

    `statuses` empty: all of them. `limit` 0 is no limit.
    """

    statuses: tuple[str, ...] = ()
    text: str = ""
    sort: JobSort = "updated"
    descending: bool = True
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Summary:
    """One job in a list. `progress` and `job` are None where its record cannot be read; `message` then says why.

    `status` is as it is shown (`interrupted`, `unreadable` among them). `questions` counts those that are open.
    Times in epoch seconds.
    """

    key: str
    layout: Layout
    workspace: str
    status: str
    is_live: bool = False
    progress: Progress | None = None
    job: JobRecord | None = None
    questions: int = 0
    message: str = ""

    @property
    def job_id(self) -> str:
        return self.layout.job_id

    @property
    def name(self) -> str:
        return (self.job.name if self.job is not None else "") or self.job_id

    @property
    def updated_at(self) -> float:
        return self.job.at if self.job is not None else 0.0


@dataclass(frozen=True, slots=True)
class JobPage:
    """A part of the list. `matching` jobs suit the wish, `total` are known; `counts` has all known ones by status."""

    jobs: tuple[Summary, ...]
    matching: int
    total: int
    counts: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobLook:
    """One job as it stands at `now` (epoch seconds). `job` is a copy that later events do not reach.

    `version` changes whenever the journal, the config or the liveness of the job do. `config` is None when the frozen
    plan cannot be read.
    """

    key: str
    layout: Layout
    workspace: Path
    job: JobRecord
    progress: Progress
    config: JobConfig | None
    owner: Owner | None
    now: float
    version: str
    questions: int = 0

    @property
    def is_live(self) -> bool:
        return self.owner is not None

    @property
    def record(self) -> str:
        """Names the journal: a job that is started over has another one."""
        return self.version.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job was planned from: the config as frozen, and its file where that is still known.

    `document` is JSON data, secrets masked. `base_dir` is where relative paths in it begin. `file` is
    empty for a job that did not come from a file; `text` is the job
    file as it was read, `texts` are the files it names: name to content.
    """

    config: JobConfig
    document: Mapping[str, Any]
    base_dir: str
    file: str = ""
    text: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)


# --- batches ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWish:
    """Which batches are asked for. `numbers` is what people write (`3,7-9`), empty for all; so are the other filters.

    `text` is looked for in message and reason, in any case.
    """

    statuses: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    numbers: str = ""
    text: str = ""
    sort: BatchSort = "batch"
    descending: bool = False
    offset: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A part of the batches. `matching` suit the wish, `total` has the plan; `counts` has all of them by status."""

    batches: tuple[BatchView, ...]
    matching: int
    total: int
    counts: Mapping[str, int]
    version: str


# --- the past and the present -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events of a journal, oldest first; `last_seq` is the last event of the journal, `record` names the journal."""

    events: tuple[ev.Event, ...]
    last_seq: int
    record: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """A job as it was after event `seq`, which happened `at` (epoch seconds). `state` is the reader's own copy."""

    seq: int
    at: float
    last_seq: int
    state: JobState
    progress: Progress


@dataclass(frozen=True, slots=True)
class AnswerPage:
    """Rows of the table of answers, in input order, one batch after the other.

    `next_batch` says where to go on, 0 at the end. Answers are as they are: mask them when they are shown.
    """

    table: AnswerTable
    records: tuple[AnswerRecord, ...]
    next_batch: int = 0
    version: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What happened since the last news. `seq` is the last event that is known now, `events` those worth telling.

    `skipped` events went by too fast to be told one by one: `batches` has all that changed (None: it may be any).
    `reset`: a new journal began (`--fresh`), what was known counts no more. `reload`: more happened than could be
    kept for whoever was slow; look again. `gone`: the record was removed.
    """

    kind: NewsKind
    seq: int
    record: str
    events: tuple[ev.Event, ...] = ()
    skipped: int = 0
    batches: frozenset[int] | None = frozenset()
    progress: Progress | None = None
    encoded: bytes = b""
    """The same as frames of server-sent events (`looking.board.feed.encode`), made once for all who listen."""
