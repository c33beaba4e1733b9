"""The user's index of jobs, by which an id is found from any folder.

One small file per job and workspace, replaced atomically and without locks. The index only points: what it names is
looked at before it is believed, and a job that is not in it can still be named with its workspace.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mozart_nb.checkpoint.files import DiskFiles, write_atomically
from mozart_nb.checkpoint.layout import Layout, check_job_id, jobs_in
from mozart_nb.errors import AmbiguousJobError, MisuseError, UnknownJobError

HOME_VARIABLE = "MOZART_NB_HOME"
DEFAULT_WORKSPACE = "workspace"

_PATIENCE_SECONDS = 90 * 86_400.0
"""How long a workspace that is missing is remembered, counted from the last run of its job."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One job somewhere. `workspace` is the folder that holds its state; `registered_at` is epoch seconds.

    `results` is the workspace of a job whose state is kept elsewhere, and empty for all others.
    """

    job_id: str
    name: str
    workspace: str
    registered_at: float
    results: str = ""

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.workspace), self.job_id)


def home() -> Path:
    """Where data that belong to the user, not to a workspace, are kept: `MOZART_NB_HOME` or the platform's place."""
    if chosen := os.environ.get(HOME_VARIABLE):
        return Path(chosen).expanduser()
    import platformdirs  # only where it is asked: most commands look at one workspace and never at the user's home

    return Path(platformdirs.user_data_dir("mozart_nb"))


def register(layout: Layout, name: str, results: Path | None = None) -> None:
    """Remember that the workspace holds this job; `results` is where it works if its state is kept elsewhere.

    A home that cannot be written to is no reason to fail.
    """
    workspace = str(layout.workspace.resolve())
    place = str(results.resolve()) if results is not None else workspace
    entry = Entry(layout.job_id, name, workspace, time.time(), "" if place == workspace else place)
    path = _folder() / _file_name(layout.job_id, workspace)
    draft = path.with_name(f".{secrets.token_hex(8)}.tmp")
    with contextlib.suppress(OSError):
        _folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(DiskFiles(), path, msgspec.json.encode(entry) + b"\n", draft)


def find(job_id: str) -> list[Path]:
    """Workspaces that hold the job, the one registered last first; entries that are no longer true are dropped."""
    if not _is_plain(job_id):
        return []
    # The pattern also fits `x--y` when `x` is asked for.
    return [Path(entry.workspace) for entry in _entries(f"{job_id}--*.json") if entry.job_id == job_id]


def remembered(job_id: str) -> list[Layout]:
    """Where a job was, whether or not anything of it is still there; nothing is dropped."""
    found = (_read(path) for path in sorted(_folder().glob(f"{job_id}--*.json"))) if _is_plain(job_id) else ()
    return [entry.layout for entry in found if entry is not None and entry.job_id == job_id]


def all_jobs() -> list[Entry]:
    """Every job of the user that is still where it was, the one registered last first."""
    return _entries("*.json")


def registered_ids() -> set[str]:
    """Ids of all jobs ever registered, read off the names of their entries: thousands cost milliseconds.

    Whether a job is still where it was is not looked at; see `all_jobs` for that.
    """
    try:
        names = os.listdir(_folder())  # noqa: PTH208 - plain names, in half the time
    except OSError:
        return set()
    return {name.rpartition("--")[0] for name in names if name.endswith(".json") and not name.startswith(".")}


def records_of(job_id: str, workspace: Path) -> list[Layout]:
    """Where the state of a job that works in `workspace` is kept: there, or wherever its `state_path` said."""
    place = str(workspace.resolve())
    entries = _entries(f"{job_id}--*.json")
    known = [e.layout for e in entries if e.job_id == job_id and place in (e.workspace, e.results)]
    here = Layout(Path(place), job_id)
    return list(dict.fromkeys([here, *known] if here.exists else known))


def layouts_in(workspace: Path) -> list[Layout]:
    """Every job that keeps its state in `workspace`, or works in it and keeps its state elsewhere."""
    place = str(workspace.resolve())
    apart = [entry.layout for entry in all_jobs() if entry.results == place]
    return [*(Layout(workspace.absolute(), job_id) for job_id in jobs_in(workspace)), *apart]


