"""Questions in the dashboard: shown, answered, withdrawn, and answered safely where nobody can see them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engine import World
from support.virtual_time import run_virtual
from support.watched import Comms, Publisher, ToldJob, recorded_comms

from mozart_nb import events as ev
from mozart_nb.engine.ports import Question, Reply, Request
from mozart_nb.jupyter.dashboard.dashboard import Dashboard
from mozart_nb.jupyter.dashboard.questions import RENDER_SECONDS, WidgetConfirmations


@pytest.fixture
def comms() -> Iterator[Comms]:
    with recorded_comms() as comms:
        yield comms


_places = itertools.count()
"""Where the jobs of these tests would keep their records: handles of one place share their questions."""


def tell(story: Callable[[], Any]) -> None:
    run_virtual(story())


def question(batch: int = 7, message: str = "Is the window open?") -> Question:
    return Question(
        job_id="told",
        batch=batch,
        attempt=1,
        mode="first",
        triggers=("deploy",),
        message=message,
        prompt="Deploy <b>7</b>",
    )


class Desk:
    """A job with so many dashboards on a screen."""

    def __init__(self, comms: Comms, dashboards: int = 1, views: int = 1) -> None:
        self.job = ToldJob(10, Path(f"/nowhere/{next(_places)}"))
        self.comms = comms
        self.dashboards = [Dashboard(self.job, Publisher()).show() for _ in range(dashboards)]
        for dashboard in self.dashboards:
            if views:
                comms.opened[dashboard.controls.root.comm.comm_id].hear(_view_count=views)
        self.person = WidgetConfirmations(self.job)

    def controls(self, which: int = 0) -> Any:
        return self.dashboards[which].controls

    def close(self) -> None:
        for dashboard in self.dashboards:
            dashboard.close()


@pytest.mark.parametrize(
    ("button", "words", "reply"),
    [
        ("proceed", "", Reply(by="notebook")),
        ("skip", "not today", Reply(action="skip", text="not today", by="notebook")),
        ("abort", "", Reply(action="abort", by="notebook")),
        ("add", "Only on staging.", Reply(action="add", text="Only on staging.", by="notebook")),
        ("add", "  ", Reply(by="notebook")),
    ],
)
def test_a_person_answers_with_a_button(comms: Comms, button: str, words: str, reply: Reply) -> None:
    async def story() -> None:
        desk = Desk(comms)
        asking = asyncio.create_task(desk.person.ask(question()))
        await asyncio.sleep(1)
        controls = desk.controls()
        assert "Batch 7, attempt 1 (first) waits for you" in controls.asked.value
        assert "Is the window open?" in controls.asked.value
        assert "Deploy &lt;b&gt;7&lt;/b&gt;" in controls.asked.value
        assert controls.question.children
        controls.words.value = words
        controls.answers[button].click()
        assert await asyncio.wait_for(asking, 1) == reply
        await asyncio.sleep(1)
        assert controls.question.children == ()
        assert controls.words.value == ""
        desk.close()

    tell(story)


def test_a_question_waits_as_long_as_it_takes(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms)
        asking = asyncio.create_task(desk.person.ask(question()))
        await asyncio.sleep(2_000)
        assert not asking.done()
        desk.controls().answers["proceed"].click()
        assert await asking == Reply(by="notebook")
        desk.close()

    tell(story)


def test_without_a_dashboard_the_safe_answer_comes_at_once_and_says_why(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms, dashboards=0)
        started = asyncio.get_running_loop().time()
        reply = await desk.person.ask(question())
        assert asyncio.get_running_loop().time() == started
        assert reply.action == "abort"
        assert "nobody is there to ask" in reply.text
        assert await desk.person.agrees("Remove the stale lock?") is False

    tell(story)


def test_a_dashboard_that_no_front_end_ever_shows_is_nobody(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms, views=0)
        reply = await desk.person.ask(question())
        assert RENDER_SECONDS - 0.5 <= asyncio.get_running_loop().time() <= RENDER_SECONDS + 0.5
        assert reply.action == "abort"
        desk.close()

    tell(story)


def test_a_dashboard_that_is_just_being_drawn_is_waited_for(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms, views=0)
        asking = asyncio.create_task(desk.person.ask(question()))
        await asyncio.sleep(1)
        comms.opened[desk.controls().root.comm.comm_id].hear(_view_count=1)
        await asyncio.sleep(1)
        desk.controls().answers["proceed"].click()
        assert await asking == Reply(by="notebook")
        desk.close()

    tell(story)


def test_closing_the_last_dashboard_answers_safely(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms, dashboards=2)
        asking = asyncio.create_task(desk.person.ask(question()))
        await asyncio.sleep(1)
        desk.dashboards[0].close()
        await asyncio.sleep(1)
        assert not asking.done()
        desk.dashboards[1].close()
        assert (await asking).action == "abort"

    tell(story)


def test_closing_its_widget_while_the_job_runs_answers_safely_too(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms)
        asking = asyncio.create_task(desk.person.ask(question()))
        await asyncio.sleep(1)
        desk.controls().verb["close"].click()
        assert (await asking).action == "abort"
        desk.close()

    tell(story)


def test_all_dashboards_ask_and_the_first_answer_counts(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms, dashboards=2)
        asking = asyncio.create_task(desk.person.ask(question()))
        await asyncio.sleep(1)
        assert all(desk.controls(which).question.children for which in (0, 1))
        desk.controls(0).answers["skip"].click()
        desk.controls(1).answers["abort"].click()
        assert (await asking).action == "skip"
        await asyncio.sleep(1)
        assert all(desk.controls(which).question.children == () for which in (0, 1))
        desk.close()

    tell(story)


def test_a_withdrawn_question_disappears(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms)
        asking = asyncio.create_task(desk.person.ask(question()))
        await asyncio.sleep(1)
        asking.cancel()
        await asyncio.sleep(1)
        assert desk.controls().question.children == ()
        desk.close()

    tell(story)


def test_several_questions_come_one_after_the_other(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms)
        first = asyncio.create_task(desk.person.ask(question(3)))
        second = asyncio.create_task(desk.person.ask(question(4)))
        await asyncio.sleep(1)
        assert "Batch 3" in desk.controls().asked.value
        assert "and 1 question more" in desk.controls().asked.value
        desk.controls().answers["proceed"].click()
        await asyncio.sleep(1)
        assert first.done()
        assert "Batch 4" in desk.controls().asked.value
        desk.controls().answers["skip"].click()
        assert (await second).action == "skip"
        desk.close()

    tell(story)


def test_a_remedy_is_agreed_to_with_yes_or_no(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms)
        for button, agreed in (("proceed", True), ("abort", False)):
            asking = asyncio.create_task(desk.person.agrees("End session 42, which nobody follows?"))
            await asyncio.sleep(1)
            controls = desk.controls()
            assert "End session 42" in controls.asked.value
            shown = [one.description for one in controls.question.children[1].children]
            assert shown == ["Proceed", "Abort"]
            controls.answers[button].click()
            assert await asking is agreed
            await asyncio.sleep(1)
        desk.close()

    tell(story)


def test_a_job_asks_in_its_dashboard_and_does_what_it_is_told(comms: Comms) -> None:
    world = World(
        3, checkpoints={"enabled": True, "triggers": [{"name": "second", "batch_nums": [2], "message": "Sure?"}]}
    )

    async def story() -> None:
        desk = Desk(comms)
        world.person = desk.person
        running = asyncio.create_task(world.drive())
        await asyncio.sleep(30)
        assert "Sure?" in desk.controls().asked.value
        desk.controls().answers["skip"].click()
        state = await running
        assert state.status == "completed"
        assert state.status_of(2) == "skipped"
        desk.close()

    tell(story)


# --- questions of other processes -------------------------------------------------------------------------------------


def asked(batch: int = 7, **more: Any) -> ev.BatchAsked:
    return ev.BatchAsked(
        batch=batch, attempt=1, triggers=("deploy",), message="Is the window open?", prompt="Deploy <b>7</b>", **more
    )


def test_a_question_of_another_process_is_shown_and_answered_by_a_request(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms)
        desk.job.start(7)
        desk.job.happen(asked())
        await asyncio.sleep(1)
        controls = desk.controls()
        assert "Batch 7, attempt 1 (first) waits for you: trigger `deploy`" in controls.asked.value
        assert "Deploy &lt;b&gt;7&lt;/b&gt;" in controls.asked.value
        controls.words.value = "not today"
        controls.answers["skip"].click()
        await asyncio.sleep(1)
        assert desk.job.answered == [(7, "skip", "not today", 1)]
        desk.job.happen(ev.BatchAnswered(batch=7, attempt=1, action="skip", by="notebook"))
        await asyncio.sleep(1)
        assert controls.question.children == ()
        desk.close()

    tell(story)


def test_a_batch_that_is_about_to_fail_can_be_tried_again_with_another_prompt(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms)
        desk.job.start(7)
        desk.job.happen(asked(about="escalation", code="E003"))
        await asyncio.sleep(1)
        controls = desk.controls()
        shown = [one.description for one in controls.question.children[1].children[:5]]
        assert shown == ["Retry", "Edit prompt", "Retry with this prompt", "Skip", "Abort"]
        assert "its budgets are used up: E003" in controls.asked.value
        controls.words.value = "because of the network"
        controls.answers["retry"].click()
        await asyncio.sleep(1)
        controls.answers["edit"].click()
        await asyncio.sleep(1)
        assert controls.words.value == "Deploy <b>7</b>"
        controls.words.value = "Deploy it slowly"
        controls.answers["retry_edited"].click()
        await asyncio.sleep(1)
        assert desk.job.answered == [(7, "retry", "", 1), (7, "retry", "Deploy it slowly", 1)]
        desk.close()

    tell(story)


def test_a_question_that_is_asked_here_is_not_shown_twice(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms)
        desk.job.start(7, 8)
        desk.job.happen(asked(), asked(8))
        asking = asyncio.create_task(desk.person.ask(question()))
        await asyncio.sleep(1)
        assert "and 1 question more" in desk.controls().asked.value
        desk.controls().answers["proceed"].click()
        assert await asking == Reply(by="notebook")
        assert desk.job.answered == []
        desk.close()

    tell(story)


def test_a_host_that_died_asks_nothing_any_more(comms: Comms) -> None:
    async def story() -> None:
        desk = Desk(comms)
        desk.job.start(7)
        desk.job.happen(asked())
        desk.job.has_host = False
        desk.dashboards[0].questions_changed()
        await asyncio.sleep(1)
        assert desk.controls().question.children == ()
        desk.close()

    tell(story)


def test_what_was_answered_elsewhere_disappears_here(comms: Comms) -> None:
    world = World(3, checkpoints={"enabled": True, "triggers": [{"name": "second", "batch_nums": [2]}]})

    async def story() -> None:
        desk = Desk(comms)
        world.person = desk.person
        world.requests._due = [(40, Request(kind="answer", batches=(2,), action="skip", by="page"))]
        running = asyncio.create_task(world.drive())
        await asyncio.sleep(30)
        assert desk.controls().question.children
        state = await running
        assert state.status_of(2) == "skipped"
        await asyncio.sleep(1)
        assert desk.controls().question.children == ()
        desk.close()

    tell(story)
