from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.engine.resets import SHORTEST_SECONDS, seconds_until_reset

WALL = datetime(2026, 11, 20, 18, 0, tzinfo=UTC).timestamp()  # a Friday


def until(text: str, wall: float = WALL, zone: str = "UTC") -> str:
    """The instant that `text` names, in UTC."""
    wait = seconds_until_reset(text, wall, ZoneInfo(zone))
    return "" if wait is None else datetime.fromtimestamp(wall + wait, UTC).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You've hit your limit · resets 2pm (America/Toronto)", "2026-11-20 19:00:00"),
        ("You've hit your session limit · resets 8pm (America/New_York)", "2026-11-21 01:00:00"),
        ("You've hit your session limit · resets 5:30am (Asia/Calcutta)", "2026-11-21 00:00:00"),
        ("Claude usage limit reached. Your limit will reset at 12am.", "2026-11-21 00:00:00"),
        ("resets at 21:00", "2026-11-20 21:00:00"),
        ("resets at 9:30pm", "2026-11-20 21:30:00"),
        ("resets at 17:59", "2026-11-20 18:01:00"),
        ("resets at 17:00", "2026-11-21 17:00:00"),
        ("resets 12pm (UTC)", "2026-11-21 12:00:00"),
        ("resets 1 a.m. (UTC)", "2026-11-21 01:00:00"),
        ("resets 9PM UTC", "2026-11-20 21:00:00"),
        ("RESETS AT 9PM Europe/Berlin", "2026-11-20 20:00:00"),
        ("try again in 3 hours", "2026-11-20 21:00:00"),
        ("resets in 45 minutes", "2026-11-20 18:45:00"),
        ("resets in 1h30m", "2026-11-20 19:30:00"),
        ("retry after 2 minutes and 5 seconds", "2026-11-20 18:02:05"),
        ("resets in 2 days, 4 hours", "2026-11-22 22:00:00"),
        ("Please wait 30 seconds", "2026-11-20 18:00:30"),
        (f"Claude AI usage limit reached|{int(WALL) + 90}", "2026-11-20 18:01:30"),
        (f"Claude AI usage limit reached|{int(WALL) + 90}000", "2026-11-20 18:01:30"),
        ("You will regain access on 2026-12-01 at 00:00 UTC.", "2026-12-01 00:00:00"),
        ("resets 2026-11-21T01:00:00.000Z", "2026-11-21 01:00:00"),
        ("resets 2026-11-21T01:00:00+02:00", "2026-11-20 23:00:00"),
        ("resets on 2026-11-25", "2026-11-25 00:00:00"),
        ("reset at Feb 3, 9am", "2027-02-03 09:00:00"),
        ("resets Oct 9, 5pm (Europe/Berlin)", "2027-10-09 15:00:00"),
        ("resets Dec 1 at 12:30am UTC", "2026-12-01 00:30:00"),
        ("resets December 1st, 2026 at 10:00", "2026-12-01 10:00:00"),
        ("resets Monday 9am", "2026-11-23 09:00:00"),
        ("resets Friday at 17:00", "2026-11-27 17:00:00"),
        ("resets tomorrow at 9am", "2026-11-21 09:00:00"),
        ("limit reset failed; limit resets 7pm", "2026-11-20 19:00:00"),
    ],
)
def test_the_named_time_is_found(text: str, expected: str):
    assert until(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "try again later",
        "rate limit of 50 requests per minute",
        "it is 9pm, and nothing resets",
        "resets at 9",
        "resets 13pm",
        "resets at 25:00",
        "resets at 9:75",
        "resets Nov 31, 9am",
        "resets monthly",
        "in 3 hours",
        "resets 9999-12-31T23:59:59Z",
        "limit reached|0000000001",
        "resets in 999999 days",
        "resets 2019-01-01 at 00:00 UTC",
    ],
)
def test_no_time_is_made_up(text: str):
    assert seconds_until_reset(text, WALL, UTC) is None


@pytest.mark.parametrize("name", ["Atlantis/Center", "../../etc/passwd", "America", "Zzz"])
def test_an_unknown_zone_means_the_machines(name: str):
    assert until(f"resets 9pm ({name})", zone="America/New_York") == "2026-11-21 02:00:00"


