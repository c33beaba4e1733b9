"""A conductor of a test's own: a real process, with folders that nobody else has, ended by its pid with the test.

from support.conductor import Conductor, conducted     # the fixture: import it and name it as an argument
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from mozart_nb.errors import MozartError
from mozart_nb.hosts.conductor.client import ConductorClient
from mozart_nb.hosts.conductor.place import Place

PATIENCE_SECONDS = 60.0


class Conductor:
    """The conductor of whoever has `environ`: started here, or by a program under test."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)
        self.place = Place(Path(environ["MOZART_NB_HOME"]) / "conductor")
        self._started: list[subprocess.Popen[bytes]] = []
        self._pids: set[int] = set()

    def start(self, settings: str = "") -> Conductor:
        """Start it in the foreground of a process of its own; `settings` is the text of its conductor.yaml."""
        if settings:
            (Path(self.environ["MOZART_NB_HOME"]) / "conductor.yaml").write_text(settings, encoding="utf-8")
        command = [sys.executable, "-m", "mozart_nb", "start", "--foreground"]
        with (Path(self.environ["MOZART_NB_HOME"]) / "foreground.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(process)
        self.wait_until(lambda: self._is_ready() or process.poll() is not None)
        assert process.poll() is None, self.log
        return self

    @property
    def log(self) -> str:
        """What it said, and what it noted."""
        home = Path(self.environ["MOZART_NB_HOME"])
        files = [home / "foreground.log", self.place.output, self.place.log]
        return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file.exists())

    @property
    def pid(self) -> int:
        """Of the one that runs now; 0 where none does."""
        identity = self.place.identity()
        if identity is not None:
            self._pids.add(identity.pid)
        return identity.pid if identity is not None else 0

    @property
    def client(self) -> ConductorClient:
        """A connection to it; close it, or use it in a `with` statement."""
        return ConductorClient.connect(where=self.place)

    def call(self, method: str, /, **params: object) -> object:
        """What it answers to one call."""
        with self.client as client:
            return client.call(method, **params)

    def kill(self) -> None:
        """As a power cut: it is gone at once, and nothing that it started is."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        self._end(signal.SIGTERM)

    def wait_until(self, what: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
        """Return once `what` holds; then fail, with what the conductor said."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"it did not come about\n{self.log[-4000:]}"
            time.sleep(0.05)

    def close(self) -> None:
        """End whatever conductor there is, and whatever was started here."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(AssertionError):
                self._end(number, seconds=10)
        for process in self._started:
            process.kill()
            process.wait()
        for left in self._left():
            with contextlib.suppress(psutil.Error):
                left.kill()
                left.wait(10)
        if self.place.socket.parent != self.place.folder:
            shutil.rmtree(self.place.socket.parent, ignore_errors=True)

    def _left(self) -> Iterator[psutil.Process]:
        """Conductors of this very home that nobody can ask any more: just starting, or without their lock."""
        home = self.environ["MOZART_NB_HOME"]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_one = "--foreground" in " ".join(process.cmdline())
                if is_one and process.environ().get("MOZART_NB_HOME") == home and process.pid != os.getpid():
                    yield process

    def _is_ready(self) -> bool:
        with contextlib.suppress(MozartError), self.client as client:
            return bool(client.call("ready"))
        return False

    def _end(self, number: int, seconds: float = PATIENCE_SECONDS) -> None:
        pid = self.pid
        if not pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        self.wait_until(lambda: not self._lives(pid), seconds)

    def _lives(self, pid: int) -> bool:
        for process in self._started:
            process.poll()  # else it stays a zombie
        with contextlib.suppress(psutil.Error):
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return False


@pytest.fixture
def conducted(isolated: Path) -> Iterator[Conductor]:
    """The conductor of this test's own user, which has not been started yet; none outlives the test."""
    conductor = Conductor(os.environ)
    yield conductor
    conductor.close()
