"""What outcomes say about settings: each suggestion with its numbers, and none where the numbers are few.

Nothing is applied by itself. "Surely" below means: also at the unfavourable end of the 95 % interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mozart_nb.consumers.learning.columns import SuggestionRow
from mozart_nb.consumers.learning.distribution import Distribution
from mozart_nb.consumers.learning.insights import SHOWN_KEY
from mozart_nb.consumers.learning.reading import Counts
from mozart_nb.consumers.learning.tally import Tally, Tried
from mozart_nb.consumers.learning.wilson import wilson

MIN_SESSIONS: Final = 100
"""Sessions from which a p99 is more than the largest value."""
MIN_CROWD: Final = 50
"""Attempts from which anything is said about how many at once; `MIN_GROUP` of them on either side of a limit."""
MIN_COMPLETIONS: Final = 40
MIN_GROUP: Final = 20
"""Outcomes on either side of a limit before the two sides are compared."""

HEAD_ROOM: Final = 1.5
"""Of a suggested time limit over the p99 of good sessions."""
GENEROUS: Final = 4.0
"""A time limit that is so many times the suggested one lets a session that hangs go on for long."""
CENSORED: Final = 0.01
"""Share of sessions ended by the time limit from which it hides how long sessions take."""
SHORTEST_LIMIT: Final = 60.0

REFUSED: Final = 0.05
"""Share of refused attempts that is worth fewer sessions at once; below a fifth of it nothing is amiss."""
WORTHWHILE: Final = 0.5
"""Share of completion attempts that should succeed: else a retry from the beginning is the better try."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a job that outcomes can say something about."""

    timeout_seconds: float
    max_concurrent: int
    completion_threshold_percent: float


class Finding(NamedTuple):
    """What is said about one setting."""

    suggested: float | None
    outcomes: int
    missing: int
    evidence: str


def suggestion_rows(counts: Sequence[Counts], settings: Mapping[str, Settings]) -> Iterator[SuggestionRow]:
    """Three rows per template: counts of real sessions, one entry for each template (`together`).

    `settings` are those of the newest job of each template, as far as they can be read.
    """
    for one in counts:
        present = settings.get(one.template)
        found = {
            "timeout_seconds": time_limit(one.tally, present.timeout_seconds if present else None),
            "max_concurrent": at_once(one.tally, present.max_concurrent if present else None),
            "completion_threshold_percent": threshold(
                one.tally, present.completion_threshold_percent if present else None
            ),
        }
        for setting, finding in found.items():
            value = getattr(present, setting) if present else None
            yield SuggestionRow(one.name, one.template[:SHOWN_KEY], setting, value, *finding)


# --- timeout_seconds --------------------------------------------------------------------------------------------------


def time_limit(tally: Tally, present: float | None) -> Finding:
    """A limit with head-room over the p99 of good sessions, and over the longest of them."""
    spans = [spans["duration_seconds"] for spans in tally.spans.values() if "duration_seconds" in spans]
    times = sum(spans, Distribution())
    ended = tally.codes.get("E301", 0) + tally.codes.get("E302", 0)
    known = times.count + ended
    if known < MIN_SESSIONS:
        text = f"{known:,} sessions whose time is known; nothing is said before {MIN_SESSIONS:,}"
        return Finding(None, known, MIN_SESSIONS - known, text)
    if ended > CENSORED * known:
        text = f"{ended:,} of {known:,} sessions ran into the time limit, which hides how long they would have taken"
        suggested = None if present is None else 2 * present
        return Finding(suggested, known, 0, f"{text}; twice the limit would show it" if present else text)
    p99 = times.percentile(99)
    wanted = _rounded_up(max(HEAD_ROOM * p99, 1.1 * times.largest, SHORTEST_LIMIT))
    text = (
        f"{times.count:,} sessions ended well: p50 {_seconds(times.percentile(50))}, p99 {_seconds(p99)}, "
        f"longest {_seconds(times.largest)}; {ended:,} ran into the time limit"
    )
    if present is not None and present < wanted:
        return Finding(wanted, known, 0, f"{text}. The present limit leaves little room")
    if present is not None and present <= GENEROUS * wanted:
        return Finding(None, known, 0, f"{text}. The present limit fits")
    more = "" if present is None else ". A session that hangs would be noticed sooner"
    return Finding(wanted, known, 0, text + more)


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _rounded_up(seconds: float) -> float:
    step = next(step for limit, step in ((300, 10), (1800, 60), (math.inf, 300)) if seconds <= limit)
    return float(math.ceil(seconds / step) * step)


