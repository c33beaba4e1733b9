"""The dashboard by the traits of its widgets: what it shows, what its controls do, how it ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from support.virtual_time import run_virtual
from support.watched import Comms, Publisher, ToldJob, recorded_comms

from mozart_nb import events as ev
from mozart_nb.jupyter.dashboard.controls import FILTERS, SLIDER_STEPS
from mozart_nb.jupyter.dashboard.dashboard import MOST_UNSEEN, Dashboard
from mozart_nb.jupyter.dashboard.outputs import NOTHING, STATIC_CLASS, WIDGET_MIME


@pytest.fixture
def comms() -> Iterator[Comms]:
    with recorded_comms() as comms:
        yield comms


class Scene:
    """A dashboard on a told job, with somebody in front of it."""

    def __init__(self, comms: Comms, batches: int = 60, **options: Any) -> None:
        self.comms = comms
        loop = asyncio.get_running_loop()
        comms.clock = loop.time
        self.job = ToldJob(batches, **options)
        self.publisher = Publisher(loop.time)
        self.dashboard = Dashboard(self.job, self.publisher)

    def show(self, views: int = 1) -> Scene:
        self.dashboard.show()
        if views:
            self.look(views)
        return self

    def look(self, views: int) -> None:
        """So many front ends show the widget."""
        self.hear(self.dashboard.controls.root, _view_count=views)

    def hear(self, widget: Any, **state: Any) -> None:
        self.comms.opened[widget.comm.comm_id].hear(**state)

    def filter(self, which: str) -> None:
        self.hear(self.dashboard.controls.filter, index=FILTERS.index(which))

    async def click(self, name: str) -> None:
        controls = self.dashboard.controls
        (controls.verb.get(name) or controls.answers.get(name) or getattr(controls, name)).click()
        await self.settle()

    async def settle(self, seconds: float = 4.0) -> None:
        await asyncio.sleep(seconds)

    def text(self, name: str) -> str:
        html = getattr(self.dashboard.controls, name).value
        return " ".join(re.sub(r"<[^>]*>", " ", html).split())

    @property
    def rows(self) -> list[int]:
        return [int(n) for n in re.findall(r"<tr data-batch=(\d+)", self.dashboard.controls.table.value)]

    @property
    def buttons(self) -> list[str]:
        return [button.description for button in self.dashboard.controls.verbs.children]


Story = Callable[[], Awaitable[None]]


def tell(story: Callable[[], Any]) -> None:
    run_virtual(story())


def test_it_shows_how_the_job_stands_and_follows_it(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        assert "0 of 60 batches done" in scene.text("head")
        scene.job.start(1, 2, 3, 4)
        scene.job.complete(1, 2)
        scene.job.fail(3)
        await scene.settle()
        assert "2 of 60 batches done" in scene.text("head")
        assert "1 failed" in scene.text("head")
        assert scene.text("errors").startswith("code what it means batches not mended")
        assert "E201 output validation failed 1 " in scene.text("errors")
        assert scene.rows == list(range(1, 26))
        assert "1–25 of 60 batches" in scene.text("table")
        assert "2 completed" in scene.dashboard.controls.map.value

    tell(story)


def test_the_table_is_filtered_and_turned_by_pages(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        scene.job.fail(*range(2, 60, 2))
        scene.filter("failed")
        await scene.settle()
        assert scene.rows == list(range(2, 52, 2))
        await scene.click("page_on")
        assert scene.rows == [52, 54, 56, 58]
        await scene.click("page_on")
        assert scene.rows == [52, 54, 56, 58]
        await scene.click("page_back")
        assert scene.rows == list(range(2, 52, 2))
        scene.filter("skipped")
        await scene.settle()
        assert "no skipped batches" in scene.text("table")

    tell(story)


def test_every_status_can_be_filtered_for() -> None:
    assert FILTERS[0] == "all"
    assert len(FILTERS) == len({*FILTERS}) == 9


def test_a_click_is_answered_within_a_quarter_of_a_second_while_everything_changes(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 2_000).show()
        for number in range(1, 200):
            scene.job.start(number)
            scene.job.fail(number)
            await asyncio.sleep(0.05)
        scene.filter("failed")
        await asyncio.sleep(0.26)
        assert scene.text("table").startswith("1–25 of 199 failed")

    tell(story)


@pytest.mark.parametrize(
    ("status", "buttons"),
    [
        ("running", ["Pause", "Close", "Cancel …"]),
        ("pausing", ["Resume", "Close", "Cancel …"]),
        ("paused", ["Resume", "Close", "Cancel …"]),
        ("failed", ["Resume", "Close", "Retry failed"]),
        ("cancelled", ["Resume", "Close"]),
    ],
)
def test_the_buttons_are_those_that_can_be_pressed(comms: Comms, status: str, buttons: list[str]) -> None:
    turns: dict[str, list[ev.Event]] = {
        "running": [],
        "pausing": [ev.JobPausing(reason="asked")],
        "paused": [ev.JobPaused()],
        "failed": [ev.JobFailed(reason="batches failed")],
        "cancelled": [ev.JobCancelled()],
    }

    async def story() -> None:
        scene = Scene(comms).show()
        scene.dashboard.view.batch = 1  # somebody looks at something, so that it stays
        if status == "failed":
            scene.job.fail(1)
        scene.job.happen(*turns[status])
        await scene.settle()
        assert scene.buttons == buttons

    tell(story)


def test_buttons_ask_the_job(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        await scene.click("pause")
        scene.job.fail(3)
        await scene.settle()
        await scene.click("retry_failed")
        scene.hear(scene.dashboard.controls.number, value=3)
        await scene.settle()
        assert not scene.dashboard.controls.retry_one.disabled
        await scene.click("retry_one")
        assert scene.job.asked == [("pause", ()), ("retry", ()), ("retry", (3,))]
        scene.job.happen(ev.JobFailed(reason="one failed"))
        scene.job.asked.clear()
        await scene.click("retry_failed")
        await scene.click("retry_one")
        await scene.click("resume")
        assert scene.job.asked == [("resume", ()), ("resume", (3,)), ("resume", ())]

    tell(story)


def test_a_pause_that_is_withdrawn_brings_the_buttons_back(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        scene.job.start(1)
        await scene.settle()
        before = scene.buttons
        scene.job.happen(ev.JobPausing(reason="asked to pause"))
        await scene.settle()
        assert scene.buttons != before
        scene.job.happen(ev.JobPauseWithdrawn())
        await scene.settle()
        assert scene.buttons == before

    tell(story)


def test_a_cell_that_is_run_again_and_again_leaves_a_few_dashboards_only(comms: Comms) -> None:
    async def story() -> None:
        job = ToldJob(3)
        job.complete(1, 2, 3)
        job.happen(ev.JobCompleted())
        for _ in range(50):
            shown = Dashboard(job, Publisher()).show()
            root = comms.opened[shown.controls.root.comm.comm_id]
            root.hear(_view_count=1)
            await asyncio.sleep(1)
            root.hear(_view_count=0)
        seen = Dashboard(job, Publisher()).show()
        assert job.observers <= MOST_UNSEEN + 1
        assert not seen.is_closed

    tell(story)


def test_cancelling_takes_two_steps(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        await scene.click("cancel")
        assert scene.buttons == ["Pause", "Close", "Cancel …", "Yes, cancel the job", "No"]
        assert scene.job.asked == []
        await scene.click("cancel_no")
        assert scene.buttons == ["Pause", "Close", "Cancel …"]
        await scene.click("cancel")
        await scene.click("cancel_yes")
        assert scene.job.asked == [("cancel", ())]
        assert scene.buttons == ["Pause", "Close", "Cancel …"]

    tell(story)


def test_what_cannot_be_done_is_said_in_the_head(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()

        def refuse() -> None:
            raise ValueError("the job runs in another version")

        scene.job.pause = refuse  # type: ignore[method-assign]
        await scene.click("pause")
        assert "the job runs in another version" in scene.text("head")
        await scene.click("page_on")
        await scene.settle()
        assert "another version" not in scene.text("head")

    tell(story)


def test_a_display_that_breaks_says_so_and_the_job_goes_on(comms: Comms, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        scene = Scene(comms).show()

        def broken(*_: Any) -> str:
            raise KeyError("colour")

        monkeypatch.setattr("mozart_nb.jupyter.dashboard.panes.table", broken)
        scene.job.complete(1)
        await scene.settle(20)
        assert scene.text("head").count("the table of this display broke") == 1
        assert "1 of 60 batches done" in scene.text("head")

    tell(story)


def test_a_broken_head_is_replaced_by_a_sentence(comms: Comms, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        monkeypatch.setattr("mozart_nb.jupyter.dashboard.panes.head", lambda *_, **__: 1 / 0)
        scene.job.complete(1)
        await scene.settle()
        assert "the head of this display broke" in scene.text("head")

    tell(story)


def test_notices_of_the_job_stand_in_the_head(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        for observer in list(scene.job._observers):
            observer([ev.JobNotice(message="the clock went back by 3 s")])
        await scene.settle()
        assert "the clock went back by 3 s" in scene.text("head")

    tell(story)


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_click_on_a_row_opens_that_batch(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        scene.hear(scene.dashboard.controls.command, value="open 17 1700000000000")
        await scene.settle()
        assert scene.dashboard.view.batch == 17
        assert scene.dashboard.controls.number.value == 17
        assert "<tr data-batch=17 aria-selected=true" in scene.dashboard.controls.table.value
        scene.hear(scene.dashboard.controls.command, value="<script>alert(1)</script>")
        await scene.settle()
        assert scene.dashboard.view.batch == 17

    tell(story)


def test_the_table_makes_room_for_details_and_keeps_the_open_batch_in_sight(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        scene.hear(scene.dashboard.controls.command, value="open 22 1")
        await scene.settle()
        assert scene.rows == list(range(18, 27))
        await scene.click("batch_on")
        assert scene.rows == list(range(18, 27))  # calm: it is in sight
        scene.hear(scene.dashboard.controls.number, value=60)
        await scene.settle()
        assert scene.rows == list(range(52, 61))
        await scene.click("page_back")
        assert scene.rows == list(range(43, 52))
        await scene.click("open")
        assert scene.rows == list(range(26, 51))

    tell(story)


def test_rows_and_map_hand_clicks_to_the_hidden_field(comms: Comms) -> None:
    async def story() -> None:
        controls = Scene(comms).show().dashboard.controls
        for html in (controls.table.value, controls.map.value):
            assert "onclick=" in html
            assert ".mozart-command input" in html
        assert controls.command.layout.display == "none"

    tell(story)


def test_batches_can_be_opened_with_real_controls_alone(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms).show()
        scene.job.fail(10, 40)
        scene.filter("failed")
        await scene.settle()
        await scene.click("batch_on")
        assert scene.dashboard.view.batch == 10
        await scene.click("batch_on")
        assert scene.dashboard.view.batch == 40
        await scene.click("batch_on")
        assert scene.dashboard.view.batch == 40
        await scene.click("batch_back")
        assert scene.dashboard.view.batch == 10
        assert scene.dashboard.controls.open.description == "Close details"
        await scene.click("open")
        assert scene.dashboard.view.batch == 0
        assert scene.dashboard.controls.details.value == ""
        scene.hear(scene.dashboard.controls.number, value=99_999)
        await scene.settle()
        assert scene.dashboard.view.batch == 60
        assert scene.dashboard.controls.number.value == 60

    tell(story)


def test_every_control_says_what_it_does(comms: Comms) -> None:
    async def story() -> None:
        controls = Scene(comms).show().dashboard.controls
        buttons = [*controls.verb.values(), *controls.answers.values(), controls.now, controls.open]
        buttons += [controls.page_back, controls.page_on, controls.batch_back, controls.batch_on, controls.retry_one]
        assert all(button.description and button.tooltip for button in buttons)
        assert all(field.description for field in (controls.filter, controls.number, controls.slider))

    tell(story)


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_a_completed_job_leaves_its_static_output_and_nothing_else(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 3).show()
        assert WIDGET_MIME in scene.publisher.live
        scene.job.complete(1, 2, 3)
        scene.job.happen(ev.JobCompleted())
        await scene.settle()
        assert scene.publisher.live == NOTHING
        assert "3 of 3 batches done" in scene.publisher.static["text/plain"]
        assert STATIC_CLASS in scene.publisher.static["text/html"]
        assert scene.dashboard.is_closed
        assert scene.job.observers == 0
        assert not any(comm.is_open for comm in comms.opened.values())

    tell(story)


def test_it_waits_for_a_person_who_looks_at_something(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 3).show()
        scene.hear(scene.dashboard.controls.number, value=2)
        await scene.settle()
        scene.job.complete(1, 2, 3)
        scene.job.happen(ev.JobCompleted())
        await scene.settle()
        assert scene.buttons == ["Done"]
        assert WIDGET_MIME in scene.publisher.live
        assert "3 of 3 batches done" in scene.publisher.static["text/plain"]
        await scene.click("done")
        assert scene.publisher.live == NOTHING

    tell(story)


@pytest.mark.parametrize("end", [ev.JobPaused(), ev.JobFailed(reason="some failed")])
def test_a_job_that_can_go_on_keeps_its_widget_where_somebody_sees_it(comms: Comms, end: ev.Event) -> None:
    async def story() -> None:
        scene = Scene(comms, 3).show()
        scene.job.happen(end)
        await scene.settle()
        assert WIDGET_MIME in scene.publisher.live
        scene.job.happen(ev.JobResumed(run_id="r2"))
        scene.job.complete(1, 2, 3)
        await scene.settle()
        assert "3 of 3" in scene.text("head")
        scene.job.happen(ev.JobCompleted())
        await scene.settle()
        assert scene.publisher.live == NOTHING

    tell(story)


def test_where_nobody_sees_it_a_paused_job_becomes_static_and_the_static_output_follows_it(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 3).show(views=0)
        scene.job.complete(1)
        await scene.settle()
        scene.job.happen(ev.JobPaused())
        await scene.settle()
        assert scene.publisher.live == NOTHING
        assert "paused" in scene.publisher.static["text/plain"]
        scene.job.happen(ev.JobResumed(run_id="r2"))
        scene.job.complete(2, 3)
        scene.job.happen(ev.JobCompleted())
        await scene.settle()
        assert "completed" in scene.publisher.static["text/plain"]
        assert scene.job.observers == 0

    tell(story)


def test_the_static_output_is_refreshed_on_turns_and_every_ten_seconds(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 100).show()
        await scene.settle(1)
        scene.publisher.updates.clear()
        for number in range(1, 61):
            scene.job.complete(number)
            await asyncio.sleep(1)
        assert 4 <= len(scene.publisher.updates) <= 7
        scene.publisher.updates.clear()
        scene.job.happen(ev.JobPausing(reason="asked"))
        await scene.settle(5)
        assert "pausing" in scene.publisher.updates[0][2]["text/plain"]

    tell(story)


def test_a_dashboard_opened_on_a_settled_job_stays_until_it_is_closed(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 3)
        scene.job.complete(1, 2, 3)
        scene.job.happen(ev.JobCompleted())
        late = Dashboard(scene.job, Publisher())
        late.show()
        await scene.settle(60)
        assert not late.is_closed
        assert late._painter.is_idle
        late.controls.verb["done"].click()
        await scene.settle()
        assert late.is_closed

    tell(story)


def test_closing_it_while_the_job_runs_leaves_a_static_output_that_goes_on(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 3).show()
        await scene.click("close")
        assert scene.publisher.live == NOTHING
        assert not any(comm.is_open for comm in comms.opened.values())
        scene.job.complete(1, 2, 3)
        scene.job.happen(ev.JobCompleted())
        await scene.settle()
        assert "3 of 3 batches done" in scene.publisher.static["text/plain"]
        assert scene.job.observers == 0

    tell(story)


def test_a_host_that_dies_is_noticed(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 3).show()
        await scene.settle()
        scene.job.has_host = False
        await scene.settle()
        assert "interrupted" in scene.text("head")
        assert scene.buttons == ["Resume", "Close", "Cancel …"]

    tell(story)


def test_two_dashboards_of_one_job_show_the_same_and_close_apart(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 5).show()
        other = Dashboard(scene.job, Publisher())
        other.show()
        scene.job.complete(1, 2)
        await scene.settle()
        assert scene.dashboard.controls.table.value == other.controls.table.value
        scene.dashboard.close()
        assert scene.job.observers == 1
        scene.job.complete(3)
        await scene.settle()
        assert "3 of 5" in other.controls.head.value
        other.close()
        assert scene.job.observers == 0
        assert not any(comm.is_open for comm in comms.opened.values())

    tell(story)


def test_while_no_front_end_shows_it_any_more_only_the_static_output_is_sent(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 50).show()
        await scene.settle()
        scene.look(0)
        await scene.settle(1)
        comms.sent.clear()
        for number in range(1, 31):
            scene.job.complete(number)
            await asyncio.sleep(1)
        assert [message for _, _, message in comms.sent if message["method"] == "update"] == []
        assert scene.publisher.updates
        scene.look(1)
        await scene.settle()
        assert "30 of 50" in scene.text("head")

    tell(story)


def test_a_dashboard_is_shown_once_however_it_is_asked(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 5)
        scene.dashboard._ipython_display_()
        scene.dashboard._ipython_display_()
        assert len(scene.publisher.outputs) == 2
        assert repr(scene.dashboard) == "<Dashboard of job told>"
        assert scene.publisher.live["text/plain"] == "live dashboard of job told"

    tell(story)


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_ten_thousand_batches_at_full_speed_stay_within_four_messages_and_sixteen_kilobytes(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 10_000).show()
        scene.filter("failed")
        await scene.settle()
        comms.sent.clear()
        scene.publisher.updates.clear()
        start = asyncio.get_running_loop().time()
        number = 1
        for _ in range(240):
            scene.job.complete(*range(number, number + 36))
            scene.job.fail(*range(number + 36, number + 41))
            number += 41
            await asyncio.sleep(0.25)
        await scene.settle()
        updates = [(at, message) for at, _, message in comms.sent]
        updates += [(at, output) for at, _, output in scene.publisher.updates]
        assert len(scene.publisher.updates) >= 5
        for quarter in range(4 * 60):
            began = start + quarter / 4
            second = [message for at, message in updates if began <= at < began + 1]
            assert len(second) <= 5  # one of them on either edge
            assert comms.size(second) <= 16_000
        assert scene.text("table").startswith("1–25 of 1,200 failed")
        assert "8,640 of 10,000 batches done" in scene.text("head")

    tell(story)


def test_a_window_into_a_large_job_is_as_large_as_one_into_a_small_one(comms: Comms) -> None:
    sizes = []

    for batches in (1_000, 10_000):

        async def story(batches: int = batches) -> None:
            scene = Scene(comms, batches).show()
            scene.job.start(*range(1, batches + 1))
            scene.job.fail(*range(1, batches, 2))
            await scene.settle()
            controls = scene.dashboard.controls
            sizes.append(len(controls.table.value) + len(controls.head.value) + len(controls.errors.value))

        tell(story)
    assert sizes[1] < sizes[0] * 1.1


def test_the_slider_is_never_sent_while_the_job_runs(comms: Comms) -> None:
    async def story() -> None:
        scene = Scene(comms, 200).show()
        slider = scene.dashboard.controls.slider
        await scene.settle()
        comms.sent.clear()
        for number in range(1, 100):
            scene.job.complete(number)
            await asyncio.sleep(0.2)
        assert slider.comm.comm_id not in {name for _, name, _ in comms.sent}
        assert slider.value == SLIDER_STEPS

    tell(story)
