"""Which events are wanted: by level, batch, name and time; the same for events and for lines of a log file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final

from mozart_nb import events as ev
from mozart_nb.consumers.lines import LEVELS, Level, highest_level, level_of
from mozart_nb.consumers.log import LogLine
from mozart_nb.errors import MisuseError
from mozart_nb.selection import parse_batches, parse_past

Moment = str | float | datetime
"""Epoch seconds, a `datetime`, or what people write: `14:00`, `2h`, `2026-11-21T07:05`."""

_FOREVER: Final = float("inf")
_KINDS: Final = {ev.kind_of(kind): kind for kind in ev.event_types()}


@dataclass(frozen=True, kw_only=True)
class LogFilter:
    """What is wanted: at least this `level`; `batch` 0 and no `events` (names, `*` and `?` as wildcards) stand for all.

    `since` and `until` are epoch seconds, both included. `job_id` counts for lines of a file that jobs share.
    """

    level: Level = "DEBUG"
    batch: int = 0
    events: tuple[str, ...] = ()
    since: float = 0.0
    until: float = _FOREVER
    job_id: str = ""

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Names of the events that can be wanted at all."""
        least = LEVELS.index(self.level)
        kinds = (name for name, kind in _KINDS.items() if LEVELS.index(highest_level(kind)) >= least)
        return frozenset(name for name in kinds if self._is_named(name))

    @property
    def is_narrow(self) -> bool:
        """Whether something other than the level is asked for."""
        return bool(self.batch or self.events or self.since or self.until < _FOREVER)

    def wants(self, event: ev.Event) -> bool:
        """Whether this event is wanted."""
        return (
            LEVELS.index(level_of(event)) >= LEVELS.index(self.level)
            and self._is_named(ev.kind_of(event))
            and self.since <= event.at <= self.until
            and (not self.batch or concerns(event, self.batch))
        )

    def wants_line(self, line: LogLine) -> bool:
        """The same of a line. What a line does not say is no reason against it, but to ask for more than a level is."""
        if not line.event:
            return not self.is_narrow
        return (
            (line.level not in LEVELS or LEVELS.index(line.level) >= LEVELS.index(self.level))
            and self._is_named(line.event)
            and self._is_in_time(line.at)
            and (not self.batch or _line_concerns(line, self.batch))
            and (not self.job_id or line.fields.get("job_id", self.job_id) == self.job_id)
        )

    def _is_named(self, name: str) -> bool:
        return not self.events or any(fnmatchcase(name, pattern) for pattern in self.events)

    def _is_in_time(self, at: float) -> bool:
        if not at:
            return not self.since and self.until == _FOREVER
        return self.since <= at <= self.until


EVERYTHING: Final = LogFilter()


def log_filter(
    *,
    level: str = "DEBUG",
    batch: int = 0,
    events: Sequence[str] | str = (),
    since: Moment = "",
    until: Moment = "",
    job_id: str = "",
    now: float | None = None,
) -> LogFilter:
    """A filter from what people write. `until` without a date is the first such time after `since`.

    Raises `MisuseError`, with the name of the command's option, for a level, an event or a moment that does not exist.
    """
    names = (events,) if isinstance(events, str) else tuple(events)
    for name in names:
        if not any(fnmatchcase(kind, name) for kind in _KINDS):
            raise MisuseError(f"--event {name}: there is no such event", hint=_event_hint(name))
    moment = time.time() if now is None else now
    begin = _moment(since, moment, "--since")
    end = _moment(until, moment, "--until", after=begin) or _FOREVER
    return LogFilter(level=_level(level), batch=batch, events=names, since=begin, until=end, job_id=job_id)


def _level(text: str) -> Level:
    for level in LEVELS:
        if level == text.upper():
            return level
    raise MisuseError(f"--level {text}: there is no such level", hint=f"one of {', '.join(LEVELS)}")


def _moment(given: Moment, now: float, option: str, *, after: float = 0.0) -> float:
    if isinstance(given, datetime):
        return given.timestamp()
    if isinstance(given, str):
        return parse_past(given, now, option, after=after) if given else 0.0
    return float(given)


def _event_hint(name: str) -> str:
    family = name.partition(".")[0]
    near = sorted(kind for kind in _KINDS if kind.partition(".")[0] == family) or sorted(
        {f"{kind.partition('.')[0]}.*" for kind in _KINDS}
    )
    return f"one of {', '.join(near)}"


# --- batches ----------------------------------------------------------------------------------------------------------


def concerns(event: ev.Event, batch: int) -> bool:
    """Whether an event is about that batch."""
    match event:
        case ev.BatchBlocked():
            return batch in event.batches or batch == event.by
        case ev.BatchRenewed():
            return batch in event.batches
        case ev.BatchSkipped() if event.last:
            return event.batch <= batch <= event.last
        case ev.RemoteSubmitting():
            return any(first <= batch <= last for first, last, _ in event.entries)
        case _:
            return bool(getattr(event, "batch", 0) == batch)


def _line_concerns(line: LogLine, batch: int) -> bool:
    """The same for a line of either form: numbers stand in it as JSON, or as people write them."""
    numbers = {name: _number(line.fields.get(name)) for name in ("batch", "by", "last")}
    if line.event == "batch.skipped" and numbers["last"]:
        return numbers["batch"] <= batch <= numbers["last"]
    if line.event == "batch.blocked" and numbers["by"] == batch:
        return True
    return numbers["batch"] == batch or _is_among(batch, line.fields.get("batches"))


def _number(value: object) -> int:
    return value if isinstance(value, int) else int(value) if isinstance(value, str) and value.isdecimal() else 0


def _is_among(batch: int, value: object) -> bool:
    """Whether a list of batches, or what people write for one (`3-7,9`), has that one."""
    if isinstance(value, list):
        return batch in value
    if not isinstance(value, str):
        return False
    try:
        return any(low <= batch <= high for low, high in parse_batches(value.partition(" and ")[0], 10**9))
    except MisuseError:
        return False
