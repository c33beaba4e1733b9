"""Asking something of a job from outside: of its host where somebody runs it, of the conductor where nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.conductor import Conductor, conducted
from support.trial_jobs import config, end_all_runs, until

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import ConductorAbsentError, JobChangedError, MisuseError, UnknownJobError
from mozart_nb.hosts.carriage import RESTART_SECONDS, Carriage
from mozart_nb.hosts.steering import Submission, steer, submit
from mozart_nb.job_handle import Job
from mozart_nb.looking.finding import find

__all__ = ["conducted"]


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "work"
    end_all_runs()


def file_of(space: Path, **sections: Any) -> Path:
    file = space.parent / "trial.yaml"
    file.write_text(yaml.safe_dump(config(space, **sections)), encoding="utf-8")
    return file


def status(layout: Layout) -> str:
    return find(layout).progress.status if layout.exists else "pending"


# --- a job that somebody runs -----------------------------------------------------------------------------------------


def test_a_running_job_is_asked_through_its_folder_and_no_conductor_is_started(
    conducted: Conductor, space: Path
) -> None:
    job = Job.load(config(space, batches=100, latency=0.1)).start()
    until(lambda: job.progress().completed)
    told = steer(job.layout, "pause", by="a page")
    assert (told.via, told.said) == ("host", "job `trial` is asked to pause: running batches finish first")
    job.wait(timeout=60)
    assert job.status == "paused"
    assert "a page" in str(job.log(0)), "who asked stands in the journal"
    assert not conducted.pid


def test_failed_batches_are_tried_again_while_the_job_runs(space: Path) -> None:
    failing = {"latency_seconds": 0.1, "failures": {"crash": 1.0}}
    job = Job.load(config(space, batches=60, rehearsal=failing, circuit_breaker={"enabled": False})).start()
    until(lambda: job.progress().failed)
    assert steer(job.layout, "retry", by="a page", batches=[1]).said == "job `trial` is asked to try 1 batch again"
    until(lambda: len(job.attempts().loc[[1]]) > 1)
    assert steer(job.layout, "cancel", by="a page").via == "host"


# --- a job that nobody runs -------------------------------------------------------------------------------------------


def test_what_needs_a_running_job_is_refused_where_there_is_none(conducted: Conductor, space: Path) -> None:
    job = Job.load(config(space)).start(limit=2).wait(timeout=60)
    with pytest.raises(MisuseError, match="is not running: it is paused"):
        steer(job.layout, "pause", by="a page")
    with pytest.raises(MisuseError, match="is not running"):
        steer(job.layout, "answer", by="a page", batches=[1], reply="skip")
    with pytest.raises(MisuseError, match="question of one batch"):
        steer(job.layout, "answer", by="a page", batches=[1, 2], reply="skip")
    with pytest.raises(MisuseError, match="new config is wanted"):
        steer(job.layout, "modify", by="a page")
    with pytest.raises(UnknownJobError):
        steer(Layout(space, "gone"), "resume", by="a page")
    assert not conducted.pid


def test_the_conductor_goes_on_with_it_and_is_started_for_that(conducted: Conductor, space: Path) -> None:
    job = Job.load(config(space)).start(limit=2).wait(timeout=60)
    said: list[str] = []
    told = steer(job.layout, "resume", by="a page", say=said.append)
    assert (told.via, told.said) == ("conductor", "job `trial` goes on: 2 of 6 batches done so far")
    assert "the conductor is started in the background" in said[0]
    conducted.wait_until(lambda: status(job.layout) == "completed" and not find(job.layout).is_live)
    with pytest.raises(MisuseError, match="is completed already"):
        steer(job.layout, "cancel", by="a page")


def test_one_failed_batch_is_tried_again_there_and_no_other(conducted: Conductor, space: Path) -> None:
    conducted.start()
    job = Job.load(config(space, rehearsal={"failures": {"crash": 1.0}})).start().wait(timeout=60)
    assert steer(job.layout, "retry", by="a page", batches=[3]).via == "conductor"
    conducted.wait_until(lambda: len(job.attempts().loc[[3]]) > 1 and not find(job.layout).is_live)
    assert len(job.attempts()) == 7


def test_a_job_takes_a_new_config_there_and_goes_on(conducted: Conductor, space: Path) -> None:
    conducted.start()
    job = Job.load(config(space)).start(limit=2).wait(timeout=60)
    new = file_of(space, retry={"max_retries": 3})
    assert steer(job.layout, "modify", by="a page", config=new, options={"resume": True}).via == "conductor"
    conducted.wait_until(lambda: status(job.layout) == "completed")
    assert Job.at(job.layout).config.retry.max_retries == 3


# --- submitting -------------------------------------------------------------------------------------------------------


def test_yaml_can_be_submitted_without_a_file(conducted: Conductor, space: Path) -> None:
    conducted.start()
    told = submit(Submission(text=yaml.safe_dump(config(Path("work"))), base_dir=space.parent))
    assert (told.job_id, told.workspace, told.decision) == ("trial", space, "run")
    layout = Layout(space, "trial")
    conducted.wait_until(lambda: status(layout) == "completed" and not find(layout).is_live)
    assert submit(Submission(job_id="trial")).decision == "nothing"


def test_what_the_conductor_raises_is_raised_here_with_its_advice(conducted: Conductor, space: Path) -> None:
    conducted.start()
    Job.load(config(space)).start(limit=2).wait(timeout=60)
    with pytest.raises(JobChangedError) as caught:
        submit(Submission(file=file_of(space, batches=3)))
    assert "resume trial --reload-config" in caught.value.hint
    assert caught.value.job_id == "trial"


def test_only_what_was_asked_for_is_sent_and_paths_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wish = Submission(file=Path("job.yaml"), overrides=("a=1",), limit=3)
    assert wish.params == {"file": str(tmp_path / "job.yaml"), "overrides": ["a=1"], "limit": 3}


def test_why_a_conductor_cannot_be_started_is_told(conducted: Conductor, space: Path, isolated: Path) -> None:
    (isolated / "mozart_nb_home" / "conductor.yaml").write_text("max_jobs: none of them\n")
    with pytest.raises(ConductorAbsentError, match="max_jobs"):
        submit(Submission(file=file_of(space)))


# --- what the conductor has -------------------------------------------------------------------------------------------


def test_a_job_is_expected_while_its_conductor_runs_and_a_while_after_it_died(
    conducted: Conductor, space: Path
) -> None:
    conducted.start("max_jobs: 1\n")
    now = [0.0]
    first = submit(Submission(text=yaml.safe_dump(config(space, batches=200, latency=0.1)), base_dir=space.parent))
    other = {**config(space), "name": "other"}
    assert submit(Submission(text=yaml.safe_dump(other), base_dir=space.parent)).decision == "queued"
    carriage = Carriage(Layout(space, "other"), conducted.place, clock=lambda: now[0])
    assert carriage.coming is not None
    assert carriage.coming.phase == "queued"
    conducted.kill()
    conducted.wait_until(lambda: not carriage.is_there)
    now[0] += RESTART_SECONDS - 1
    assert carriage.coming is not None, "it may be restarting"
    now[0] += 2
    assert (carriage.coming, carriage.is_there) == (None, False)
    assert carriage.entry is not None, "the next conductor goes on with it"
    conducted.start("max_jobs: 5\n")
    now[0] += 1
    assert carriage.coming is not None or find(Layout(space, "other")).is_live
    conducted.wait_until(lambda: status(Layout(space, "other")) == "completed")
    assert steer(Layout(space, first.job_id), "cancel", by="a test").via == "host"
