"""What a job needs to run, frozen when it is planned; and where a job goes that is started over."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePosixPath

from mozart_nb.checkpoint.files import DiskFiles, Files, unwritable, write_atomically, write_synced
from mozart_nb.checkpoint.folders import make_job_folders
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import MisuseError, UnknownJobError


def freeze_plan(layout: Layout, contents: Mapping[str, bytes], files: Files | None = None) -> None:
    """Put the files of a plan (relative path → content) into the job's folder, all of them or none.

    A plan that was there becomes the previous one and can still be read. Only the holder of the job's lock may do
    this. Raises `CheckpointUnwritableError`.
    """
    files = files or DiskFiles()
    make_job_folders(layout, files)
    draft = layout.root / "plan.tmp"
    try:
        _recover(layout, files)
        _remove_tree(draft)
        _write_tree(files, draft, contents)
        if layout.plan.is_dir():
            _remove_tree(layout.previous_plan)
            files.replace(layout.plan, layout.previous_plan)
        files.replace(draft, layout.plan)
        files.sync_folder(layout.root)
    except OSError as error:
        with contextlib.suppress(OSError):
            _recover(layout, files)
        with contextlib.suppress(OSError):
            _remove_tree(draft)
        raise unwritable(error, layout.plan, layout.job_id) from error


def read_plan(layout: Layout, *, previous: bool = False) -> dict[str, bytes]:
    """The files of the plan, by relative path; with `previous`, of the one it replaced (empty when there is none).

    Raises `UnknownJobError` when no plan was ever frozen.
    """
    folder = layout.previous_plan if previous else layout.plan
    if not previous and not folder.is_dir():
        folder = layout.previous_plan  # the host died between the two renames of `freeze_plan`
        if not folder.is_dir():
            raise UnknownJobError(f"{layout.root} holds no plan", job_id=layout.job_id)
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


def archive(layout: Layout, files: Files | None = None) -> Path | None:
    """Move everything a job left in its workspace out of the way; returns where it went, None if there was nothing.

    Nothing that anybody may want is deleted, and the place can be looked at like any other workspace. The caller holds
    the job's lock and keeps it: the lock file stays where it is, and the job's folders are empty again on return.

    Raises `CheckpointUnwritableError`; what was begun is then finished by the next holder of the lock.
    """
    files = files or DiskFiles()
    if not layout.exists and not _leftovers(layout, files):
        return None
    try:
        files.make_folder(layout.archive)
        place = _new_place(layout, files)
        write_atomically(files, layout.archiving, place.name.encode(), layout.archiving.with_suffix(".tmp"))
        _move(layout, place, files)
    except OSError as error:
        raise unwritable(error, layout.archive, layout.job_id) from error
    return place


def archived(layout: Layout) -> Path | None:
    """The place in the archive that this job was moved to last; None when it was never started over."""
    places = [place for place in layout.archive.glob(f"{layout.job_id}-*") if Layout(place, layout.job_id).exists]
    return max(places, key=lambda place: _order(place.name), default=None)


def _order(name: str) -> tuple[str, int]:
    stamp, _, number = name.rpartition("-")
    return stamp, int(number) if number.isdecimal() else 0


def finish_archiving(layout: Layout) -> None:
    """Go on with an `archive` whose host died, so that nobody takes half a job for a whole one. For the lock's holder.

    Raises `OSError`.
    """
    files = DiskFiles()
    if layout.archiving.is_file():
        place = layout.archive / Path(layout.archiving.read_text()).name
        files.make_folder(place)
        _move(layout, place, files)


def _move(layout: Layout, place: Path, files: Files) -> None:
    """Can be repeated after a crash: what has been moved is no longer there."""
    there = Layout(place, layout.job_id)
    files.make_folder(there.state_root)
    files.make_folder(there.root)
    files.remove(layout.reserve)
    if layout.snapshot.exists():
        files.replace(layout.snapshot, there.snapshot)
    for name in _leftovers(layout, files):
        files.replace(layout.root / name, there.root / name)
    for folder in (layout.workspace, layout.root, there.root, there.state_root, place, layout.archive):
        files.sync_folder(folder)
    files.remove(layout.archiving)
    make_job_folders(layout, files)


def _is_something(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def _leftovers(layout: Layout, files: Files) -> list[str]:
    """What stands in the job's folder, but for what its host needs and for empty folders."""
    stays = {layout.lock.name, layout.reserve.name, layout.archiving.name}
    return [name for name in files.names(layout.root) if name not in stays and _is_something(layout.root / name)]


def _new_place(layout: Layout, files: Files) -> Path:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for number in count(1):
        place = layout.archive / f"{layout.job_id}-{stamp}-{number}"
        if files.make_folder(place):
            break
    return place


def _recover(layout: Layout, files: Files) -> None:
    """Undo a replacement that never got to its second rename."""
    if not layout.plan.is_dir() and layout.previous_plan.is_dir():
        files.replace(layout.previous_plan, layout.plan)


def _write_tree(files: Files, root: Path, contents: Mapping[str, bytes]) -> None:
    folders = {root}
    files.make_folder(root)
    for name, content in contents.items():
        path = root / _checked(name)
        for parent in reversed(path.relative_to(root).parents[:-1]):
            files.make_folder(root / parent)
            folders.add(root / parent)
        write_synced(files, path, content)
    for folder in sorted(folders, reverse=True):
        files.sync_folder(folder)


def _checked(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
        raise MisuseError(f"`{name}` cannot be part of a plan", hint="use relative paths without `..`")
    return path


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
