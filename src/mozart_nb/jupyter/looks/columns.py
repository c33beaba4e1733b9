"""Tables as plain text, for IPython in a terminal: columns that stand below each other."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from typing import Final

from mozart_nb.jupyter.looks.text import shown_line

_TAG: Final = re.compile("<[^>]*>")
_GAP: Final = "  "
_LEAST_ROOM: Final = 16
"""Characters that are left of the last column however narrow the terminal is."""


def columns(heads: Sequence[str], rows: Iterable[Sequence[str]], *, width: int = 0) -> Iterator[str]:
    """Rows of plain text under their heads, nothing without rows. The last column is cut where `width` ends.

    `width` is in characters, by default that of the terminal.
    """
    written = [[shown_line(cell, 300) for cell in row] for row in rows]
    if not written:
        return
    widths = [max(map(len, column)) for column in zip(heads, *written, strict=True)]
    room = max(_LEAST_ROOM, (width or shutil.get_terminal_size().columns) - sum(n + len(_GAP) for n in widths[:-1]))
    for *cells, last in (heads, *written):
        aligned = (cell.ljust(size) for cell, size in zip(cells, widths, strict=False))
        yield _GAP.join((*aligned, shown_line(last, room))).rstrip()


def plain(cell: str) -> str:
    """What a cell that is HTML shows; what it shows small stands in parentheses."""
    return unescape(_TAG.sub("", cell.replace("<small>", "(").replace("</small>", ")")))
