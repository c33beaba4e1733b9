"""Hosts killed in the middle, and the real program at work: the branch has every commit, once."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from support.anthropic_server import AnthropicServer, Call, Reply, text, use
from support.commands import Started, wait_for
from support.host_process import Host, run_host
from support.repositories import COMMIT, Repo, Work

from mozart_nb import events as ev
from mozart_nb.runtime import open_job

BATCHES = 12
KILLS = 4
PATIENT = {"max_retries": 5, "base_delay_seconds": 0.05, "jitter": False}
"""A commit of a rule that outlives its host can be in the way of the next one's."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", [1, 2])
def test_hosts_killed_at_any_moment_lose_no_commit(seed: int, repo: Repo, tmp_path: Path) -> None:
    for number in range(300):
        (repo.root / f"file-{number}.txt").write_text("x" * number)
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "-m", "many files")
    work, rng = Work(repo, tmp_path / "ws"), random.Random(seed)
    rehearsal = {"latency_seconds": 0.02, "writes": {"out-{{ batch_num }}.md": "{{ batch_num }}"}}
    prepared = work.prepared(COMMIT, total=BATCHES, retry=PATIENT, rehearsal=rehearsal)
    job_file, env = tmp_path / "ws.yaml", dict(os.environ)
    for _ in range(KILLS):
        host = Host(job_file, env)
        host.wait_until_running()
        if host.kill_after(rng.uniform(0.02, 1.0)) is not None:
            break
    code, output = run_host(job_file, env)
    assert (code, output.splitlines()[-1]) == (0, "completed: ")
    assert repo.files("mozart/notes") >= {f"out-{number}.md" for number in range(1, BATCHES + 1)}
    assert repo.branches() == {"main", "mozart/notes"}
    assert repo.worktrees() == []
    assert repo.is_clean()
    assert repo.is_sound()
    removed = work.events(prepared, ev.WorktreeRemoved)[-1]
    assert removed.head == repo.git("rev-parse", "mozart/notes")


def test_jobs_of_several_processes_work_in_one_repository_at_once(repo: Repo, tmp_path: Path) -> None:
    names = ("one", "two")
    for name in names:
        Work(repo, tmp_path / name).prepared(COMMIT, total=4, name=name)
    hosts = [Host(tmp_path / f"{name}.yaml", dict(os.environ)) for name in names]
    assert [host.wait() for host in hosts] == [0, 0]
    for name in names:
        assert repo.subjects(f"mozart/{name}") == [f"batch {number}" for number in range(4, 0, -1)]
    assert repo.worktrees() == []
    assert repo.is_sound()
    assert repo.is_clean()


def test_a_host_killed_while_it_puts_the_worktree_away_is_made_up_for(work: Work, repo: Repo, tmp_path: Path) -> None:
    killer = tmp_path / "killer"
    killer.write_text(f"#!/bin/sh\ntest -e {tmp_path}/pid && kill -9 $(cat {tmp_path}/pid)\ncat\n")
    killer.chmod(0o700)
    repo.commit({".gitattributes": "out-*.md filter=killer\n"})
    repo.git("config", "filter.killer.clean", str(killer))  # runs when the files are added, after the last session
    prepared = work.prepared()
    host = Host(tmp_path / "ws.yaml", dict(os.environ))
    (tmp_path / "pid").write_text(str(host.pid))
    assert host.wait() == -signal.SIGKILL
    (tmp_path / "pid").unlink()
    assert work.events(prepared, ev.JobCompleted) == []
    state = work.run(open_job("notes", work.workspace))
    assert (state.status, state.job.opened_sessions) == ("completed", 2)
    assert repo.files("mozart/notes") == {"README.md", ".gitattributes", "out-1.md", "out-2.md"}
    assert repo.worktrees() == []


def test_a_checkout_that_takes_too_long_can_be_given_up(work: Work, repo: Repo, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\ntest -e {tmp_path}/quick || sleep 30\ncat\n")
    slow.chmod(0o700)
    repo.commit({".gitattributes": "*.big filter=slow\n", "a.big": "x"})
    repo.git("config", "filter.slow.smudge", str(slow))
    prepared = work.prepared(COMMIT)
    with Started("run", tmp_path / "ws.yaml", cwd=tmp_path) as host:
        wait_for((tmp_path / "begun").exists)
        host.signal(signal.SIGINT)
        time.sleep(0.2)  # two at once would be one
        host.signal(signal.SIGINT)
        ended = host.end()
    assert (ended.exit_code, "interrupted" in ended.stderr) == (3, True), ended
    (tmp_path / "quick").touch()
    assert work.run(prepared).status == "completed"
    assert repo.branches() == {"main", "mozart/notes"}
    assert "a.big" in repo.files("mozart/notes")


class Committer:
    """Plays a model that writes a file for its batch and commits it, with the program's own tools."""

    def __call__(self, call: Call) -> Reply:
        number = call.prompts[0].split()[-1]
        if call.tool_results:
            return text(f"batch {number} is committed")
        script = f"pwd > ../pwd-{number}; echo done > out-{number}.md; git add -A && git commit -qm 'batch {number}'"
        return use("Bash", command=script, description="write and commit")


@pytest.mark.real_claude
@pytest.mark.timeout(120)
def test_the_real_program_works_and_commits_in_the_worktree(
    claude_path: str, claude_env: dict[str, str], api: AnthropicServer, repo: Repo, tmp_path: Path
) -> None:
    api.handler = Committer()
    work = Work(repo, tmp_path / "ws")
    env = {name: claude_env[name] for name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "IS_SANDBOX")}
    prepared = work.prepared(
        backend={"type": "claude_cli", "cli_path": claude_path, "env": env},
        prompt={"template": "write batch {{ batch_num }}"},
        validations=[{"type": "file_exists", "path": "out-{batch_num}.md"}],
    )
    state = work.run(prepared)
    assert (state.status, state.job.reason) == ("completed", "")
    assert repo.subjects("mozart/notes") == ["batch 2", "batch 1"]
    assert (work.workspace / ".worktrees" / "pwd-1").read_text().strip() == str(work.workspace / ".worktrees" / "notes")
    assert repo.is_clean()
    assert work.run(open_job("notes", work.workspace)).status == "completed"
