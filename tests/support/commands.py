"""The command line under test: in this process where that will do, in one of its own where signals or pipes matter.

result = mozart("run", "job.yaml", "--json")       in this process
host = started("run", "job.yaml", cwd=tmp_path)    a process of its own
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from mozart_nb.cli.main import app

PATIENCE_SECONDS = 30.0
"""How long a test waits for something that takes well under a second on an idle machine."""


class Ended:
    """How a command ended."""

    def __init__(self, exit_code: int, stdout: str, stderr: str) -> None:
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)

    def __repr__(self) -> str:
        return f"exit code {self.exit_code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


def mozart(*args: str | Path) -> Ended:
    """Run a command in this process."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="mozart")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def write_job(folder: Path, **sections: Any) -> Path:
    """A small rehearsed job in `folder`: five batches that take no time. `sections` replace or add to it."""
    job: dict[str, Any] = {
        "name": "demo",
        "workspace": "./ws",
        "backend": {"type": "rehearsal"},
        "batch": {"size": 2, "total_items": 10},
        "prompt": {"template": "Batch {{ batch_num }}: items {{ start_item }} to {{ end_item }}."},
        "rehearsal": {"latency_seconds": 0, "seed": 1},
        "retry": {"base_delay_seconds": 0.01, "completion_delay_seconds": 0.01, "jitter": False},
        "validations": [{"type": "file_exists", "path": "{workspace}/report-{batch_num}.md"}],
    }
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump({**job, **sections}, sort_keys=False))
    return file


def slow_job(folder: Path, *, batches: int = 200, latency_seconds: float = 0.15, **sections: Any) -> Path:
    """A job that runs for as long as a test needs it to."""
    return write_job(
        folder,
        batch={"size": 1, "total_items": batches},
        rehearsal={"latency_seconds": latency_seconds, "seed": 1},
        parallel={"enabled": True, "max_concurrent": 2},
        **sections,
    )


class Started:
    """A command in a process of its own, in a group of its own. Reads along, so that no pipe ever fills up."""

    def __init__(self, *args: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mozart_nb", *(str(arg) for arg in args)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=_collect, args=(self.process.stdout, self.out), daemon=True),
            threading.Thread(target=_collect, args=(self.process.stderr, self.err), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def until(self, text: str) -> None:
        """Wait until `text` stands on stderr."""
        wait_for(lambda: any(text in line for line in list(self.err)) or self.process.poll() is not None)
        assert any(text in line for line in self.err), self.end()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> Ended:
        """Wait for its end."""
        code = self.process.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        return Ended(code, "".join(self.out), "".join(self.err))

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def _collect(stream: Any, lines: list[str]) -> None:
    for line in stream:
        lines.append(line)  # noqa: PERF402  # it is read while it grows


def wait_for(condition: Callable[[], Any]) -> None:
    """Wait until `condition` holds; fails after `PATIENCE_SECONDS`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
