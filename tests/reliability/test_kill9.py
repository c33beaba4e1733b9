"""A host killed with SIGKILL at random moments, with sessions in flight, and taken up again each time."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from support.anthropic_server import AnthropicServer
from support.commands import Started, wait_for
from support.host_process import Host, processes_with, run_host
from support.kill9 import Moment, Series, Tally, rehearsed_job
from support.kill9_claude import REQUESTS_PER_SESSION, Scribe, claude_job, count_at_the_server
from support.raw_journal import Glance, of_kind, read_rows
from support.scale import scaled

from mozart_nb.checkpoint.layout import Layout

KILLS = scaled(25, 12)


def soon_or_late(rng: random.Random) -> Moment:
    """From milliseconds after the start to near the end, every order of magnitude alike; or amid a step of a batch."""
    if rng.random() < 0.7:
        return Moment(10 ** rng.uniform(-2.5, -0.3))
    return Moment(rng.uniform(0, 0.005), after=rng.choice(["batch.started", "session.finished", "batch.completed"]))


def during_sessions(rng: random.Random) -> Moment:
    """While sessions work, or in the moment in which they are started."""
    if rng.random() < 0.7:
        return Moment(rng.uniform(0.02, 2.0))
    return Moment(rng.uniform(0, 0.02), after="session.opened")


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing_repeat_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    rng, tally = random.Random(2026), Tally()
    while tally.kills < KILLS:
        job = rehearsed_job(tmp_path / f"job-{tally.series}", 80, seed=tally.series)
        tally += Series(job, os.environ, rng, moments=soon_or_late).run(KILLS - tally.kills)
    assert tally.problems == []
    assert tally.kills == KILLS
    assert tally.with_sessions >= KILLS // 4, "hardly a kill met a session: the harness proves little"


@pytest.mark.slow
@pytest.mark.real_claude
def test_sessions_of_claude_outlive_their_host_and_none_is_sent_twice(
    tmp_path: Path, claude_path: str, api: AnthropicServer, claude_host: dict[str, str]
) -> None:
    rng = random.Random(9)
    api.handler = Scribe(random.Random(9))
    job = claude_job(tmp_path / "job", claude_path, 10)
    series = Series(job, claude_host, rng, moments=during_sessions, pauses=lambda r: r.choice([0, 1.5]))
    tally = series.run(8)
    count_at_the_server(api, series.rows, tally)
    assert tally.problems == []
    assert tally.with_sessions >= 3, "hardly a kill met a session: the harness proves little"
    assert tally.followed + tally.read >= 3


@pytest.mark.real_claude
def test_sessions_that_died_with_their_host_are_refunded_and_sent_anew(
    tmp_path: Path, claude_path: str, api: AnthropicServer, claude_host: dict[str, str]
) -> None:
    api.handler = Scribe(random.Random(1), quickest_seconds=30, slowest_seconds=30)
    job = claude_job(tmp_path / "job", claude_path, 2)
    host = Host(job.file, claude_host)
    host.wait_until_running()
    wait_for(lambda: len(api.calls) == 2)
    os.kill(host.pid, signal.SIGKILL)
    markers = {row["marker"] for row in of_kind(Glance.at(job.layout, job.output).rows, "session.opened")}
    for line in processes_with("MOZART_NB_MARKER", markers):
        os.kill(int(line.split()[0]), signal.SIGKILL)
    assert host.wait() == -signal.SIGKILL

    api.handler = Scribe(random.Random(1), quickest_seconds=0, slowest_seconds=0)
    code, output = run_host(job.file, claude_host)
    assert (code, output.splitlines()[-1]) == (0, "completed: ")
    rows = Glance.at(job.layout, job.output).rows
    assert [row["attempt"] for row in of_kind(rows, "session.abandoned")] == [1, 1]
    assert [row["attempt"] for row in of_kind(rows, "session.finished")] == [2, 2]
    assert of_kind(rows, "batch.retrying") == []
    assert len(api.sessions) == 4


@pytest.mark.real_claude
def test_a_workspace_may_be_moved_while_sessions_that_outlived_their_host_still_run(
    tmp_path: Path, claude_path: str, api: AnthropicServer, claude_host: dict[str, str]
) -> None:
    api.handler = Scribe(random.Random(2), quickest_seconds=2, slowest_seconds=2)
    job = claude_job(tmp_path / "job", claude_path, 2)
    job.config["prompt"]["template"] = f"Write {tmp_path}/job/{{{{ batch_num }}}}.md about item {{{{ batch_num }}}}."
    job.config["validations"] = [{"type": "file_exists", "path": "{batch_num}.md"}]
    job.write()
    host = Host(job.file, claude_host)
    host.wait_until_running()
    wait_for(lambda: len(api.calls) >= 2)
    os.kill(host.pid, signal.SIGKILL)
    assert host.wait() == -signal.SIGKILL
    moved = tmp_path / "moved"
    job.layout.workspace.rename(moved)
    with Started("resume", "kill9", "-w", moved, cwd=tmp_path, env=claude_host) as resumed:
        ended = resumed.end()
    assert ended.exit_code == 0, ended
    assert not job.layout.workspace.exists()
    assert len(of_kind(read_rows(Layout(moved, "kill9")), "session.adopted")) == 2
    assert list(api.sessions.values()) == [REQUESTS_PER_SESSION] * 2
