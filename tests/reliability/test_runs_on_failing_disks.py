"""A whole run on a disk where every write, sync and rename fails in turn; then one on a sound disk."""

from __future__ import annotations

import asyncio
import errno
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.anthropic_server import AnthropicServer
from support.faulty_files import Fault, FaultyFiles, PowerCut
from support.faulty_runs import a_job, check_outcome, check_resumed, every_fault, operations, run
from support.kill9 import Tally
from support.kill9_claude import Scribe, claude_job, count_at_the_server
from support.raw_journal import of_kind, read_rows

from mozart_nb import events as ev
from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.errors import CheckpointUnwritableError
from mozart_nb.job.load import load_job
from mozart_nb.runtime import Prepared, prepare, run_job


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_wherever_a_disk_fails_the_job_completes_pauses_or_says_why_and_a_resume_completes_it(
    tmp_path: Path, error: int, lasting: bool
) -> None:
    statuses = [ran.status for ran in every_fault(tmp_path, error, lasting=lasting)]
    assert len(statuses) > 20
    assert ("raised" if lasting else "completed") in statuses


def interrupted(folder: Path) -> Prepared:
    """A job whose host died while it wrote: the last lines of journal and answers are torn, a session was open."""
    prepared = a_job(folder)
    assert run(prepared, FaultyFiles(Fault(25, lasting=True, short=True))).status == "raised"
    for path in (prepared.layout.segment(1), prepared.layout.answers):
        with open(path, "ab") as file:
            file.write(b'{"crc":"00')
    return prepared


def test_wherever_a_disk_fails_during_a_resume_the_next_resume_completes_the_job(tmp_path: Path) -> None:
    interrupted(tmp_path / "origin")
    for at in range(1, operations(interrupted(tmp_path / "healthy")) + 1):
        shutil.copytree(tmp_path / "origin", tmp_path / str(at))
        prepared = a_job(tmp_path / str(at))
        ran = run(prepared, FaultyFiles(Fault(at, lasting=at % 2 == 0, short=True)))
        check_outcome(ran, prepared)
        check_resumed(ran, prepared)


@pytest.mark.parametrize("lasting", [False, True], ids=["a while after a failure", "at the failure"])
def test_after_a_loss_of_power_nothing_that_observers_were_told_is_gone(tmp_path: Path, lasting: bool) -> None:
    rng = random.Random(3)
    for at in range(1, operations(a_job(tmp_path / "sound")) + 1):
        files = PowerCut(Fault(at, lasting=lasting, short=True))
        prepared = a_job(tmp_path / str(at))
        ran = run(prepared, files)
        files.strike(rng)
        check_resumed(ran, prepared)


class Dribble(DiskFiles):
    """Takes a few bytes with every call, as the system may at any time."""

    def write(self, handle: int, data: bytes | memoryview) -> int:
        return super().write(handle, memoryview(data)[:37])


def test_writes_that_take_only_some_bytes_at_a_time_are_gone_on_with(tmp_path: Path) -> None:
    prepared = a_job(tmp_path)
    ran = run(prepared, Dribble())
    assert ran.status == "completed"
    check_resumed(ran, prepared)


def test_a_disk_that_is_full_for_a_moment_pauses_the_job_and_says_to_make_room(tmp_path: Path) -> None:
    prepared = a_job(tmp_path)
    ran = run(prepared, FaultyFiles(Fault(8, errno.ENOSPC, kinds=("write",))))
    assert (ran.status, ran.code) == ("paused", "E703")
    assert "the disk is full" in ran.message
    assert str(prepared.layout.root) in ran.message
    check_resumed(ran, prepared)


def test_a_failed_sync_is_not_taken_for_a_success_and_observers_hear_of_it(tmp_path: Path) -> None:
    prepared = a_job(tmp_path)
    ran = run(prepared, FaultyFiles(Fault(6, errno.EIO, kinds=("sync",))))
    assert ran.status == "completed"
    assert [notice for notice in ran.notices if "failed to sync" in notice and "written again" in notice]
    check_resumed(ran, prepared)


def test_a_snapshot_that_cannot_be_written_is_a_notice_and_the_job_completes(tmp_path: Path) -> None:
    prepared = a_job(tmp_path)
    ran = run(prepared, FaultyFiles(Fault(1, errno.EIO, kinds=("replace",))))
    assert ran.status == "completed"
    assert [notice for notice in ran.notices if str(prepared.layout.snapshot) in notice and "nothing is lost" in notice]
    assert not prepared.layout.snapshot.exists()
    check_resumed(ran, prepared)


@pytest.mark.real_claude
def test_when_nothing_can_be_recorded_sessions_of_claude_go_on_and_are_read_later(
    tmp_path: Path,
    claude_path: str,
    api: AnthropicServer,
    claude_env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in claude_env.items():
        monkeypatch.setenv(name, value)
    api.handler = Scribe(random.Random(1), quickest_seconds=0.5, slowest_seconds=1.5)
    prepared = prepare(load_job(claude_job(tmp_path, claude_path, 4, max_concurrent=3).file))
    disk = FaultyFiles()

    async def break_the_disk(events: Sequence[ev.Event]) -> None:
        if len(api.sessions) < 3 and any(isinstance(event, ev.SessionOpened) for event in events):
            disk.break_now(Fault(1, lasting=True))

    with pytest.raises(CheckpointUnwritableError) as refused:
        asyncio.run(run_job(prepared, ev.RunOptions(), observers=[break_the_disk], files=disk))
    assert str(prepared.layout.root) in refused.value.message
    state = asyncio.run(run_job(prepared, ev.RunOptions()))
    assert state.status == "completed"
    rows = read_rows(prepared.layout)
    tally = Tally()
    count_at_the_server(api, rows, tally)
    assert tally.paid_twice == []
    assert len(of_kind(rows, "session.adopted")) >= 1
