"""The one door through which foreign text gets into HTML.

Whatever a model, a prompt, a job file or a file name says is shown as text: no tag, no attribute, no link is ever made
of it, nothing in it steers a terminal or turns the direction of writing, and secrets are masked.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final

from mozart_nb.words import ELLIPSIS, clean, clock, roughly

MOST: Final = 10_000
"""Characters of one text that are shown where nobody says how many."""

_LONGEST: Final = 1_000_000
"""Characters of a text of which beginning and end are shown."""
_LEAST: Final = 40

_ROOM: Final = 4_096
"""Characters looked at beyond those shown, so that escape sequences that vanish leave room for text."""

# Characters without width that `clean` leaves: soft hyphens, fillers, annotations, tags that only machines read.
_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def escaped(text: object, most: int = MOST) -> str:
    """`text` as HTML that shows it: at most `most` characters of it, lines and tabs kept."""
    return escape(shown(text, most))


def escaped_line(text: object, most: int = 200) -> str:
    """The same as a single line."""
    return escape(shown_line(text, most))


def shown(text: object, most: int = MOST) -> str:
    """`text` as it is shown, not yet escaped; what is cut off leaves an ellipsis."""
    whole = str(text)
    kept = _UNSEEN.sub("", clean(whole[: most + _ROOM]))
    if len(kept) <= most:
        return kept + ELLIPSIS if len(whole) > most + _ROOM else kept
    return kept[: max(0, most - 1)] + ELLIPSIS


def shown_line(text: object, most: int = 200) -> str:
    """`text` as a single line, not yet escaped."""
    flat = " ".join(shown(text, most + _ROOM).split())
    return flat if len(flat) <= most else flat[: max(0, most - 1)] + ELLIPSIS


def bounded(text: str, most_bytes: int) -> tuple[str, int]:
    """`text` as HTML of at most about `most_bytes` (UTF-8), and how many of its characters are in it.

    What does not fit is left out of the middle, because beginnings and ends tell more. It is cleaned before it is cut,
    so that no half of a secret is left over.
    """
    cleaned = shown(text, _LONGEST)
    fits = min(len(cleaned), most_bytes)
    while True:
        html = _ends(cleaned, fits)
        size = len(html.encode())
        if size <= most_bytes or fits <= _LEAST:
            return html, fits + len(text) - len(cleaned) if fits == len(cleaned) else fits
        fits = max(_LEAST, int(fits * 0.95 * most_bytes / size))


def _ends(text: str, fits: int) -> str:
    """Beginning and end of `text`, `fits` characters in all."""
    if fits >= len(text):
        return escape(text)
    head = fits * 2 // 3
    left_out = f"{ELLIPSIS} {len(text) - fits:,} characters left out {ELLIPSIS}"
    return f"{escape(text[:head])}\n{left_out}\n{escape(text[head - fits :])}"


def duration(seconds: float) -> str:
    """A length of time in a column of them: `0.4 s`, `0:12`, `1:02:03`."""
    return roughly(seconds) if seconds < 10 else clock(seconds)
