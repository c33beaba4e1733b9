"""Where and with what a job works: versions, the program, disks, the lock, processes that nobody follows any more.

Nothing here contacts anybody or costs anything, and nothing takes longer than a few seconds.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from mozart_nb import __version__
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner, owner
from mozart_nb.job.load import LoadedJob
from mozart_nb.job.model import JobConfig
from mozart_nb.looking.diagnosis.findings import Environment, Fact, Holder, Orphan
from mozart_nb.masking import masked
from mozart_nb.words import amount, moment

PROBE_SECONDS: Final = 2.0
"""How long the program may take to say its version."""

NO_ROOM_BYTES: Final = 100 << 20
LITTLE_ROOM_BYTES: Final = 2 << 30


class Surroundings:
    """Looks around a job in a thread of its own, so that slow programs and file systems hold nothing up for long."""

    def __init__(
        self, layout: Layout, loaded: LoadedJob | None, workspace: Path, *, is_live: bool, is_new: bool = False
    ) -> None:
        """`is_live`: its sessions belong to whoever runs it. `is_new`: its folders are yet to be made."""
        self._is_new = is_new
        self._layout = layout
        self._loaded = loaded
        self._workspace = workspace
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mozart-diagnosis")
        self._program: Future[Fact] | None = None
        if loaded is not None and loaded.config.backend.type == "claude_cli":
            self._program = self._pool.submit(_program, loaded)
        self._orphans: Future[tuple[Orphan, ...]] = self._pool.submit(_orphans, layout, is_live)

    def environment(self, now: float) -> Environment:
        """What was found, as far as it is known by now."""
        holder = _holder(owner(self._layout))
        orphans = _result(self._orphans, ())
        self._pool.shutdown(wait=False, cancel_futures=True)
        return Environment(
            facts=tuple(self._facts(holder, orphans, now)),
            workspace=str(self._workspace),
            state=str(self._layout.root),
            backend=self._loaded.config.backend.type if self._loaded is not None else "",
            holder=holder,
            orphans=orphans,
        )

    def _facts(self, holder: Holder | None, orphans: tuple[Orphan, ...], now: float) -> Iterator[Fact]:
        yield Fact("mozart_nb", __version__)
        yield Fact("python", f"{platform.python_version()} ({sys.executable}) on {platform.system()}")
        if self._loaded is not None:
            yield from _backend(self._loaded.config)
        if self._program is not None:
            yield _result(self._program, Fact("claude", "it could not be looked for in time", "unknown"))
        yield _folder("workspace", self._workspace, is_new=self._is_new)
        if self._layout.workspace != self._workspace:
            yield _folder("state", self._layout.workspace, is_new=self._is_new)
        if self._loaded is not None and self._loaded.config.backend.type == "claude_cli":
            yield _working_directory(self._loaded.working_directory)
        yield _lock(holder, now)
        if orphans:
            pids = ", ".join(str(pid) for orphan in orphans for pid in orphan.pids)
            hint = f"`mozart resume {self._layout.job_id} --self-healing` ends them"
            yield Fact("sessions", f"processes that nobody follows any more: {pids}", "warning", hint)


def _result(future: Future[Any], otherwise: Any) -> Any:
    try:
        return future.result(timeout=PROBE_SECONDS + 1)
    except Exception:  # whatever a look at the machine trips over is not worth a diagnosis
        return otherwise


# --- the installation -------------------------------------------------------------------------------------------------


def _backend(config: JobConfig) -> Iterator[Fact]:
    backend = config.backend
    if backend.type == "rehearsal":
        yield Fact("backend", "rehearsal: answers are made up, nothing is paid")
        return
    model = backend.cli_model if backend.type == "claude_cli" else backend.model
    address = backend.base_url or backend.env.get("ANTHROPIC_BASE_URL") or os.environ.get("ANTHROPIC_BASE_URL")
    where = f", at {masked(address)}" if address else ""
    yield Fact("backend", f"{backend.type}{f', model {model}' if model else ''}{where}")
    if backend.type in ("anthropic_api", "anthropic_batches"):
        yield _sdk()
        yield _key(backend.api_key_env, {**os.environ, **backend.env})


def _sdk() -> Fact:
    try:
        return Fact("anthropic", version("anthropic"))
    except PackageNotFoundError:
        return Fact("anthropic", "the package is not installed", "error", "pip install 'anthropic[aiohttp]>=1'")


def _key(name: str, environ: Mapping[str, str]) -> Fact:
    """Whether there is a key here. The key itself is neither shown nor tried."""
    found = next((one for one in (name, "ANTHROPIC_AUTH_TOKEN") if environ.get(one)), "")
    if found:
        return Fact("key", f"{found} is set in this process")
    return Fact("key", f"{name} is not set in this process", "warning", f"export {name} where the job is run")


def _program(loaded: LoadedJob) -> Fact:
    """The `claude` that sessions would start. It is asked for its version only."""
    from mozart_nb.backends.claude_cli import installed

    options = loaded.config.backend.model_dump(mode="json")
    if options.get("cli_path") and os.sep in options["cli_path"]:
        options["cli_path"] = str(loaded.resolve(options["cli_path"]))
    health = installed(options, os.environ, seconds=PROBE_SECONDS)
    facts = health.facts
    if not health.ok:
        program = f" ({facts['program']})" if "program" in facts else ""
        hint = "install it (https://code.claude.com), or set backend.cli_path"
        return Fact("claude", f"{health.message}{program}", "error", hint)
    login = facts.get("login", "unknown")
    detail = f"{facts.get('version')} at {facts.get('program')}, login: {login}"
    if login == "unknown":
        return Fact("claude", detail, "warning", "no key and no login was found: run `claude` once, or set a key")
    return Fact("claude", detail, "ok", health.message)


# --- the machine ------------------------------------------------------------------------------------------------------


def _folder(name: str, folder: Path, *, is_new: bool) -> Fact:
    """A folder that is written to, and the room on its disk. One that is yet to be made needs a place to be made in."""
    try:
        if not folder.is_dir() and (folder.exists() or not is_new):
            what, hint = ("is no folder", "move it away") if folder.exists() else ("is not there", "make it again")
            return Fact(name, f"{folder} {what}", "error", f"{hint}, or choose another place")
        place = next(path for path in (folder, *folder.parents) if path.exists())
        if not place.is_dir():
            return Fact(name, f"{folder} cannot be made: {place} is no folder", "error", "choose another place")
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Fact(name, f"{folder}: {error.strerror or error}", "error", f"mend the permissions of {folder}")
    detail = f"{folder}, {amount(free)} free"
    if not os.access(place, os.W_OK | os.X_OK):
        why = "the file system is read-only" if _is_read_only(place) else "permission denied"
        elsewhere = ", or choose another workspace (`-w DIR`)" if is_new else ""
        return Fact(name, f"{place} cannot be written to: {why}", "error", f"make {place} writable{elsewhere}")
    if free < NO_ROOM_BYTES:
        return Fact(name, detail, "error", "make room: a job pauses when the disk is full")
    return Fact(name, detail, "warning" if free < LITTLE_ROOM_BYTES else "ok")


def _is_read_only(place: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(place).f_flag & os.ST_RDONLY)


def _working_directory(folder: Path) -> Fact:
    try:
        if folder.is_dir():
            return Fact("works in", str(folder))
    except OSError as error:
        return Fact("works in", f"{folder}: {error.strerror or error}", "error", "mend its permissions")
    return Fact("works in", f"{folder} is not there", "error", "make it again, or set backend.working_directory")


def _holder(found: Owner | None) -> Holder | None:
    return None if found is None else Holder(found.host, found.pid, found.started_at, found.alive)


def _lock(holder: Holder | None, now: float) -> Fact:
    if holder is None:
        return Fact("lock", "free: nobody runs the job")
    where = f"pid {holder.pid} on host {holder.host}, since {moment(holder.since, now)}"
    if holder.is_alive is None:
        hint = "that is another machine: whether it still runs can only be seen there"
        return Fact("lock", f"held by {where}", "unknown", hint)
    if holder.is_alive:
        return Fact("lock", f"held by {where}")
    return Fact("lock", f"left behind by {where}, which is gone", "warning", "the next start takes it over by itself")


def _orphans(layout: Layout, is_live: bool) -> tuple[Orphan, ...]:
    """Processes of sessions that nobody follows; those of a job that runs are its own."""
    if is_live:
        return ()
    from mozart_nb.backends.strays import LoggedSessions

    return tuple(Orphan(stray.pids, stray.log) for stray in LoggedSessions(layout.logs).all())
