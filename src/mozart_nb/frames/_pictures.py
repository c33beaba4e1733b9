"""Draws the figures of `frames.plots`. Imports matplotlib, and is therefore imported late.

The background is transparent, and ink and colours are of a middle brightness, so that a figure can be read in light and
in dark themes alike: each has a contrast of at least 3 to 1 to white and to the dark of JupyterLab, texts of 4 to 1.
Every class of attempts is one collection of lines, however many there are.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any, Final

import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, MultipleLocator, NullFormatter

from mozart_nb.codes import lookup
from mozart_nb.consumers.rows import AttemptRecord, ErrorRecord
from mozart_nb.engine.state import JobState
from mozart_nb.frames.spans import Spans, result_of
from mozart_nb.words import count, dollars, one_line, plural, roughly

INK: Final = "#767676"
GREEN, RED, AMBER, BLUE, PURPLE, GREY = "#2c9a55", "#e0453a", "#b97700", "#3f80d8", "#a05fd6", "#858585"
COLOURS: Final[Mapping[str, str]] = {
    "passed": GREEN,
    "running": BLUE,
    "abandoned": GREY,
    "rate limited": AMBER,
    "failed": RED,
    "first": BLUE,
    "retry": AMBER,
    "completion": PURPLE,
    "healed": GREEN,
}
"""How attempts are coloured, in the order in which they are drawn: what went wrong is never hidden."""

BANDS: Final[Mapping[str, str]] = {"rate limit": AMBER, "circuit breaker": RED, "not running": GREY}

_WIDTH: Final = 9.0
_DPI: Final = 100
_PER_BATCH: Final = 0.22
_TALLEST: Final = 5.5
_THINNEST, _THICKEST = 1.6, 9.0
_SHORTEST: Final = 1 / 500
"""Part of the picture's width that the shortest attempt takes, so that it can be seen."""

_MANY: Final = 60
"""Batches from which on the timeline shows as well how many attempts ended when: its lines are too thin to count."""

_STEPS: Final = 120
_BINS: Final = 40
_WIDE: Final = 30.0
_MOST_TICKS: Final = 10
_TIME_STEPS: Final = (
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    1200,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
    604800,
)
_SECONDS_PER_DAY: Final = 86400.0
_NAME_WIDTH: Final = 60


