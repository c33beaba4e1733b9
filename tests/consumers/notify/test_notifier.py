"""The observer of a run: which events become which messages, once each, and that nothing of it reaches the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.notifying import channel, message, put, until

from mozart_nb import events as ev
from mozart_nb.consumers.notify import Delivery, Message, Notifier, deliveries, unsent, wanted_kinds
from mozart_nb.consumers.notify import notifier as notifier_module
from mozart_nb.consumers.notify.messages import SINGLE_MESSAGES, Stream
from mozart_nb.consumers.notify.outbox import DELIVERIES, OUTBOX, GrowingFile, messages
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import JobRecord, JobState
from mozart_nb.job.notifications import KEPT_OUT, NotificationConfig

AT = time.time() - 60
URL = "http://127.0.0.1:9/"


class Job:
    """A job's journal and state, and the observers it has had."""

    def __init__(self, folder: Path, *channels: NotificationConfig, batches: int = 4) -> None:
        self.folder = folder
        self.channels = channels
        self.state = JobState()
        self.journal: list[ev.Event] = []
        self.told: list[str] = []
        self.launched: list[bool] = []
        self.launch: Callable[..., object] = lambda folder, channels, take_over: self.launched.append(take_over)
        plan = ev.PlanShape(total=batches)
        self.planned = ev.JobPlanned(job_id="trial", name="Trial", plan=plan, seed=5, config_digest="")

    def happens(self, *events: ev.Event) -> list[ev.Event]:
        """Journal and apply events."""
        burst = []
        for event in events:
            event = _numbered(event, len(self.journal) + 1)
            self.journal.append(event)
            apply(self.state, event)
            burst.append(event)
        return burst

    def notifier(self) -> Notifier:
        def read_since(seq: int) -> Iterator[ev.Event]:
            kinds = wanted_kinds(self.channels)
            return (event for event in self.journal if event.seq > seq and ev.kind_of(event) in kinds)

        return Notifier(
            channels=self.channels,
            outbox=self.folder,
            state=self.state,
            read_since=read_since,
            tell=self.told.append,
            launch=self.launch,
        )

    async def run(self, *bursts: Sequence[ev.Event]) -> list[Message]:
        """Show these bursts to a new observer, from its first breath to its last."""
        notifier = self.notifier()
        for burst in bursts:
            await notifier.observe(self.happens(*burst))
        await notifier.close()
        return messages(self.folder)


