"""Starting the conductor in the background, and waiting until it answers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from mozart_nb.errors import ConductorAbsentError, MozartError
from mozart_nb.hosts.conductor.client import ConductorClient
from mozart_nb.hosts.conductor.place import Place, place, require_sockets

READY_SECONDS: Final = 30.0
"""How long a conductor may take until it answers; importing everything takes a second, on a busy machine several."""

_LAST_WORDS_BYTES: Final = 4_000
_PATHS: Final = "MOZART_NB_PATHS"
_PROGRAM: Final = (
    f"import os, sys; sys.path[:0] = os.environ.pop({_PATHS!r}).split(os.pathsep); "
    "from mozart_nb.cli.main import main; sys.argv[1:] = ['--quiet', 'start', '--foreground']; main()"
)

_let_go: list[subprocess.Popen[bytes]] = []
# Conductors while this process lives on: waited for in passing, so that none stays a zombie.


def start(where: Place | None = None, *, seconds: float = READY_SECONDS) -> ConductorClient:
    """Start it in a session of its own, with the environment of this process, and wait until it answers.

    Raises `ConductorAbsentError` with its last words when it ends, or does not answer in time. Where another one was
    faster that one is connected to.
    """
    require_sockets()
    found = where or place()
    found.make()
    began = _size(found.output)
    process = _spawn(found)
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(ConductorAbsentError):
            client = ConductorClient.connect(1.0, where=found)
            with contextlib.suppress(MozartError):
                if client.call("ready")["is_up"]:
                    return client
            client.close()
        if process.poll() is not None and not found.is_held():
            raise _failed(found, began, f"it ended with exit code {process.returncode}")
        if time.monotonic() >= end:
            raise _failed(found, began, f"it does not answer after {seconds:.0f} seconds")
        time.sleep(0.05)


def _spawn(where: Place) -> subprocess.Popen[bytes]:
    _let_go[:] = [popen for popen in _let_go if popen.poll() is None]
    handle = os.open(where.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        popen = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM],
            cwd=Path.home() if Path.home().is_dir() else "/",
            env={**_own_environment(), _PATHS: os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
        )
    finally:
        os.close(handle)
    _let_go.append(popen)
    return popen


def _own_environment() -> dict[str, str]:
    """That of the caller, without what tells a process that it is a kernel of some Jupyter server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("JPY_", "KERNEL_"))}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _failed(where: Place, began: int, why: str) -> ConductorAbsentError:
    with contextlib.suppress(OSError), where.output.open("rb") as file:
        file.seek(max(began, _size(where.output) - _LAST_WORDS_BYTES))
        words = file.read().decode(errors="replace").strip()
        if words:
            why = f"{why}:\n{words}"
    return ConductorAbsentError(
        f"the conductor could not be started: {why}", hint="`mozart start --foreground` shows what it does"
    )
