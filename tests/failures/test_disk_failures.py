"""Failures of the disk and of who else is on it: full, read-only, damaged, in use by another process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.anthropic_server import Call, Reply, text
from support.commands import Started, mozart, wait_for
from support.disks import fill, read_only, small_disk
from support.scenes import Scene


def test_a_disk_that_fills_up(scene: Scene) -> None:
    fillers: list[Path] = []

    def fill_up(call: Call) -> Reply:
        if not fillers:
            fillers.append(fill(scene.workspace))
        return text("done")

    scene.served.handler = fill_up
    with small_disk(scene.workspace, size_kb=4096):
        assert scene.run(backend=scene.api()).exit_code == 3
        top = scene.top().says("failing paused", "E703", f"cannot write {scene.layout.root}: the disk is full")
        top.says("make room on the disk, then `mozart resume failing`")
        fillers[0].unlink()
        assert top.followed().exit_code == 0


def test_a_line_of_the_journal_that_is_damaged(scene: Scene) -> None:
    segment = scene.layout.segment(1)
    scene.write(backend={"type": "rehearsal"})
    assert mozart("run", scene.file, "--limit", "1").exit_code == 3
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:3], lines[3].replace(b"batch", b"botch"), *lines[4:]]))
    scene.layout.snapshot.unlink()
    ended = mozart("resume", "failing", "-w", scene.workspace)
    assert ended.exit_code == 1
    assert f"E701: {segment} line 4 is damaged" in ended.stderr
    top = scene.top().says("unreadable", "E701", f"{segment} line 4 is damaged", "from a backup", "--fresh")
    assert f"`mozart run {scene.file} --fresh`" in top.text
    assert mozart("run", scene.file, "--fresh").exit_code == 0
    scene.top().says("failing completed: 2 of 2 batches done")


def test_a_journal_that_is_gone(scene: Scene) -> None:
    assert scene.run(backend={"type": "rehearsal"}).exit_code == 0
    scene.layout.segment(1).unlink()
    top = scene.top().says("unreadable", "E701", f"the journal in {scene.layout.journal} is gone")
    top.says("from a backup", "--fresh")


def test_a_second_host(scene: Scene) -> None:
    scene.write(backend={"type": "rehearsal"}, rehearsal={"latency_seconds": 60})
    with Started("run", scene.file, cwd=scene.folder) as first:
        first.until("batch.started")
        ended = mozart("resume", "failing", "-w", scene.workspace)
        assert ended.exit_code == 2
        host, pid = os.uname().nodename, first.process.pid
        assert f"already running: host {host}, pid {pid}" in ended.stderr
        top = scene.top().says("failing running", f"Pid {pid} on host {host} runs it since")
        top.says("mozart status failing --watch", "mozart pause failing")
        first.process.kill()
    wait_for(lambda: first.process.poll() is not None)
    top = scene.top().says("failing interrupted", f"pid {pid} on host {host}", "is gone")
    assert top.command == ["resume", "failing"]


def test_a_second_machine_that_shares_the_disk(scene: Scene) -> None:
    """What a lock says that another machine holds on a network disk; here its holder is a process that renamed it."""
    scene.write(backend={"type": "rehearsal"}, rehearsal={"latency_seconds": 60})
    with Started("run", scene.file, cwd=scene.folder) as first:
        first.until("batch.started")
        lock = scene.layout.lock
        lock.write_text(lock.read_text().replace(f'"{os.uname().nodename}"', '"node-17"'))
        ended = mozart("resume", "failing", "-w", scene.workspace)
        assert ended.exit_code == 2
        assert f"already running: host node-17, pid {first.process.pid}" in ended.stderr
        top = scene.top().says("failing running", f"Pid {first.process.pid} on host node-17 runs it since")
        top.says("see whether host node-17 still runs it", "`mozart resume failing --self-healing`")


@pytest.mark.parametrize("folder", ["ws", "."])
def test_a_workspace_that_cannot_be_written(scene: Scene, folder: str) -> None:
    """No job begins, so the run says it, and so does a diagnosis of the job file."""
    shut = scene.folder / folder
    shut.mkdir(exist_ok=True)
    scene.write(backend={"type": "rehearsal"})
    with read_only(shut):
        ended = mozart("run", scene.file)
        assert ended.exit_code == 3
        assert f"E703: cannot write {scene.layout.root}" in ended.stderr
        assert "choose another workspace" in ended.stderr
        scene.top(scene.file).says("never began", f"{shut} cannot be written to", "`-w DIR`")
    assert mozart("run", scene.file).exit_code == 0


def test_a_workspace_that_can_no_longer_be_written(scene: Scene) -> None:
    scene.write(backend={"type": "rehearsal"})
    assert mozart("run", scene.file, "--limit", "1").exit_code == 3
    with read_only(scene.workspace):
        ended = mozart("resume", "failing", "-w", scene.workspace)
        assert ended.exit_code == 3
        assert f"cannot write {scene.layout.root}" in ended.stderr
        top = scene.top().says("failing paused: 1 of 2 batches done", str(scene.workspace), "cannot be written")
        top.says(f"make {scene.workspace} writable, then `mozart resume failing`")
    assert top.followed().exit_code == 0
