"""What tells a person who looks at something else that a job has settled: a note in the corner of the page.

A widget of the dashboard shows a script for a moment (`toast.js`), and nothing right after. So only pages that show it
now run the script: no file has it, no notebook that is opened later, and nobody who executes notebooks without a page.
The script decides whether the person can see the cell anyway; only the page knows that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from mozart_nb.codes import lookup
from mozart_nb.consumers.phrases import count_phrases, money_text
from mozart_nb.consumers.progress import Progress
from mozart_nb.jupyter.looks.text import shown_line
from mozart_nb.jupyter.looks.theme import look_of
from mozart_nb.jupyter.notify import is_on
from mozart_nb.words import plural, roughly

SETTLED: Final = frozenset({"completed", "failed", "paused"})
"""A job that was cancelled has somebody who knows."""

LEAST_SECONDS: Final = 10.0
"""A shorter run is told only to those who have turned to another window: others have just started it."""

LINGER_SECONDS: Final = 20
"""How long the note about a completed job stays in sight; others stay until somebody dismisses them."""

_NAME: Final = 80
_REASON: Final = 160


def told(progress: Progress, *, seconds: float, place: str) -> Mapping[str, Any] | None:
    """What the script is given about a job that ran for `seconds`; None when nobody needs to be told.

    `place` is the CSS class of the dashboard. All texts are plain, cleaned and short.
    """
    if progress.status not in SETTLED or not is_on():
        return None
    look = look_of(progress.status)
    return {
        "key": f"{progress.job_id} {progress.status} {progress.elapsed_seconds:.3f}",
        "title": f"{shown_line(progress.name or progress.job_id, _NAME)} {progress.status}",
        "lines": _lines(progress, seconds),
        "symbol": look.symbol,
        "colour": look.colour,
        "place": place,
        "seconds": seconds,
        "least": LEAST_SECONDS,
        "linger": LINGER_SECONDS if progress.status == "completed" else 0,
    }


def _lines(progress: Progress, seconds: float) -> Sequence[str]:
    facts = [f"{progress.done:,} of {plural(progress.total, 'batch')} done", *count_phrases(progress)]
    lines = [" · ".join([*facts, money_text(progress), f"ran {roughly(seconds)}"])]
    if progress.status != "completed":
        meaning = f"{progress.code} {lookup(progress.code).meaning}: " if progress.code else ""
        lines.append(f"{meaning}{shown_line(progress.reason, _REASON)}".removesuffix(": "))
    return [line for line in lines if line]


def script(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same as an output that a page runs."""
    code = f"{_source()}({json.dumps(facts)})"  # ASCII alone: nothing in it can end the literal or the line
    data = {"application/javascript": code, "text/plain": ""}
    return {"output_type": "display_data", "data": data, "metadata": {}}


@cache
def _source() -> str:
    return Path(__file__).with_suffix(".js").read_text(encoding="utf-8").rstrip()
