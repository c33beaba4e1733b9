"""Ending what a test has started."""

from __future__ import annotations

import contextlib
import subprocess
from typing import Any

import psutil


def end_family(process: subprocess.Popen[Any], patience_seconds: float) -> None:
    """End a server and whatever it started, however it fares."""
    with contextlib.suppress(psutil.NoSuchProcess):
        server = psutil.Process(process.pid)
        family = [*server.children(recursive=True), server]
        server.terminate()
        _, alive = psutil.wait_procs(family, timeout=5)
        for one in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait(patience_seconds)
