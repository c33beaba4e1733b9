"""Where in a YAML text the cursor is, and which keys are there already.

Worked out from indentation and brackets, not by a parser: what is being typed is seldom valid YAML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

Path = tuple[str | int, ...]
"""Keys as written, and numbers of list entries."""

_KEY: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#,\[\]{}"'&*!|>%@`][^#]*?)\s*:(?:\s+|$)""")
_DASH: Final = re.compile(r"-(?:\s+|$)")
_BLOCK: Final = re.compile(r"[|>][-+0-9]*\s*(?:#.*)?$")
_COMMENT: Final = re.compile(r"(?:^|\s)#")
_QUOTES: Final = "\"'"


@dataclass(frozen=True, slots=True)
class Cursor:
    """What is being typed.

    `kind` is `key` (`path` is the section or list around it), `value` (`path` is the key or list entry it belongs to),
    `text` (a line of a block of text) or `comment`. `fragment` is what stands there up to the cursor and `start` its
    column. `needs_space`: a space must come first, as behind `type:`.
    """

    kind: Literal["key", "value", "text", "comment"]
    path: Path
    fragment: str
    start: int
    needs_space: bool = False
    in_flow: bool = False
    has_dash: bool = False


@dataclass
class Outline:
    """The keys of a text: section → key → (line, column), and the plain values: path → text."""

    keys: dict[Path, dict[str, tuple[int, int]]] = field(default_factory=dict)
    values: dict[Path, str] = field(default_factory=dict)

    def keys_beside(self, cursor: Cursor, line: int) -> list[str]:
        """Keys of the section around the cursor, without the one being typed."""
        return [key for key, place in self.keys.get(cursor.path, {}).items() if place != (line, cursor.start)]


def read(lines: Sequence[str], line: int, column: int) -> tuple[Cursor, Outline]:
    """Where the cursor is, and the outline of the whole text; `line` and `column` count from 0."""
    walk = _Walk()
    cursor = Cursor("comment", (), "", 0)
    for number, text in enumerate(lines):
        if number == line:
            cursor = walk.fork().look(text[:column], number)
        walk.take(text, number)
    return cursor, walk.outline


@dataclass(frozen=True, slots=True)
class _Frame:
    """A key or list entry that later lines may belong to."""

    indent: int
    path: Path
    is_entry: bool = False


@dataclass
class _Open:
    """A bracket that is not closed. `token` is what stands since the last separator, from column `start`."""

    bracket: str
    path: Path
    start: int
    key: str | None = None
    entry: int = 0
    token: str = ""

    @property
    def value_path(self) -> Path:
        return (*self.path, self.entry if self.bracket == "[" else self.key or "")