def resolve(job_id: str, workspace: Path | None = None) -> Layout:
    """Where a job is: in `workspace` if that is given, else wherever the index or the current folder has it.

    Raises `UnknownJobError` with the nearest ids, `AmbiguousJobError` when several workspaces have the job.
    """
    if workspace is not None:
        layout = _layout_or_unknown(workspace, job_id)
        if layout.exists:
            return layout
        elsewhere = records_of(job_id, workspace)
        if len(elsewhere) > 1:
            raise AmbiguousJobError(job_id, sorted(str(found.workspace) for found in elsewhere))
        if not elsewhere:
            raise _unknown(job_id, f"in {workspace}", sorted({found.job_id for found in layouts_in(workspace)}))
        return elsewhere[0]
    places = {path.resolve(): path for path in (*find(job_id), *_here(job_id))}
    if len(places) > 1:
        raise AmbiguousJobError(job_id, sorted(str(path) for path in places))
    if not places:
        missing = next((one.workspace for one in remembered(job_id) if not one.workspace.is_dir()), None)
        if missing is not None:
            message = f"job `{job_id}` was in {missing}, which is not there"
            raise UnknownJobError(message, hint=f"`mozart diagnose {job_id}` says what to do", job_id=job_id)
        raise _unknown(job_id, "here", [entry.job_id for entry in all_jobs()])
    return Layout(places.popitem()[1], job_id)


def _here(job_id: str) -> Iterator[Path]:
    """A workspace that was moved is found from inside, or from the folder that holds it."""
    current = Path.cwd()
    for workspace in (current, current / DEFAULT_WORKSPACE):
        with contextlib.suppress(MisuseError):
            if Layout(workspace, job_id).exists:
                yield workspace


def _layout_or_unknown(workspace: Path, job_id: str) -> Layout:
    try:
        return Layout(workspace, job_id)
    except MisuseError as error:
        raise _unknown(job_id, f"in {workspace}", jobs_in(workspace)) from error


def _unknown(job_id: str, where: str, known: list[str]) -> UnknownJobError:
    nearest = difflib.get_close_matches(job_id, sorted(set(known)), n=3)
    hint = (
        f"did you mean {' or '.join(f'`{name}`' for name in nearest)}?" if nearest else "`mozart list` shows all jobs"
    )
    return UnknownJobError(f"no job `{job_id}` is known {where}", hint=hint, job_id=job_id)


def _is_plain(job_id: str) -> bool:
    try:
        check_job_id(job_id)
    except MisuseError:
        return False
    return True


def _folder() -> Path:
    return home() / "index"


def _file_name(job_id: str, workspace: str) -> str:
    return f"{job_id}--{hashlib.sha256(workspace.encode(errors='surrogateescape')).hexdigest()[:16]}.json"


def _entries(pattern: str) -> list[Entry]:
    found = []
    for path in _folder().glob(pattern) if _folder().is_dir() else ():
        entry = _read(path)
        if entry is None or path.name != _file_name(entry.job_id, entry.workspace):
            continue
        if entry.layout.exists:
            found.append(entry)
        elif _is_gone_for_good(entry):
            with contextlib.suppress(OSError):
                path.unlink()
    return sorted(found, key=lambda entry: -entry.registered_at)


def _is_gone_for_good(entry: Entry) -> bool:
    """Whether its workspace is there without it. One that is missing may come back: its disk is not mounted now."""
    if entry.layout.root.is_dir():
        return False  # it may be about to begin
    return entry.layout.workspace.is_dir() or time.time() - entry.registered_at > _PATIENCE_SECONDS


def _read(path: Path) -> Entry | None:
    try:
        entry = msgspec.json.decode(path.read_bytes(), type=Entry)
        entry.layout  # noqa: B018  # an unsafe id is as good as no entry
    except (OSError, msgspec.DecodeError, ValueError, MisuseError):
        return None
    return entry
