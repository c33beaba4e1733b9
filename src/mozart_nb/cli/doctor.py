"""The command `doctor`: whether everything that jobs and notebooks need is here. Contacts nobody, pays nothing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from mozart_nb.backends.claude_cli import ClaudeCliBackend
from mozart_nb.checkpoint.index import home
from mozart_nb.cli.output import FAILED, OK, Output, Row, status_text
from mozart_nb.clock import SystemClock
from mozart_nb.hosts.headless import run_briefly
from mozart_nb.words import amount

Verdict = Literal["ok", "warning", "error"]
MIN_FREE_BYTES: Final = 100 << 20
COMFORTABLE_BYTES: Final = 2 << 30
OLDEST_PYTHON: Final = (3, 11)
NEWEST_PYTHON: Final = (3, 14)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `hint` says what to do when it is not `ok`."""

    name: str
    status: Verdict
    detail: str
    hint: str = ""


def doctor(output: Output, workspace: Path | None) -> int:
    """Look the installation over; contacts nobody and pays nothing. Exit code 1 when something has to be mended."""
    findings = list(_findings(workspace or Path.cwd()))
    failed = any(finding.status == "error" for finding in findings)
    if output.json:
        output.document({"ok": not failed, "checks": [asdict(finding) for finding in findings]})
        return FAILED if failed else OK
    rows: list[Row] = [[status_text(finding.status), finding.name, finding.detail] for finding in findings]
    output.table(["", "", ""], rows)
    for finding in findings:
        if finding.hint:
            output.show(f"{finding.name}: {finding.hint}")
    return FAILED if failed else OK


def _findings(folder: Path) -> Iterator[Finding]:
    yield Finding("mozart_nb", "ok", _own_version())
    yield _python()
    yield from _claude()
    yield _api()
    yield _git()
    yield _kernel()
    yield _pages()
    yield _conductor()
    yield _disk("disk here", folder)
    yield _disk("temporary folder", Path(tempfile.gettempdir()))
    yield _home()


def _own_version() -> str:
    try:
        return version("mozart-nb")
    except PackageNotFoundError:
        return "not installed, run from its source"


def _python() -> Finding:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return Finding("python", "ok", detail)
    return Finding("python", "warning", detail, "tested with Python 3.11 to 3.14")


def _claude() -> Iterator[Finding]:
    """The program as sessions would find it. Asked for its version only."""
    health = run_briefly(ClaudeCliBackend(SystemClock()).check())
    facts: Mapping[str, str] = health.facts
    if not health.ok:
        hint = "install it (https://code.claude.com), or set backend.cli_path; rehearsals work without it"
        yield Finding("claude", "error", f"{health.code}: {health.message}", hint)
        return
    found, recorded = facts.get("version", "?"), facts.get("recorded", "?")
    detail = f"{found} at {facts.get('program', '?')}"
    if found == recorded:
        yield Finding("claude", "ok", detail)
    else:
        yield Finding("claude", "warning", detail, f"its behaviour was recorded with version {recorded}")
    login = facts.get("login", "unknown")
    if login == "unknown":
        yield Finding("login", "warning", "no key and no login was found", "run `claude` once and log in, or set a key")
    else:
        yield Finding("login", "ok", login)


def _api() -> Finding:
    """Whether jobs could call the API. The key itself is neither shown nor tried."""
    try:
        sdk = f"anthropic {version('anthropic')}"
    except PackageNotFoundError:
        return Finding("api", "error", "the package anthropic is not installed", "pip install 'anthropic[aiohttp]>=1'")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        if os.environ.get(name):
            return Finding("api", "ok", f"{sdk}, {name} is set")
    hint = "set ANTHROPIC_API_KEY for the backends anthropic_api and anthropic_batches; others need no key"
    return Finding("api", "warning", f"{sdk}, no key in the environment", hint)


def _disk(name: str, folder: Path) -> Finding:
    place = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), Path.cwd())
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Finding(name, "error", f"{place}: {error.strerror}")
    detail = f"{amount(free)} free in {place}"
    if not os.access(place, os.W_OK):
        return Finding(name, "error", detail, "this folder cannot be written to")
    if free < MIN_FREE_BYTES:
        return Finding(name, "error", detail, "a job pauses when the disk is full: make room")
    if free < COMFORTABLE_BYTES:
        return Finding(name, "warning", detail, "raw output of sessions is kept, long jobs may need more")
    return Finding(name, "ok", detail)


def _home() -> Finding:
    """Where the index of jobs and the shared rate-limit gates are kept."""
    place = home()
    existing = next(path for path in (place, *place.absolute().parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        return Finding("index of jobs", "ok", str(place))
    hint = "set MOZART_NB_HOME to a folder you can write to; ids are not found from anywhere until then"
    return Finding("index of jobs", "warning", f"{place} cannot be written to", hint)


def _git() -> Finding:
    """Sessions under `isolation` work in worktrees."""
    program = shutil.which("git")
    if program is None:
        return Finding("git", "warning", "not on PATH", "install it for `isolation`; other jobs do without")
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("git", "warning", f"{program} does not run: {error}", "`isolation` needs it")
    return Finding("git", "ok", f"{said.strip().removeprefix('git version ')} at {program}")


def _kernel() -> Finding:
    """What runs notebooks. 7.0 loses widget updates of threads; before 7.4 a Stop click waits for the cell."""
    try:
        found = version("ipykernel")
    except PackageNotFoundError:
        return Finding("notebooks", "error", "the package ipykernel is not installed", "pip install 'ipykernel>=7.4'")
    lab = _version_of("jupyterlab")
    detail = f"ipykernel {found}, " + (f"jupyterlab {lab}" if lab else "no jupyterlab (pip install 'mozart-nb[lab]')")
    release = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if release == (7, 0):
        return Finding("notebooks", "error", detail, "this ipykernel loses updates of the dashboard: upgrade it")
    if release < (7, 4):
        hint = "with ipykernel before 7.4 a click on a button is handled after the cell that waits"
        return Finding("notebooks", "warning", detail, hint)
    return Finding("notebooks", "ok", detail)


def _pages() -> Finding:
    """Whether Jupyter Server finds our extension enabled, and is told that by nothing else."""
    from jupyter_core.paths import jupyter_config_path

    places = [Path(folder) / "jupyter_server_config.d" / "mozart_nb.json" for folder in jupyter_config_path()]
    enabled = [place for place in places if place.is_file()]
    server = _version_of("jupyter_server")
    if enabled:
        return Finding("pages", "ok", f"jupyter_server {server}, enabled by {enabled[0]}")
    hint = "install the package into the environment of your Jupyter; `mozart dashboard` shows the pages without it"
    return Finding("pages", "warning", f"jupyter_server {server}: the extension is not enabled here", hint)


def _conductor() -> Finding:
    from mozart_nb.hosts.conductor.client import is_running

    running = is_running()
    detail = "runs (`mozart conductor-status`)" if running else "does not run; `mozart start` starts it"
    return Finding("conductor", "ok", detail)


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
