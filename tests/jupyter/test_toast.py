"""What pages are given to tell of a job that has settled: when, what, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.jobs_to_look_at import COMPLETED, FAILED, PAUSED, RUNNING
from support.virtual_time import run_virtual
from support.watched import Comms, Publisher, ToldJob, recorded_comms

from mozart_nb import events as ev
from mozart_nb.jupyter import notify
from mozart_nb.jupyter.dashboard.dashboard import Dashboard
from mozart_nb.jupyter.dashboard.toast import script, told

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028\u202e'\"`${alert(1)}\\"


@pytest.fixture
def comms() -> Iterator[Comms]:
    with recorded_comms() as comms:
        yield comms


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    notify.choose("auto")


def scripts(comms: Comms, views: int, story: Callable[[ToldJob], None], seconds: float = 60.0) -> list[Any]:
    """What the page was given to run, and taken back, when a job did this after it ran for so long."""

    async def play() -> list[Any]:
        loop = asyncio.get_running_loop()
        comms.clock = loop.time
        job = ToldJob(3)
        dashboard = Dashboard(job, Publisher(loop.time)).show()
        dashboard.controls.root.comm.hear(_view_count=views)
        runner = dashboard.controls.scripts.comm.comm_id
        await asyncio.sleep(seconds)
        story(job)
        await asyncio.sleep(10)
        dashboard.close()
        return [message["state"]["outputs"] for _, whose, message in comms.sent if whose == runner]

    given, _ = run_virtual(play())
    return given


def facts_of(output: Any) -> dict[str, Any]:
    """What the script is called with."""
    code = output["data"]["application/javascript"]
    facts: dict[str, Any] = json.loads(code[code.rindex("\n})(") + 4 : -1])
    return facts


def complete(job: ToldJob) -> None:
    job.complete(1, 2, 3)
    job.happen(ev.JobCompleted())


def test_a_page_that_shows_the_dashboard_is_told_once_and_nothing_of_it_stays(comms: Comms) -> None:
    given = scripts(comms, 1, complete)
    assert len(given) == 2
    facts = facts_of(given[0][0])
    assert facts["title"] == "told completed"
    assert facts["lines"][0].startswith("3 of 3 batches done")
    assert 59 < facts["seconds"] < 62
    assert given[1] == ()


@pytest.mark.parametrize("end", [ev.JobPaused(reason="a person asked"), ev.JobFailed(code="E501", reason="401")])
def test_it_is_told_of_a_pause_and_of_a_failure_with_the_reason(comms: Comms, end: ev.Event) -> None:
    given = scripts(comms, 1, lambda job: job.happen(end))
    assert end.reason in facts_of(given[0][0])["lines"][1]


def test_a_job_that_goes_on_and_settles_again_is_told_again(comms: Comms) -> None:
    def story(job: ToldJob) -> None:
        job.happen(ev.JobPaused())
        job.happen(ev.JobResumed(run_id="r2"))
        complete(job)

    assert [facts_of(one[0])["title"] for one in scripts(comms, 1, story) if one] == ["told paused", "told completed"]


def test_nothing_is_sent_where_no_page_shows_it(comms: Comms) -> None:
    assert scripts(comms, 0, complete) == []


def test_nothing_is_sent_when_it_is_switched_off(comms: Comms) -> None:
    notify.choose("off")
    assert scripts(comms, 1, complete) == []


def test_nobody_is_told_of_a_job_that_they_cancelled(comms: Comms) -> None:
    assert scripts(comms, 1, lambda job: job.happen(ev.JobCancelled())) == []


def test_a_dashboard_opened_on_a_settled_job_tells_nothing(comms: Comms) -> None:
    async def play() -> int:
        loop = asyncio.get_running_loop()
        job = ToldJob(3)
        complete(job)
        dashboard = Dashboard(job, Publisher(loop.time)).show()
        dashboard.controls.root.comm.hear(_view_count=1)
        await asyncio.sleep(10)
        sent = [whose for _, whose, _ in comms.sent if whose == dashboard.controls.scripts.comm.comm_id]
        dashboard.close()
        return len(sent)

    sent, _ = run_virtual(play())
    assert sent == 0


@pytest.mark.parametrize("progress", [COMPLETED, FAILED, PAUSED])
def test_hostile_names_and_reasons_reach_the_page_as_plain_data(progress: Any) -> None:
    facts = told(replace(progress, name=HOSTILE * 9, reason=HOSTILE * 99), seconds=60, place="mozart-x")
    assert facts is not None
    code = script(facts)["data"]["application/javascript"]
    assert code.isascii()
    assert facts_of(script(facts)) == json.loads(json.dumps(facts))
    assert "\u202e" not in facts["title"]
    assert all(len(line) < 300 for line in [facts["title"], *facts["lines"]])


def test_only_a_settled_job_is_told_of() -> None:
    assert told(RUNNING, seconds=60, place="x") is None


def test_what_is_sent_is_small() -> None:
    facts = told(FAILED, seconds=60, place="x")
    assert facts is not None
    assert len(script(facts)["data"]["application/javascript"]) < 8_000
