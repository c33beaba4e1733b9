"""What people write to choose: batches (`3,7-9`), moments (`07:05`, `+2h`), lengths of time."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mozart_nb.errors import MisuseError

Spans = tuple[tuple[int, int], ...]

_UNITS: Final = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
_MOMENT = re.compile(
    r"(?:(?P<day>today|tomorrow|yesterday|\d{4}-\d{2}-\d{2})(?:T|\s+))?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2}))?)?\s*(?P<half>[ap]m)?"
    r"\s*\(?(?P<zone>Z|[+-]\d{2}(?::?\d{2})?|[A-Za-z][A-Za-z0-9_+\-/]*)?\)?",
    re.IGNORECASE,
)
_DAYS: Final = {"tomorrow": 1, "yesterday": -1}
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})?")
_PAST_HINT: Final = "write `14:00`, `2026-11-21 07:05`, `2026-11-21T07:05:00Z`, `yesterday 22:00`, `2h` or `30m`"
_TIME_HINT: Final = "write `07:05`, `2026-11-21 07:05`, `7:05am Europe/Berlin`, `07:05Z` or `+2h30m`"


# --- batches ----------------------------------------------------------------------------------------------------------


def parse_batches(text: str, total: int) -> Spans:
    """`3,7-9` as inclusive spans in rising order, joined where they touch. `7-` reaches to the end.

    Raises `MisuseError` for anything else and for batches that do not exist (1 to `total`).
    """
    spans = sorted(_span(part.strip(), total) for part in text.split(",") if part.strip())
    if not spans:
        raise _no_batches(text, "no batch is named")
    joined = [spans[0]]
    for low, high in spans[1:]:
        if low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def _span(part: str, total: int) -> tuple[int, int]:
    found = re.fullmatch(r"(\d*)\s*(-?)\s*(\d*)", part)
    if found is None or not (found[1] or found[3]):
        raise _no_batches(part, "this is no batch and no range")
    low = int(found[1] or 1)
    high = int(found[3] or total) if found[2] else low
    if not 1 <= low <= high <= total:
        is_backwards = low > high and bool(found[3])
        reason = "the range runs backwards" if is_backwards else f"there are batches 1 to {total}"
        raise _no_batches(part, reason)
    return low, high


def _no_batches(text: str, reason: str) -> MisuseError:
    return MisuseError(f"--batches {text}: {reason}", hint="write numbers and ranges: `3,7-9`")


def numbers_in(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Every batch of the spans."""
    return [number for low, high in spans for number in range(low, high + 1)]


# --- time -------------------------------------------------------------------------------------------------------------


def parse_length(text: str) -> float:
    """Seconds in `90s`, `5m`, `1h30m`, `2d`; a plain number is seconds. Raises `MisuseError`."""
    compact = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        return float(compact)
    parts = _PART.findall(compact)
    if not parts or _PART.sub("", compact).strip() or any(unit.lower() not in _UNITS for _, unit in parts):
        raise MisuseError(f"`{text}` is no length of time", hint="write `90s`, `5m`, `1h30m` or `2d`")
    return sum(float(amount) * _UNITS[unit.lower()] for amount, unit in parts)


def parse_at(text: str, now: float) -> float:
    """When `text` means, in epoch seconds; `now` likewise.

    A time without a date is its next occurrence, one without a zone is this machine's. Raises `MisuseError` for what is
    no time, for unknown zones and for moments that have passed.
    """
    words = text.strip()
    if words.startswith("+"):
        if words[1:].strip().isdecimal():
            raise MisuseError(f"--at {text}: a unit is missing", hint="write `+90s`, `+5m` or `+2h`")
        return now + parse_length(words[1:])
    found = _MOMENT.fullmatch(words)
    if found is None or (found["minute"] is None and found["half"] is None):
        raise _no_time(text, "this is no time")
    zone = _zone(found["zone"], text)
    local = datetime.fromtimestamp(now, zone) if zone else datetime.fromtimestamp(now)  # noqa: DTZ006  # machine's zone
    at = _epoch(_on_day(found, local, text), zone)
    if at > now:
        return at
    if found["day"]:
        raise _no_time(text, "this moment has passed")
    return _epoch(_on_day(found, local + timedelta(days=1), text), zone)


def parse_past(text: str, now: float, option: str, *, after: float = 0.0) -> float:
    """Which moment of the past `text` means, in epoch seconds; `now` likewise. `option` is named in errors.

    `2h` and `30m` are so long ago. A time without a date is its last occurrence, or with `after` the first one behind
    that moment; one without a zone is this machine's. A date alone is its midnight. Raises `MisuseError`.
    """
    words = text.strip()
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(words).timestamp()
    if not _PART.sub("", words).strip():
        with contextlib.suppress(MisuseError):
            return now - parse_length(words)
    found = _MOMENT.fullmatch(words)
    try:
        if found is None or (found["minute"] is None and found["half"] is None):
            raise _no_time(text, "this is no time")
        zone = _zone(found["zone"], text)
        if after and not found["day"]:
            return parse_at(words, after)
        local = datetime.fromtimestamp(now, zone) if zone else datetime.fromtimestamp(now)  # noqa: DTZ006  # machine's zone
        at = _epoch(_on_day(found, local, text), zone)
        return at if at <= now or found["day"] else _epoch(_on_day(found, local - timedelta(days=1), text), zone)
    except MisuseError as error:
        raise MisuseError(f"{named(option, text)}: {error.message.partition(': ')[2]}", hint=_PAST_HINT) from None


def named(option: str, text: str) -> str:
    """A value as it was given: `--since noon` on a command line, `since='noon'` in a call."""
    return f"{option} {text}" if option.startswith("-") else f"{option}={text!r}"


def _on_day(found: re.Match[str], local: datetime, text: str) -> datetime:
    """The wall-clock time without its zone."""
    day = (found["day"] or "").lower()
    hour, half = int(found["hour"]), (found["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        raise _no_time(text, f"there is no {hour} {half}")
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    date = local + timedelta(days=_DAYS.get(day, 0))
    try:
        if day and day[0].isdigit():
            date = datetime.strptime(day, "%Y-%m-%d")  # noqa: DTZ007  # the zone comes later
        return datetime(date.year, date.month, date.day, hour, int(found["minute"] or 0), int(found["second"] or 0))  # noqa: DTZ001
    except ValueError as error:
        raise _no_time(text, str(error)) from None


def _epoch(wall: datetime, zone: tzinfo | None) -> float:
    # A time without zone is converted by the rules of the machine's zone on that very day.
    try:
        return wall.replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError) as error:  # in the first and the last days that there are
        raise _no_time(f"{wall}", str(error)) from None


def _zone(name: str | None, text: str) -> tzinfo | None:
    if not name:
        return None
    if name.upper() in ("Z", "UTC", "GMT"):
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset:
        hours, minutes = int(offset[2]), int(offset[3] or 0)
        if hours > 14 or minutes > 59:
            raise _no_time(text, f"there is no offset {name}")
        return timezone(timedelta(hours=hours, minutes=minutes) * (-1 if offset[1] == "-" else 1))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _no_time(text, f"there is no time zone `{name}`") from None


def _no_time(text: str, reason: str) -> MisuseError:
    return MisuseError(f"--at {text}: {reason}", hint=_TIME_HINT)
