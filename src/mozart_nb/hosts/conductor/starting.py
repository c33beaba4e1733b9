"""Starting the conductor in the background, and waiting until it answers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Final

from mozart_nb.checkpoint.index import HOME_VARIABLE, home
from mozart_nb.detached import finding_ours, let_go, our_program
from mozart_nb.errors import ConductorAbsentError, MozartError
from mozart_nb.hooks.chain import CHAIN_VARIABLE
from mozart_nb.hosts.conductor.client import ConductorClient
from mozart_nb.hosts.conductor.place import Place, place, require_sockets

READY_SECONDS: Final = 30.0
"""How long a conductor may take until it answers; importing everything takes a second, on a busy machine several."""

WITHDRAW_SECONDS: Final = 5.0
"""How long a conductor that is not wanted after all may take to end; it carries nothing."""

_LAST_WORDS_BYTES: Final = 4_000
_PROGRAM: Final = "from mozart_nb.cli.main import main; sys.argv[1:] = ['--quiet', 'start', '--foreground']; main()"


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
                answer = client.call("ready")
                if answer["pid"] != process.pid:
                    _withdraw(process)
                return client
            client.close()
        if process.poll() is not None and not found.is_held():
            raise _failed(found, began, f"it ended with exit code {process.returncode}")
        if time.monotonic() >= end:
            raise _failed(found, began, f"it does not answer after {seconds:.0f} seconds")
        time.sleep(0.05)


def _spawn(where: Place) -> subprocess.Popen[bytes]:
    home = Path.home() if Path.home().is_dir() else Path("/")
    environ = finding_ours(_own_environment())
    return let_go(our_program(_PROGRAM), environ=environ, folder=home, output=where.output)


def _withdraw(process: subprocess.Popen[bytes]) -> None:
    """Somebody else's was faster. Ours would find that out, unless the other one has ended by the time it looks."""
    process.terminate()
    try:
        process.wait(WITHDRAW_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _own_environment() -> dict[str, str]:
    """That of the caller, without what concerns the caller alone: whether it is a kernel of some Jupyter server, and
    which chain of jobs it is part of."""
    told = {name: value for name, value in os.environ.items() if not name.startswith(("JPY_", "KERNEL_"))}
    told.pop(CHAIN_VARIABLE, None)
    if told.get(HOME_VARIABLE):
        told[HOME_VARIABLE] = str(home().absolute())  # it is started in another folder
    return told


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
