"""When a limit ends, read from the words of an error message.

Services and the `claude` program name the time in many ways: `resets 2pm (America/Toronto)`, `will reset at 12am.`,
`resets at 21:00`, `in 45 minutes`, `limit reached|1767225600`, `on 2026-12-01 at 00:00 UTC`, `Feb 3, 9am`. A clock time
is local to the zone named beside it, to the machine's zone without one, and its next occurrence is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

JUST_PASSED_SECONDS = 120.0
"""A clock time that passed no longer ago than this is not taken for tomorrow's: clocks differ, messages travel."""

SHORTEST_SECONDS = 60.0
"""The wait when the named time has only just passed, so that nobody asks again in the same second."""

_DAY_SECONDS = 86400.0
_LONGEST_SECONDS = 400 * _DAY_SECONDS
_TEXT_LIMIT = 4000

_MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_WEEKDAYS = {name: number for number, name in enumerate("mon tue wed thu fri sat sun".split())}
_UNITS = {"d": _DAY_SECONDS, "h": 3600.0, "m": 60.0, "s": 1.0}


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_ANCHOR = _pattern(r"\b(?:resets?|renews?|regain\s+access|available\s+again|try\s+again|retry|wait)\b[\s:·]*")
_EPOCH = _pattern(r"\|\s*(\d{10})(?:\d{3})?(?!\d)")
_UNIT = r"(?:days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])"
_SPAN = _pattern(r"(\d{1,6}(?:\.\d{1,3})?)\s*([dhms])")
_RELATIVE = _pattern(rf"(?:in|after|for)?\s*((?:\d{{1,6}}(?:\.\d{{1,3}})?\s*{_UNIT}[\s,]*(?:and\s+)?){{1,4}})")

_CLOCK = r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::\d{2}(?:\.\d+)?)?)?\s*(?P<half>[ap]\.?m\b\.?)?"
_ZONE = (
    r"(?:\s*\(\s*(?P<zone>[a-z][\w+\-/]{0,40})\s*\)|\s*(?P<bare_zone>(?:UTC|GMT|Z)\b|[a-z]{2,}/[a-z][\w/+\-]{1,30})"
    r"|(?P<offset>[+-]\d\d:?\d\d))?"
)
_MONTH_DAY = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?\b(?:,?\s+(?P<year>\d{4})\b)?"
)
_WEEKDAY = r"(?P<weekday>mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b|(?P<word>today|tomorrow)\b"
_LEAD = r"(?:at|on|after|around)?\s*"
_ISO = _pattern(rf"{_LEAD}(?P<date>\d{{4}}-\d\d-\d\d)(?:[T\s,]*(?:at\s+)?{_CLOCK})?{_ZONE}")
_NAMED_DAY = _pattern(rf"{_LEAD}(?:{_MONTH_DAY}|{_WEEKDAY})(?:,?\s*(?:at\s+)?{_CLOCK})?{_ZONE}")
_TIME = _pattern(rf"{_LEAD}{_CLOCK}{_ZONE}")


def seconds_until_reset(text: str, wall: float, zone: tzinfo | None = None) -> float | None:
    """Seconds from `wall` (epoch seconds) until the reset that `text` names; None if it names none.

    `zone` stands in for the machine's own. Always positive: a time that has only just passed asks for a minute, one
    that passed more than a day ago or is more than 400 days away counts as not named.
    """
    for until in _named_times(text[:_TEXT_LIMIT], wall, zone):
        wait = until - wall
        if -_DAY_SECONDS < wait <= 0:
            return SHORTEST_SECONDS
        if 0 < wait <= _LONGEST_SECONDS:
            return wait
    return None


def _named_times(text: str, wall: float, zone: tzinfo | None) -> Iterator[float]:
    for match in _EPOCH.finditer(text):
        yield float(match[1])
    for anchor in _ANCHOR.finditer(text):
        try:
            until = _read(text, anchor.end(), wall, zone)
        except (ValueError, OverflowError, OSError):
            continue  # the 31st of February, 25 o'clock, the year 9999
        if until is not None:
            yield until


def _read(text: str, at: int, wall: float, zone: tzinfo | None) -> float | None:
    if match := _RELATIVE.match(text, at):
        return wall + sum(float(amount) * _UNITS[unit.lower()] for amount, unit in _SPAN.findall(match[1]))
    if match := _ISO.match(text, at):
        return _first(_epochs([date.fromisoformat(match["date"])], match, zone))
    if match := _NAMED_DAY.match(text, at):
        today = _today(wall, _zone_of(match, zone))
        slack = _DAY_SECONDS if match["month"] else JUST_PASSED_SECONDS
        return _first(_epochs(_days_named(match, today), match, zone), after=wall - slack)
    if (match := _TIME.match(text, at)) and (match["minute"] or match["half"]):
        today = _today(wall, _zone_of(match, zone))
        days = [today + timedelta(days=offset) for offset in (-1, 0, 1, 2)]
        return _first(_epochs(days, match, zone), after=wall - JUST_PASSED_SECONDS)
    return None


def _first(epochs: Iterable[float], after: float = float("-inf")) -> float | None:
    return min((epoch for epoch in epochs if epoch > after), default=None)


def _days_named(match: re.Match[str], today: date) -> Iterator[date]:
    if match["month"]:
        month, day = _MONTHS[match["month"][:3].lower()], int(match["day"])
        years = [int(match["year"])] if match["year"] else [today.year - 1, today.year, today.year + 1]
        yield from (date(year, month, day) for year in years if (month, day) != (2, 29) or _is_leap(year))
    elif match["weekday"]:
        ahead = (_WEEKDAYS[match["weekday"][:3].lower()] - today.weekday()) % 7
        yield from (today + timedelta(days=ahead + week) for week in (0, 7))
    else:
        yield today + timedelta(days=1 if match["word"].lower() == "tomorrow" else 0)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _epochs(days: Iterable[date], match: re.Match[str], zone: tzinfo | None) -> Iterator[float]:
    """Epoch seconds of the clock time in `match` on each of `days`: two where the clocks go back over it.

    A time that the clocks jump over is read as if they had not, which lands just as long after the jump.
    """
    hour, minute = _clock_of(match)
    place = _zone_of(match, zone)
    for day in days:
        local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=place)
        yield local.timestamp()
        again = local.replace(fold=1).timestamp()
        if again != local.timestamp() and _reads(again, place) == local.replace(tzinfo=None):
            yield again


def _clock_of(match: re.Match[str]) -> tuple[int, int]:
    hour, minute = int(match["hour"] or 0), int(match["minute"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hour} is not an hour of the morning or the afternoon")
        hour = hour % 12 + (12 if match["half"][0].lower() == "p" else 0)
    return hour, minute


def _zone_of(match: re.Match[str], machine: tzinfo | None) -> tzinfo | None:
    """The zone named in `match`; the machine's (None unless given) when there is none or nobody knows it."""
    if offset := match["offset"]:
        minutes = int(offset[1:3]) * 60 + int(offset[-2:])
        return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
    name = match["zone"] or match["bare_zone"] or ""
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    try:
        return ZoneInfo(name) if name else machine
    except (KeyError, ValueError, OSError):
        return machine


def _today(wall: float, zone: tzinfo | None) -> date:
    return _reads(wall, zone).date()


def _reads(epoch: float, zone: tzinfo | None) -> datetime:
    """What a clock on the wall shows; without a zone Python takes the machine's, which is what is meant."""
    return datetime.fromtimestamp(epoch, zone).replace(tzinfo=None)
