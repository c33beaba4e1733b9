"""Pictures of numbers: places in a drawing, which templates write as SVG. Nothing here is text of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.consumers.history.trend import per_batch, worked
from mozart_nb.looking.details import AttemptDetails
from mozart_nb.looking.timeline import Moments
from mozart_nb.words import dollars, moment, percent, plural, roughly

WIDTH: Final = 1000
HEIGHT: Final = 92
COLUMNS: Final = (24, 100)
"""Columns of the chart of a run, at least and at most: wide ones for few batches, narrow ones for many."""

_MARKS_ABOVE: Final = 12
_MOST_MARKS: Final = 40
_MOST_RUNS: Final = 60
_TREND: Final = (300, 64, 6)
_SETTLED: Final = ("completed", "failed")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the colour of a status."""

    status: str
    x: float
    y: float
    width: float
    height: float
    words: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A line at a moment."""

    kind: str
    x: float


@dataclass(frozen=True, slots=True)
class MarkLink:
    """A moment to go to."""

    at: float
    label: str
    href: str


@dataclass(frozen=True, slots=True)
class Activity:
    """Batches settled over time, and the moments in between. `cursor` is the moment that is shown, None for now."""

    boxes: Sequence[Box]
    ticks: Sequence[Tick]
    marks: Sequence[MarkLink]
    cursor: float | None
    words: str
    from_words: str
    to_words: str
    scale_words: str


@dataclass(frozen=True, slots=True)
class Settled:
    """How many batches settled in each column of time between two moments (epoch seconds)."""

    first_at: float
    last_at: float
    completed: Sequence[int]
    failed: Sequence[int]

    @classmethod
    def of(cls, ends: Iterable[tuple[str, float]], first_at: float, last_at: float) -> Settled:
        """From status and end of batches."""
        known = [(status, at) for status, at in ends if at and status in _SETTLED]
        columns = min(COLUMNS[1], max(COLUMNS[0], len(known) // 4))
        counted = {status: [0] * columns for status in _SETTLED}
        length = max(1e-6, last_at - first_at)
        for status, at in known:
            column = int((at - first_at) / length * columns)
            counted[status][min(columns - 1, max(0, column))] += 1
        return cls(first_at, last_at, counted["completed"], counted["failed"])

    @property
    def column_seconds(self) -> float:
        return (self.last_at - self.first_at) / len(self.completed)


def activity_of(
    settled: Settled, moments: Moments, address: Callable[[int], str], *, at: float | None, now: float
) -> Activity:
    """The chart of a run. `address` tells where a moment (number of an event) is shown."""
    most = max((done + lost for done, lost in zip(settled.completed, settled.failed, strict=True)), default=0)
    length = max(1e-6, settled.last_at - settled.first_at)

    def place(when: float) -> float:
        return round(min(1.0, max(0.0, (when - settled.first_at) / length)) * WIDTH, 1)

    done, lost = sum(settled.completed), sum(settled.failed)
    words = f"{plural(done, 'batch')} completed and {lost:,} failed between the two ends"
    marks = [MarkLink(one.at, one.label, address(one.seq)) for one in moments.marks]
    return Activity(
        boxes=_stacked(settled, most),
        ticks=[Tick(one.kind, place(one.at)) for one in moments.marks],
        marks=marks if len(marks) <= _MOST_MARKS else [*marks[:4], *marks[-(_MOST_MARKS - 4) :]],
        cursor=place(at) if at is not None else None,
        words=words,
        from_words=moment(settled.first_at, now),
        to_words=moment(settled.last_at, now),
        scale_words=f"{plural(most, 'batch')} in {roughly(settled.column_seconds)} at most" if most else "",
    )


def _stacked(settled: Settled, most: int) -> list[Box]:
    room, width = HEIGHT - _MARKS_ABOVE, WIDTH / len(settled.completed)
    boxes = []
    for column, (done, lost) in enumerate(zip(settled.completed, settled.failed, strict=True)):
        left = round(column * width, 1)
        top = float(HEIGHT)
        for status, many in (("completed", done), ("failed", lost)):
            if many:
                height = max(2.0, room * many / most)
                top -= height
                boxes.append(Box(status, left, round(top, 1), round(width - 1, 1), round(height, 1)))
    return boxes


# --- attempts of a batch ----------------------------------------------------------------------------------------------


def attempt_boxes(attempts: Sequence[AttemptDetails], now: float) -> list[Box]:
    """The attempts of one batch side by side, with the waits between them, as wide as they were long."""
    pieces: list[tuple[str, float, str]] = []
    for place, one in enumerate(attempts):
        if place and one.wait_seconds > 0:
            pieces.append(("skipped", one.wait_seconds, f"waited {roughly(one.wait_seconds)} {one.wait_reason}"))
        status = "running" if not one.finished_at else "completed" if one.passed else "failed"
        lasted = one.duration or max(0.0, (one.finished_at or now) - one.started_at)
        pieces.append(
            (status, lasted, f"attempt {one.attempt}, {one.mode}: {one.code or one.outcome}, {roughly(lasted)}")
        )
    total = sum(seconds for _, seconds, _ in pieces) or 1.0
    widths = [max(6.0, WIDTH * seconds / total) for _, seconds, _ in pieces]
    scale = WIDTH / sum(widths) if widths else 1.0
    boxes, at = [], 0.0
    for (status, _, words), width in zip(pieces, widths, strict=True):
        is_wait = status == "skipped"
        size = max(1.0, width * scale - 1)
        boxes.append(Box(status, round(at, 1), 5 if is_wait else 0, round(size, 1), 4 if is_wait else 14, words))
        at += width * scale
    return boxes


# --- runs of a job ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trend:
    """One measure over the runs of a job, as a line and the area below it."""

    label: str
    last: str
    words: str
    line: str
    area: str


def trends_of(runs: Sequence[RunRow]) -> list[Trend]:
    """How the runs of a job compare; nothing with fewer than two that settled a batch."""
    found = worked(runs)[-_MOST_RUNS:]
    if len(found) < 2:
        return []
    measures: tuple[tuple[str, Callable[[RunRow], float | None], Callable[[float], str], float], ...] = (
        ("success", lambda run: run.success_rate, percent, 1.0),
        ("good at the first try", lambda run: run.first_try_rate, percent, 1.0),
        ("session time per batch", lambda run: per_batch(run, run.tally.session_seconds), roughly, 0.0),
        ("cost per batch", lambda run: per_batch(run, run.tally.cost_usd), dollars, 0.0),
    )
    return [_trend(label, [value(run) for run in found], shown, top) for label, value, shown, top in measures]


def _trend(label: str, values: Sequence[float | None], shown: Callable[[float], str], top: float) -> Trend:
    known = [value or 0.0 for value in values]
    width, height, edge = _TREND
    most = top or max(known) or 1.0
    step = width / max(1, len(known) - 1)
    points = [(round(place * step, 1), round(height - 1 - (height - edge) * value / most, 1))
              for place, value in enumerate(known)]  # fmt: skip
    line = "M" + " L".join(f"{x} {y}" for x, y in points)
    words = f"{label}: {shown(known[0])} in the first of {len(known)} runs, {shown(known[-1])} in the last"
    return Trend(label, shown(known[-1]), words, line, f"{line} L{width} {height - 1} L0 {height - 1} Z")
