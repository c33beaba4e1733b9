"""Rate limits and hosts that die, with real processes and short waits; and jobs whose hosts die again and again."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from pathlib import Path

import pytest
from support.anthropic_server import AnthropicServer, Call, Reply, refuse
from support.commands import Started, mozart, slow_job, wait_for
from support.host_process import Host, run_host
from support.kill9 import Job, rehearsed_job
from support.kill9_claude import Scribe, claude_job
from support.raw_journal import Row, of_kind, read_rows

from mozart_nb.checkpoint.layout import Layout


def killed_while_waiting(tmp_path: Path) -> Job:
    """A rehearsed job whose host died in the middle of a wait of three seconds."""
    script = {1: [{"rate_limit": {"wait_seconds": 3}}]}
    job = rehearsed_job(tmp_path / "job", 6, 1, latency=0.2, failures={}, script=script)
    host = Host(job.file, os.environ)
    host.wait_until_running()
    wait_for(lambda: of_kind(read_rows(job.layout), "job.waiting"))
    os.kill(host.pid, signal.SIGKILL)
    assert host.wait() == -signal.SIGKILL
    return job


def check_one_probe_after(rows: tuple[Row, ...]) -> None:
    """Nothing began before the named time; then one attempt tried, and the others followed when it was through."""
    [hit] = of_kind(rows, "limit.hit")
    later = [row for row in of_kind(rows, "session.opened") if row["seq"] > hit["seq"]]
    assert all(row["at"] >= hit["until"] for row in later)
    [probe] = [row for row in of_kind(rows, "batch.started") if row.get("probe")]
    [cleared] = of_kind(rows, "limit.cleared")
    others = [row for row in of_kind(rows, "batch.started") if row["seq"] > hit["seq"] and row is not probe]
    assert all(row["seq"] > cleared["seq"] for row in others)
    assert of_kind(rows, "batch.retrying") == []


def test_a_host_killed_during_a_wait_is_followed_by_one_that_waits_the_rest(tmp_path: Path) -> None:
    job = killed_while_waiting(tmp_path)
    code, output = run_host(job.file, os.environ)
    assert code == 0, output
    check_one_probe_after(read_rows(job.layout))


def test_a_host_killed_during_a_wait_is_followed_by_one_that_tries_at_once_when_it_is_over(tmp_path: Path) -> None:
    job = killed_while_waiting(tmp_path)
    [hit] = of_kind(read_rows(job.layout), "limit.hit")
    wait_for(lambda: time.time() > hit["until"])
    code, output = run_host(job.file, os.environ)
    assert code == 0, output
    rows = read_rows(job.layout)
    check_one_probe_after(rows)
    [resumed] = of_kind(rows, "job.resumed")
    [probe] = [row for row in of_kind(rows, "batch.started") if row.get("probe")]
    waited = [row for row in of_kind(rows, "job.waiting") if row["seq"] > resumed["seq"]]
    assert waited == []
    assert probe["seq"] > resumed["seq"]


class Limited:
    """An account over its limit from its first request on, for so many seconds; then it answers, one second each."""

    def __init__(self, seconds: float) -> None:
        self.refused: list[str] = []
        self.served: list[tuple[float, str]] = []
        self._seconds = seconds
        self._until = 0.0
        self._scribe = Scribe(random.Random(4), quickest_seconds=1, slowest_seconds=1)

    def __call__(self, call: Call) -> Reply:
        now = time.monotonic()
        self._until = self._until or now + self._seconds
        if now < self._until:
            self.refused.append(call.prompt)
            left = math.ceil(self._until - now)
            return refuse(429, f"This request would exceed your rate limit. Please try again in {left} seconds.")
        self.served.append((now, call.session_id))
        return self._scribe(call)


@pytest.mark.slow
@pytest.mark.real_claude
def test_two_processes_behind_one_gate_send_one_probe_and_use_no_retry(
    tmp_path: Path, claude_path: str, api: AnthropicServer, claude_host: dict[str, str]
) -> None:
    account = Limited(seconds=10)
    api.handler = account
    jobs = [claude_job(tmp_path / name, claude_path, 3, max_concurrent=2) for name in ("first", "second")]
    for job in jobs:
        job.config["backend"]["env"]["CLAUDE_CODE_MAX_RETRIES"] = "0"
        job.write()
    first = Host(jobs[0].file, claude_host)
    wait_for(lambda: of_kind(read_rows(jobs[0].layout), "limit.hit"))
    second = Host(jobs[1].file, claude_host)
    assert (first.wait(), second.wait()) == (0, 0), first.output + second.output

    assert {str(tmp_path / "first") in prompt for prompt in account.refused} == {True}, "the second job asked in vain"
    probe = account.served[0][1]
    ended = max(at for at, session in account.served if session == probe)
    others = [at for at, session in account.served if session != probe]
    assert len(others) == 10
    assert min(others) >= ended, "others did not wait until the probe was through"
    rows = [read_rows(job.layout) for job in jobs]
    assert sum(bool(row.get("probe")) for one in rows for row in of_kind(one, "batch.started")) == 1
    assert [of_kind(one, "batch.retrying") for one in rows] == [[], []]
    assert [row["source"] for row in of_kind(rows[1], "limit.hit")] == ["another job"]


def test_a_host_that_dies_five_times_without_completing_a_batch_pauses_its_job_and_says_so(tmp_path: Path) -> None:
    job = slow_job(tmp_path, batches=4, latency_seconds=3)
    for word in ("job.started", *["job.resumed"] * 4):
        with Started("run", job, cwd=tmp_path) as host:
            host.until(word)
            host.process.kill()
    ended = mozart("run", job)
    assert ended.exit_code == 3, ended
    assert "the host died 5 times in a row without completing a batch" in ended.stderr
    assert "mozart resume demo" in ended.stderr
    status = mozart("status", "demo", "--json").document
    assert status["status"] == "paused"
    layout = Layout(tmp_path / "ws", "demo")
    assert of_kind(read_rows(layout), "batch.failed") == []
    assert mozart("run", job).exit_code == 0


def test_deaths_between_which_batches_complete_do_not_pause_the_job(tmp_path: Path) -> None:
    job = slow_job(tmp_path, batches=40, latency_seconds=0.1)
    for _ in range(7):
        with Started("run", job, cwd=tmp_path) as host:
            host.until("batch.completed")
            host.process.kill()
    ended = mozart("run", job)
    assert ended.exit_code == 0, ended
    assert "in a row" not in ended.stderr
