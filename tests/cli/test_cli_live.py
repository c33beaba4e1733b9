"""What is drawn on a terminal, and that a terminal is left as it was."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from support.commands import PATIENCE_SECONDS, slow_job, write_job

from mozart_nb import events as ev
from mozart_nb.cli.live import LiveView, problem_of
from mozart_nb.cli.output import Output
from mozart_nb.cli.render import bar, count_line, head_line, running_lines, summary_lines
from mozart_nb.cli.waiting import wait_until
from mozart_nb.consumers.phrases import next_steps, wait_text
from mozart_nb.consumers.progress import Progress, RunningBatch, ShownStatus, Wait
from mozart_nb.events import Usage

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def progress(status: ShownStatus = "running", **changes: object) -> Progress:
    values: dict[str, object] = {
        "job_id": "review",
        "name": "Review of everything that happened this week",
        "status": status,
        "total": 56,
        "completed": 20,
        "failed": 1,
        "skipped": 1,
        "blocked": 0,
        "cancelled": 0,
        "running": 10,
        "waiting": 2,
        "pending": 22,
        "percent": 37.5,
        "elapsed_seconds": 843.0,
        "eta_seconds": 700.0,
        "cost_usd": 1.23,
        "unknown_costs": 1,
        "usage": Usage(100_000, 23_000),
        "retries": 3,
        "completions": 1,
        "limit_waits": 1,
        "reason": "",
        "code": "",
        "running_batches": tuple(
            RunningBatch(number, 1, "first", "working", 100.0 - number, 12.0, 12_345, "Write\x1b[31m(report.md)")
            for number in range(21, 31)
        ),
        "waits": (Wait("retry", 1_700_000_000.0, 9.0, "E003", "back-off", "overloaded", batch=7),),
        **changes,
    }
    return Progress(**values)  # type: ignore[arg-type]  # checked by the dataclass itself


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_head_fits_any_terminal_and_shows_what_matters_most(width: int) -> None:
    head = head_line(progress(), width - 1)
    assert head.cell_len < max(width, 60)
    assert "21/56 37.5 %" in head.plain
    assert "ETA 12 min" in head.plain


@pytest.mark.parametrize("width", [8, 20, 40])
@pytest.mark.parametrize(("done", "failed", "running"), [(0, 0, 0), (56, 0, 0), (1, 1, 1), (20, 30, 6), (0, 56, 0)])
def test_the_bar_is_always_exactly_as_wide_as_it_should_be(width: int, done: int, failed: int, running: int) -> None:
    drawn = bar(progress(completed=done, failed=failed, running=running, skipped=0), width)
    assert drawn.cell_len == width


def test_counts_name_an_incomplete_cost() -> None:
    shown = count_line(progress()).plain
    assert "10 running · 2 waiting · 1 failed" in shown
    assert "$1.23 + cost of 1 session unknown" in shown
    assert "123k tokens" in shown
    assert "14:03" in shown


def test_the_cost_stands_beside_its_limit_and_savings_are_told_at_the_end() -> None:
    assert "$1.23 of $5.00 ·" in count_line(progress(unknown_costs=0, limit_usd=5.0)).plain
    assert "cost of 2 sessions unknown" in count_line(progress(cost_usd=0.0, unknown_costs=2)).plain
    end = "\n".join(text.plain for text in summary_lines(progress("completed", unknown_costs=0, saved_usd=0.5)))
    assert "$1.23, 123k tokens, $0.50 saved by the prompt cache" in end


def test_at_most_eight_running_batches_are_shown_and_the_rest_counted() -> None:
    shown = [text.plain for text in running_lines(progress())]
    assert len(shown) == 9
    assert shown[0].split()[:2] == ["#21", "1:19"]
    assert "Write(report.md)" in shown[0]
    assert "silent for 0:12" in shown[0]
    assert "\x1b" not in "".join(shown)
    assert shown[-1].strip() == "and 2 more"


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (
            Wait("limit", 0.0, 754.0, "E102", "reset time in the message"),
            ["E102 usage limit", "in 12:34", "reset time"],
        ),
        (Wait("limit", 0.0, 0.0, "E101", "retry-after", probing=7), ["batch 7 tries"]),
        (Wait("limit", 0.0, 0.0, "E101", "retry-after"), ["about to try"]),
        (Wait("breaker", 0.0, 299.0, message="5 attempts failed in a row"), ["circuit breaker", "4:59"]),
        (Wait("breaker", 0.0, 0.0, probing=3), ["batch 3 tries again"]),
        (Wait("retry", 0.0, 9.0, "E003", message="overloaded", batch=7), ["retry of batch 7 in 0:09", "E003"]),
        (Wait("pause", 0.0, 5.0), ["pause between batches: 0:05"]),
    ],
)
def test_every_wait_is_a_countdown_in_words(wait: Wait, words: list[str]) -> None:
    assert all(word in wait_text(wait) for word in words), wait_text(wait)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("completed", "", ()),
        ("failed", "E501", ("mozart errors review", "log in or fix the key")),
        ("paused", "", ("mozart resume review",)),
        ("interrupted", "", ("mozart resume review",)),
        ("cancelled", "", ("mozart resume review",)),
        ("running", "", ("mozart status review --watch",)),
    ],
)
def test_the_last_words_name_the_next_command(status: ShownStatus, code: str, expected: tuple[str, ...]) -> None:
    said = " ".join(next_steps(progress(status, code=code)))
    assert bool(said) == bool(expected)
    assert all(part in said for part in expected)
    assert f"review {status}: 21 of 56 batches done" in next(iter(summary_lines(progress(status)))).plain


@pytest.mark.parametrize("kind", ev.event_types(), ids=ev.kind_of)
def test_every_event_is_a_problem_in_one_line_or_none(kind: type[ev.Event]) -> None:
    problems = {
        ev.BatchFailed: ev.BatchFailed(batch=1, code="E201", message="line\nline"),
        ev.ValidationFailed: ev.ValidationFailed(batch=1, attempt=1, code="E201", message=""),
        ev.LimitHit: ev.LimitHit(code="E101", until=0, wait_seconds=1, source="x", number=1),
        ev.SessionAbandoned: ev.SessionAbandoned(batch=1, attempt=1, reason="its host died"),
        ev.BatchPreflight: ev.BatchPreflight(batch=1, attempt=1, findings=(ev.Finding("long"),)),
    }
    if kind in problems:
        text = problem_of(problems[kind])
        assert text
        assert "\n" not in text


def screen(width: int = 80, height: int = 24) -> tuple[Output, io.StringIO]:
    output, stream = Output(), io.StringIO()
    output.__dict__["err"] = Console(file=stream, force_terminal=True, width=width, height=height, markup=False)
    return output, stream


@pytest.mark.parametrize("height", [12, 24, 60])
def test_the_display_never_outgrows_the_terminal(height: int) -> None:
    output, _ = screen(height=height)
    view = LiveView(output, "Ctrl-C pauses")
    view.hear([ev.BatchFailed(batch=n, code="E201", message="x" * 300) for n in range(9)], 0.0)
    view.look(progress())
    try:
        lines = output.err.render_lines(view._render())
    finally:
        view.close()
    assert len(lines) < height
    text = "\n".join("".join(segment.text for segment in line) for line in lines)
    assert "batch 8 failed: E201" in text
    assert "batch 5 failed" not in text


def test_what_was_said_about_a_batch_is_replaced_by_the_latest() -> None:
    output, _ = screen()
    view = LiveView(output)
    view.hear([ev.ValidationFailed(batch=3, attempt=1, code="E201", message="first")], 0.0)
    view.hear([ev.BatchFailed(batch=3, code="E201", message="for good")], 0.0)
    view.look(progress())
    lines = output.err.render_lines(view._render())
    view.close()
    text = "\n".join("".join(segment.text for segment in line) for line in lines)
    assert "for good" in text
    assert "first" not in text


# --- waiting for a time -----------------------------------------------------------------------------------------------


def test_a_countdown_follows_the_wall_clock(capsys: pytest.CaptureFixture[str]) -> None:
    now = 1000.0
    slept = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += 3600 if len(slept) == 3 else seconds  # the machine was suspended

    wait_until(Output(), 2000.0, "demo", now=lambda: now, sleep=sleep)
    assert slept == [1.0, 1.0, 1.0]
    assert "in 16:40" in capsys.readouterr().err


# --- a real terminal --------------------------------------------------------------------------------------------------


class Terminal:
    """A command on a pseudo-terminal of 80 by 24."""

    def __init__(self, *args: str | Path, cwd: Path) -> None:
        ours, theirs = pty.openpty()
        os.set_blocking(ours, False)
        self.seen = ""
        self._ours = ours
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mozart_nb", *map(str, args)],
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in ESCAPES.sub("", self.seen):
            assert time.monotonic() < deadline, self.seen
            self._read()

    def end(self) -> int:
        while self.process.poll() is None:
            self._read()
        self._read()
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self._ours)
        return self.process.returncode

    def _read(self) -> None:
        if select.select([self._ours], [], [], 0.1)[0]:
            try:
                self.seen += os.read(self._ours, 65536).decode("utf-8", "replace")
            except OSError:  # Linux says so when the other end is closed
                time.sleep(0.02)


def test_a_terminal_shows_the_job_live_and_gets_its_cursor_back(tmp_path: Path) -> None:
    terminal = Terminal("run", slow_job(tmp_path, batches=12, latency_seconds=0.3), cwd=tmp_path)
    terminal.read_until("Ctrl-C pauses")
    terminal.read_until("/12")
    assert terminal.end() == 0
    shown = ESCAPES.sub("", terminal.seen)
    assert re.search(r"#\d+ ", shown)  # which of them is seen depends on how busy the machine is
    assert "demo completed: 12 of 12 batches done" in shown
    assert "batch.completed" not in shown
    assert terminal.seen.rfind("\x1b[?25h") > terminal.seen.rfind("\x1b[?25l")


def test_ctrl_c_on_a_terminal_shows_that_the_job_is_pausing(tmp_path: Path) -> None:
    terminal = Terminal("run", slow_job(tmp_path, latency_seconds=1.5), cwd=tmp_path)
    terminal.read_until("#2 ")
    terminal.process.send_signal(signal.SIGINT)
    terminal.read_until("running batches finish; Ctrl-C again")
    assert terminal.end() == 3
    assert "next: mozart resume demo" in ESCAPES.sub("", terminal.seen)


def test_starting_over_on_a_terminal_asks_first(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    first = Terminal("-q", "run", file, cwd=tmp_path)
    assert first.end() == 0
    second = Terminal("run", file, "--fresh", cwd=tmp_path)
    second.read_until("[y/N]")
    os.write(second._ours, b"n\n")
    assert second.end() == 2
    assert "nothing was started" in second.seen
    third = Terminal("run", file, "--fresh", "--yes", cwd=tmp_path)
    assert third.end() == 0