def _numbered(event: ev.Event, seq: int) -> ev.Event:
    return msgspec.structs.replace(event, seq=seq, at=AT + seq / 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "notify"


def started(batch: int) -> ev.Event:
    return ev.BatchStarted(batch=batch, attempt=1)


def failed(batch: int) -> list[ev.Event]:
    return [
        started(batch),
        ev.ValidationFailed(batch=batch, attempt=1, code="E201", message="the file is missing"),
        ev.BatchFailed(batch=batch, code="E201", message="the file is missing"),
    ]


def whole_run(job: Job) -> list[list[ev.Event]]:
    limit = ev.LimitHit(code="E101", until=AT + 90, wait_seconds=30, source="retry-after", number=1)
    return [
        [job.planned, ev.JobStarted(run_id="r1")],
        [started(1), ev.ValidationPassed(batch=1, attempt=1), ev.BatchCompleted(batch=1)],
        [*failed(2), limit],
        [ev.JobFailed(reason="1 batch failed", code="E201")],
    ]


ALL = (
    "job_start job_complete job_failed job_paused job_resumed batch_start batch_complete batch_failed "
    "rate_limit_detected"
).split()


async def test_every_event_that_is_asked_for_becomes_a_message_with_its_facts(folder: Path) -> None:
    job = Job(folder, channel(url=URL, on_events=ALL))
    made = await job.run(*whole_run(job))
    assert [one.event for one in made] == [
        *("job_start", "batch_start", "batch_complete", "batch_start", "batch_failed", "rate_limit_detected"),
        "job_failed",
    ]
    batch, limit, last = made[4].facts, made[5].facts, made[6].facts
    assert (batch["batch_num"], batch["error_code"], batch["error_message"]) == (2, "E201", "the file is missing")
    assert (limit["error_code"], limit["wait_seconds"]) == ("E101", 30)
    assert (last["job_name"], last["total_batches"], last["completed_batches"]) == ("Trial", 4, 1)
    assert (last["error_message"], last["status"]) == ("1 batch failed", "failed")
    assert job.launched.count(True) == 1
    assert job.told == []


async def test_pauses_and_resumptions_are_told(folder: Path) -> None:
    job = Job(folder, channel(url=URL, on_events=["job_paused", "job_resumed", "job_complete"]))
    await job.run([job.planned, ev.JobStarted(run_id="r1"), ev.JobPausing(reason="asked")], [ev.JobPaused(reason="x")])
    made = await job.run([ev.JobResumed(run_id="r2")], [ev.JobCompleted()])
    assert [(one.event, one.facts["run_id"]) for one in made] == [
        ("job_paused", "r1"),
        ("job_resumed", "r2"),
        ("job_complete", "r2"),
    ]
    assert job.launched.count(True) == 2


async def test_channels_get_what_each_asked_for(folder: Path) -> None:
    job = Job(folder, channel("desktop", on_events=["job_start"]), channel("slack"), channel("email"))
    made = await job.run(*whole_run(job))
    assert [(one.channel, one.type, one.event) for one in made] == [
        (1, "desktop", "job_start"),
        (2, "slack", "job_failed"),
    ]


async def test_further_attempts_at_a_batch_are_no_new_start(folder: Path) -> None:
    job = Job(folder, channel(url=URL, on_events=["batch_start"]))
    again = ev.BatchStarted(batch=1, attempt=2, mode="retry")
    made = await job.run([job.planned, ev.JobStarted(run_id="r1")], [started(1)], [again])
    assert len(made) == 1


async def test_a_host_that_died_before_the_outbox_loses_nothing_and_doubles_nothing(folder: Path) -> None:
    seen = Job(folder / "seen", channel(url=URL, on_events=ALL))
    expected = await seen.run(*whole_run(seen))

    killed = Job(folder / "killed", channel(url=URL, on_events=ALL))
    bursts = whole_run(killed)
    await killed.run(*bursts[:2])
    for burst in bursts[2:]:
        killed.happens(*burst)  # journaled, and then the host was gone
    made = await killed.run([ev.JobResumed(run_id="r2", crashed=True)])
    assert [one.id for one in made[:-1]] == [one.id for one in expected]
    assert [one.facts for one in made[-2:-1]] == [one.facts for one in expected[-1:]]
    assert [one.event for one in made[len(expected) :]] == ["job_resumed"]
    assert [one.id for one in await killed.run([])] == [one.id for one in made]


async def test_a_host_that_died_in_its_first_moment_loses_nothing_either(folder: Path) -> None:
    job = Job(folder, channel(url=URL, on_events=["job_start"]))
    job.happens(job.planned, ev.JobStarted(run_id="r1"))
    assert [one.event for one in await job.run([ev.JobResumed(run_id="r2", crashed=True)])] == ["job_start"]


async def test_what_happened_before_a_job_had_notifications_is_no_news(folder: Path) -> None:
    job = Job(folder, channel(url=URL, on_events=ALL))
    job.happens(*(event for burst in whole_run(job) for event in burst))
    assert [one.event for one in await job.run([ev.JobResumed(run_id="r2")])] == ["job_resumed"]
    job.channels = (*job.channels, channel("desktop", on_events=ALL))
    made = await job.run([ev.JobPausing(reason="asked"), ev.JobPaused(reason="x")])
    assert [(one.channel, one.event) for one in made] == [(1, "job_resumed"), (1, "job_paused"), (2, "job_paused")]


async def test_a_record_that_was_started_over_has_messages_of_its_own(folder: Path) -> None:
    first, second = (Job(folder / name, channel(url=URL)) for name in ("first", "second"))
    second.planned = msgspec.structs.replace(second.planned, seed=6)
    ids = [[one.id for one in await job.run(*whole_run(job))] for job in (first, second)]
    assert ids[0] != ids[1]


async def test_a_hundred_thousand_batches_are_few_messages(folder: Path) -> None:
    job = Job(folder, channel(url=URL, on_events=["batch_complete", "batch_failed", "job_failed"]), batches=100_000)
    notifier = job.notifier()
    await notifier.observe(job.happens(job.planned, ev.JobStarted(run_id="r1")))
    for first in range(0, 100_000, 5_000):
        done = [ev.BatchFailed(batch=n, code="E201", seq=n + 3, at=AT) for n in range(first, first + 5_000, 20)]
        good = [ev.BatchCompleted(batch=n, seq=n + 3, at=AT) for n in range(first, first + 5_000) if n % 20]
        await notifier.observe(sorted([*done, *good], key=lambda event: event.seq))
    await notifier.observe([ev.JobFailed(reason="5,000 batches failed", seq=100_010, at=AT)])
    await notifier.close()
    made = messages(folder)
    assert len(made) == SINGLE_MESSAGES + 3
    assert made[-1].event == "job_failed"
    assert sum(one.facts["count"] for one in made[:-1]) == 100_000
    assert [one.seq for one in made] == sorted(one.seq for one in made)
    assert (folder / OUTBOX).stat().st_size < 20_000


def test_a_summary_waits_for_the_end_of_its_minute_and_names_its_batches() -> None:
    stream = Stream(1, channel(url=URL, on_events=["batch_failed"]), "here")
    job = JobRecord(job_id="trial", name="Trial")
    for number in range(1, SINGLE_MESSAGES + 4):
        stream.add(ev.BatchFailed(batch=number, code="E201", seq=number, at=AT), job, {}, 1000.0)
    assert len(stream.take()) == SINGLE_MESSAGES
    assert (stream.due, stream.covered) == (1060.0, SINGLE_MESSAGES)
    stream.add(ev.BatchFailed(batch=99, code="E201", seq=99, at=AT), job, {}, 1061.0)
    summary, single = stream.take()
    assert (summary.facts["count"], summary.facts["batches"]) == (3, "21-23")
    assert (single.facts["count"], single.facts["batch_num"], stream.covered) == (1, 99, 99)


def test_a_clock_that_was_set_back_holds_up_no_message() -> None:
    stream = Stream(1, channel(url=URL, on_events=["batch_failed"]), "here")
    job = JobRecord(job_id="trial", name="Trial")
    for number in range(1, SINGLE_MESSAGES + 4):
        stream.add(ev.BatchFailed(batch=number, code="E201", seq=number, at=AT), job, {}, 9000.0)
    assert len(stream.take()) == SINGLE_MESSAGES
    assert not stream.is_due(9001.0)
    assert stream.is_due(5400.0)
    stream.add(ev.BatchFailed(batch=99, code="E201", seq=99, at=AT), job, {}, 5400.0)
    assert [one.facts["count"] for one in stream.take()] == [3, 1]


async def test_making_one_touches_nothing(folder: Path) -> None:
    await Job(folder, channel(url=URL)).notifier().close()
    assert messages(folder) == []
    assert list_of(folder.parent) == []


async def test_a_disk_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    folder = a_file(tmp_path) / "notify"
    job = Job(folder, channel(url=URL, on_events=ALL))
    notifier = job.notifier()
    for burst in whole_run(job):
        await notifier.observe(job.happens(*burst))
        await asyncio.sleep(0.02)
    await notifier.close()
    assert len(job.told) == 1
    assert "notifications stopped working" in job.told[0]


async def test_the_last_message_is_on_its_way_before_the_run_is_over(folder: Path) -> None:
    job = Job(folder, channel(url=URL, on_events=ALL))
    launch = job.launch
    job.launch = lambda *given: (time.sleep(0.7), launch(*given))[1]  # a machine with a lot to do
    assert [one.event for one in await job.run([job.planned, ev.JobStarted(run_id="r1")])] == ["job_start"]
    assert (job.launched, job.told) == ([True], [])


async def test_nobody_waits_for_a_process_that_does_not_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier_module, "CLOSE_SECONDS", 0.5)
    job = Job(folder, channel(url=URL, on_events=ALL))
    job.launch = lambda *_: time.sleep(1.2)
    notifier = job.notifier()
    await notifier.observe(job.happens(job.planned, ev.JobStarted(run_id="r1")))
    await until(lambda: messages(folder))
    began = time.monotonic()
    await notifier.observe(job.happens(started(1)))
    assert time.monotonic() - began < 0.1
    await notifier.close()
    assert time.monotonic() - began < 0.7