class Picture(Figure):
    """A figure that notebooks show as it is, without pyplot and its backends; twice as fine as it is large."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=2 * _DPI)
        width, height = self.get_size_inches()
        return buffer.getvalue(), {"width": round(width * _DPI), "height": round(height * _DPI)}


def _figure(size: tuple[float, float] | None, height: float) -> Picture:
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
    return Picture(figsize=size or (_WIDTH, height), dpi=_DPI, layout=layout, facecolor="none")


def _styled(axes: Axes) -> Axes:
    axes.set_facecolor("none")
    axes.tick_params(colors=INK, which="both")
    for side, spine in axes.spines.items():
        spine.set_color(INK)
        spine.set_visible(side in ("left", "bottom"))
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return axes


def _title(axes: Axes, name: str, *facts: str) -> None:
    axes.set_title(
        " · ".join([one_line(name, _NAME_WIDTH), *facts]), color=INK, loc="left", fontsize=10.5, parse_math=False
    )


def _legend(figure: Figure, handles: Sequence[Any]) -> None:
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=min(4, len(handles)),
            frameon=False,
            labelcolor=INK,
            fontsize=9,
        )


def _nothing(name: str, what: str, size: tuple[float, float] | None) -> Picture:
    figure = _figure(size, 2.0)
    axes = figure.add_subplot()
    axes.set_axis_off()
    _title(axes, name)
    axes.text(0.5, 0.5, what, color=INK, ha="center", va="center", transform=axes.transAxes)
    return figure


# --- timeline ---------------------------------------------------------------------------------------------------------


def timeline(spans: Spans, name: str, total: int, *, by: str, size: tuple[float, float] | None) -> Picture:
    """Every attempt as a line at the number of its batch; bands where nothing could begin."""
    attempts = [attempt for attempt in spans.attempts.values() if attempt.started_at]
    if not attempts:
        return _nothing(name, "no attempts yet", size)
    rows = max(total, max(attempt.batch for attempt in attempts))
    figure = _figure(size, min(_TALLEST, max(2.4, 1.4 + _PER_BATCH * rows)))
    is_large = rows > _MANY
    grid = figure.subplots(1 + is_large, 1, sharex=True, squeeze=False, height_ratios=[4, 1][: 1 + is_large])[:, 0]
    axes, last = _styled(grid[0]), _styled(grid[-1])
    start = min(attempt.started_at for attempt in attempts)
    end = max(spans.last_at, start + 1e-3)
    lines = _lines(spans, attempts, by, (end - start) * _SHORTEST)
    handles = [*_bars(axes, lines, _thickness(figure, rows)), *_bands(axes, spans, start)]
    if is_large:
        _ended(last, lines, _day(start), _day(end))
    axes.set_xlim(_day(start - 0.01 * (end - start)), _day(end + 0.01 * (end - start)))
    axes.set_ylim(rows + 0.5 + 0.01 * rows, 0.5 - min(0.4, 0.01 * rows))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else ""))
    axes.set_ylabel("batch")
    _clock_axis(last)
    _title(axes, name, plural(total, "batch"), plural(len(attempts), "attempt"), roughly(end - start))
    _legend(figure, handles)
    return figure


def _thickness(figure: Figure, rows: int) -> float:
    """Points: what a row has room for, but never too thin to be seen."""
    height = float(figure.get_size_inches()[1]) - 1.3
    return min(_THICKEST, max(_THINNEST, 0.75 * 72 * height / rows))


def _lines(spans: Spans, attempts: Iterable[AttemptRecord], by: str, shortest: float) -> dict[str, Any]:
    """Class → start, end (in days) and batch of its attempts, as an array with a row for each."""
    found: dict[str, list[tuple[float, float, int]]] = {}
    for attempt in attempts:
        label: str = result_of(attempt) if by == "result" else attempt.mode
        end = max(spans.end_of(attempt), attempt.started_at + shortest)
        found.setdefault(label, []).append((_day(attempt.started_at), _day(end), attempt.batch))
    return {label: np.array(found[label]) for label in COLOURS if label in found}


def _bars(axes: Axes, lines: Mapping[str, Any], thickness: float) -> list[Line2D]:
    handles = []
    for place, (label, ends) in enumerate(lines.items()):
        segments: Any = np.stack([ends[:, [0, 2]], ends[:, [1, 2]]], axis=1)
        bars = LineCollection(
            segments, colors=COLOURS[label], linewidths=thickness, capstyle="butt", zorder=2 + place / 10
        )
        axes.add_collection(bars, autolim=False)
        handles.append(Line2D([], [], color=COLOURS[label], lw=4, label=f"{label} ({len(ends):,})"))
    return handles


def _ended(axes: Axes, lines: Mapping[str, Any], start: float, end: float) -> None:
    """How many attempts ended in each part of the time, one class upon the other."""
    edges = np.linspace(start, end, _STEPS + 1)
    below: Any = np.zeros(_STEPS)
    for label, ends in lines.items():
        above = below + np.histogram(np.minimum(ends[:, 1], end), edges)[0]
        axes.stairs(above, edges, baseline=below, fill=True, color=COLOURS[label])
        below = above
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3, min_n_ticks=1))
    axes.set_ylabel(f"ended per\n{roughly((end - start) * _SECONDS_PER_DAY / _STEPS)}")


def _bands(axes: Axes, spans: Spans, start: float) -> list[Patch]:
    handles = []
    for kind, colour in BANDS.items():
        found = [band for band in spans.bands if band.kind == kind and band.end > start]
        if found:
            ranges = [(_day(band.start), _day(band.end) - _day(band.start)) for band in found]
            axes.broken_barh(
                ranges, (0, 1), transform=axes.get_xaxis_transform(), color=colour, alpha=0.22, lw=0, zorder=1
            )
            seconds = sum(band.end - band.start for band in found)
            handles.append(Patch(color=colour, alpha=0.3, lw=0, label=f"{kind} ({roughly(seconds)})"))
    return handles


def _day(at: float) -> float:
    """Epoch seconds in the days since 1970 that matplotlib counts in."""
    return at / _SECONDS_PER_DAY


def _clock_axis(axes: Axes) -> None:
    locator = dates.AutoDateLocator(tz=UTC, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    axes.xaxis.get_offset_text().set_color(INK)
    axes.set_xlabel("UTC")


# --- distributions ----------------------------------------------------------------------------------------------------


def durations(spans: Spans, name: str, *, size: tuple[float, float] | None) -> Picture:
    """How long sessions took, by how they ended."""
    ended = [attempt for attempt in spans.attempts.values() if attempt.duration > 0]
    if not ended:
        return _nothing(name, "no session has ended yet", size)
    by_result: dict[str, list[float]] = {}
    for attempt in ended:
        by_result.setdefault(result_of(attempt), []).append(attempt.duration)
    figure = _figure(size, 3.4)
    axes = _styled(figure.add_subplot())
    seconds = [attempt.duration for attempt in ended]
    _histogram(axes, {label: by_result[label] for label in COLOURS if label in by_result}, seconds)
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(_round_times(*axes.get_xlim()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: roughly(value)))
    axes.set_ylabel("sessions")
    _mark(axes, seconds, roughly)
    _title(axes, name, plural(len(ended), "session"), f"{roughly(sum(seconds))} in all")
    handles = [
        Patch(color=COLOURS[label], label=f"{label} ({len(by_result[label]):,})")
        for label in COLOURS
        if label in by_result
    ]
    _legend(figure, handles)
    return figure


def _round_times(start: float, end: float) -> MultipleLocator | MaxNLocator:
    """Ticks at times that people count in: every 5 minutes, not every 400 seconds."""
    step = next((step for step in _TIME_STEPS if (end - start) / step <= _MOST_TICKS), None)
    return MaxNLocator(nbins=8) if step is None or end - start <= _MOST_TICKS else MultipleLocator(step)


def costs(state: JobState, name: str, *, size: tuple[float, float] | None) -> Picture:
    """What batches cost, failed attempts included."""
    paid = {n: batch.cost_usd for n, batch in state.batches.items() if batch.cost_usd > 0}
    unknown = state.job.unknown_costs
    facts = [f"{dollars(state.job.cost_usd)} in all"]
    if unknown:
        facts.append(f"{plural(unknown, 'session')} did not say what they cost")
    if not paid:
        return _nothing(name, "nothing is known to have been paid" if unknown else "nothing was paid", size)
    figure = _figure(size, 3.4)
    axes = _styled(figure.add_subplot())
    by_status: dict[str, list[float]] = {}
    for number, amount in paid.items():
        label = {"completed": "passed", "failed": "failed"}.get(state.batches[number].status, "running")
        by_status.setdefault(label, []).append(amount)
    _histogram(axes, {label: by_status[label] for label in COLOURS if label in by_status}, list(paid.values()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _sum(value)))
    axes.set_ylabel("batches")
    _mark(axes, list(paid.values()), _sum)
    _title(axes, name, plural(len(paid), "batch"), *facts)
    words = {"passed": "completed", "failed": "failed", "running": "not settled"}
    _legend(
        figure,
        [Patch(color=COLOURS[label], label=f"{words[label]} ({len(by_status[label]):,})") for label in by_status],
    )
    return figure


def _sum(amount: float) -> str:
    """US dollars with three digits that say something: batches may cost a hundredth of a cent."""
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${float(f'{amount:.3g}'):.10f}".rstrip("0").rstrip(".")


def _histogram(axes: Axes, groups: Mapping[str, Sequence[float]], values: Sequence[float]) -> None:
    """Stacked; with logarithmic steps where the largest values are many times the smallest ones."""
    low, high = float(np.percentile(values, 1)), max(values)
    bins: Any = min(_BINS, max(8, round(math.sqrt(len(values)))))
    if low > 0 and high / low > _WIDE:
        bins = np.geomspace(min(values), high * (1 + 1e-9), bins + 1)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=12))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.hist(list(groups.values()), bins=bins, stacked=True, color=[COLOURS[label] for label in groups])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))


def _mark(axes: Axes, values: Sequence[float], words: Any) -> None:
    """Median and 95th percentile, the one above the other, each on the side that has room for it."""
    low, high = axes.get_xlim()
    for line, (label, part) in enumerate((("median", 50), ("95 %", 95))):
        at = float(np.percentile(values, part))
        is_right = at > (math.sqrt(low * high) if axes.get_xscale() == "log" else (low + high) / 2)
        axes.axvline(at, color=INK, lw=1, ls="--", zorder=3)
        axes.annotate(
            f" {label} {words(at)} ",
            (at, 1.0 - 0.09 * line),
            xycoords=("data", "axes fraction"),
            ha="right" if is_right else "left",
            va="top",
            color=INK,
            fontsize=9,
        )
    axes.set_ylim(top=1.22 * axes.get_ylim()[1])


# --- errors -----------------------------------------------------------------------------------------------------------


def errors(found: Sequence[ErrorRecord], name: str, *, size: tuple[float, float] | None) -> Picture:
    """Failures by code: those that still stand, and those that a later attempt mended."""
    if not found:
        return _nothing(name, "no errors", size)
    standing = Counter(error.code for error in found if not error.is_resolved)
    mended = Counter(error.code for error in found if error.is_resolved)
    codes = sorted({*standing, *mended}, key=lambda code: (standing[code], mended[code], code))
    figure = _figure(size, 1.3 + 0.42 * len(codes))
    axes = _styled(figure.add_subplot())
    places = range(len(codes))
    axes.barh(places, [standing[code] for code in codes], color=RED, height=0.62)
    axes.barh(
        places, [mended[code] for code in codes], left=[standing[code] for code in codes], color=GREEN, height=0.62
    )
    for place, code in zip(places, codes, strict=True):
        number = standing[code] + mended[code]
        axes.annotate(f" {number:,}", (number, place), va="center", color=INK, fontsize=9)
    axes.set_yticks(list(places), [f"{code}  {one_line(lookup(code).meaning, 56)}" for code in codes])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axes.margins(x=0.08)
    axes.set_xlabel("failures")
    _title(axes, name, plural(len(found), "failure"))
    handles = []
    if standing:
        handles.append(Patch(color=RED, label=f"not mended ({standing.total():,})"))
    if mended:
        handles.append(Patch(color=GREEN, label=f"mended by a later attempt ({mended.total():,})"))
    _legend(figure, handles)
    return figure
