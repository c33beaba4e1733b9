"""`Job` where several things happen at once: the last word counts, nothing is lost, no config is mixed up."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.trial_jobs import config, end_all_runs, until

from mozart_nb import events as ev
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.errors import CheckpointCorruptError, JobBusyError, JobChangedError, MisuseError, UnknownJobError
from mozart_nb.hosts.headless import run_headless
from mozart_nb.hosts.interrupts import interrupted
from mozart_nb.job_handle import Job
from mozart_nb.plans.prepared import opened, renewed


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "work"
    end_all_runs()


def slow(space: Path, **sections: Any) -> Job:
    return Job.load(config(space, batches=100, latency=0.4, **sections))


async def soon(what: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.01)


def runs(job: Job) -> int:
    return job.read(lambda state: state.job.runs)


def told(heard: list[ev.Event]) -> str:
    return "; ".join(event.message for event in heard if isinstance(event, ev.JobNotice))


# --- the last word counts ---------------------------------------------------------------------------------------------


async def test_a_resume_right_behind_a_pause_wins(space: Path) -> None:
    job = slow(space).start()
    await soon(lambda: job.progress().running == 2)
    job.pause()
    job.resume()
    await asyncio.sleep(0.1)
    assert (job.status, runs(job)) == ("running", 1)


async def test_a_pause_right_behind_them_wins_again(space: Path) -> None:
    job = slow(space).start()
    await soon(lambda: job.progress().running == 2)
    job.pause()
    await soon(lambda: job.status == "pausing")
    job.resume()
    job.pause()
    await job
    assert (job.status, runs(job)) == ("paused", 1)


async def test_a_resume_in_the_moment_in_which_a_job_settles_is_not_lost(space: Path) -> None:
    job = slow(space).start()
    await soon(lambda: job.progress().running == 2)

    def go_on(events: Any) -> None:
        if any(isinstance(event, ev.JobPaused) for event in events):
            assert job.is_live
            job.resume()

    job.observe(go_on)
    job.pause()
    await soon(lambda: runs(job) == 2)
    assert job.status == "running"


def test_nothing_is_lost_either_when_the_job_runs_in_another_thread(space: Path) -> None:
    job = Job.load(config(space, batches=1000, latency=0.02)).start()
    for run in range(2, 8):
        until(lambda: job.progress().running > 0)
        job.pause()
        until(lambda: job.status == "paused")
        job.resume()  # its lock may still be held
        until(lambda run=run: runs(job) == run)  # type: ignore[misc]


async def test_a_start_in_the_moment_in_which_a_job_settles_is_not_lost(space: Path) -> None:
    job = slow(space).start()
    await soon(lambda: job.progress().running == 2)

    def go_on(events: Any) -> None:
        if any(isinstance(event, ev.JobPaused) for event in events):
            slow(space).start()

    job.observe(go_on)
    job.pause()
    await soon(lambda: runs(job) == 2)


async def test_a_resume_behind_a_cancel_begins_again_when_that_is_through(space: Path) -> None:
    job = slow(space).start()
    await soon(lambda: job.progress().running == 2)
    job.cancel()
    job.resume()
    await soon(lambda: runs(job) == 2)
    assert job.status == "running"


async def test_a_second_cancel_takes_that_back(space: Path) -> None:
    job = slow(space).start()
    await soon(lambda: job.progress().running == 2)
    job.cancel()
    job.resume()
    job.cancel()
    await job
    assert (job.status, runs(job)) == ("cancelled", 1)


async def test_a_cancel_in_the_moment_in_which_a_job_pauses_is_not_lost(space: Path) -> None:
    job = slow(space).start()
    await soon(lambda: job.progress().running == 2)

    def end(events: Any) -> None:
        if any(isinstance(event, ev.JobPaused) for event in events):
            job.cancel()

    job.observe(end)
    job.pause()
    await job
    assert (job.status, job.error) == ("cancelled", None)


async def test_a_retry_in_the_moment_in_which_a_job_fails_is_not_lost(space: Path) -> None:
    job = Job.load(config(space, batches=2, rehearsal={"latency_seconds": 0.05, "failures": {"crash": 1.0}}))
    asked: list[int] = []

    def again(events: Any) -> None:
        if not asked and any(isinstance(event, ev.JobFailed) for event in events):
            asked.append(1)
            job.retry([2])

    job.observe(again)
    await job.start()
    await job
    assert job.attempts().groupby("batch").size().to_dict() == {1: 1, 2: 2}


async def test_a_new_config_is_not_dropped_where_a_pause_is_withdrawn(space: Path) -> None:
    job = slow(space).start()
    await soon(lambda: job.progress().running == 2)
    job.pause()
    with pytest.raises(MisuseError, match="config cannot change"):
        job.resume(reload=slow(space, retry={"max_retries": 5}))
    await job
    assert job.status == "paused"


# --- hooks ------------------------------------------------------------------------------------------------------------


def hook(command: str) -> dict[str, Any]:
    return {"on_success": [{"type": "run_command", "command": command}]}


async def test_hooks_that_hang_can_be_cancelled_and_an_interrupt_says_the_truth(space: Path) -> None:
    job = Job.load(config(space, **hook("sleep 60"))).start()
    await soon(lambda: job.status == "completed")
    with pytest.raises(MisuseError, match="completed"):
        job.pause()
    assert "completed" in str(interrupted(job))
    job.cancel()
    await asyncio.wait_for(job, 10)
    assert (job.status, job.error) == ("completed", None)


async def test_the_hooks_of_a_new_config_are_run(space: Path) -> None:
    job = await Job.load(config(space, **hook(f"touch {space / 'old'}"))).start(limit=1)
    new = Job.load(config(space, **hook(f"touch {space / 'new'}")))
    await job.resume(reload=new)
    assert job.status == "completed"
    assert [name for name in ("old", "new") if os.path.exists(space / name)] == ["new"]  # noqa: ASYNC240, PTH110


# --- which config -----------------------------------------------------------------------------------------------------


def test_an_opened_job_goes_on_with_the_config_that_another_process_gave_it(space: Path) -> None:
    Job.load(config(space)).start(limit=1).wait(timeout=60)
    handle = Job.open("trial", space)
    changed = config(space, prompt={"template": "shout {{ batch_num }}"}, retry={"max_retries": 4})
    now = renewed(opened(handle.layout), Job.load(changed).prepared.loaded)
    run_headless(opened(handle.layout), ev.RunOptions(limit=1), reload=now)  # as the command line does it
    handle.resume().wait(timeout=60)
    assert (handle.status, handle.error) == ("completed", None)
    assert Job.open("trial", space).config.retry.max_retries == 4
    assert handle.config.retry.max_retries == 4


def test_the_handle_that_started_a_job_goes_on_with_the_config_that_another_process_gave_it(space: Path) -> None:
    job = Job.load(config(space)).start(limit=1).wait(timeout=60)
    now = renewed(job.prepared, Job.load(config(space, retry={"max_retries": 4})).prepared.loaded)
    run_headless(opened(job.layout), ev.RunOptions(limit=1), reload=now)
    job.resume().wait(timeout=60)
    assert (job.status, job.error, job.config.retry.max_retries) == ("completed", None, 4)


def test_a_job_that_was_described_anew_does_not_take_the_old_config_behind_anybodys_back(space: Path) -> None:
    Job.load(config(space)).start(limit=1).wait(timeout=60)
    job = Job.load(config(space, retry={"max_retries": 4}))
    for _ in range(2):
        job.resume().wait(timeout=60)
        assert isinstance(job.error, JobChangedError)
    assert (job.status, job.progress().completed) == ("paused", 1)


def test_a_plan_that_was_opened_before_a_change_never_replaces_the_new_one(space: Path) -> None:
    Job.load(config(space)).start(limit=1).wait(timeout=60)
    stale = opened(Job.open("trial", space).layout)
    changed = Job.load(config(space, retry={"max_retries": 4}))
    Job.open("trial", space).resume(reload=changed, batches="2").wait(timeout=60)
    with pytest.raises(JobChangedError):
        run_headless(stale, ev.RunOptions())
    assert Job.open("trial", space).config.retry.max_retries == 4


def test_the_config_that_runs_here_is_the_one_that_was_reloaded(space: Path) -> None:
    job = slow(space).start(limit=1).wait(timeout=60)
    new = slow(space, retry={"max_retries": 4})
    job.resume(reload=new)
    assert "already" in slow(space, retry={"max_retries": 4}).start().notices[-1]
    with pytest.raises(JobChangedError):
        slow(space).start()


ROWS = {"batch": {"size": 1}, "prompt": {"template": "say {{ item.text }}"}}


def test_answers_join_on_the_rows_that_were_asked_about(space: Path) -> None:
    pandas = pytest.importorskip("pandas")
    old = pandas.DataFrame({"text": ["a", "b"]}, index=["old a", "old b"])
    new = pandas.DataFrame({"text": ["x", "y", "z"]}, index=["new x", "new y", "new z"])
    first = Job.load(config(space) | ROWS, items=old).start().wait(timeout=60)
    assert list(first.answers().index) == ["old a", "old b"]
    Job.load(config(space) | ROWS, items=new).start(fresh=True).wait(timeout=60)
    assert list(first.answers(inputs=True).text) == ["x", "y", "z"]
    assert list(first.answers().index) == ["new x", "new y", "new z"]


def test_answers_join_on_the_rows_of_a_reloaded_config(space: Path) -> None:
    pandas = pytest.importorskip("pandas")
    old = pandas.DataFrame({"text": ["a", "b"]}, index=["old a", "old b"])
    new = pandas.DataFrame({"text": ["a", "b", "c"]}, index=["new a", "new b", "new c"])
    job = Job.load(config(space) | ROWS, items=old).start(limit=1).wait(timeout=60)
    job.resume(reload=Job.load(config(space) | ROWS, items=new)).wait(timeout=60)
    assert (job.status, list(job.answers().index)) == ("completed", ["new a", "new b", "new c"])


# --- other processes --------------------------------------------------------------------------------------------------


async def test_whoever_is_too_late_says_so_and_follows_the_other_process(space: Path) -> None:
    job = Job.load(config(space))
    heard: list[ev.Event] = []
    job.observe(heard.extend)
    job.start()
    with JobLock(job.layout):  # before the run here gets its turn
        await soon(lambda: "already running" in told(heard))
        assert (job.runs_here, job.is_live, job.error) == (False, True, None)
    await asyncio.wait_for(job, 10)
    assert not job.is_live


async def test_whoever_wanted_to_start_over_is_told_that_another_process_runs_it(space: Path) -> None:
    job = Job.load(config(space)).start(fresh=True)
    with JobLock(job.layout):
        await soon(lambda: not job.runs_here)
    await job
    assert isinstance(job.error, JobBusyError)


async def test_signs_of_life_are_forgotten_with_their_batch(space: Path) -> None:
    job = await Job.load(config(space)).start()
    assert (job.status, dict(job.pulses)) == ("completed", {})


async def test_another_version_that_another_process_runs_is_not_attached_to(space: Path) -> None:
    await Job.load(config(space)).start(limit=1)
    job = Job.load(config(space, retry={"max_retries": 4}))
    with JobLock(job.layout), pytest.raises(JobChangedError, match="another config"):
        job.start()


def test_a_lock_that_was_inherited_by_another_process_is_free_once_it_is_released(space: Path) -> None:
    layout = Job.load(config(space)).layout
    lock = JobLock(layout)
    lock.acquire()
    assert lock._file is not None
    inherited = os.dup(lock._file.fileno())  # what a fork does with it
    try:
        lock.release()
        with JobLock(layout):
            assert True
    finally:
        os.close(inherited)


async def test_a_journal_that_cannot_be_read_is_said_and_followed_again_when_it_can(space: Path) -> None:
    job = await Job.load(config(space)).start(limit=1)
    fresh = Job.open("trial", space)
    heard: list[ev.Event] = []
    segment = next(iter(sorted(job.layout.journal.iterdir())))
    whole = segment.read_bytes()
    segment.write_bytes(b"rubbish\n" + whole)
    fresh.observe(heard.extend)
    await soon(lambda: "cannot be followed" in told(heard))
    segment.write_bytes(whole)
    await fresh.resume()
    assert fresh.status == "completed"


def test_starting_over_is_the_way_out_of_a_record_that_cannot_be_read(space: Path) -> None:
    job = Job.load(config(space)).start(limit=1).wait(timeout=60)
    segment = next(iter(sorted(job.layout.journal.iterdir())))
    segment.write_bytes(b"rubbish\n" + segment.read_bytes())
    job.layout.snapshot.unlink(missing_ok=True)
    again = Job.load(config(space))
    with pytest.raises(CheckpointCorruptError, match="damaged"):
        again.start()
    assert again.start(fresh=True).wait(timeout=60).status == "completed"


async def test_a_record_that_was_deleted_is_not_resumed_from_the_beginning(space: Path) -> None:
    job = await Job.load(config(space)).start(limit=1)
    job.observe(lambda events: None)
    await asyncio.sleep(0.1)
    shutil.rmtree(space)
    with pytest.raises(UnknownJobError, match="record"):
        job.resume()
    assert not job.layout.exists


FORKS = """
import os, sys, warnings, yaml
warnings.simplefilter("ignore")
from mozart_nb import Job
job = Job.load(yaml.safe_load(sys.stdin.read())).start()
while job.progress().completed < 2:
    pass
