"""The line of a job file that a message is about, with carets below the place: plain text for any screen.

    6 | prompt:
    7 |   templat: Hello
      |   ^^^^^^^

Secrets are blotted out, whatever a screen would obey is made visible instead, and long lines are cut around the place.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from mozart_nb.masking import blotted
from mozart_nb.words import ELLIPSIS, clean

WIDTH: Final = 100
"""Most columns that a line takes on the screen, line number not counted."""

_LINE_ENDS: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
# A screen obeys these, or shows nothing at all: the mistake may be just that. Joiners of letters and emoji stay.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_TOKEN: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^\s:,\[\]{}#]+""")
_TAB: Final = " " * 4
_LONGEST_MARK: Final = 60
_LEAST_BEHIND: Final = 20


def lines_of(text: str) -> list[str]:
    """The lines of `text` as YAML counts them, secrets blotted out; every other character keeps its column."""
    return _LINE_ENDS.split(blotted(text))


def excerpt(source: str, line: int, column: int = 0, *, before: str = "", value: str = "") -> list[str]:
    """`source`, which is line number `line`, with carets below `column`; above it the line `before` if given.

    `column` counts characters from 1; 0 marks nothing. `value` is what stands there, where the caller knows.
    """
    source = blotted(source)
    start = min(max(column - 1, 0), len(source))
    end = start + _length_of_mark(source[start:], value)
    head, mark, tail = _fitted(*(_visible(part) for part in (source[:start], source[start:end], source[end:])))
    gutter = len(str(line))
    shown = [f"  {line - 1:>{gutter}} | {_cut_right(_visible(blotted(before)), WIDTH)}"] if before else []
    shown.append(f"  {line:>{gutter}} | {head}{mark}{tail}")
    if column:
        shown.append(f"  {'':>{gutter}} | {' ' * width_of(head)}{'^' * max(1, width_of(mark))}")
    return [one.rstrip() for one in shown]


def width_of(text: str) -> int:
    """Columns that `text` takes on a screen with letters of one width."""
    return sum(_width_of_character(character) for character in text)


def cleaned(lines: Iterable[str]) -> list[str]:
    """`lines` without secrets and without what a screen would obey; each may hold several lines."""
    return [line for text in lines for line in clean(text).split("\n")]


def _length_of_mark(rest: str, value: str) -> int:
    if value and rest.startswith(value):
        return len(value)
    token = _TOKEN.match(rest)
    return token.end() if token else min(1, len(rest))


def _visible(text: str) -> str:
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text).replace("\t", _TAB)


def _fitted(head: str, mark: str, tail: str) -> tuple[str, str, str]:
    """The three parts of a line, cut so that they fit and the mark stays in sight with something on both sides."""
    if width_of(head + mark + tail) <= WIDTH:
        return head, mark, tail
    mark = _cut_right(mark, _LONGEST_MARK)
    room = WIDTH - width_of(mark)
    behind = min(width_of(tail), max(_LEAST_BEHIND, room - width_of(head)))
    head = _cut_left(head, room - behind)
    return head, mark, _cut_right(tail, room - width_of(head))


def _cut_right(text: str, width: int) -> str:
    if width_of(text) <= width:
        return text
    kept, used = [], len(ELLIPSIS)
    for character in text:
        used += _width_of_character(character)
        if used > width:
            break
        kept.append(character)
    return "".join(kept) + ELLIPSIS


def _cut_left(text: str, width: int) -> str:
    return _cut_right(text[::-1], width)[::-1]


def _width_of_character(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
