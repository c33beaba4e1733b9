"""The attempts of failed batches as small pictures: a bar per batch, its length the time from first try to last.

Drawn with boxes, so that they need neither scripts nor files; where a sanitiser takes the boxes, the words beside them
say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mozart_nb.jupyter.looks.pieces import small_table
from mozart_nb.jupyter.looks.text import escaped_line
from mozart_nb.jupyter.looks.theme import look_of, mark
from mozart_nb.looking.details import AttemptDetails
from mozart_nb.looking.diagnosis import Diagnosis
from mozart_nb.looking.diagnosis.findings import BatchTimeline
from mozart_nb.words import cost, plural, roughly

_MOST_BARS: Final = 12
_MOST_PIECES: Final = 60
_LEAST_SHARE: Final = 1.2
"""Percent of a bar that a piece takes at least, so that it can be seen."""

_WAIT_COLOUR: Final = "#7d8590"


def timelines_html(found: Diagnosis) -> str:
    """A row per failed batch: its bar, what its attempts came to, which budgets are used up. Empty without any."""
    rows = [_row(line) for line in found.timelines[:_MOST_BARS]]
    left = len(found.timelines) - len(rows) + found.timelines_omitted
    heads = ("batch", "attempts", "what became of them", "time", "retries", "completions", "healed", "cost")
    more = f"<p><small>and {plural(left, 'other failed batch', 'other failed batches')}</small></p>" if left else ""
    return small_table(heads, rows, "attempts of failed batches") + more if rows else ""


def _row(line: BatchTimeline) -> tuple[str, ...]:
    waited = f", {roughly(line.waited_seconds)} of waiting" if line.waited_seconds >= 1 else ""
    return (
        f"{mark(line.status)}&nbsp;{line.batch}",
        bar(line),
        _story(line),
        f"{roughly(line.worked_seconds)}{waited}",
        *(escaped_line(str(used), 20) for used in (line.retries, line.completions, line.heals)),
        cost(line.cost_usd, 0 if line.cost_known else 1),
    )


def _story(line: BatchTimeline) -> str:
    """`first E201 → retry E201 → …` and the last message."""
    steps = [f"{attempt.mode} {attempt.code or _outcome(attempt)}" for attempt in line.attempts[-6:]]
    left = line.omitted + max(0, len(line.attempts) - 6)
    steps = [f"{left:,} earlier", *steps] if left else steps
    return f"{escaped_line(' → '.join(steps), 200)}<br><bdi>{escaped_line(line.message, 200)}</bdi>"


def _outcome(attempt: AttemptDetails) -> str:
    if attempt.outcome == "ok" and attempt.passed is not None:
        return "good" if attempt.passed else "not good enough"
    return attempt.outcome or "unfinished"


def bar(line: BatchTimeline) -> str:
    """The attempts of one batch as boxes of their lengths, with the waits between them."""
    pieces = list(_pieces(line))[-_MOST_PIECES:]
    total = sum(seconds for _, seconds, _ in pieces) or 1.0
    least = min(_LEAST_SHARE, 100 / max(1, len(pieces)))
    raw = [max(least, 100 * seconds / total) for _, seconds, _ in pieces]
    scale = 100 / sum(raw) if raw else 1.0
    boxes = "".join(_box(colour, share * scale, words) for (colour, _, words), share in zip(pieces, raw, strict=True))
    words = f"{plural(len(line.attempts) + line.omitted, 'attempt')} in {roughly(sum(s for _, s, _ in pieces))}"
    return f'<div class="mozart-attempts" title="{words}">{boxes}</div><small>{words}</small>'


def _pieces(line: BatchTimeline) -> Iterator[tuple[str, float, str]]:
    """Colour, seconds, words."""
    for place, attempt in enumerate(line.attempts):
        if place and attempt.wait_seconds > 0:
            why = f": {attempt.wait_reason}" if attempt.wait_reason else ""
            yield _WAIT_COLOUR, attempt.wait_seconds, f"waited {roughly(attempt.wait_seconds)}{why}"
        status = "running" if not attempt.finished_at else "completed" if attempt.passed else "failed"
        lasted = attempt.duration or max(0.0, attempt.finished_at - attempt.started_at)
        said = f"attempt {attempt.attempt}, {attempt.mode}: {attempt.code or _outcome(attempt)}, {roughly(lasted)}"
        yield look_of(status).colour, lasted, said


def _box(colour: str, percent: float, words: str) -> str:
    height, extra = (4, "margin:4px 0;") if colour == _WAIT_COLOUR else (12, "")
    style = f"width:{percent:.3g}%;height:{height}px;background-color:{colour};{extra}"
    return f'<i style="{style}" title="{escaped_line(words, 160)}"></i>'
