"""What people write on the command line."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.errors import MisuseError
from mozart_nb.selection import numbers_in, parse_at, parse_batches, parse_length, parse_past

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=BERLIN).timestamp()


def at(text: str, now: float = NOON) -> str:
    """The moment in UTC."""
    return datetime.fromtimestamp(parse_at(text, now), ZoneInfo("UTC")).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("3", ((3, 3),)),
        ("3,7-9", ((3, 3), (7, 9))),
        ("7-9, 3", ((3, 3), (7, 9))),
        ("1,2,3", ((1, 3),)),
        ("2-5,4-8", ((2, 8),)),
        ("9-", ((9, 12),)),
        ("-2", ((1, 2),)),
        ("1-12", ((1, 12),)),
    ],
)
def test_batches_are_numbers_and_ranges(text: str, spans: tuple[tuple[int, int], ...]) -> None:
    assert parse_batches(text, 12) == spans


@pytest.mark.parametrize("text", ["", ",", "a", "3-x", "9-7", "0", "13", "1-13", "-", "1.5", "--3"])
def test_what_names_no_batch_of_the_job_is_refused(text: str) -> None:
    with pytest.raises(MisuseError):
        parse_batches(text, 12)


@given(st.sets(st.integers(1, 40), min_size=1))
def test_any_set_of_batches_survives_being_written_as_ranges(numbers: set[int]) -> None:
    spans = parse_batches(",".join(map(str, numbers)), 40)
    assert set(numbers_in(spans)) == numbers
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(spans))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("13:30 Europe/Berlin", "2026-11-20 12:30:00"),
        ("07:05 Europe/Berlin", "2026-11-21 06:05:00"),
        ("7:05am Europe/Berlin", "2026-11-21 06:05:00"),
        ("7pm (America/Toronto)", "2026-11-21 00:00:00"),
        ("12am UTC", "2026-11-21 00:00:00"),
        ("12pm UTC", "2026-11-20 12:00:00"),
        ("07:05Z", "2026-11-21 07:05:00"),
        ("07:05:30 +05:30", "2026-11-21 01:35:30"),
        ("2026-11-21 07:05 Europe/Berlin", "2026-11-21 06:05:00"),
        ("2026-11-21T07:05+01:00", "2026-11-21 06:05:00"),
        ("tomorrow 13:30 Europe/Berlin", "2026-11-21 12:30:00"),
        ("+2h", "2026-11-20 13:00:00"),
        ("+1h30m", "2026-11-20 12:30:00"),
        ("+90s", "2026-11-20 11:01:30"),
        ("+2d", "2026-11-22 11:00:00"),
    ],
)
def test_a_time_is_its_next_occurrence_in_its_zone(text: str, expected: str) -> None:
    assert at(text) == expected


def test_a_time_without_zone_is_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    local = datetime.fromtimestamp(NOON).astimezone()
    wanted = local.replace(hour=(local.hour + 1) % 24, minute=5)
    assert datetime.fromtimestamp(parse_at(f"{wanted:%H:%M}", NOON)).astimezone().strftime("%H:%M") == f"{wanted:%H:%M}"


def test_the_next_occurrence_is_found_across_a_change_of_the_clocks() -> None:
    evening = datetime(2026, 10, 24, 22, 0, tzinfo=BERLIN).timestamp()  # clocks go back that night
    assert at("07:05 Europe/Berlin", evening) == "2026-10-25 06:05:00"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("7", "no time"),
        ("soon", "no time"),
        ("25:00", "hour"),
        ("07:61", "minute"),
        ("13pm", "no 13 pm"),
        ("2026-02-30 07:00", "day"),
        ("2020-01-01 07:00", "passed"),
        ("07:05 Nowhere/City", "time zone"),
        ("07:05 +99:00", "offset"),
        ("+5", "unit"),
        ("+", "no length"),
        ("+5 parsecs", "no length"),
    ],
)
def test_what_is_no_moment_to_come_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(MisuseError, match=reason) as caught:
        parse_at(text, NOON)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("1.5h", 5400), ("2 d", 172800)]
)
def test_lengths_of_time_have_units(text: str, seconds: float) -> None:
    assert parse_length(text) == seconds


# --- the past ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", "2026-11-20 09:00:00"),
        ("1h 30m", "2026-11-20 09:30:00"),
        ("11:30 Europe/Berlin", "2026-11-20 10:30:00"),
        ("14:00Z", "2026-11-19 14:00:00"),
        ("yesterday 7am Europe/Berlin", "2026-11-19 06:00:00"),
        ("2026-11-18T07:05:09Z", "2026-11-18 07:05:09"),
        ("2026-11-18T07:05:09.25+01:00", "2026-11-18 06:05:09"),
    ],
)
def test_a_moment_of_the_past_is_so_long_ago_or_the_last_of_its_kind(text: str, moment: str) -> None:
    found = parse_past(text, NOON, "--since")
    assert datetime.fromtimestamp(found, ZoneInfo("UTC")).strftime("%Y-%m-%d %H:%M:%S") == moment


def test_a_time_after_another_one_is_the_next() -> None:
    since = parse_past("23:00Z", NOON, "--since")
    assert parse_past("02:00Z", NOON, "--until", after=since) == since + 3 * 3600


@pytest.mark.parametrize(
    "text", ["", "12", "2x", "25:00", "last week", "12:00 Nowhere/City", "0001-01-01T00:00", "0001-01-01 00:00"]
)
def test_what_is_no_moment_is_refused_with_the_name_of_its_option(text: str) -> None:
    with pytest.raises(MisuseError, match=r"^--until"):
        parse_past(text, NOON, "--until")
