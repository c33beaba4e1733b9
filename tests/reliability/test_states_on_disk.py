"""A job's folder in every state it can be found in: one clear message, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from support.commands import Started, mozart, slow_job, wait_for, write_job
from support.disks import fill, read_only, small_disk
from support.raw_journal import completed, key_of, of_kind, read_rows

from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import load_state
from mozart_nb.clock import SystemClock
from mozart_nb.engine.fold import fold
from mozart_nb.events import RunOptions
from mozart_nb.job.load import load_job
from mozart_nb.runtime import prepare, run_job


def begun(folder: Path) -> Layout:
    """A job of five batches, two of which are done."""
    assert mozart("run", write_job(folder), "--limit", "2").exit_code == 3
    return Layout(folder / "ws", "demo")


def check_complete(layout: Layout, batches: int = 5) -> None:
    """Every batch was completed, in one session each, and the record is whole."""
    rows = read_rows(layout)
    assert sorted(completed(rows)) == list(range(1, batches + 1))
    assert len({key_of(row) for row in of_kind(rows, "session.opened")}) == batches
    assert len(of_kind(rows, "session.opened")) == batches
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    loaded = load_state(layout, DiskFiles(), holder=False)
    folded = fold(read_events(layout))
    assert (loaded.state.job, loaded.state.batches) == (folded.job, folded.batches)
    assert loaded.warnings == []


# --- damaged files ----------------------------------------------------------------------------------------------------


def test_a_torn_last_line_of_the_journal_is_cut_off_and_named(tmp_path: Path) -> None:
    layout = begun(tmp_path)
    with open(layout.segment(1), "ab") as file:
        file.write(b'{"crc":"1c291ca3","event":{"kind":"batch.star')
    assert mozart("status", "demo").exit_code == 0
    ended = mozart("run", tmp_path / "job.yaml")
    assert ended.exit_code == 0, ended
    assert f"the last line of {layout.segment(1)} was never finished: 45 bytes cut off" in ended.stderr
    check_complete(layout)


def test_a_torn_last_answer_is_cut_off_and_named(tmp_path: Path) -> None:
    layout = begun(tmp_path)
    with open(layout.answers, "ab") as file:
        file.write(b'{"crc":"1c29')
    ended = mozart("run", tmp_path / "job.yaml")
    assert ended.exit_code == 0, ended
    assert f"the last line of {layout.answers} was never finished: 12 bytes cut off" in ended.stderr
    check_complete(layout)


def test_a_damaged_line_amid_the_journal_is_refused_with_its_number_and_nothing_is_changed(tmp_path: Path) -> None:
    layout = begun(tmp_path)
    layout.snapshot.unlink()
    lines = layout.segment(1).read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"seq":4', b'"seq":5')
    layout.segment(1).write_bytes(b"".join(lines))
    before = {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}
    for command in (("run", tmp_path / "job.yaml"), ("resume", "demo"), ("status", "demo")):
        ended = mozart(*command)
        assert ended.exit_code == 1
        assert f"E701: {layout.segment(1)} line 4 is damaged" in ended.stderr
        assert "nothing was changed; restore the job's folder from a backup, or start over with --fresh" in ended.stderr
    assert {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_snapshot_is_named_and_the_journal_read_instead(tmp_path: Path, keep: float) -> None:
    layout = begun(tmp_path)
    text = layout.snapshot.read_bytes()
    layout.snapshot.write_bytes(text[: int(len(text) * keep)])
    ended = mozart("run", tmp_path / "job.yaml")
    assert ended.exit_code == 0, ended
    assert f"{layout.snapshot} was not used, because " in ended.stderr
    assert "read the whole journal" in ended.stderr
    check_complete(layout)


def test_a_missing_snapshot_is_named_and_the_journal_read_instead(tmp_path: Path) -> None:
    layout = begun(tmp_path)
    layout.snapshot.unlink()
    assert "2/5" in mozart("status", "demo").stdout
    ended = mozart("run", tmp_path / "job.yaml")
    assert ended.exit_code == 0, ended
    assert f"{layout.snapshot} is missing: read the whole journal" in ended.stderr
    check_complete(layout)


def test_a_snapshot_of_an_older_state_is_caught_up_from_the_journal(tmp_path: Path) -> None:
    layout = begun(tmp_path)
    older = layout.snapshot.read_bytes()
    assert mozart("run", tmp_path / "job.yaml", "--limit", "2").exit_code == 3
    layout.snapshot.write_bytes(older)
    assert mozart("run", tmp_path / "job.yaml").exit_code == 0
    check_complete(layout)


def test_a_journal_that_is_gone_is_not_taken_for_a_new_job(tmp_path: Path) -> None:
    layout = begun(tmp_path)
    shutil.rmtree(layout.journal)
    ended = mozart("run", tmp_path / "job.yaml")
    assert ended.exit_code == 1
    assert f"{layout.snapshot} is there, but the journal in {layout.journal} is gone" in ended.stderr
    assert "restore the job's folder from a backup, or start over with --fresh" in ended.stderr


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_read_only_workspace_is_refused_before_anything_is_sent_and_can_still_be_looked_at(tmp_path: Path) -> None:
    layout = begun(tmp_path)
    with read_only(layout.workspace):
        ended = mozart("run", tmp_path / "job.yaml")
        assert ended.exit_code == 3
        assert f"E703: cannot write {layout.root}" in ended.stderr
        assert "read-only" in ended.stderr or "permission denied" in ended.stderr
        assert "choose " in ended.stderr
        assert "2/5" in mozart("status", "demo").stdout
        assert mozart("errors", "demo").exit_code == 0
    assert mozart("run", tmp_path / "job.yaml").exit_code == 0
    check_complete(layout)


def test_a_new_job_in_a_read_only_folder_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "shut"
    folder.mkdir()
    job = write_job(tmp_path, workspace=str(folder))
    with read_only(folder):
        ended = mozart("run", job)
    assert ended.exit_code == 3
    assert str(folder) in ended.stderr
    assert "choose " in ended.stderr
    assert list(folder.iterdir()) == []


def test_a_disk_that_fills_up_pauses_the_job_with_e703_and_it_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    rules = [{"type": "answer_matches", "pattern": "batch"}]  # what sessions write is not on the disk that is full
    job = slow_job(tmp_path, batches=60, latency_seconds=0.1, workspace=str(disk), validations=rules)
    layout = Layout(disk, "demo")
    with small_disk(disk, size_kb=4096):
        with Started("run", job, cwd=tmp_path) as host:
            host.until("batch.completed batch=3")
            filler = fill(disk)
            ended = host.end()
        assert ended.exit_code == 3, ended
        assert f"cannot write {layout.root}: the disk is full" in ended.stderr
        assert "E703" in ended.stderr
        status = mozart("status", "demo", "--json").document
        assert (status["status"], status["error"]["code"]) == ("paused", "E703")
        assert 3 <= status["progress"]["completed"] < 60
        fill(disk, "the room that the reserve left")
        still_full = mozart("resume", "demo")
        assert still_full.exit_code == 3, still_full
        assert "the disk is full" in still_full.stderr
        assert "make room, then resume the job: what was saved before is safe" in still_full.stderr
        for path in (filler, disk / "the room that the reserve left"):
            path.unlink()
        ended = mozart("resume", "demo")
        assert ended.exit_code == 0, ended
        check_complete(layout, 60)


def test_a_disk_without_room_for_the_reserve_ends_the_run_with_e703_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    rules = [{"type": "answer_matches", "pattern": "batch"}]
    job = slow_job(tmp_path, batches=12, latency_seconds=0.1, workspace=str(disk), validations=rules)
    layout = Layout(disk, "demo")
    with small_disk(disk, size_kb=512):
        with Started("run", job, cwd=tmp_path) as host:
            host.until("batch.completed batch=3")
            filler = fill(disk)
            ended = host.end()
        assert ended.exit_code == 3, ended
        assert f"cannot write {layout.root}: the disk is full" in ended.stderr
        assert "make room, then resume the job: what was saved before is safe" in ended.stderr
        told = {line.split("batch=")[1].split()[0] for line in ended.stderr.splitlines() if "batch.completed" in line}
        filler.unlink()
        ended = mozart("resume", "demo")
        assert ended.exit_code == 0, ended
        rows = read_rows(layout)
        assert sorted(completed(rows)) == list(range(1, 13))
        assert len(of_kind(rows, "session.finished")) == 12
        assert told <= {str(row["batch"]) for row in of_kind(rows, "batch.completed")}


# --- hosts ------------------------------------------------------------------------------------------------------------


def test_a_second_host_shows_the_job_and_a_resume_says_who_runs_it(tmp_path: Path) -> None:
    job = slow_job(tmp_path, batches=12, latency_seconds=0.3)
    layout = Layout(tmp_path / "ws", "demo")
    with Started("run", job, cwd=tmp_path) as first:
        first.until("batch.completed")
        pid = first.process.pid
        refused = mozart("resume", "demo")
        assert refused.exit_code == 2
        assert f"job `demo` is already running: host {os.uname().nodename}, pid {pid}, since 20" in refused.stderr
        refused = mozart("run", job, "--fresh", "--yes")
        assert refused.exit_code == 2
        assert f"pid {pid}" in refused.stderr
        second = mozart("run", job)
        assert second.exit_code == 0, second
        assert f"is already running (host {os.uname().nodename}, pid {pid}" in second.stderr
        assert first.end().exit_code == 0
    rows = read_rows(layout)
    assert len({row["run_id"] for row in (*of_kind(rows, "job.started"), *of_kind(rows, "job.resumed"))}) == 1
    check_complete(layout, 12)


def test_of_hosts_that_start_at_once_one_runs_the_job_and_the_others_show_it(tmp_path: Path) -> None:
    job = slow_job(tmp_path, batches=12, latency_seconds=0.3)
    hosts = [Started("run", job, cwd=tmp_path) for _ in range(4)]
    try:
        endings = [host.end() for host in hosts]
    finally:
        for host in hosts:
            host.__exit__()
    assert [ended.exit_code for ended in endings] == [0, 0, 0, 0], endings
    assert sum("is already running" in ended.stderr for ended in endings) == 3
    layout = Layout(tmp_path / "ws", "demo")
    assert len(of_kind(read_rows(layout), "job.started")) == 1
    assert of_kind(read_rows(layout), "job.resumed") == []
    check_complete(layout, 12)


def test_of_resumes_that_start_at_once_one_goes_on_and_the_others_say_who_does(tmp_path: Path) -> None:
    job = slow_job(tmp_path, batches=12, latency_seconds=0.3)
    assert mozart("run", job, "--limit", "2").exit_code == 3
    hosts = [Started("resume", "demo", cwd=tmp_path) for _ in range(3)]
    try:
        endings = [host.end() for host in hosts]
    finally:
        for host in hosts:
            host.__exit__()
    assert sorted(ended.exit_code for ended in endings) == [0, 2, 2], endings
    assert all("is already running" in ended.stderr for ended in endings if ended.exit_code == 2)
    check_complete(Layout(tmp_path / "ws", "demo"), 12)


def test_a_workspace_that_was_moved_goes_on_where_it_is_now(tmp_path: Path) -> None:
    begun(tmp_path)
    moved = Layout(tmp_path / "elsewhere" / "results", "demo")
    moved.workspace.parent.mkdir()
    (tmp_path / "ws").rename(moved.workspace)
    lost = mozart("status", "demo")
    assert lost.exit_code == 2
    assert "job `demo` was in" in lost.stderr
    assert "2/5" in mozart("status", "demo", "-w", moved.workspace).stdout
    ended = mozart("resume", "demo", "-w", moved.workspace)
    assert ended.exit_code == 0, ended
    check_complete(moved)
    assert (moved.workspace / "report-5.md").exists()
    assert not (tmp_path / "ws").exists(), "something was written to where the workspace used to be"
    assert "5/5" in mozart("status", "demo").stdout


# --- clocks -----------------------------------------------------------------------------------------------------------


class Ahead(SystemClock):
    """A machine whose clock is an hour ahead."""

    def wall(self) -> float:
        return super().wall() + 3600


def test_a_clock_that_was_set_back_an_hour_between_runs_is_told_and_delays_nothing(tmp_path: Path) -> None:
    prepared = prepare(load_job(write_job(tmp_path, rehearsal={"latency_seconds": 0, "script": {3: ["transient"]}})))
    asyncio.run(run_job(prepared, RunOptions(limit=2), clock=Ahead()))
    began = time.time()
    ended = mozart("run", tmp_path / "job.yaml")
    assert ended.exit_code == 0, ended
    assert time.time() - began < 60
    assert re.search(r"the system clock is 3[56]\d\d s behind the job's last event", ended.stderr)
    assert "the job goes on with its own time, and nothing is lost" in ended.stderr
    rows = read_rows(prepared.layout)
    times = [row["at"] for row in rows]
    assert times == sorted(times)
    assert sorted(completed(rows)) == [1, 2, 3, 4, 5]
    assert len(of_kind(rows, "session.finished")) == 6


# --- the way it is said -----------------------------------------------------------------------------------------------


def test_every_message_about_a_broken_disk_is_one_json_document_when_asked(tmp_path: Path) -> None:
    layout = begun(tmp_path)
    layout.segment(1).write_bytes(b"nonsense\n" + layout.segment(1).read_bytes())
    layout.snapshot.unlink()
    ended = mozart("run", tmp_path / "job.yaml", "--json")
    assert ended.exit_code == 1
    error = json.loads(ended.stdout)["error"]
    assert error["code"] == "E701"
    assert str(layout.segment(1)) in error["message"]
    assert error["hint"]


def test_a_host_that_dies_leaves_a_job_that_is_shown_as_interrupted_and_says_how_to_go_on(tmp_path: Path) -> None:
    job = slow_job(tmp_path, batches=40, latency_seconds=0.2)
    with Started("run", job, cwd=tmp_path) as host:
        host.until("batch.completed")
        host.process.kill()
        host.process.wait()
    wait_for(lambda: mozart("status", "demo", "--json").document["status"] == "interrupted")
    shown = mozart("status", "demo")
    assert "interrupted" in shown.stdout
    assert "mozart resume demo" in shown.stdout + shown.stderr
