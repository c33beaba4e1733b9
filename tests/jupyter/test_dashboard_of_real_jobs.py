"""The dashboard on jobs that really run, with the rehearsal backend: details, the past, resuming from the widget."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.obedient import write_obedient
from support.watched import Comms, Publisher, recorded_comms

from mozart_nb.job_handle import Job
from mozart_nb.jupyter.dashboard.controls import SLIDER_STEPS
from mozart_nb.jupyter.dashboard.dashboard import Dashboard
from mozart_nb.jupyter.dashboard.outputs import NOTHING

PATIENCE_SECONDS = 30.0


@pytest.fixture
def comms() -> Iterator[Comms]:
    with recorded_comms() as comms:
        yield comms


def rehearsal(folder: Path, batches: int = 6, **sections: Any) -> Job:
    config = {
        "name": "rehearsed",
        "workspace": str(folder / "work"),
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": batches},
        "prompt": {"template": "Review <i>number</i> {{ batch_num }}"},
        "parallel": {"enabled": True, "max_concurrent": 2, "fail_fast": False},
        "retry": {"max_retries": 0},
        **sections,
    }
    return Job.load(config, base_dir=folder)


def open_dashboard(comms: Comms, job: Job) -> tuple[Dashboard, Publisher]:
    publisher = Publisher()
    dashboard = Dashboard(job, publisher).show()
    comms.opened[dashboard.controls.root.comm.comm_id].hear(_view_count=1)
    return dashboard, publisher


async def until(claim: Callable[[], bool], what: str = "") -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not claim():
        assert asyncio.get_running_loop().time() < deadline, f"waited in vain for {what or claim}"
        await asyncio.sleep(0.02)


def text(widget: Any) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", widget.value).split())


async def test_a_job_is_watched_to_its_end_and_leaves_its_static_output(comms: Comms, tmp_path: Path) -> None:
    job = rehearsal(tmp_path)
    _, publisher = open_dashboard(comms, job)
    job.start()
    await job
    await until(lambda: publisher.live == NOTHING, "the widget to go")
    assert "6 of 6 batches done" in publisher.static["text/plain"]
    assert not any(comm.is_open for comm in comms.opened.values())


async def test_details_show_prompt_answer_and_attempts_as_text(comms: Comms, tmp_path: Path) -> None:
    job = rehearsal(tmp_path)
    dashboard, _ = open_dashboard(comms, job)
    comms.opened[dashboard.controls.command.comm.comm_id].hear(value="open 2 1")
    job.start()
    await job
    controls = dashboard.controls
    await until(lambda: "completed" in controls.details.value and "Answer" in controls.details.value, "the details")
    assert "Review &lt;i&gt;number&lt;/i&gt; 2" in controls.details.value
    assert "Batch 2" in text(controls.details)
    assert not dashboard.is_closed  # somebody looks at it
    controls.open.click()
    await until(lambda: controls.details.value == "", "the details to go")
    dashboard.close()


async def test_details_of_hostile_and_endless_texts_stay_one_small_message(comms: Comms, tmp_path: Path) -> None:
    hostile = "<img src=x onerror='harm()'>\"&" * 5_000
    job = await rehearsal(
        tmp_path, 2, prompt={"template": "{% raw %}" + hostile + "{% endraw %}"}, rehearsal={"answer": hostile}
    ).start()
    dashboard, _ = open_dashboard(comms, job)
    comms.opened[dashboard.controls.command.comm.comm_id].hear(value="open 2 1")
    details = dashboard.controls.details
    await until(lambda: "Answer" in details.value, "the details")
    assert len(details.value.encode()) < 13_000
    assert "<img" not in details.value
    assert "&lt;img src=x onerror=" in details.value
    assert "left out in the middle" in details.value
    dashboard.close()


async def test_the_slider_shows_any_moment_of_the_past_and_leads_back(comms: Comms, tmp_path: Path) -> None:
    job = await rehearsal(tmp_path).start()
    dashboard, _ = open_dashboard(comms, job)
    controls = dashboard.controls
    assert "6 of 6 batches done" in text(controls.head)
    comms.opened[controls.slider.comm.comm_id].hear(value=SLIDER_STEPS // 2)
    await until(lambda: "this is how it was at" in text(controls.head), "the past")
    assert "running" in text(controls.head)
    assert "6 of 6" not in text(controls.head)
    await until(lambda: "event" in text(controls.moment) and not controls.now.disabled)
    then = dashboard.view.then
    assert then is not None
    assert 0.4 < then.position / then.last < 0.6
    await until(lambda: text(controls.table).count("completed") == then.state.count("completed"), "the table")

    controls.back.click()
    await until(lambda: dashboard.view.then is not None and dashboard.view.then.position == then.position - 1)
    controls.on.click()
    await until(lambda: dashboard.view.then is not None and dashboard.view.then.position == then.position)
    controls.now.click()
    await until(lambda: "6 of 6 batches done" in text(controls.head) and controls.slider.value == SLIDER_STEPS)
    assert dashboard.view.then is None
    dashboard.close()


async def test_only_the_last_of_many_positions_is_shown(comms: Comms, tmp_path: Path) -> None:
    job = await rehearsal(tmp_path, 20).start()
    dashboard, _ = open_dashboard(comms, job)
    slider = comms.opened[dashboard.controls.slider.comm.comm_id]
    for value in range(SLIDER_STEPS - 10, 100, -10):
        slider.hear(value=value)
    slider.hear(value=100)
    await until(
        lambda: dashboard.view.then is not None and dashboard.view.then.position < 0.15 * dashboard.view.then.last
    )
    slider.hear(value=SLIDER_STEPS)
    await until(lambda: dashboard.view.then is None)
    dashboard.close()


async def test_a_job_paused_and_resumed_from_the_widget_goes_on_in_it(comms: Comms, tmp_path: Path) -> None:
    job = rehearsal(tmp_path, 12, rehearsal={"latency_seconds": 0.05})
    dashboard, publisher = open_dashboard(comms, job)
    job.start()
    verb = dashboard.controls.verb
    await until(lambda: job.progress().completed >= 2)
    verb["pause"].click()
    await until(lambda: job.status == "paused")
    await until(lambda: "Resume" in [one.description for one in dashboard.controls.verbs.children])
    assert 2 <= job.progress().completed < 12
    verb["resume"].click()
    await until(lambda: job.status == "completed")
    await until(lambda: publisher.live == NOTHING)
    assert "12 of 12 batches done" in publisher.static["text/plain"]


async def test_failed_batches_are_tried_again_from_the_widget(comms: Comms, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    rule = {"type": "command_succeeds", "command": f"test -e {ready}", "description": "ready"}
    job = await rehearsal(tmp_path, 3, validations=[rule]).start()
    assert job.status == "failed"
    dashboard, publisher = open_dashboard(comms, job)
    assert "3 failed" in text(dashboard.controls.head)
    ready.touch()
    dashboard.controls.verb["retry_failed"].click()
    await until(lambda: job.status == "completed")
    await until(lambda: publisher.live == NOTHING)


async def test_a_job_asks_in_the_widget_it_was_resumed_from(comms: Comms, tmp_path: Path) -> None:
    trigger = {"name": "third", "batch_nums": [3], "message": "Deploy now?"}
    job = rehearsal(tmp_path, 4, checkpoints={"enabled": True, "triggers": [trigger]})
    dashboard, _ = open_dashboard(comms, job)
    await job.start()
    assert job.status == "paused"  # nobody was given to ask
    dashboard.controls.verb["resume"].click()
    await until(lambda: "Deploy now?" in dashboard.controls.asked.value, "the question")
    dashboard.controls.answers["proceed"].click()
    await until(lambda: job.status == "completed")


async def test_the_log_of_an_open_batch_grows_while_its_session_speaks(comms: Comms, tmp_path: Path) -> None:
    prompt = (
        "open_()\n"
        "for number in range(1, 400):\n"
        "    say(type='assistant', message={'content': [{'type': 'text', 'text': f'line <b>{number}</b>'}]})\n"
        "    time.sleep(0.05)\n"
        "done()\n# that is all"
    )
    backend = {"type": "claude_cli", "cli_path": write_obedient(tmp_path)}
    job = rehearsal(tmp_path, 1, backend=backend, prompt={"template": prompt})
    dashboard, _ = open_dashboard(comms, job)
    comms.opened[dashboard.controls.command.comm.comm_id].hear(value="open 1 1")
    job.start()
    log = dashboard.controls.log
    await until(lambda: "line &lt;b&gt;" in log.value, "the log")
    before = log.value
    await until(lambda: log.value != before, "more of it")
    assert "<b>1" not in log.value
    job.cancel()
    await job
    dashboard.close()


async def test_a_dashboard_on_a_thread_host_is_painted_from_there(comms: Comms, tmp_path: Path) -> None:
    from mozart_nb.hosts.kernel import choose_loop

    choose_loop("thread")
    try:
        job = rehearsal(tmp_path)
        _, publisher = open_dashboard(comms, job)
        job.start()
        await asyncio.to_thread(job.wait, 20)
        await until(lambda: publisher.live == NOTHING)
        assert "6 of 6 batches done" in publisher.static["text/plain"]
    finally:
        choose_loop("auto")


async def test_a_dashboard_of_a_job_that_was_started_over_shows_what_is_asked_now(comms: Comms, tmp_path: Path) -> None:
    old = await rehearsal(tmp_path).start(limit=1)
    dashboard, _ = open_dashboard(comms, old)
    await rehearsal(tmp_path, prompt={"template": "Shout {{ batch_num }}"}).start(fresh=True, limit=1)
    comms.opened[dashboard.controls.command.comm.comm_id].hear(value="open 1 x")
    await until(lambda: "Shout 1" in text(dashboard.controls.details), "the new prompt")
    assert "Review" not in text(dashboard.controls.details)
    dashboard.close()
