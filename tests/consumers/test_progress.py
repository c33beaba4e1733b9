"""The progress view-model: exact for small jobs, and as cheap for large ones."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from mozart_nb import events as ev
from mozart_nb.consumers.documents import status_document
from mozart_nb.consumers.progress import Pulses, progress_of, shown_status
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig
from mozart_nb.job.policies import CostLimits

START = 1_700_000_000.0


class Story:
    """Events told one after the other, folded as they come."""

    def __init__(self, total: int = 10, at_once: int = 2, **options: Any) -> None:
        self.now = START
        self.state = JobState()
        self.config = JobConfig.model_validate(
            {
                "name": "story",
                "batch": {"size": 1, "total_items": total},
                "parallel": {"enabled": True, "max_concurrent": at_once},
            }
        )
        plan = ev.PlanShape(total=total, total_items=total)
        self.tell(ev.JobPlanned(job_id="story", name="story", plan=plan, seed=1, config_digest="d"))
        self.tell(ev.JobStarted(run_id="r", options=ev.RunOptions(**options)))

    def tell(self, *events: ev.Event) -> None:
        for event in events:
            seq = self.state.job.seq + 1
            apply(self.state, msgspec.structs.replace(event, seq=seq, at=self.now))

    def start(self, *numbers: int) -> None:
        for number in numbers:
            record = self.state.batches.get(number)
            attempt = record.attempts + 1 if record else 1
            mode = record.mode if record else "first"
            self.tell(ev.BatchStarted(batch=number, attempt=attempt, mode=mode))
            self.tell(ev.SessionOpened(batch=number, attempt=attempt, session_id=f"s{number}"))

    def finish(self, *numbers: int, cost: float | None = 0.5) -> None:
        for number in numbers:
            attempt = self.state.batches[number].attempts
            usage = ev.Usage(100, 50)
            self.tell(
                ev.SessionFinished(
                    batch=number, attempt=attempt, outcome="ok", duration=10, cost_usd=cost, usage=usage
                ),
                ev.ValidationPassed(batch=number, attempt=attempt),
                ev.BatchCompleted(batch=number),
            )

    def fail_attempt(self, number: int, code: str = "E003") -> None:
        attempt = self.state.batches[number].attempts
        self.tell(
            ev.SessionFinished(batch=number, attempt=attempt, outcome="error", code=code, cost_usd=0.0),
            ev.ValidationFailed(batch=number, attempt=attempt, code=code, message="it broke"),
        )

    def progress(self, **options: Any) -> Any:
        return progress_of(self.state, self.config, self.now, **options)


def test_counts_cost_and_tokens_come_from_the_state() -> None:
    story = Story(total=8)
    story.start(1, 2)
    story.now += 10
    story.finish(1)
    story.finish(2, cost=None)
    story.tell(ev.BatchSkipped(batch=3, reason="not needed"))
    seen = story.progress()
    assert (seen.total, seen.completed, seen.skipped, seen.pending, seen.done) == (8, 2, 1, 5, 3)
    assert (seen.cost_usd, seen.unknown_costs) == (0.5, 1)
    assert seen.usage == ev.Usage(200, 100)
    assert seen.percent == 37.5
    assert seen.elapsed_seconds == 10


def test_the_limit_and_what_the_cache_saved_are_part_of_the_look() -> None:
    story = Story()
    story.start(1)
    finished = ev.SessionFinished(batch=1, attempt=1, outcome="ok", cost_usd=0.5, saved_usd=0.25)
    story.tell(finished)
    limited = story.config.model_copy(update={"cost_limits": CostLimits(max_cost_per_job=2)})
    seen = progress_of(story.state, limited, story.now)
    assert (seen.saved_usd, seen.limit_usd) == (0.25, 2)
    assert progress_of(story.state, story.config, story.now).limit_usd is None
    cost = status_document(story.state, limited, story.now)["cost"]
    assert (cost["usd"], cost["saved_usd"], cost["limit_usd"], cost["percent_of_limit"]) == (0.5, 0.25, 2.0, 25.0)


def test_percent_is_rounded_down_so_that_100_means_all() -> None:
    story = Story(total=3000, at_once=1)
    story.tell(ev.BatchSkipped(batch=1, reason="before --start-batch", last=2999))
    assert story.progress().percent == 99.9


def test_nobody_knows_when_it_ends_before_the_first_batch_is_done() -> None:
    story = Story()
    assert story.progress().eta_seconds is None
    story.start(1, 2)
    story.now += 30
    assert story.progress().eta_seconds is None


def test_the_end_is_estimated_from_what_a_batch_takes_and_how_many_run_at_once() -> None:
    story = Story(total=10, at_once=2)
    story.start(1, 2)
    story.now += 10
    story.finish(1, 2)
    story.start(3, 4)
    assert story.progress().eta_seconds == 40  # 8 batches of 10 s, two at a time
    story.now += 5
    assert story.progress().eta_seconds == 35


def test_batches_under_way_do_not_make_the_others_seem_slow() -> None:
    story = Story(total=100, at_once=10)
    story.start(*range(1, 11))
    story.now += 60
    story.finish(1)  # the first of ten that began together
    story.start(11)
    # 89 to start at 60 s each, one just begun, nine about to end, ten at a time
    assert story.progress().eta_seconds == (89 * 60 + 60) / 10


def test_a_standing_wait_is_added_and_a_past_one_does_not_count_as_work() -> None:
    story = Story(total=4, at_once=1)
    story.start(1)
    story.now += 10
    story.finish(1)
    story.start(2)
    story.fail_attempt(2, "E102")
    story.tell(
        ev.LimitHit(code="E102", until=story.now + 3600, wait_seconds=3600, source="retry-after", number=1),
        ev.BatchWaiting(batch=2, code="E102"),
    )
    assert story.progress().eta_seconds == 3600 + 30
    story.now += 3600
    story.tell(ev.LimitCleared(by="probe"))
    assert story.progress().eta_seconds == 30


def test_a_pilot_ends_with_its_last_batch() -> None:
    story = Story(total=100, at_once=1, limit=3)
    story.start(1)
    story.now += 10
    story.finish(1)
    assert story.progress().eta_seconds == 20


def test_chosen_batches_are_all_that_is_left() -> None:
    story = Story(total=100, at_once=1, only=((1, 4),))
    story.start(1)
    story.now += 10
    story.finish(1)
    assert story.progress().eta_seconds == 30


def test_a_completed_job_takes_no_more_time_and_a_settled_one_has_no_end_to_wait_for() -> None:
    story = Story(total=1)
    story.start(1)
    story.now += 10
    story.finish(1)
    story.tell(ev.JobCompleted())
    assert (story.progress().eta_seconds, story.progress().elapsed_seconds) == (0, 10)
    other = Story(total=2)
    other.tell(ev.JobPausing(reason="asked to pause"), ev.JobPaused(reason="asked to pause"))
    other.now += 99
    assert (other.progress().eta_seconds, other.progress().elapsed_seconds) == (None, 0)


# --- running batches --------------------------------------------------------------------------------------------------


def test_running_batches_come_longest_first_with_their_last_sign_of_life() -> None:
    story = Story(at_once=3)
    story.start(2)
    story.now += 5
    story.start(1)
    pulses = Pulses()
    pulses.hear([ev.SessionProgress(batch=2, attempt=1, bytes_received=900, note="Write")], story.now)
    story.now += 4
    first, second = story.progress(pulses=pulses.latest).running_batches
    assert (first.number, first.elapsed_seconds, first.idle_seconds, first.bytes_received) == (2, 9, 4, 900)
    assert (first.doing, first.note) == ("working", "Write")
    assert (second.number, second.idle_seconds) == (1, None)


def test_a_sign_of_life_belongs_to_its_attempt() -> None:
    story = Story(at_once=1)
    story.start(1)
    pulses = Pulses()
    pulses.hear([ev.SessionProgress(batch=1, attempt=1, bytes_received=900)], story.now)
    story.fail_attempt(1)
    story.tell(ev.BatchRetrying(batch=1, due=story.now, delay=0, number=1, code="E003"))
    story.start(1)
    assert story.progress(pulses=pulses.latest).running_batches[0].bytes_received == 0


def test_what_a_batch_is_doing_follows_its_phase() -> None:
    story = Story(at_once=1)
    story.tell(ev.BatchStarted(batch=1, attempt=1))
    assert story.progress().running_batches[0].doing == "preparing"
    story.tell(ev.SessionOpened(batch=1, attempt=1))
    assert story.progress().running_batches[0].doing == "working"
    story.tell(ev.SessionFinished(batch=1, attempt=1, outcome="ok"))
    assert story.progress().running_batches[0].doing == "checking"


def test_batches_whose_answers_come_hours_later_are_counted_and_not_looked_at_one_by_one() -> None:
    story = Story(at_once=1)
    story.start(1)
    story.finish(1)
    story.tell(ev.BatchStarted(batch=2, attempt=1), ev.SessionOpened(batch=2, attempt=1, parked=True))
    story.start(3)
    progress = story.progress()
    assert (progress.running, progress.parked) == (2, 1)
    assert [batch.number for batch in progress.running_batches] == [3]
    assert progress.eta_seconds is None, "nobody knows when the service answers"


# --- waits ------------------------------------------------------------------------------------------------------------


def test_a_limit_counts_down_and_names_its_source() -> None:
    story = Story(at_once=1)
    story.start(1)
    story.fail_attempt(1, "E101")
    story.tell(ev.LimitHit(code="E101", until=story.now + 60, wait_seconds=60, source="retry-after", number=1))
    story.now += 20
    (wait,) = story.progress().waits
    assert (wait.kind, wait.code, wait.seconds, wait.source) == ("limit", "E101", 40, "retry-after")
    story.now += 100
    assert story.progress().waits[0].seconds == 0


def test_the_breaker_and_the_next_retry_are_waits_too() -> None:
    story = Story(at_once=2)
    story.start(1, 2)
    for number in (1, 2):
        story.fail_attempt(number)
        due = story.now + 10 * number
        story.tell(ev.BatchRetrying(batch=number, due=due, delay=10 * number, number=1, code="E003"))
    story.tell(ev.BreakerOpened(until=story.now + 300, failures=2))
    breaker, retry = story.progress().waits
    assert (breaker.kind, breaker.seconds) == ("breaker", 300)
    assert (retry.kind, retry.batch, retry.seconds, retry.code) == ("retry", 1, 10, "E003")


def test_fewer_sessions_at_once_are_shown_while_the_service_bears_no_more() -> None:
    story = Story(total=100, at_once=10)
    story.now += 1
    story.start(*range(1, 11))
    assert story.progress().concurrency == (10, 10)
    story.fail_attempt(1, "E101")
    assert story.progress().concurrency == (7, 10)
    shown = status_document(story.state, story.config, story.now)["execution"]["concurrency"]
    assert shown == {"now": 7, "most": 10}
    assert status_document(story.state, None, story.now)["execution"]["concurrency"] is None


def test_a_settled_job_waits_for_nothing() -> None:
    story = Story(at_once=1)
    story.start(1)
    story.fail_attempt(1, "E101")
    story.tell(
        ev.LimitHit(code="E101", until=story.now + 60, wait_seconds=60, source="retry-after", number=1),
        ev.BatchWaiting(batch=1, code="E101"),
        ev.JobPausing(reason="asked"),
        ev.JobPaused(reason="asked"),
    )
    assert story.progress().waits == ()


# --- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "events", [(), (ev.JobWaiting(until=START, reason="limit"),), (ev.JobPausing(reason="asked"),)]
)
def test_a_job_that_nobody_runs_any_more_is_interrupted(events: Iterable[ev.Event]) -> None:
    story = Story()
    story.start(1)
    story.tell(*events)
    assert shown_status(story.state, is_live=False) == "interrupted"
    seen = story.progress(is_live=False)
    assert (seen.status, seen.is_live, seen.running_batches) == ("interrupted", False, ())


def test_a_settled_job_keeps_its_status_without_a_host() -> None:
    story = Story()
    story.tell(ev.JobPausing(reason="asked"), ev.JobPaused(reason="asked", code="E703"))
    seen = story.progress(is_live=False)
    assert (seen.status, seen.reason, seen.code) == ("paused", "asked", "E703")


def test_a_look_costs_the_same_for_ten_batches_and_for_a_hundred_thousand() -> None:
    def calls(total: int) -> int:
        story = Story(total=total, at_once=4)
        story.tell(ev.BatchSkipped(batch=1, reason="before --start-batch", last=total - 6))
        story.start(*range(total - 5, total - 1))
        counted = 0

        def count(*_: Any) -> None:
            nonlocal counted
            counted += 1

        gc.disable()  # what others do at a collection would be counted too
        sys.setprofile(count)
        try:
            story.progress()
        finally:
            sys.setprofile(None)
            gc.enable()
        return counted

    assert calls(100_000) == calls(10)
