"""Where everything about a job stands on disk.

Nothing stored below a workspace names the workspace itself, so a workspace may be moved or renamed between runs. Where
`state_path` separates the two, the frozen plan says how to get from the state to the workspace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mozart_nb.errors import MisuseError

STATE_FOLDER = ".mozart"
ARCHIVE = "archive"
ANSWER_INDEX = "answers.db"
LOGS_PER_FOLDER = 1000
SEGMENT_NAME = re.compile(r"\d{6,}\.jsonl")

_SAFE_ID = re.compile(r"[^\W_][\w.\-]*|_[\w.\-]*")
_RESERVED = frozenset({ARCHIVE, *(f"{ANSWER_INDEX}{suffix}" for suffix in ("", "-wal", "-shm"))})
_LONGEST_ID_BYTES = 180


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path of one job.

    `workspace` is the folder that holds its state: the job's workspace, unless its `state_path` names another one.

    Raises `MisuseError` for an id that could leave the workspace or stands for something else in it: ids are letters,
    digits, `-`, `_` and `.`, do not begin with `.` or `-`, and fit into a file name.
    """

    workspace: Path
    job_id: str

    def __post_init__(self) -> None:
        check_job_id(self.job_id)

    @property
    def snapshot(self) -> Path:
        return self.workspace / f"{self.job_id}.json"

    @property
    def state_root(self) -> Path:
        """The folder that the jobs of a workspace share."""
        return self.workspace / STATE_FOLDER

    @property
    def root(self) -> Path:
        """The job's own folder."""
        return self.state_root / self.job_id

    @property
    def plan(self) -> Path:
        return self.root / "plan"

    @property
    def previous_plan(self) -> Path:
        return self.root / "plan.previous"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    def segment(self, number: int) -> Path:
        """Part `number` (from 1) of the journal."""
        return self.journal / f"{number:06d}.jsonl"

    @property
    def answers(self) -> Path:
        return self.root / "answers.jsonl"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log_name(self, batch: int, attempt: int) -> str:
        """Where an attempt's raw output goes (`session.opened.log`): relative to the job's folder, without suffix."""
        return f"logs/{batch // LOGS_PER_FOLDER:04d}/{batch:04d}-{attempt}"

    def log_stem(self, batch: int, attempt: int) -> Path:
        """The same as a path, still without suffix."""
        return self.root / self.log_name(batch, attempt)

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def notifications(self) -> Path:
        """Messages to be delivered, and what became of them."""
        return self.root / "notifications"

    @property
    def mirror(self) -> Path:
        """The queryable copy of the state that `state_backend: sqlite` asks for."""
        return self.workspace / f"{self.job_id}.sqlite"

    @property
    def mirror_files(self) -> tuple[Path, ...]:
        """The same with the files that SQLite keeps beside it."""
        return tuple(self.mirror.with_name(f"{self.mirror.name}{suffix}") for suffix in ("", "-wal", "-shm"))

    @property
    def control(self) -> Path:
        return self.root / "control"

    @property
    def reserve(self) -> Path:
        """Room kept for the answers in flight when the disk is full."""
        return self.root / "reserve"

    @property
    def snapshot_draft(self) -> Path:
        return self.root / "snapshot.tmp"

    @property
    def archiving(self) -> Path:
        """Names the place in the archive that the job is being moved to."""
        return self.root / "archiving"

    @property
    def archive(self) -> Path:
        return self.state_root / ARCHIVE

    @property
    def exists(self) -> bool:
        """Whether the workspace has a record of this job: folders alone are none."""
        return self.segment(1).is_file() or self.snapshot.is_file()


def check_job_id(job_id: str) -> None:
    """Raise `MisuseError` unless `job_id` is safe to build paths from."""
    if not _is_safe(job_id):
        raise MisuseError(
            f"`{job_id}` cannot be a job id",
            hint=f"use letters, digits, `-`, `_` and `.`, at most {_LONGEST_ID_BYTES} bytes, but not `{ARCHIVE}`",
            job_id=job_id,
        )


def _is_safe(job_id: str) -> bool:
    if not _SAFE_ID.fullmatch(job_id) or job_id.lower() in _RESERVED:
        return False
    return len(job_id.encode(errors="surrogatepass")) <= _LONGEST_ID_BYTES


def jobs_in(workspace: Path) -> list[str]:
    """Ids of the jobs that a workspace holds, sorted."""
    root = workspace / STATE_FOLDER
    if not root.is_dir():
        return []
    names = [path.name for path in root.iterdir() if path.is_dir() and _is_safe(path.name)]
    return sorted(name for name in names if Layout(workspace, name).exists)
