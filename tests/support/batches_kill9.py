"""A job on the Message Batches API whose host is killed again and again; the books are kept by the server.

    with serving("--processing", "0.5", "2") as url:
        ordeal = Ordeal(folder, rows=3000, url=url)
        ordeal.run(kills=[after("remote.submitting"), at(3.0)])
        assert ordeal.problems() == []

    python tests/support/batches_kill9.py JOB.yaml       the host: runs the job or goes on with it, until it settles

The host's clock runs ten times as fast as the machine's, so that polling does not set the pace.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from support.kill9 import Moment
from support.raw_journal import Row, read_rows, segments

from mozart_nb import runtime
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.output import exit_code_of
from mozart_nb.clock import SystemClock
from mozart_nb.events import RunOptions
from mozart_nb.hosts.headless import run_headless
from mozart_nb.job.load import load_job

TESTS = Path(__file__).parent.parent
QUICKER = 10
PATIENCE_SECONDS = 600.0


class QuickClock(SystemClock):
    """Waits a tenth of the time, and counts ten times as much."""

    def fair(self) -> float:
        return super().fair() * QUICKER

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / QUICKER)


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    command = [sys.executable, "-m", "support.batches_server", *arguments]
    with subprocess.Popen(command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(20)


def at(seconds: float) -> Moment:
    """So long after the host began."""
    return Moment(seconds)


def after(kind: str, seconds: float = 0.0) -> Moment:
    """So long after the host journaled its next event of that kind."""
    return Moment(seconds, kind)


class Tail:
    """What is added to a journal after this was made: whether an event of one kind is in it."""

    def __init__(self, layout: Layout, kind: str) -> None:
        self._wanted = f'"kind":"{kind}"'.encode()
        self._layout = layout
        self._read = {path: path.stat().st_size for path in segments(layout)}

    def has_news(self) -> bool:
        for path in segments(self._layout):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                added = file.read()
            end = added.rfind(b"\n") + 1
            self._read[path] = self._read.get(path, 0) + end
            if self._wanted in added[:end]:
                return True
        return False


@dataclass
class Ordeal:
    """One job in `folder`, what happened to its hosts, and what it came to."""

    folder: Path
    rows: int
    url: str
    environ: dict[str, str]
    kills: int = 0
    hosts: int = 0
    peak_kib: int = 0
    seconds: float = 0.0
    output: str = ""
    books: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers = "".join(f"{number}\n" for number in range(1, self.rows + 1))
        (self.folder / "rows.csv").write_text(f"id\n{numbers}")
        self.file.write_text(yaml.safe_dump(self._config()))

    def _config(self) -> dict[str, Any]:
        return {
            "name": "ordeal",
            "workspace": "./ws",
            "backend": {"type": "anthropic_batches", "base_url": self.url, "api_key_env": "LOOPBACK_KEY"},
            "items": {"file": "rows.csv"},
            "batch": {"size": 1},
            "prompt": {"template": "Row {{ item.id }}.\n" + "What follows from it, in one sentence? " * 8},
            "retry": {"base_delay_seconds": 1},
            "validations": [{"type": "answer_matches", "pattern": "^answer to: Row {{ item.id }}\\."}],
        }

    @property
    def file(self) -> Path:
        return self.folder / "job.yaml"

    @property
    def layout(self) -> Layout:
        return Layout((self.folder / "ws").resolve(), "ordeal")

    @property
    def journal(self) -> tuple[Row, ...]:
        return read_rows(self.layout)

    # --- hosts --------------------------------------------------------------------------------------------------------

    def run(self, kills: Sequence[Moment]) -> None:
        """Kill one host after the other at these moments, then let one come to the end."""
        began = time.monotonic()
        for moment in kills:
            if self._host(moment) == 0:
                break
        while self._host(None) == 3:  # many deaths without progress pause a job: that is what it is for
            continue
        self.seconds = time.monotonic() - began
        with urllib.request.urlopen(f"{self.url}/_books") as reply:
            self.books = json.load(reply)

    def _host(self, moment: Moment | None) -> int:
        """Run one host; returns its exit code, -9 when it was killed."""
        self.hosts += 1
        tail = Tail(self.layout, moment.after) if moment and moment.after else None
        command = [sys.executable, str(Path(__file__)), str(self.file)]
        with (self.folder / "host.out").open("w+") as out:
            process = subprocess.Popen(command, env=self.environ, stdout=out, stderr=subprocess.STDOUT)
            try:
                code = self._watch(process, moment, tail)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            out.seek(0)
            self.output = out.read()
        if code not in (0, 3, -9):
            raise AssertionError(f"the host gave up with exit code {code}:\n{self.output}")
        self.kills += code == -9
        return code

    def _watch(self, process: subprocess.Popen[bytes], moment: Moment | None, tail: Tail | None) -> int:
        began = time.monotonic()
        dies_at = began + moment.seconds if moment and not moment.after else None
        while process.poll() is None:
            now = time.monotonic()
            self._note_memory(process.pid)
            if now - began > PATIENCE_SECONDS:
                raise AssertionError("the host was stuck")
            if moment and tail and dies_at is None and tail.has_news():
                dies_at = time.monotonic() + moment.seconds
            if dies_at is not None and now >= dies_at:
                process.kill()
            time.sleep(0.003 if tail else 0.02)
        return process.wait()

    def _note_memory(self, pid: int) -> None:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.peak_kib = max(self.peak_kib, int(line.split()[1]))

    # --- the books ----------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """What went wrong, one line each: requests sent twice, rows without an answer, an odd journal."""
        rows = self.journal
        found = [f"{name} was submitted twice" for name in self.books["sent_twice"]]
        if [row["seq"] for row in rows] != list(range(1, len(rows) + 1)):
            found.append("the journal has gaps")
        done = {row["batch"] for row in rows if row["kind"] == "batch.completed"}
        found += [f"row {number} has no answer" for number in range(1, self.rows + 1) if number not in done]
        again = {f"Row {row['batch']}." for row in rows if row["kind"] == "batch.retrying"}
        found += [f"{row} was sent again without need" for row in self.books["rows_again"] if row not in again]
        if self.books["rows"] != self.rows:
            found.append(f"{self.books['rows']} rows reached the server, not {self.rows}")
        paid = sum(row["kind"] == "session.finished" for row in rows)
        if paid != self.books["requests"]:
            found.append(f"{self.books['requests']} requests were answered, {paid} answers collected")
        return found


def main(job_file: Path) -> int:
    prepared = runtime.prepare(load_job(job_file))
    if prepared.layout.exists:
        prepared = runtime.opened(prepared.layout)
    state = run_headless(prepared, RunOptions(), clock=QuickClock())
    print(f"{state.status}: {state.job.reason}", flush=True)
    return exit_code_of(state.status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
