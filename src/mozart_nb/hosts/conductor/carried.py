"""What a conductor carries, on disk: so that the next one goes on with it, however this one ended.

One small file, replaced as a whole and synced before a job begins and after it is over. It points to jobs and keeps
how they were asked for; everything else about a job is in its own record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mozart_nb.checkpoint.files import DiskFiles, write_atomically
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import WorldError

Phase = Literal["queued", "running", "held", "handover", "notebook"]
"""`queued` for room, `running`, `held` until somebody says so or what it needs is there, waiting for `handover` by
whoever runs it, or for a `notebook` that has its functions."""

_STILL_COUNTS: Final = frozenset(
    "batches max_concurrent self_healing escalation yes priority limit start_batch chain".split()
)
_encode = msgspec.json.Encoder().encode
_VERSION: Final = 1


class Carried(msgspec.Struct, omit_defaults=True):
    """One job. `folder` holds its state; `wish` is how it was asked for, as the method `submit` takes it.

    `since` is when it was accepted (epoch seconds), `done_before` how many batches were done when it began here,
    `has_begun` whether it ever did, `was_stopped` whether it paused because the conductor stopped, and `stopped_at` the
    number of the last event then (0: not known): later ones are those of somebody else's run.
    """

    job_id: str
    folder: str
    phase: Phase
    since: float
    wish: dict[str, Any] = {}
    priority: int = 100
    reason: str = ""
    done_before: int = 0
    has_begun: bool = False
    was_stopped: bool = False
    stopped_at: int = 0

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.folder), self.job_id)

    def note_begun(self) -> None:
        """From now on it goes on from its record, and no longer from how it was described."""
        self.has_begun = True
        self.wish = {name: value for name, value in self.wish.items() if name in _STILL_COUNTS}

    @property
    def key(self) -> str:
        return key_of(self.layout)


class _File(msgspec.Struct):
    version: int
    jobs: list[Carried]


def key_of(layout: Layout) -> str:
    """What tells a job from all others: where its record stands, whatever path leads there."""
    return str(layout.root.resolve())


class Register:
    """The jobs that a conductor carries, by key. Not for several threads at once; `save` blocks for a sync."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: dict[str, Carried] = {}
        self._files = DiskFiles()
        self._is_lost = False

    def lose(self) -> None:
        """The file may be another conductor's by now: nothing is written any more."""
        self._is_lost = True

    def load(self) -> list[str]:
        """Take over what the last conductor carried; returns what was noticed. A file that is no such file is kept."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            aside = self._path.with_suffix(".unreadable")
            with contextlib.suppress(OSError):
                self._path.replace(aside)
            return [f"what was carried before cannot be read ({error}); the file is kept as {aside}"]
        self._jobs = {one.key: one for one in found.jobs}
        return []

    def __iter__(self) -> Iterator[Carried]:
        return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, layout: Layout) -> Carried | None:
        return self._jobs.get(key_of(layout))

    def has(self, one: Carried) -> bool:
        """Whether this very one is carried, also where its path leads elsewhere by now."""
        return any(known is one for known in self._jobs.values())

    def named(self, job_id: str, folder: Path | None = None) -> list[Carried]:
        """Those of that id, in that folder if one is given. Safe in any thread."""
        place = str(folder.resolve()) if folder is not None else ""
        found = [one for one in self if one.job_id == job_id]
        return [one for one in found if not place or str(Path(one.folder).resolve()) == place]

    def put(self, one: Carried) -> None:
        """Carry it, or carry it otherwise; on disk with the next `save`."""
        self._jobs[one.key] = one

    def drop(self, one: Carried) -> None:
        """Carry it no longer; on disk with the next `save`."""
        self._jobs = {key: known for key, known in self._jobs.items() if known is not one}

    def packed(self) -> bytes:
        """All of it as it goes to disk."""
        return _encode(_File(_VERSION, list(self._jobs.values())))

    def write(self, data: bytes) -> None:
        """Put `packed` on disk, durably. Raises `WorldError`."""
        if self._is_lost:
            return
        try:
            write_atomically(self._files, self._path, data + b"\n", self._path.with_suffix(".tmp"))
        except OSError as error:
            raise WorldError(
                f"the conductor cannot note what it carries in {self._path} ({error.strerror})",
                hint="make room on that disk, or set MOZART_NB_HOME to another folder",
            ) from error