async def test_a_courier_that_cannot_be_started_is_told(folder: Path) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(11, "no more processes")

    job = Job(folder, channel(url=URL, on_events=ALL))
    job.launch = refuse
    await job.run(*whole_run(job))
    assert len(job.told) == 1
    assert "no process to deliver" in job.told[0]


async def test_a_courier_that_cannot_work_is_told(folder: Path) -> None:
    class Ended:
        def poll(self) -> int:
            return 1

    job = Job(folder, channel(url=URL, on_events=ALL))
    job.launch = lambda *_: Ended()
    await job.run([job.planned, ev.JobStarted(run_id="r1")])
    [told] = job.told
    assert "cannot work here (exit code 1)" in told


async def test_what_was_left_is_delivered_by_the_next_run(folder: Path) -> None:
    job = Job(folder, channel(url=URL))
    await job.run(*whole_run(job))
    left = unsent(folder)
    assert [one.event for one in left] == ["job_failed"]
    await job.run([ev.JobResumed(run_id="r2")])
    assert job.launched.count(True) == 2
    _answer(folder, Delivery(left[0].id, 1, "webhook", "job_failed", "delivered", AT))
    await job.run([ev.JobResumed(run_id="r3")])
    assert job.launched.count(True) == 2


async def test_a_broken_channel_is_told_once_in_a_run(folder: Path) -> None:
    job = Job(folder, channel(url=URL, on_events=ALL))
    notifier = job.notifier()
    await notifier.observe(job.happens(job.planned, ev.JobStarted(run_id="r1")))
    [made] = await until(lambda: messages(folder))
    for status in ("retrying", "failed"):
        _answer(folder, Delivery(made.id, 1, "webhook", "job_start", status, AT, 3, "HTTP 500"))  # type: ignore[arg-type]
    await notifier.observe(job.happens(started(1)))
    await notifier.close()
    assert job.told == [
        "notifications of channel 1 (`webhook`) do not arrive: HTTP 500; this is tried again for an hour"
    ]