def test_without_a_zone_the_machines_own_is_meant(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert seconds_until_reset("resets 5am", WALL) == 2 * 3600
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_that_the_clocks_jump_over_comes_as_long_after_the_jump():
    before = datetime(2026, 3, 29, 0, 30, tzinfo=UTC).timestamp()  # Berlin jumps from 2:00 to 3:00 at 1:00 UTC
    assert until("resets 2:30am (Europe/Berlin)", before) == "2026-03-29 01:30:00"


def test_a_time_that_comes_twice_is_met_the_first_time_and_then_the_second():
    before = datetime(2026, 10, 25, 0, 0, tzinfo=UTC).timestamp()  # Berlin goes back from 3:00 to 2:00 at 1:00 UTC
    assert until("resets 2:30am (Europe/Berlin)", before) == "2026-10-25 00:30:00"
    assert until("resets 2:30am (Europe/Berlin)", before + 3600) == "2026-10-25 01:30:00"


def test_a_limit_read_just_after_midnight_may_have_ended_just_before_it():
    after = datetime(2026, 11, 21, 0, 0, 30, tzinfo=UTC).timestamp()
    assert seconds_until_reset("resets 11:59pm (UTC)", after) == SHORTEST_SECONDS
    assert seconds_until_reset("resets Nov 20, 11pm (UTC)", after) == SHORTEST_SECONDS
    assert seconds_until_reset(f"limit reached|{int(after) - 3600}", after) == SHORTEST_SECONDS


_zones = st.sampled_from(["UTC", "America/Toronto", "Asia/Calcutta", "Europe/Berlin", "Australia/Lord_Howe"])
_walls = st.integers(1_700_000_000, 1_900_000_000).map(float)


@given(zone=_zones, wall=_walls, hour=st.integers(0, 23), minute=st.integers(0, 59))
def test_a_clock_time_is_its_next_occurrence_in_its_zone(zone: str, wall: float, hour: int, minute: int):
    half = f"{(hour - 1) % 12 + 1}:{minute:02d}{'am' if hour < 12 else 'pm'}"
    waits = {seconds_until_reset(f"resets {form} ({zone})", wall) for form in (half, f"at {hour:02d}:{minute:02d}")}
    assert len(waits) == 1
    wait = waits.pop()
    assert wait is not None
    assert 0 < wait <= 25 * 3600
    named = datetime.fromtimestamp(wall + wait, ZoneInfo(zone))
    if wait == SHORTEST_SECONDS:
        return  # perhaps only just passed
    if (named.hour, named.minute) != (hour, minute):
        skipped = named.replace(hour=hour, minute=minute)
        assert skipped.astimezone(UTC).astimezone(ZoneInfo(zone)).hour != hour, "only a skipped time may read otherwise"


@given(zone=_zones, wall=_walls, minutes=st.integers(1, 24 * 60 - 60))
def test_a_time_written_out_from_a_clock_is_read_back(zone: str, wall: float, minutes: int):
    wall = wall // 60 * 60
    shown = datetime.fromtimestamp(wall + minutes * 60, ZoneInfo(zone))
    wait = seconds_until_reset(f"resets {shown:%-I:%M%p} ({zone})", wall)
    read = datetime.fromtimestamp(wall + (wait or 0), ZoneInfo(zone))
    assert (read.hour, read.minute) == (shown.hour, shown.minute)
    assert wait is not None
    assert wait <= minutes * 60


@given(wall=_walls, hours=st.integers(0, 300), minutes=st.integers(0, 59), seconds=st.integers(1, 59))
def test_a_span_is_added_up(wall: float, hours: int, minutes: int, seconds: int):
    text = f"resets in {hours} hours {minutes} minutes and {seconds} seconds"
    assert seconds_until_reset(text, wall) == hours * 3600 + minutes * 60 + seconds


@given(text=st.text(alphabet="resetainpm 0123456789:()/|-,·UTCFebMonday", max_size=80), wall=st.floats(0, 4e9))
def test_any_text_is_survived_and_no_wait_is_negative(text: str, wall: float):
    wait = seconds_until_reset(f"resets {text}", wall, UTC)
    assert wait is None or 0 < wait <= 400 * 86400