class _Walk:
    """Goes through the lines once; what it needs to know of earlier ones is in `frames`, `block` and `flow`."""

    def __init__(self) -> None:
        self.outline = Outline()
        self.frames: list[_Frame] = []
        self.entries: dict[Path, int] = {}
        self.block: _Frame | None = None
        self.flow: list[_Open] = []
        self.flow_indent = 0
        self.quote = ""

    def fork(self) -> _Walk:
        """A walk that goes on from here on its own."""
        other = _Walk()
        other.frames, other.entries = list(self.frames), dict(self.entries)
        other.block, other.quote = self.block, self.quote
        other.flow, other.flow_indent = [replace(one) for one in self.flow], self.flow_indent
        return other

    # --- lines before and after the cursor ----------------------------------------------------------------------------

    def take(self, line: str, number: int) -> None:
        if not line.strip() or self._is_in_block(line) or (not self.flow and line.lstrip().startswith("#")):
            return
        if self._goes_on_in_flow(line):
            self._take_flow(line, 0, number)
            return
        start, _ = self._enter(line)
        found = _KEY.match(line, start)
        if found is None:
            self._take_value(line, start, number, _Frame(start, self._around))
            return
        key = _bare(found[1])
        frame = _Frame(start, (*self._around, key))
        self.outline.keys.setdefault(self._around, {})[key] = (number, start)
        self.frames.append(frame)
        self._take_value(line, found.end(), number, frame)

    def _take_value(self, line: str, start: int, number: int, frame: _Frame) -> None:
        value = line[start:]
        if _BLOCK.match(value):
            self.block = frame
        elif value[:1] in ("{", "["):
            self.flow_indent = frame.indent
            self.flow = [_Open("", frame.path, start)]
            self._take_flow(line, start, number)
        elif value:
            self.outline.values[frame.path] = _bare(_COMMENT.split(value, maxsplit=1)[0].strip())

    # --- the line with the cursor -------------------------------------------------------------------------------------

    def look(self, before: str, number: int) -> Cursor:
        if self._is_in_block(before):
            assert self.block is not None
            return Cursor("text", self.block.path, before, 0)
        if self._goes_on_in_flow(before):
            return self._look_into_flow(before, 0, number)
        start, dashes = self._enter(before)
        has_dash = dashes > 0
        found = _KEY.match(before, start)
        if _is_in_comment(before[found.end() if found else start :]):
            return Cursor("comment", self._around, "", len(before))
        if found is None:
            needs_space = has_dash and before.endswith("-")
            return Cursor("key", self._around, before[start:], start, needs_space, has_dash=has_dash)
        path = (*self._around, _bare(found[1]))
        if before[found.end() :][:1] in ("{", "["):
            self.flow = [_Open("", path, found.end())]
            return self._look_into_flow(before, found.end(), number)
        return Cursor("value", path, before[found.end() :], found.end(), before.endswith(":"))

    def _look_into_flow(self, before: str, start: int, number: int) -> Cursor:
        self._take_flow(before, start, number)
        if not self.flow:
            return Cursor("comment", (), "", len(before))
        top = self.flow[-1]
        fragment = top.token.lstrip()
        start = len(before) - len(fragment)
        if top.bracket == "{" and top.key is None:
            return Cursor("key", top.path, fragment, start, in_flow=True)
        return Cursor("value", top.value_path, fragment, start, before.endswith(":"), in_flow=True)

    # --- indentation --------------------------------------------------------------------------------------------------

    @property
    def _around(self) -> Path:
        return self.frames[-1].path if self.frames else ()

    def _is_in_block(self, line: str) -> bool:
        if self.block is not None and _indent(line) <= self.block.indent:
            self.block = None
        return self.block is not None

    def _enter(self, line: str) -> tuple[int, int]:
        """Leave what this line is not part of and enter the list entries it begins; where its text starts, entries."""
        at, dashes = _indent(line), 0
        while dash := _DASH.match(line, at):
            self._leave(at, for_entry=True)
            number = self.entries.get(self._around, -1) + 1
            self.entries[self._around] = number
            self.frames.append(_Frame(at, (*self._around, number), is_entry=True))
            at, dashes = dash.end(), dashes + 1
        if not dashes:
            self._leave(at)
        return at, dashes

    def _leave(self, indent: int, *, for_entry: bool = False) -> None:
        """Entries of a list may stand as far left as its key."""
        while self.frames:
            top = self.frames[-1]
            if top.indent < indent or (top.indent == indent and for_entry and not top.is_entry):
                return
            self.frames.pop()

    # --- brackets -----------------------------------------------------------------------------------------------------

    def _goes_on_in_flow(self, line: str) -> bool:
        """A bracket that nobody closed ends where a line further left has a key."""
        if self.flow and _indent(line) <= self.flow_indent and _KEY.match(line.lstrip()):
            self.flow, self.quote = [], ""
        return bool(self.flow)

    def _take_flow(self, line: str, start: int, number: int) -> None:
        if not self.flow[-1].token.strip():
            self.flow[-1].token, self.flow[-1].start = "", start
        for column in range(start, len(line)):
            character = line[column]
            if self.quote:
                self.quote = "" if character == self.quote else self.quote
                self.flow[-1].token += character
            elif character in "{[":
                self.flow.append(_Open(character, self._inside(), column + 1))
            elif character in "}]":
                self._end_of_value()
                self.flow.pop()
                if len(self.flow) <= 1:
                    self.flow = []
                    return
                self.flow[-1].token = character  # nothing may follow it but a separator
            elif character == ",":
                self._end_of_value()
                top = self.flow[-1]
                top.key, top.entry, top.token, top.start = None, top.entry + 1, "", column + 1
            else:
                self._take_character(character, line[column + 1 : column + 2], column, number)

    def _take_character(self, character: str, following: str, column: int, number: int) -> None:
        top = self.flow[-1]
        if character == ":" and top.bracket == "{" and top.key is None and following in ("", " "):
            top.key = _bare(top.token.strip())
            written = top.start + len(top.token) - len(top.token.lstrip())
            self.outline.keys.setdefault(top.path, {})[top.key] = (number, written)
            top.token = ""
            return
        if character in _QUOTES and not top.token.strip():
            self.quote = character
        top.token += character

    def _inside(self) -> Path:
        """The path of what a bracket that opens now holds."""
        top = self.flow[-1]
        return top.path if not top.bracket else top.value_path

    def _end_of_value(self) -> None:
        top = self.flow[-1]
        if top.token.strip(" }]") and (top.key is not None or top.bracket == "["):
            self.outline.values[top.value_path] = _bare(top.token.strip())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _bare(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0] else text


def _is_in_comment(text: str) -> bool:
    """Whether a comment begins in `text`; a `#` within quotes is none."""
    quote = ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES and not text[:index].strip():
            quote = character
        elif character == "#" and (index == 0 or text[index - 1].isspace()):
            return True
    return False
