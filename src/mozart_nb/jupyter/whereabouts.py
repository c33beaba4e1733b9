"""Where a kernel finds the pages of the Jupyter Server that it belongs to.

The server extension leaves a small file in Jupyter's runtime folder while it runs; a kernel asks whether one of the
processes above it has left one. Nothing is asked of the network, and no token is involved: the link is a path, so that
the browser that shows the notebook stays with the server it came from, behind JupyterHub and proxies too.
"""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import psutil
from jupyter_core.paths import jupyter_runtime_dir, secure_write

if TYPE_CHECKING:
    from mozart_nb.checkpoint.layout import Layout

_PREFIX: Final = "mozart_nb-"


class Notice(msgspec.Struct, frozen=True):
    """What the file says: whose pages they are (pids are used again, times are not), and where they begin."""

    pid: int
    started_at: float
    mozart_url: str


def announce(mozart_url: str) -> Path:
    """Say that the server of this process has our pages at `mozart_url`, a path such as `/user/ann/mozart`."""
    folder = Path(jupyter_runtime_dir())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(folder)
    me = psutil.Process()
    path = folder / f"{_PREFIX}{me.pid}.json"
    with secure_write(str(path), binary=True) as file:
        file.write(msgspec.json.encode(Notice(me.pid, me.create_time(), mozart_url)))
    return path


def withdraw() -> None:
    """There are no pages here any more."""
    with contextlib.suppress(OSError):
        (Path(jupyter_runtime_dir()) / f"{_PREFIX}{os.getpid()}.json").unlink()


@cache
def pages_above() -> str:
    """Where the pages of the server above this process begin; empty where there is none, or it has no pages.

    Asked once per process: a kernel does not move to another server.
    """
    try:
        above = psutil.Process().parents()
    except psutil.Error:
        return ""
    return next((url for one in above if (url := _pages_of(one))), "")


def link_to_run(layout: Layout) -> str:
    """Where the live page of that job is, for browsers of the server above this process; empty where there is none."""
    above = pages_above()
    if not above:
        return ""
    from mozart_nb.looking.board.keys import key_for

    return f"{above}/jobs/{key_for(layout)}/run"


def _pages_of(process: psutil.Process) -> str:
    path = Path(jupyter_runtime_dir()) / f"{_PREFIX}{process.pid}.json"
    try:
        notice = msgspec.json.decode(path.read_bytes(), type=Notice)
        is_the_one = notice.started_at == process.create_time()
    except (OSError, msgspec.DecodeError, psutil.Error):
        return ""
    return notice.mozart_url if is_the_one and notice.mozart_url.startswith("/") else ""


def _sweep(folder: Path) -> None:
    """Take away what servers left that were killed."""
    for path in folder.glob(f"{_PREFIX}*.json"):
        pid = path.stem.removeprefix(_PREFIX)
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            with contextlib.suppress(OSError):
                path.unlink()
