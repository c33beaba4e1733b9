"""What waits for a person is told wherever a job is looked at, and a handle on the job answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.commands import write_job

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import load_for_reading
from mozart_nb.engine.confirm import AnsweredFromAfar
from mozart_nb.engine.state import BatchState, JobRecord
from mozart_nb.errors import MisuseError
from mozart_nb.job_handle import Job
from mozart_nb.looking.diagnosis import diagnose
from mozart_nb.looking.questions import PROMPT_EXCERPT, open_questions, prompt_of

ASKS = {"enabled": True, "triggers": [{"name": "deploy", "batch_nums": [2], "message": "Now?"}]}
LONG = {"template": "Batch {{ batch_num }}. " + "x" * 5_000}


async def asking(tmp_path: Path, **sections: Any) -> Job:
    """A job of this process that waits for an answer from elsewhere."""
    job = Job.load(write_job(tmp_path, **{"checkpoints": ASKS, **sections}))
    job.start(confirmations=AnsweredFromAfar())
    await until(job, lambda: bool(job.questions()) and not job.progress().running and not job.progress().pending)
    return job


async def until(job: Job, holds: Callable[[], bool]) -> None:
    heard = asyncio.Event()
    leave = job.observe(lambda _: heard.set())
    async with asyncio.timeout(20):
        while not holds():
            await heard.wait()
            heard.clear()
    leave()


async def test_a_handle_lists_questions_and_answers_them(tmp_path: Path) -> None:
    job = await asking(tmp_path)
    [question] = job.questions()
    assert (question.batch, question.attempt, question.kind, question.text) == (
        2,
        1,
        "confirmation",
        "trigger `deploy`: Now?",
    )
    assert question.choices == ("proceed", "skip", "abort", "add")
    assert question.prompt == "Batch 2: items 3 to 4."
    assert job.answer(2, "skip", "not now") is job
    await job
    assert job.status == "completed"
    assert job.questions() == []
    assert job.read(lambda state: state.status_of(2)) == "skipped"


async def test_what_is_no_answer_is_refused_by_the_handle(tmp_path: Path) -> None:
    job = await asking(tmp_path)
    for batch, action, text, said in (
        (3, "proceed", "", "nothing is asked about batch 3, which is completed"),
        (9, "proceed", "", "job `demo` has no batch 9: there are batches 1 to 5"),
        (2, "retry", "", "`retry` is no answer to a confirmation"),
        (2, "add", " ", "`add` needs the text to add"),
        (2, "add", "x" * 200_001, "200,001 characters"),
    ):
        with pytest.raises(MisuseError, match=said):
            job.answer(batch, action, text)
    job.answer(2, "proceed")
    await job
    with pytest.raises(MisuseError, match="nothing is asked about batch 2, which is completed"):
        job.answer(2, "proceed")


async def test_progress_status_and_diagnosis_say_that_it_waits_for_a_person(tmp_path: Path) -> None:
    job = await asking(tmp_path)
    progress = job.progress()
    assert (progress.status, progress.questions) == ("waiting", 1)
    [wait] = progress.waits
    assert (wait.kind, wait.batch, wait.message) == ("answer", 2, "trigger `deploy`: Now?")
    found = diagnose(job.layout)
    assert ", 1 waiting for you." in found.headline
    assert found.cause == "batch 2 waits for a person's answer: trigger `deploy`: Now?"
    assert found.first.startswith("`mozart questions demo` shows 1 question that it waits for")
    assert found.next_steps[0].command == "mozart questions demo"
    job.answer(2, "proceed")
    await job


async def test_the_prompt_of_a_question_is_an_excerpt_and_all_of_it_can_be_edited(tmp_path: Path) -> None:
    job = await asking(tmp_path, prompt=LONG)
    [question] = job.questions()
    assert len(question.prompt) == PROMPT_EXCERPT
    whole = job.read(lambda state: prompt_of(job.prepared, state, 2))
    assert whole == "Batch 2. " + "x" * 5_000
    job.answer(2, "proceed")
    await job


async def test_a_batch_that_is_about_to_fail_shows_the_prompt_it_was_asked(tmp_path: Path) -> None:
    fails = {
        "checkpoints": {"escalation": True},
        "retry": {"max_retries": 0, "max_completion_attempts": 0},
        "rehearsal": {"latency_seconds": 0, "seed": 1, "script": {2: ["transient"]}},
    }
    job = await asking(tmp_path, **fails)
    [told] = job.questions()
    assert (told.kind, told.prompt) == ("escalation", "")
    [shown] = job.read(lambda state: open_questions(state, job.prepared))
    assert shown.prompt == "Batch 2: items 3 to 4."
    job.answer(2, "retry", "Batch 2, but slowly.")
    await job
    assert job.status == "completed"
    state = load_for_reading(job.layout).state
    assert (state.batches[2].edited, state.batches[2].escalations) == ("Batch 2, but slowly.", 1)


async def test_an_open_question_survives_in_the_snapshot_and_in_plain_data(tmp_path: Path) -> None:
    job = await asking(tmp_path)
    state = load_for_reading(job.layout).state
    [question] = open_questions(state)
    assert msgspec.convert(msgspec.to_builtins(question), type(question)) == question
    assert open_questions(state.still()) == [question]
    job.pause()
    await until(job, lambda: not job.is_live)
    assert job.questions() == []


def test_a_state_of_an_older_version_has_no_questions() -> None:
    record = msgspec.json.decode(b'{"job_id":"old","seq":3}', type=JobRecord)
    batch = msgspec.json.decode(b'{"number":2,"status":"waiting"}', type=BatchState)
    assert (record.questions, batch.question, batch.answered, batch.edited) == ([], None, None, "")
    started = ev.decode_event(b'{"kind":"job.started","run_id":"r","options":{"limit":2}}')
    assert isinstance(started, ev.JobStarted)
    assert not started.options.escalation
