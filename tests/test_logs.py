"""What happened, line by line, from the end of a journal and as it grows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.checkpoints import layout_in, write_job
from support.histories import BEGINNING, history

from mozart_nb import events as ev
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.consumers.lines import LEVELS, level_of, line_of
from mozart_nb.errors import MisuseError, UnknownJobError
from mozart_nb.looking.logs import LogFilter, LogFollower, concerns, last_events, log_filter, log_lines

NOW = datetime(2026, 11, 21, 13, 0, tzinfo=UTC).timestamp()


def write(layout: Layout, events: Sequence[ev.Event], *, segment: int = 1, mode: str = "wb") -> None:
    layout.journal.mkdir(parents=True, exist_ok=True)
    with layout.segment(segment).open(mode) as file:
        file.writelines(EVENTS.wrap(ev.encode_event(event)) for event in events)


# --- the end of a journal ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_last_lines_are_those_of_the_whole_journal(tmp_path: Path, seed: int) -> None:
    written = write_job(layout_in(tmp_path), seed, 900, segment_bytes=60_000)
    events = written.events
    for count in (1, 7, 400, 5000):
        assert log_lines(written.layout, count) == [line_of(event) for event in events[-count:]]
    assert last_events(written.layout, 0) == events


FILTERS: dict[str, dict[str, Any]] = {
    **{level: {"level": level} for level in LEVELS},
    "a batch": {"batch": 2},
    "a batch that failed": {"batch": 3, "level": "WARNING"},
    "one event": {"events": "batch.completed"},
    "wildcards": {"events": ["job.*", "session.f*"]},
    "wildcards at a level": {"events": ["session.*"], "level": "WARNING"},
    "a batch's sessions": {"events": ["session.*"], "batch": 4},
    "the end": {"since": BEGINNING + 300.0},
    "the beginning": {"until": BEGINNING + 100.0},
    "the middle of a batch": {"since": BEGINNING + 5.0, "until": BEGINNING + 300.0, "batch": 4},
}


@pytest.mark.parametrize("wish", FILTERS.values(), ids=FILTERS.keys())
def test_a_filter_finds_what_a_look_at_every_event_would(tmp_path: Path, wish: dict[str, Any]) -> None:
    written = write_job(layout_in(tmp_path), 5, 900, segment_bytes=30_000)
    wanted = log_filter(**wish)
    expected = [event for event in written.events if wanted.wants(event)]
    assert 0 < len(expected) < len(written.events) or wish == {"level": "DEBUG"}
    assert last_events(written.layout, 0, wanted) == expected
    assert last_events(written.layout, 7, wanted) == expected[-7:]


def test_a_torn_end_and_superseded_lines_are_passed_over(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(3, 100)
    write(layout, events[:70])
    with layout.segment(1).open("ab") as file:
        file.write(b'{"crc":"0000')
    assert last_events(layout, 5) == events[65:70]
    write(layout, events[50:], segment=2)
    assert last_events(layout, 60) == events[40:]
    notices: list[str] = []
    assert last_events(layout, 0, notices=notices) == events
    assert not notices  # nothing is missing


def test_a_job_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownJobError):
        last_events(layout_in(tmp_path), 5)


# --- filters ----------------------------------------------------------------------------------------------------------


def test_events_about_several_batches_concern_each_of_them() -> None:
    blocked = ev.BatchBlocked(batches=(4, 5), by=2)
    skipped = ev.BatchSkipped(batch=1, last=3, reason="start_batch")
    sent = ev.RemoteSubmitting(submission=1, entries=((2, 3, 1), (6, 6, 2)), requests=3)
    assert [n for n in range(1, 7) if concerns(blocked, n)] == [2, 4, 5]
    assert [n for n in range(1, 7) if concerns(skipped, n)] == [1, 2, 3]
    assert [n for n in range(1, 7) if concerns(sent, n)] == [2, 3, 6]
    assert [n for n in range(1, 7) if concerns(ev.BatchRenewed(batches=(2, 6)), n)] == [2, 6]
    assert not concerns(ev.JobPaused(reason="x"), 1)


@pytest.mark.parametrize(
    "wish",
    [{"level": "LOUD"}, {"events": "batch.exploded"}, {"events": ["job.*", "x*"]}, {"since": "soon"}, {"until": "12"}],
)
def test_what_does_not_exist_is_refused_and_the_option_named(wish: dict[str, Any]) -> None:
    with pytest.raises(MisuseError, match=r"^--(level|event|since|until) "):
        log_filter(**wish)


def test_times_are_given_as_people_write_them_or_as_python_has_them() -> None:
    assert log_filter(since="2h", now=NOW).since == NOW - 7200
    assert log_filter(since="22:00Z", until="02:00Z", now=NOW).until == NOW - 11 * 3600
    assert log_filter(since=datetime.fromtimestamp(NOW, UTC)).since == log_filter(since=NOW).since == NOW


# --- following --------------------------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_follower_begins_with_the_end_and_goes_on_into_new_segments(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(3, 200)
    write(layout, events[:100])
    with JobLock(layout):
        follower = LogFollower(layout, LogFilter(level="WARNING"), 3)
        important = [event for event in events if level_of(event) in ("WARNING", "ERROR")]
        write(layout, events[100:150], mode="ab")
        write(layout, events[150:], segment=2)
        found = follower.poll()
        begin = important.index(found[0])
        assert found == important[begin:]
        assert sum(event.seq <= 100 for event in found) == 3
        assert follower.poll() == []
        assert not follower.is_over


def test_a_follower_is_over_when_nobody_has_run_the_job_for_a_while(tmp_path: Path) -> None:
    layout, clock = layout_in(tmp_path), Clock()
    write(layout, history(3, 20))
    follower = LogFollower(layout, count=0, now=clock)
    assert len(follower.poll()) == 20
    assert not follower.is_over
    clock.at = 5.0
    assert follower.poll() == []
    assert follower.is_over
    assert not follower.is_gone


def test_a_follower_sees_a_job_that_starts_over_and_one_that_is_removed(tmp_path: Path) -> None:
    layout, clock = layout_in(tmp_path), Clock()
    write(layout, history(3, 20))
    follower = LogFollower(layout, count=1, now=clock)
    assert len(follower.poll()) == 1
    shutil.rmtree(layout.root)
    assert follower.poll() == []
    again = [msgspec.structs.replace(event, at=event.at + 1) for event in history(4, 30)]
    write(layout, again)
    assert follower.poll() == again
    shutil.rmtree(layout.root)
    assert follower.poll() == []
    clock.at = 5.0
    follower.poll()
    assert follower.is_over
    assert follower.is_gone


def test_a_job_that_starts_over_in_between_is_followed_from_its_beginning(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    write(layout, history(3, 20))
    follower = LogFollower(layout, count=1)
    follower.poll()
    again = [msgspec.structs.replace(event, at=event.at + 1) for event in history(4, 30)]
    write(layout, again)
    assert follower.poll() == again


# --- size -------------------------------------------------------------------------------------------------------------


def test_the_end_of_a_long_journal_and_one_batch_of_it_are_found_at_once(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    layout.journal.mkdir(parents=True)
    planned = ev.JobPlanned(seq=1, at=1.0, job_id="job", name="j", plan=ev.PlanShape(40_000), seed=1, config_digest="d")
    with layout.segment(1).open("wb") as file:
        file.write(EVENTS.wrap(ev.encode_event(planned)))
        tail = "x" * 400
        file.writelines(
            EVENTS.wrap(
                ev.encode_event(
                    ev.ValidationFailed(
                        seq=n, at=float(n), batch=n - 1, attempt=1, code="E201", message="m", stdout_tail=tail
                    )
                )
            )
            for n in range(2, 40_001)
        )
    began = time.process_time()
    assert [event.seq for event in last_events(layout, 50)] == list(range(39_951, 40_001))
    assert len(last_events(layout, 50, log_filter(batch=7))) == 1
    assert last_events(layout, 50, log_filter(events="job.*"))[-1] == planned
    assert len(last_events(layout, 50, log_filter(until=100.0))) == 50
    assert time.process_time() - began < 1.0  # 25 MB; decoding every event takes far longer