async def test_an_address_that_the_frozen_plan_leaves_out_is_told(folder: Path) -> None:
    job = Job(folder, channel(url=KEPT_OUT))
    await job.run(*whole_run(job))
    assert len(job.told) == 1
    assert "url_env" in job.told[0]


async def test_secrets_of_reasons_are_masked(folder: Path) -> None:
    job = Job(folder, channel(url=URL))
    key = "sk-ant-" + "api03-" + "x1" * 20
    await job.run([job.planned, ev.JobStarted(run_id="r1")], [ev.JobFailed(reason=f"the key {key} was refused")])
    assert key.encode() not in (folder / OUTBOX).read_bytes()


def test_a_record_of_deliveries_that_is_not_there_is_empty(folder: Path) -> None:
    assert deliveries(folder) == unsent(folder) == []


def test_a_message_that_was_delivered_stays_so(folder: Path) -> None:
    [made] = put(folder, message(1))
    for status in ("delivered", "failed"):
        _answer(folder, Delivery(made, 1, "webhook", "job_complete", status, AT))  # type: ignore[arg-type]
    assert [one.status for one in deliveries(folder)] == ["delivered"]


def list_of(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def a_file(folder: Path) -> Path:
    file = folder / "a file where a folder should be"
    file.touch()
    return file


def _answer(folder: Path, delivery: Delivery) -> None:
    file = GrowingFile(folder / DELIVERIES)
    file.append([delivery])
    file.close()