# --- max_concurrent ---------------------------------------------------------------------------------------------------


def at_once(tally: Tally, present: int | None) -> Finding:
    """Fewer sessions at once, where attempts are surely refused less often below some number of them."""
    every = _sum(tally.crowd.values())
    if every.count < MIN_CROWD:
        text = f"{every.count:,} attempts of which it is known how many ran at once; nothing is said before {MIN_CROWD}"
        return Finding(None, every.count, MIN_CROWD - every.count, text)
    most = max(tally.crowd)
    text = f"{every.hits:,} of {every.count:,} attempts were refused by a limit of requests or capacity"
    if every.hits < REFUSED / 5 * every.count:
        return Finding(None, every.count, 0, f"{text}, with up to {most} at once. Whether more would do is not known")
    for level in sorted(tally.crowd, reverse=True)[1:]:
        below, above = _split(tally.crowd, level + 1)
        if below.count >= MIN_GROUP and above.count >= MIN_GROUP and _is_better_below(below, above):
            text = (
                f"with at most {level} at once {below.hits:,} of {below.count:,} attempts were refused by a limit of "
                f"requests or capacity, with more {above.hits:,} of {above.count:,}"
            )
            fits = present is not None and present <= level
            return Finding(None if fits else level, every.count, 0, text)
    fewer, _ = _split(tally.crowd, most)
    if fewer.count < MIN_GROUP:
        missing = MIN_GROUP - fewer.count
        return Finding(None, every.count, missing, f"{text}, but fewer than {most} at once were hardly tried")
    return Finding(None, every.count, 0, f"{text}, however many ran at once")


def _is_better_below(below: Tried, above: Tried) -> bool:
    return wilson(below.hits, below.count).high < wilson(above.hits, above.count).low and (
        below.hits <= REFUSED * below.count
    )


# --- completion_threshold_percent -------------------------------------------------------------------------------------


def threshold(tally: Tally, present: float | None) -> Finding:
    """A higher share of rules, where completion attempts surely do not pay below it and do above."""
    every = _sum(tally.completions.values())
    if every.count < MIN_COMPLETIONS:
        text = f"{every.count:,} completion attempts; nothing is said before {MIN_COMPLETIONS}"
        return Finding(None, every.count, MIN_COMPLETIONS - every.count, text)
    shares = sorted(tally.completions)
    for share in reversed(shares[1:]):
        below, above = _split(tally.completions, share)
        if below.count < MIN_GROUP or above.count < MIN_GROUP:
            continue
        if wilson(below.hits, below.count).high < min(WORTHWHILE, wilson(above.hits, above.count).low):
            text = (
                f"with less than {share} % of the rules passed {below.hits:,} of {below.count:,} completion attempts "
                f"succeeded, with more {above.hits:,} of {above.count:,}"
            )
            return Finding(None if present is not None and present >= share else float(share), every.count, 0, text)
    text = (
        f"{every.hits:,} of {every.count:,} completion attempts succeeded, begun with {shares[0]} % of the rules passed"
    )
    text += f" to {shares[-1]} %" if len(shares) > 1 else ""
    if wilson(every.hits, every.count).high < WORTHWHILE:
        return Finding(100.0, every.count, 0, f"{text}. A retry from the beginning would be the better try")
    return Finding(None, every.count, 0, f"{text}. What comes of them below that is not known")


# --- both -------------------------------------------------------------------------------------------------------------


def _sum(tried: Iterable[Tried]) -> Tried:
    total = Tried()
    for one in tried:
        total.count += one.count
        total.hits += one.hits
    return total


def _split(tried: Mapping[int, Tried], at: int) -> tuple[Tried, Tried]:
    """All below `at`, and all from there on."""
    low = _sum([one for key, one in tried.items() if key < at])
    return low, _sum([one for key, one in tried.items() if key >= at])
