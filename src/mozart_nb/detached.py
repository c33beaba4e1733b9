"""Starts processes that go on without us: in a session of their own, so that nothing meant for us reaches them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PATHS: Final = "MOZART_NB_PATHS"
_POLITE: Final = "if hasattr(os, 'nice'): os.nice(10)\n"
_FIND_OURS: Final = f"sys.path += os.environ.pop({_PATHS!r}, '').split(os.pathsep)\n"
_ON_WINDOWS: Final = ("DETACHED_PROCESS", "CREATE_NEW_PROCESS_GROUP")

_let_go: list[subprocess.Popen[bytes]] = []
# Those of ours that may still run: waited for in passing, so that none stays a zombie.


def let_go(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: Path | str | None = None,
    output: Path | None = None,
    told: bytes | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` and let it go. Blocks for some milliseconds. Raises `OSError`.

    What it prints is added to the file `output`, which is its owner's alone, or dropped. It reads `told` on its
    standard input, or nothing.
    """
    _let_go[:] = [popen for popen in _let_go if popen.poll() is None]
    with contextlib.ExitStack() as stack:
        printed = subprocess.DEVNULL
        if output is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            printed = os.open(output, flags, 0o600)
            stack.callback(os.close, printed)
        popen = subprocess.Popen(
            [*command],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL if told is None else subprocess.PIPE,
            stdout=printed,
            stderr=printed,
            start_new_session=True,
            creationflags=sum(getattr(subprocess, name, 0) for name in _ON_WINDOWS),
        )
    _let_go.append(popen)
    if popen.stdin is not None:
        with contextlib.suppress(BrokenPipeError), popen.stdin as pipe:
            pipe.write(told or b"")
    return popen


def our_program(source: str, *arguments: str, polite: bool = False) -> list[str]:
    """The command that runs Python `source` in an interpreter of its own; `polite` gives way to everybody else.

    `finding_ours` makes the environment in which it finds this package. `os` and `sys` are imported.
    """
    # Polite before it imports anything: whoever starts it has more to do.
    return [sys.executable, "-P", "-c", f"import os, sys\n{_POLITE if polite else ''}{_FIND_OURS}{source}", *arguments]


def finding_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with where this process imports from, after everything else: a notebook may have added folders."""
    return {**environ, _PATHS: os.pathsep.join(path for path in sys.path if path)}
