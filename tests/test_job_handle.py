"""`Job`: the same handle in scripts, asyncio programs and notebooks, for jobs of this process and of others."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.trial_jobs import config, end_all_runs, until

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import (
    ConfigError,
    JobBusyError,
    JobChangedError,
    MisuseError,
    PromptError,
    UnfinishedError,
    UnknownJobError,
)
from mozart_nb.hosts.channel import running_here
from mozart_nb.job_handle import Job


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "work"
    end_all_runs()


def slow(space: Path, **sections: Any) -> Job:
    """A job that would take half a minute."""
    return Job.load(config(space, batches=100, rehearsal={"latency_seconds": 0.6}, **sections))


# --- where jobs come from ---------------------------------------------------------------------------------------------


def test_a_file_a_text_and_a_mapping_are_the_same_job(space: Path, tmp_path: Path) -> None:
    mapping = config(space)
    text = yaml.safe_dump(mapping)
    file = tmp_path / "job.yaml"
    file.write_text(text, encoding="utf-8")
    jobs = [Job.load(mapping), Job.load(text), Job.load(file), Job.load(str(file)), Job.from_text(text)]
    assert {job.prepared.digest for job in jobs} == {jobs[0].prepared.digest}


def test_loading_writes_nothing_and_shows_the_plan(space: Path) -> None:
    job = Job.load(config(space, batches=6))
    assert (job.status, job.progress().pending, job.is_live, job.is_settled) == ("pending", 6, False, False)
    assert list(job.batches().index) == [1, 2, 3, 4, 5, 6]
    assert not space.exists()


def test_mistakes_are_told_all_at_once(space: Path) -> None:
    broken = config(space) | {"promt": {}, "retry": {"max_retries": -1}}
    with pytest.raises(ConfigError, match="max_retries"):
        Job.load(broken)


def test_a_job_that_nobody_planned_cannot_be_opened(space: Path) -> None:
    with pytest.raises(UnknownJobError):
        Job.open("trail", space)


def test_a_prompt_that_cannot_even_be_made_for_the_first_batch_starts_nothing(space: Path) -> None:
    described = yaml.safe_dump(config(space) | {"batch": {"size": 1}, "prompt": {"template": "say {{ item.txt }}"}})
    job = Job.from_text(described, items=[{"text": "a"}])
    with pytest.raises(PromptError, match=r"did you mean `text`.*<cell>, line \d+"):
        job.start()
    assert not space.exists()


def test_a_run_that_leaves_the_first_batch_out_is_not_held_up_by_it(space: Path) -> None:
    rows = [{"id": 1}, {"id": 2, "text": "b"}]
    described = config(space) | {"batch": {"size": 1}, "prompt": {"template": "say {{ item.text }}"}}
    with pytest.raises(PromptError):
        Job.load(described, items=rows).start()
    job = Job.load(described, items=rows).start(batches="2").wait(timeout=60)
    assert job.progress().completed == 1


def test_tab_knows_what_a_job_can_do(space: Path) -> None:
    import jedi

    names = {found.name for found in jedi.Interpreter("job.", [{"job": Job.load(config(space))}]).complete()}
    assert {"start", "pause", "answers", "status", "dashboard"} <= names


def test_a_log_is_shown_as_lines(space: Path) -> None:
    job = Job.load(config(space))
    assert job.log() == ""
    job.start().wait(timeout=60)
    assert repr(job.log(2)) == str(job.log(2))
    assert len(job.log(2).splitlines()) == 2
    assert job.log(0, events="job.*", since="1h").splitlines()[0].split()[1] == "job.planned"
    assert {line.split()[2] for line in job.log(0, batch=3).splitlines()} == {"batch=3"}


# --- in a script ------------------------------------------------------------------------------------------------------


def test_a_script_starts_and_waits(space: Path) -> None:
    job = Job.load(config(space)).start().wait(timeout=60)
    assert (job.status, job.error) == ("completed", None)
    assert job.batches().status.eq("completed").all()
    assert job.answers().shape[0] == 6
    assert job.attempts().shape[0] == 6
    assert job.errors().empty
    assert job.events().shape[0] == job.read(lambda state: state.job.seq)
    assert job.raise_for_status() is None


def test_a_completed_job_is_left_alone(space: Path) -> None:
    Job.load(config(space)).start().wait(timeout=60)
    again = Job.load(config(space)).start()
    assert "nothing to do" in again.notices[-1]
    assert again.read(lambda state: state.job.runs) == 1


def test_starting_twice_runs_once(space: Path) -> None:
    first = slow(space).start()
    second = slow(space).start()
    assert "already" in second.notices[-1]
    assert len(running_here()) == 1
    second.cancel()
    first.wait(timeout=20)
    assert first.status == second.status == "cancelled"


def test_another_version_of_a_running_job_is_refused(space: Path) -> None:
    slow(space).start()
    with pytest.raises(JobChangedError, match="another config"):
        Job.load(config(space, batches=3)).start()
    with pytest.raises(JobBusyError):
        slow(space).start(fresh=True)


def test_a_changed_job_is_not_started_unasked(space: Path) -> None:
    Job.load(config(space)).start().wait(timeout=60)
    changed = config(space) | {"prompt": {"template": "shout {{ batch_num }}"}}
    with pytest.raises(JobChangedError, match="nothing was sent"):
        Job.load(changed).start()
    fresh = Job.load(changed).start(fresh=True).wait(timeout=60)
    assert fresh.status == "completed"


def test_a_pause_lets_running_batches_finish_and_a_start_goes_on(space: Path) -> None:
    job = slow(space).start()
    until(lambda: job.progress().running == 2)
    job.pause().wait(timeout=20)
    assert (job.status, job.progress().completed) == ("paused", 2)
    again = Job.load(config(space, batches=100, rehearsal={"latency_seconds": 0.6})).start()
    assert "goes on" in again.notices[-1]


def test_a_pause_is_withdrawn_by_a_resume(space: Path) -> None:
    job = slow(space).start()
    until(lambda: job.progress().running == 2)
    job.pause()
    until(lambda: job.status == "pausing")
    job.resume()
    until(lambda: job.status == "running")
    assert job.read(lambda state: state.job.runs) == 1


def test_a_paused_job_is_resumed(space: Path) -> None:
    job = slow(space).start()
    job.pause().wait(timeout=20)
    job.resume()
    assert job.status == "running"
    until(lambda: job.read(lambda state: state.job.runs) == 2)


def test_failed_batches_are_tried_again(space: Path) -> None:
    failing = config(space, rehearsal={"failures": {"crash": 1.0}})
    job = Job.load(failing).start().wait(timeout=60)
    assert (job.status, job.progress().failed) == ("failed", 6)
    with pytest.raises(UnfinishedError, match="failed"):
        job.raise_for_status()
    assert sorted(set(job.errors()["code"])) == ["E402"]
    for wish in ({"type": "foo"}, {"since": "noonish"}):
        with pytest.raises(MisuseError) as refused:
            job.errors(**wish)
        (name, value) = next(iter(wish.items()))
        assert refused.value.message.startswith(f"{name}='{value}': ")
    job.retry([2]).wait(timeout=60)
    attempts = job.attempts().groupby("batch").size()
    assert attempts.to_dict() == {1: 1, 2: 2, 3: 1, 4: 1, 5: 1, 6: 1}


def test_a_job_is_read_anew_from_its_file_with_the_rows_it_was_given(space: Path, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    rows = [{"text": "a"}, {"text": "b"}]
    described = config(space) | {"batch": {"size": 1}, "prompt": {"template": "say {{ item.text }}"}}
    file.write_text(yaml.safe_dump(described), encoding="utf-8")
    job = Job.load(file, items=rows).start(limit=1).wait(timeout=60)
    assert (job.status, job.progress().completed) == ("paused", 1)
    file.write_text(yaml.safe_dump(described | {"retry": {"max_retries": 5}}), encoding="utf-8")
    opened = Job.open("trial", space)
    opened.resume(reload=opened.reread()).wait(timeout=60)
    assert (opened.status, opened.config.retry.max_retries) == ("completed", 5)
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(described | {"name": "other"}), encoding="utf-8")
    with pytest.raises(MisuseError, match="describes job `other`"):
        opened.reread(other)


def test_what_is_not_running_cannot_be_paused(space: Path) -> None:
    job = Job.load(config(space))
    with pytest.raises(MisuseError, match="not running"):
        job.pause()
    with pytest.raises(MisuseError, match="pending"):
        job.cancel()


def test_waiting_can_be_limited_and_does_not_end_the_job(space: Path) -> None:
    job = slow(space).start()
    with pytest.raises(TimeoutError, match="goes on"):
        job.wait(timeout=0.2)
    assert job.is_live


def test_verbs_may_come_from_any_thread(space: Path) -> None:
    job = slow(space).start()
    until(lambda: job.progress().running == 2)
    threads = [threading.Thread(target=act) for act in (job.pause, job.batches, job.progress, job.cancel)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    job.wait(timeout=20)
    assert job.status == "cancelled"


def test_representations_read_no_files(space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job.load(config(space))
    assert repr(job) == "<Job trial: 6 batches>"
    job.start().wait(timeout=60)
    for path in sorted(space.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert repr(job) == "<Job trial: completed, 6 of 6 batches done>"


SCRIPT = """
import sys, yaml
from mozart_nb import Job
job = Job.load(yaml.safe_load(sys.stdin.read())).start()
print("started", flush=True)
job.wait()
"""


def test_ctrl_c_in_a_script_pauses_the_job_and_lets_running_batches_finish(space: Path) -> None:
    script = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=-1, stderr=-1, text=True)
    assert script.stdin is not None
    assert script.stdout is not None
    script.stdin.write(yaml.safe_dump(config(space, batches=100, rehearsal={"latency_seconds": 0.6})))
    script.stdin.close()
    assert script.stdout.readline() == "started\n"
    until(lambda: Layout(space, "trial").exists)
    job = Job.open("trial", space)
    until(lambda: job.progress().running == 2)
    script.send_signal(signal.SIGINT)
    assert script.wait(20) != 0
    script.stdin = None
    _, said = script.communicate()
    assert "MozartInterrupted: job `trial` pauses: " in said
    assert (job.status, job.progress().running) == ("paused", 0)
    assert job.progress().completed >= 2


# --- in an asyncio program --------------------------------------------------------------------------------------------


async def test_a_program_awaits_its_jobs_on_its_own_loop(space: Path) -> None:
    one = Job.load(config(space)).start()
    two = Job.load(config(space.with_name("other"))).start()
    assert one.host.loop is two.host.loop is asyncio.get_running_loop()
    await asyncio.gather(one, two)
    assert (one.status, two.status) == ("completed", "completed")


async def test_giving_up_an_await_leaves_the_job_alone(space: Path) -> None:
    job = slow(space).start()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job, 0.3)
    assert job.is_live
    job.cancel()
    await job


async def test_blocking_the_loop_that_the_job_runs_on_is_refused(space: Path) -> None:
    job = Job.load(config(space)).start()
    with pytest.raises(MisuseError, match="await job"):
        job.wait()
    await job


async def test_listeners_hear_every_event_and_a_broken_one_hurts_nobody(space: Path) -> None:
    job = Job.load(config(space))
    heard: list[ev.Event] = []

    def breaks(events: object) -> None:
        raise RuntimeError("no display")

    ends = job.observe(lambda events: heard.extend(events))
    job.observe(breaks)
    await job.start()
    kinds = [type(event) for event in heard]
    assert kinds.count(ev.BatchCompleted) == 6
    assert ev.JobCompleted in kinds
    assert any("no display" in event.message for event in heard if isinstance(event, ev.JobNotice))
    ends()
    await asyncio.sleep(0)


async def test_an_error_of_the_run_is_kept_and_told(space: Path) -> None:
    job = Job.load(config(space))
    heard: list[ev.Event] = []
    job.observe(lambda events: heard.extend(events))
    space.parent.mkdir(exist_ok=True)
    space.write_text("a file where the workspace should be")  # noqa: ASYNC240
    await job.start()
    assert job.error is not None
    assert any(isinstance(event, ev.JobNotice) for event in heard)
    with pytest.raises(type(job.error)):
        job.raise_for_status()


# --- another process --------------------------------------------------------------------------------------------------


def elsewhere(space: Path, tmp_path: Path) -> subprocess.Popen[bytes]:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(config(space, batches=100, rehearsal={"latency_seconds": 0.3})), encoding="utf-8")
    command = [sys.executable, "-m", "mozart_nb", "run", str(file), "--quiet"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: Layout(space, "trial").exists)
    return process


def test_a_job_of_another_process_is_watched_paused_and_taken_over_when_it_is_killed(
    space: Path, tmp_path: Path
) -> None:
    host = elsewhere(space, tmp_path)
    try:
        job = Job.open("trial", space)
        heard: list[ev.Event] = []
        ends = job.observe(lambda events: heard.extend(events))
        until(lambda: sum(isinstance(event, ev.BatchCompleted) for event in heard) >= 2)
        assert (job.status, job.is_live) == ("running", True)
        assert job.start().notices[-1].startswith("job `trial` is already running")

        job.pause()
        job.wait(timeout=30)
        assert job.status == "paused"
        assert host.wait(20) == 3

        host = elsewhere(space, tmp_path)
        until(lambda: job.is_live)
        os.kill(host.pid, signal.SIGKILL)
        host.wait(20)
        until(lambda: job.status == "interrupted")
        done = job.progress().completed
        job.resume()
        until(lambda: job.progress().completed > done)
        assert job.host.name == "thread"
        ends()
    finally:
        if host.poll() is None:
            host.kill()
            host.wait(20)


def test_hooks_that_were_cut_short_are_made_up_for_by_the_next_start(space: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    hooks = [{"type": "run_command", "command": one} for one in (f"touch {begun}; sleep 60", f"touch {tmp_path}/done")]
    job = Job.load(config(space, on_success=hooks)).start()
    until(begun.exists)
    job.cancel().wait(timeout=30)
    assert not list(tmp_path.rglob("done"))
    again = Job.load(config(space, on_success=hooks)).start()
    assert "cut short" in again.notices[-1]
    again.wait(timeout=30)
    assert [path.name for path in tmp_path.rglob("done")] == ["done"]
    assert again.attempts().shape[0] == 6
