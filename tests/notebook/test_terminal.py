"""The magics in IPython's own terminal: jobs run in a thread, and who waits sees one line that is drawn over."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
import yaml
from support.notebook_cells import LOAD, rehearsed

PROMPT = r"In \[\d+\]: "
PATIENCE_SECONDS = 30
ARGUMENTS = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--HistoryManager.enabled=False"]


class Terminal:
    """IPython at a terminal of 100 columns."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.process = pexpect.spawn(
            sys.executable,
            ARGUMENTS,
            cwd=str(folder),
            env={**environ, "TERM": "xterm"},
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            dimensions=(40, 100),
        )
        self.process.expect(PROMPT)

    def run(self, line: str) -> str:
        """What a line shows until the next prompt."""
        self.process.sendline(line)
        return self.rest()

    def rest(self) -> str:
        self.process.expect(PROMPT)
        return str(self.process.before)

    def close(self) -> None:
        self.process.close(force=True)


@pytest.fixture
def terminal(tmp_path: Path, environ: dict[str, str]) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, environ)
    assert terminal.run(LOAD).strip() == LOAD
    yield terminal
    terminal.close()


def write(folder: Path, name: str, batches: int, latency: float) -> str:
    job = rehearsed(name, batches, latency=latency, at_once=1)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
    return f"{name}.yaml"


def test_a_job_goes_on_while_the_prompt_is_idle(terminal: Terminal, tmp_path: Path) -> None:
    assert "job `idle` runs: 4 batches" in terminal.run(f"%mozart run {write(tmp_path, 'idle', 4, 0.1)}")
    time.sleep(1.0)
    assert "idle: completed, 4 of 4 batches done" in terminal.run("%mozart status idle")


def test_waiting_draws_one_line_over_and_ends_with_the_last_word(terminal: Terminal, tmp_path: Path) -> None:
    shown = terminal.run(f"r = %mozart run {write(tmp_path, 'drawn', 6, 0.2)} --wait")
    drawn = [line for line in re.split(r"[\r\n]+", shown) if line.startswith("drawn running")]
    assert len(drawn) >= 3
    assert all(len(line) < 100 for line in drawn)
    assert "drawn: completed, 6 of 6 batches done" in shown
    assert "VBox" not in shown


def test_ctrl_c_pauses_and_says_how_to_go_on(terminal: Terminal, tmp_path: Path) -> None:
    terminal.process.sendline(f"%mozart run {write(tmp_path, 'stopped', 30, 0.2)} --wait")
    terminal.process.expect("stopped running")
    began = time.monotonic()
    terminal.process.sendintr()
    shown = terminal.rest()
    assert time.monotonic() - began < 1.0
    assert "MozartInterrupted: job `stopped` pauses: " in shown
    assert "Traceback" not in shown
    terminal.run("job.wait()")
    assert "'paused'" in terminal.run("job.status")
    assert "job `stopped` goes on: " in terminal.run("%mozart resume --no-wait")
