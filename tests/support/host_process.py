"""One host process: started, watched, killed; and what processes are left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HOST = Path(__file__).with_name("host.py")

PATIENCE_SECONDS = 120.0
"""How long a host that nobody kills may take before it counts as stuck."""


class Host:
    """One host process. `output` is what it printed, once it is over."""

    def __init__(self, job_file: Path, environ: Mapping[str, str]) -> None:
        self.output = ""
        self._process = subprocess.Popen(
            [sys.executable, str(HOST), str(job_file)],
            env={**environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_running(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line != "running\n":
            self._finish()
            raise AssertionError(f"the host did not start: {line}{self.output}")

    def kill_after(self, seconds: float) -> int | None:
        """SIGKILL so long from now; returns the exit code if it was over before."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            code = self._process.wait()
        self._finish()
        return None if code == -signal.SIGKILL else code

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Let it run to its end."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._finish()
            raise AssertionError(f"the host was stuck:\n{self.output}") from None
        self._finish()
        return code

    def _finish(self) -> None:
        with self._process as process:
            assert process.stdout is not None
            self.output += process.stdout.read()


def run_host(job_file: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """A host that nobody disturbs: its exit code and what it printed."""
    host = Host(job_file, environ)
    code = host.wait()
    return code, host.output


def processes_with(name: str, values: set[str]) -> list[str]:
    """Living processes in whose environment the variable `name` has one of `values`: pid and command line."""
    wanted = {f"{name}={value}".encode() for value in values}
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if state not in "ZX" and not wanted.isdisjoint(environ):
            found.append(f"{folder.name} {command.strip()[:120]}")
    return found
