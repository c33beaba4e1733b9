"""Locks that name a host nobody can ask: one of this machine goes by itself, of another one somebody has to agree."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import portalocker
import pytest
from support.commands import mozart, write_job

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import JobLock, Owner, forget_owner, is_unheld, owner


@pytest.fixture
def paused(tmp_path: Path) -> Path:
    """A job file whose job has done one of its five batches."""
    file = write_job(tmp_path)
    assert mozart("run", file, "--limit", "1").exit_code == 3
    return file


def layout_of(file: Path) -> Layout:
    return Layout(file.parent / "ws", "demo")


def mark(file: Path, host: str = "far-away", pid: int = 4711) -> Owner:
    """Leave the lock as a host does that was switched off while it ran the job."""
    found = Owner(host, pid, time.time(), "run", "boot/1", 3)
    layout_of(file).lock.write_bytes(msgspec.json.encode(found) + b"\n")
    return found


def test_the_mark_of_another_machine_stands_in_the_way_without_self_healing(paused: Path) -> None:
    mark(paused)
    ended = mozart("resume", "demo", "-w", paused.parent / "ws")
    assert ended.exit_code == 2
    assert "already running: host far-away" in ended.stderr


def test_with_yes_it_is_removed_and_the_job_goes_on(paused: Path) -> None:
    mark(paused)
    ended = mozart("resume", "demo", "-w", paused.parent / "ws", "--self-healing", "-y")
    assert ended.exit_code == 0, ended
    assert "stale-lock: job `demo` is marked as running on another machine (host far-away" in ended.stderr
    document = mozart("status", "demo", "-w", paused.parent / "ws", "--json").document
    assert (document["status"], len(document["remedies"])) == ("completed", 1)
    assert document["remedies"][0].startswith("stale-lock: ")


def test_run_goes_on_too(paused: Path) -> None:
    mark(paused)
    ended = mozart("run", paused, "--self-healing", "--yes")
    assert ended.exit_code == 0, ended
    assert "stale-lock" in ended.stderr


def test_where_nobody_can_be_asked_it_stays_and_is_explained(paused: Path) -> None:
    found = mark(paused)
    ended = mozart("resume", "demo", "-w", paused.parent / "ws", "--self-healing")
    assert ended.exit_code == 2
    assert "nobody holds its lock" in ended.stderr
    assert "answer yes or use -y" in ended.stderr
    assert owner(layout_of(paused)) == found


def test_a_lock_that_is_held_is_never_taken_away(paused: Path) -> None:
    found = mark(paused)
    layout = layout_of(paused)
    with layout.lock.open("r+b") as file:
        portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        ended = mozart("resume", "demo", "-w", paused.parent / "ws", "--self-healing", "-y")
        assert not is_unheld(layout)
        assert not forget_owner(layout, found)
    assert ended.exit_code == 2
    assert "already running" in ended.stderr
    assert owner(layout) == found


def test_somebody_who_took_the_lock_meanwhile_keeps_it(paused: Path) -> None:
    found = mark(paused)
    mark(paused, host="another")
    assert not forget_owner(layout_of(paused), found)
    assert forget_owner(layout_of(paused), mark(paused))
    assert owner(layout_of(paused)) is None
    assert not is_unheld(Layout(paused.parent, "nothing"))


def test_the_lock_of_a_dead_host_of_this_machine_needs_no_remedy(paused: Path) -> None:
    ended_process = subprocess.Popen([sys.executable, "-c", ""])
    ended_process.wait()
    mark(paused, host=socket.gethostname(), pid=ended_process.pid)
    ended = mozart("resume", "demo", "-w", paused.parent / "ws")
    assert ended.exit_code == 0, ended
    assert "stale-lock" not in ended.stderr


def test_a_lock_that_names_nobody_can_be_taken(paused: Path) -> None:
    layout = layout_of(paused)
    assert is_unheld(layout)
    with JobLock(layout):
        assert not is_unheld(layout)
