"""Pieces that pages about a job share: parts that fold, and small tables. All of it is HTML that was made here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from mozart_nb.jupyter.looks.text import bounded, escaped_line
from mozart_nb.looking.diagnosis.text import in_words_of

_QUOTED: Final = re.compile("`([^`]+)`")


def sentence(text: str, most: int = 600) -> str:
    """Foreign text as one line of HTML; what stands in backticks is code, and one click selects all of it.

    Commands of the shell are written as a notebook types them.
    """
    shown = escaped_line(in_words_of(text, "%mozart"), most)
    return f"<bdi>{_QUOTED.sub(_typed, shown)}</bdi>"


def _typed(found: re.Match[str]) -> str:
    return f'<code style="user-select:all">{found[1]}</code>'


def section(title: str, body: str, note: str = "", *, is_open: bool = False) -> str:
    """A part that can be folded, empty without a body. All three are HTML."""
    if not body:
        return ""
    unfolded = " open" if is_open else ""
    return f"<details{unfolded}><summary><b>{title}</b> <small>{note}</small></summary>{body}</details>"


def small_table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """A table of cells that are HTML; the first of a row is its head. Empty without rows."""
    written = []
    for first, *others in rows:
        cells = "".join(f"<td>{cell}" for cell in others)
        written.append(f"<tr><th scope=row>{first}{cells}")
    if not written:
        return ""
    top = "".join(f"<th scope=col>{head}" for head in heads)
    inside = f"<thead><tr>{top}</thead><tbody>{''.join(written)}</tbody>"
    return f'<table class="mozart-small" aria-label="{caption}">{inside}</table>'


def framed_text(text: str, most_bytes: int) -> str:
    """Text in a frame of its own that can be scrolled, also with the keyboard."""
    return f'<pre class="mozart-text" tabindex="0">{bounded(text, most_bytes)[0]}</pre>'
