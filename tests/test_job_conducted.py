"""`Job` and the conductor: what a program or a notebook gives it, hands over to it, and goes on knowing of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.conductor import Conductor, conducted
from support.trial_jobs import config, end_all_runs, until

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import look, read_events
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.errors import JobBusyError, MisuseError
from mozart_nb.hosts.steering import Submission, submit
from mozart_nb.job_handle import Job

__all__ = ["conducted"]


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "work"
    end_all_runs()


def slow(space: Path, **sections: Any) -> Job:
    return Job.load(config(space, batches=30, latency=0.1, **sections))


def runs_of(job: Job) -> list[ev.JobStarted | ev.JobResumed]:
    return [event for event in read_events(job.layout) if isinstance(event, (ev.JobStarted, ev.JobResumed))]


def pid_of_host(job: Job) -> int:
    owner = look(job.layout).owner if job.layout.exists else None
    return owner.pid if owner is not None else 0


# --- giving it there --------------------------------------------------------------------------------------------------


def test_a_job_runs_there_and_the_handle_waits_for_it(conducted: Conductor, space: Path) -> None:
    job = Job.load(config(space)).start(conductor=True)
    assert "the conductor is started in the background" in job.notices[0]
    assert job.notices[-1] == "the conductor runs job `trial`"
    job.wait(timeout=60)
    assert (job.status, job.runs_here, job.progress().completed) == ("completed", False, 6)
    assert job.start(conductor=True).notices[-1].endswith("nothing to do, nothing was sent")


def test_rows_of_a_dataframe_travel_along_and_answers_join_on_its_index(conducted: Conductor, space: Path) -> None:
    conducted.start()
    reviews = pd.DataFrame({"text": ["good", "bad", "fine"]}, index=pd.Index(["a", "b", "c"], name="review"))
    described = config(space, prompt={"template": "{{ tone }} {{ item.text }}"})
    del described["batch"]
    described["rehearsal"]["answer"] = "{{ item.text }}!"
    job = Job.load(described, items=reviews, variables={"tone": "kindly"}).start(conductor=True).wait(timeout=60)
    assert job.status == "completed", job.progress()
    joined = reviews.join(job.answers())
    assert list(joined["answer"]) == ["good!", "bad!", "fine!"]
    again = Job.open("trial", space)
    assert again.config.prompt.variables == {"tone": "kindly"}


async def test_a_job_can_be_awaited_on_the_loop_that_gave_it_away(conducted: Conductor, space: Path) -> None:
    await asyncio.to_thread(conducted.start)
    job = await Job.load(config(space)).start(conductor=True)
    assert job.status == "completed"


def test_it_can_be_paused_and_goes_on_there_with_what_it_was_told(conducted: Conductor, space: Path) -> None:
    conducted.start()
    job = slow(space).start(conductor=True, limit=25)
    until(lambda: job.progress().completed)
    assert pid_of_host(job) == conducted.pid
    job.pause().wait(timeout=60)
    assert job.status == "paused"
    job.resume(batches="1-15").wait(timeout=60)
    assert (job.status, job.progress().completed) == ("paused", 15)
    assert {run.pid for run in runs_of(job)} == {conducted.pid}, "a handle goes on where it began"


def test_a_job_that_keeps_its_state_elsewhere_is_found_there(conducted: Conductor, space: Path) -> None:
    conducted.start()
    state = str(space.parent / "states" / "trial.json")
    job = Job.load(config(space, state_path=state)).start(conductor=True).wait(timeout=60)
    assert (job.status, job.layout.workspace, job.workspace) == ("completed", space.parent / "states", space)


def test_starting_over_archives_what_was_there_and_runs_there(conducted: Conductor, space: Path) -> None:
    conducted.start()
    first = Job.load(config(space)).start().wait(timeout=60)
    job = Job.load(config(space, batches=3)).start(conductor=True, fresh=True).wait(timeout=60)
    assert (job.status, job.progress().total) == ("completed", 3)
    assert len(list(first.layout.archive.iterdir())) == 1


def test_a_job_goes_on_there_with_a_changed_description(conducted: Conductor, space: Path) -> None:
    conducted.start()
    Job.load(config(space)).start(limit=2).wait(timeout=60)
    changed = Job.load(config(space, retry={"max_retries": 7}))
    job = Job.open("trial", space).resume(reload=changed, conductor=True).wait(timeout=60)
    assert (job.status, job.config.retry.max_retries) == ("completed", 7)
    assert job.attempts().index.is_unique, "what was done was not done again"


# --- what cannot go there ---------------------------------------------------------------------------------------------


def test_a_job_that_calls_functions_of_the_notebook_says_why_it_cannot_go_there(
    conducted: Conductor, space: Path
) -> None:
    def short(answer: str) -> bool:
        return len(answer) < 1000

    job = Job.load(config(space, validations=[{"type": "python", "function": "short"}]), namespace={"short": short})
    with pytest.raises(MisuseError, match=r"its rules call `short` of this notebook"):
        job.start(conductor=True)
    assert (job.layout.exists, conducted.pid) == (False, 0)
    assert job.start().wait(timeout=60).status == "completed"


def test_a_rehearsal_stays_here(conducted: Conductor, space: Path) -> None:
    with pytest.raises(MisuseError, match="a rehearsal of job `trial` runs here only"):
        Job.load(config(space), rehearse=True).start(conductor=True)


def test_a_job_that_somebody_else_is_just_starting_is_not_begun_twice(conducted: Conductor, space: Path) -> None:
    conducted.start()
    job = Job.load(config(space))
    with JobLock(job.layout), pytest.raises(JobBusyError):
        job.start(conductor=True)


# --- handing it over --------------------------------------------------------------------------------------------------


def test_a_job_that_runs_here_is_handed_over_and_nothing_is_done_twice(conducted: Conductor, space: Path) -> None:
    conducted.start()
    job = slow(space).start()
    heard: list[ev.Event] = []
    job.observe(heard.extend)
    until(lambda: job.progress().completed)
    assert pid_of_host(job) == os.getpid()
    job.hand_over()
    assert "is taken over as soon as" in job.notices[-1]
    job.wait(timeout=60)
    assert (job.status, job.runs_here, job.progress().completed) == ("completed", False, 30)
    assert job.attempts().index.is_unique
    assert [type(event).__name__ for event in heard if isinstance(event, (ev.JobPaused, ev.JobResumed))] == [
        "JobPaused",
        "JobResumed",
    ]
    assert "conductor" in next(event.reason for event in heard if isinstance(event, ev.JobPaused))


def test_a_pilot_that_is_handed_over_stays_one(conducted: Conductor, space: Path) -> None:
    conducted.start()
    job = Job.load(config(space, batches=40, latency=0.3)).start(limit=20)
    until(lambda: job.progress().completed)
    job.hand_over()
    job.wait(timeout=60)
    assert (job.status, job.progress().completed) == ("paused", 20)


@pytest.mark.parametrize("stop", ["cancel", "pause"])
def test_who_stops_a_job_while_it_is_handed_over_is_heard(conducted: Conductor, space: Path, stop: str) -> None:
    conducted.start()
    job = Job.load(config(space, latency=2.0)).start()
    until(lambda: job.progress().running)
    getattr(job, stop)()
    job.hand_over()
    job.wait(timeout=60)
    time.sleep(0.6)  # longer than the conductor takes to see that its host is gone
    assert (job.status, len(runs_of(job))) == ("cancelled" if stop == "cancel" else "paused", 1)


def test_nobody_lets_go_of_a_job_that_cannot_go_on_there(conducted: Conductor, space: Path) -> None:
    conducted.start()

    def short(answer: str) -> bool:
        return len(answer) < 1000

    rules = [{"type": "python", "function": "short"}]
    job = Job.load(config(space, batches=60, latency=0.1, validations=rules), namespace={"short": short}).start()
    until(lambda: job.progress().completed)
    with pytest.raises(MisuseError, match="its rules call `short` of this notebook"):
        job.hand_over()
    with pytest.raises(MisuseError, match="notebook function `short`"):
        submit(Submission(job_id="trial", workspace=space, handover=True))
    assert (job.status, job.runs_here) == ("running", True)


def test_start_and_resume_of_a_job_that_runs_here_say_and_do_what_moves_it(conducted: Conductor, space: Path) -> None:
    conducted.start()
    job = slow(space).start()
    assert job.start(conductor=True).notices[-1] == "`job.hand_over()` gives it to the conductor"
    until(lambda: job.progress().completed)
    job.resume(conductor=True).wait(timeout=60)
    assert (job.status, len(runs_of(job))) == ("completed", 2)


def test_a_job_that_nobody_runs_goes_on_there(conducted: Conductor, space: Path) -> None:
    conducted.start()
    job = Job.load(config(space)).start(limit=2).wait(timeout=60)
    assert Job.open("trial", space).hand_over().wait(timeout=60).status == "completed"
    assert job.progress().completed == 6


# --- what happens to the conductor ------------------------------------------------------------------------------------


def test_who_watches_goes_on_watching_over_a_crash_and_a_restart_of_the_conductor(
    conducted: Conductor, space: Path
) -> None:
    conducted.start()
    job = slow(space).start(conductor=True)
    heard: list[ev.Event] = []
    job.observe(heard.extend)
    until(lambda: job.progress().completed > 2)
    conducted.kill()
    done = job.progress().completed
    conducted.start()
    until(lambda: job.progress().completed > done + 2, seconds=60)
    conducted.stop()
    conducted.start()
    job.wait(timeout=60)
    assert (job.status, job.progress().completed) == ("completed", 30)
    completed = [event.batch for event in heard if isinstance(event, ev.BatchCompleted)]
    assert sorted(completed) == list(range(1, 31)), "every batch once, and none was missed"


def test_a_job_in_the_queue_waits_and_can_be_taken_out_of_it(conducted: Conductor, space: Path) -> None:
    conducted.start("max_jobs: 1\n")
    slow(space).start(conductor=True)
    later = Job.load({**config(space), "name": "later"}).start(conductor=True)
    assert (later.status, later.is_live, later.is_settled) == ("waiting", True, False)
    assert later.progress().reason == "the conductor has it, and has not begun yet"
    assert later.start().notices[-1] == "the conductor has job `later` already, and has not begun yet"
    later.pause().wait(timeout=60)
    assert (later.status, later.is_live) == ("pending", False)
    later.start(conductor=True).cancel().wait(timeout=60)
    assert (later.is_live, len(later.events())) == (False, 0)
    Job.open("trial", space).cancel().wait(timeout=60)
