"""Old results make room for a job that starts from the beginning: moved into an archive, never deleted.

Only the entries at the top of the workspace are moved, each by one rename, so a symbolic link is moved and never
followed. They are gathered in a draft, `<archive_dir>/.<job id>.partial`, which gets its name when it is complete: a
draft that is found says that a host died half-way, and whoever starts over next goes on with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Final

from mozart_nb.errors import MisuseError, WorldError
from mozart_nb.job.outputs import WorkspaceLifecycleConfig

ITERATION_FILE: Final = ".iteration"
"""Holds the number of the next archive, for jobs that count their own rounds."""

_NAMES: Final = {
    "iteration": re.compile(r"iteration-(\d{1,9})(?:-(\d{1,9}))?"),
    "timestamp": re.compile(r"archive-(\d{8}-\d{6})(?:-(\d{1,9}))?"),
}


@dataclass(frozen=True, slots=True)
class Archived:
    """What was done: where the entries went (None when there was nothing to move), and older archives now removed."""

    place: Path | None = None
    entries: int = 0
    removed: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def notices(self) -> list[str]:
        """The same in words."""
        if self.place is None:
            return []
        word = "entry" if self.entries == 1 else "entries"
        said = [f"{self.entries} {word} of the workspace moved to {self.place}"]
        if self.removed:
            said.append(f"archives beyond `max_archives` removed: {', '.join(self.removed)}")
        return [*said, *self.failures]


class WorkspaceArchive:
    """Moves a workspace's old results aside, as its job's `workspace_lifecycle` says. For the holder of the job's lock.

    `stays` are paths that are never moved: the states of jobs. `needed` are paths the job cannot do without, and what
    each is.
    """

    def __init__(
        self,
        workspace: Path,
        policy: WorkspaceLifecycleConfig,
        job_id: str,
        *,
        stays: Iterable[Path] = (),
        needed: Mapping[Path, str] | None = None,
    ) -> None:
        self._workspace = workspace
        self._policy = policy
        self._job_id = job_id
        self._stays = tuple(stays)
        self._needed = needed or {}
        self._root = Path(os.path.normpath(workspace / policy.archive_dir))
        self._draft = self._root / f".{job_id}.partial"
        self._name = _NAMES[policy.archive_naming]

    @property
    def is_wanted(self) -> bool:
        return self._policy.archive_on_fresh

    def begin(self) -> None:
        """Mark that the results are to be moved, if there are any; nothing is moved yet.

        Raises `MisuseError` when something the job needs would be moved, or the archive is behind a symbolic link,
        and `WorldError` when the archive cannot be made.
        """
        if not self.is_wanted:
            return
        self._check_root()
        try:
            names = self._movable()
            self._check_needed(names)
            if names:
                self._draft.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from error

    def finish(self, at: float) -> Archived:
        """Move everything, if `begin` has said so, now or in a run that died. `at` is now, in epoch seconds.

        Raises `WorldError` when an entry cannot be moved; what was moved before stays in the draft.
        """
        if not self.is_wanted or not self._draft.is_dir():
            return Archived()
        try:
            return self._finish(at)
        except OSError as error:
            raise self._refused(error) from error

    def _finish(self, at: float) -> Archived:
        number = self._wanted_number()
        for name in self._movable():
            self._move(name)
        entries = len(_names(self._draft))
        if not entries:
            self._draft.rmdir()
            return Archived()
        place = self._close(number, at)
        removed, failures = self._prune(place)
        return Archived(place, entries, removed, failures)

    # --- what is moved ------------------------------------------------------------------------------------------------

    def _movable(self) -> list[str]:
        names = _names(self._workspace)
        kept = {self._entry_of(path) for path in (*self._stays, self._root)}
        if self._root == self._workspace:
            kept.update(name for name in names if self._is_ours(name) or name == self._draft.name)
        for pattern in self._policy.preserve_patterns:
            kept.update(self._preserved(pattern, names))
        return [name for name in names if name not in kept]

    def _top(self, path: Path) -> str:
        """The entry of the workspace that is, or holds, `path`; empty when it is somewhere else."""
        return path.relative_to(self._workspace).parts[0] if self._holds(path) else ""

    def _holds(self, path: Path) -> bool:
        return path != self._workspace and path.is_relative_to(self._workspace)

    def _entry_of(self, path: Path) -> str:
        """The same for a path that may be spelled in another way, through symbolic links."""
        real, workspace = Path(os.path.realpath(path)), Path(os.path.realpath(self._workspace))
        inside = real.is_relative_to(workspace)
        return self._top(path) or (self._top(self._workspace / real.relative_to(workspace)) if inside else "")

    def _preserved(self, pattern: str, names: Sequence[str]) -> set[str]:
        """Entries that a pattern keeps; one that matches deep inside an entry keeps all of it."""
        parts = PurePosixPath(pattern).parts
        while parts and parts[-1] == "**":
            parts = parts[:-1]
        if not parts:
            return set(names)
        if len(parts) == 1:
            return {name for name in names if fnmatchcase(name, parts[0])}
        return {self._top(found) for found in self._workspace.glob("/".join(parts))}

    def _check_root(self) -> None:
        """A link inside the workspace may have been left by a session; what is behind it is not ours."""
        if self._holds(self._root):
            real = Path(os.path.realpath(self._workspace)) / self._root.relative_to(self._workspace)
            if Path(os.path.realpath(self._root)) != real:
                raise MisuseError(
                    f"the archive {self._root} is behind a symbolic link",
                    hint="name the real folder in `workspace_lifecycle.archive_dir`",
                    job_id=self._job_id,
                )

    def _check_needed(self, names: Sequence[str]) -> None:
        for path, what in self._needed.items():
            top = self._entry_of(path)
            if top in names:
                raise MisuseError(
                    f"`archive_on_fresh` would move {path} away, which the job needs: {what}",
                    hint=f"add `{top}` to `preserve_patterns`, or give the job a workspace of its own",
                    job_id=self._job_id,
                )

    def _move(self, name: str) -> None:
        target = self._draft / name
        for number in count(1):
            if not os.path.lexists(target):
                break
            target = self._draft / f"{name}.{number}"  # a host died half-way, and since then there is a new one
        with contextlib.suppress(FileNotFoundError):  # somebody else took it away in between
            (self._workspace / name).rename(target)

    # --- names --------------------------------------------------------------------------------------------------------

    def _is_ours(self, name: str) -> bool:
        return any(pattern.fullmatch(name) for pattern in _NAMES.values())

    def _close(self, number: int | None, at: float) -> Path:
        """Give the draft its name."""
        if self._policy.archive_naming == "timestamp":
            name = f"archive-{datetime.fromtimestamp(at, UTC):%Y%m%d-%H%M%S}"
        else:
            name = f"iteration-{self._next_number() if number is None else number}"
        place = self._root / name
        for suffix in count(1):
            if not os.path.lexists(place):
                break
            place = self._root / f"{name}-{suffix}"
        return self._draft.rename(place)

    def _next_number(self) -> int:
        return max((int(key[0]) for key, _ in self._archives("iteration")), default=0) + 1

    def _wanted_number(self) -> int | None:
        """What the workspace's `.iteration` says; None when it says nothing."""
        for folder in (self._workspace, self._draft):
            path = folder / ITERATION_FILE
            if path.is_file() and not path.is_symlink():
                with contextlib.suppress(OSError), path.open(errors="replace") as file:
                    text = file.read(64).strip()
                    if re.fullmatch(r"[0-9]{1,9}", text):
                        return int(text)
        return None

    def _archives(self, naming: str) -> list[tuple[tuple[str, int], Path]]:
        """Real folders in the archive that bear our names: what they sort by, and where they are."""
        found = []
        for path in self._root.iterdir():
            match = _NAMES[naming].fullmatch(path.name)
            if match is not None and path.is_dir() and not path.is_symlink():
                found.append(((match[1].zfill(15), int(match[2] or 0)), path))
        return sorted(found)

    # --- what is removed ----------------------------------------------------------------------------------------------

    def _prune(self, newest: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Remove the oldest archives beyond `max_archives`: the one thing that is deleted, because the user asked."""
        if not self._policy.max_archives:
            return (), ()
        older = [path for _, path in self._archives(self._policy.archive_naming) if path != newest]
        removed, failures = [], []
        for path in older[: max(0, len(older) + 1 - self._policy.max_archives)]:
            if self._workspace.is_relative_to(path):
                continue
            try:
                shutil.rmtree(path)
                removed.append(path.name)
            except OSError as error:
                failures.append(f"the archive {path} could not be removed: {error.strerror or error}")
        return tuple(removed), tuple(failures)

    def _refused(self, error: OSError) -> WorldError:
        hint = f"nothing was started and nothing is lost: start again, and what {self._draft} holds is gone on with"
        if error.errno == errno.EXDEV:
            hint = "the archive must be on the workspace's file system: change `workspace_lifecycle.archive_dir`"
        what = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
        return WorldError(f"cannot archive what is in {self._workspace}: {what}", hint=hint, job_id=self._job_id)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  # names, not paths
    except FileNotFoundError:
        return []
