"""Draws how the runs of a job compare. Imports matplotlib, and is therefore imported late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.consumers.history.trend import worked
from mozart_nb.frames._pictures import (
    AMBER,
    BLUE,
    GREEN,
    INK,
    PURPLE,
    Picture,
    _figure,
    _legend,
    _nothing,
    _round_times,
    _styled,
    _sum,
    _title,
)
from mozart_nb.words import count, plural, roughly

MOST: Final = 200
"""The last so many runs are drawn."""

_LABELLED: Final = 6
"""About so many runs are named below each column."""


def trend(runs: Sequence[RunRow], name: str, *, size: tuple[float, float] | None) -> Picture:
    """Success rate, duration, cost and retries of every run that settled a batch, one after the other."""
    found = worked(runs)[-MOST:]
    if not found:
        return _nothing(name, "no run has settled a batch yet", size)
    figure = _figure(size, 4.6)
    rates, took, paid, again = (_styled(axes) for axes in figure.subplots(2, 2, sharex=True).flat)
    _line(rates, [_percent(run.success_rate) for run in found], GREEN)
    _line(rates, [_percent(run.first_try_rate) for run in found], BLUE)
    rates.set_ylim(-4, 104)
    _labelled(rates, "batches, %", lambda value: f"{value:.0f}")
    _line(took, [run.duration for run in found], PURPLE)
    _labelled(took, "duration", roughly)
    took.yaxis.set_major_locator(_round_times(0, max((run.duration or 0.0 for run in found), default=1.0)))
    _line(paid, [run.tally.cost_usd for run in found], GREEN)
    _labelled(paid, "known cost", _sum)
    _line(again, [run.tally.retries + run.tally.completions for run in found], AMBER)
    _labelled(again, "retries", count)
    again.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
    for axes in (took, paid, again):
        axes.set_ylim(bottom=0)
    for axes in (paid, again):
        _run_axis(axes, found)
    _title(rates, name, plural(len(found), "run"))
    _legend(
        figure,
        [
            Line2D([], [], color=GREEN, marker="o", label="completed"),
            Line2D([], [], color=BLUE, marker="o", label="good at the first attempt"),
        ],
    )
    return figure


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _line(axes: Axes, values: Sequence[float | None], colour: str) -> None:
    places: Any = [place for place, value in enumerate(values, 1) if value is not None]
    axes.plot(places, [value for value in values if value is not None], color=colour, marker="o", ms=4, lw=1.4)


def _labelled(axes: Axes, label: str, words: Callable[[float], str]) -> None:
    axes.set_ylabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value) if value >= 0 else ""))


def _run_axis(axes: Axes, found: Sequence[RunRow]) -> None:
    """Runs stand side by side, whatever time lies between them; a few say when they began."""
    axes.set_xlim(0.5, len(found) + 0.5)
    step = -(-len(found) // _LABELLED)
    places = list(range(1, len(found) + 1, step))
    days = [datetime.fromtimestamp(found[place - 1].tally.started_at, UTC) for place in places]
    form = "%m-%d %H:%M" if (days[-1] - days[0]).days < 300 else "%Y-%m-%d"
    axes.set_xticks(places, [f"{day:{form}}" for day in days], rotation=30, ha="right", fontsize=8, color=INK)
    axes.set_xlabel("start of the run, UTC")