child = os.fork()
if not child:
    import signal
    signal.alarm(10)
    sys.stdout.write(f"{job.is_live} {job.status} {len(job.batches())}\\n")
    sys.stdout.flush()
    os._exit(0)
print(os.waitpid(child, 0)[1])
job.cancel().wait()
"""


def test_a_forked_child_can_look_at_the_job_of_its_parent(space: Path) -> None:
    described = yaml.safe_dump(config(space, batches=100, latency=0.2))
    script = [sys.executable, "-c", FORKS]
    said = subprocess.run(script, input=described, capture_output=True, text=True, timeout=60, check=False)
    assert said.stdout.split("\n")[:2] == ["True running 100", "0"], said.stderr


# --- loops ------------------------------------------------------------------------------------------------------------


def test_one_job_in_two_programs_of_one_process(space: Path) -> None:
    job = Job.load(config(space))

    async def go_on(**how: Any) -> str:
        await job.start(**how)
        return job.status

    assert asyncio.run(go_on(limit=1)) == "paused"
    assert asyncio.run(go_on()) == "completed"
    assert job.wait(timeout=10).status == "completed"


def test_a_run_whose_loop_goes_away_is_over_and_can_be_taken_up(space: Path) -> None:
    job = slow(space)

    async def begin() -> None:
        job.start()
        await soon(lambda: job.progress().running == 2)

    asyncio.run(begin())
    assert job.is_live is False
    assert job.status in ("interrupted", "paused")
    job.resume()
    until(lambda: runs(job) == 2)
