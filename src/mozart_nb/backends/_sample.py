"""A text that a regular expression matches, for the patterns people write in rules.

No general generator: look-arounds count as empty, and what is not understood raises `UnsupportedError`. Callers check
the sample against the pattern itself.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from mozart_nb.errors import PromptError

LONGEST: Final = 2_000
"""Characters a sample may have; a pattern that asks for more is not supported."""

_CLASSES: Final = {"d": "1", "D": "x", "w": "a", "W": "-", "s": " ", "S": "x", "h": " "}
_EMPTY: Final = frozenset("bBAZzGKmM")
_CONTROL: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b", "0": "\0"}
_CANDIDATES: Final = "xa1X -_.:\n~§"
_RANGES: Final = {
    "d": (("0", "9"),),
    "w": (("a", "z"), ("A", "Z"), ("0", "9"), ("_", "_")),
    "s": ((" ", " "), ("\t", "\r")),
}
_REPEAT: Final = re.compile(r"\{(?:(\d{1,9})(?:,\d*)?|,\d+)\}")
_FLAGS: Final = re.compile(r"\?[aiLmsuwfpbreV01]+\)")
_OPENING: Final = re.compile(r"\?(?:P?<(?P<name>[A-Za-z_]\w*)>|:|>|\||[aimsu]+(?:-[ims]+)?:|-[ims]+:)")
_LOOK: Final = re.compile(r"\?(?:<?[=!])")


class UnsupportedError(PromptError):
    """The pattern uses something no sample can be made for."""


@functools.lru_cache(maxsize=256)
def sample(pattern: str) -> str:
    """A short text that should match `pattern`. Raises `UnsupportedError`."""
    try:
        return _Sampler(pattern).whole()
    except RecursionError as error:
        raise UnsupportedError("the pattern is nested too deeply") from error


def literal_parts(pattern: str) -> str:
    """What stands literally in `pattern`: its words, for when no sample can be made."""
    without_escapes = re.sub(r"\\[A-Za-z]|\(\?[^:)]*[:)]|\[[^\]]*\]|\{[\d,]*\}", " ", pattern)
    return " ".join(re.sub(r"[\\^$.|?*+()\[\]{}]", " ", without_escapes).split())


class _Sampler:
    """Recursive descent over the pattern; each method returns the sample of what it read."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._groups: list[str] = []

    def whole(self) -> str:
        text = self._alternatives()
        if self._at < len(self._pattern):
            raise UnsupportedError(f"unbalanced `)` in {self._pattern}")
        return text

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise UnsupportedError(f"{self._pattern} ends too early")
        self._at += 1
        return char

    def _read(self, expected: re.Pattern[str]) -> re.Match[str] | None:
        found = expected.match(self._pattern, self._at)
        if found:
            self._at = found.end()
        return found

    def _alternatives(self) -> str:
        options = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence())
        return options[0]

    def _sequence(self) -> str:
        text = ""
        while self._peek() not in ("", "|", ")"):
            piece = self._piece()
            text += piece * self._repetitions()
            if len(text) > LONGEST:
                raise UnsupportedError(f"{self._pattern} asks for a long text")
        return text

    def _repetitions(self) -> int:
        times = 1
        if self._peek() in ("*", "?"):
            self._at, times = self._at + 1, 0
        elif self._peek() == "+":
            self._at += 1
        elif (found := self._read(_REPEAT)) is not None:
            times = int(found[1] or 0)
        else:
            return 1
        if self._peek() in ("?", "+"):  # lazy or possessive
            self._at += 1
        return min(times, LONGEST + 1)

    def _piece(self) -> str:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._set()
        if char == "\\":
            return self._escape()
        return {".": "x", "^": "", "$": ""}.get(char, char)

    def _group(self) -> str:
        if self._read(_FLAGS):
            return ""
        look = self._read(_LOOK)
        opening = None if look else self._read(_OPENING)
        if look is None and opening is None and self._peek() == "?":
            raise UnsupportedError(f"a group of {self._pattern} is not understood")
        captures = not look and (opening is None or opening["name"] is not None)
        index = len(self._groups)
        if captures:
            self._groups.append("")
        text = self._alternatives()
        if self._next() != ")":
            raise UnsupportedError(f"unbalanced `(` in {self._pattern}")
        if captures:
            self._groups[index] = text
        return "" if look else text

    def _escape(self) -> str:
        char = self._next()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _EMPTY:
            return ""
        if char in _CONTROL:
            return _CONTROL[char]
        if char in ("x", "u"):
            return self._code_point(2 if char == "x" else 4)
        if char.isdigit():
            return self._reference(int(char))
        if char.isalpha():
            raise UnsupportedError(f"`\\{char}` is not understood")
        return char

    def _code_point(self, digits: int) -> str:
        text = self._pattern[self._at : self._at + digits]
        self._at += digits
        try:
            return chr(int(text, 16))
        except ValueError as error:
            raise UnsupportedError(f"{text!r} is no code point") from error

    def _reference(self, number: int) -> str:
        if number > len(self._groups):
            raise UnsupportedError(f"{self._pattern} refers to a group that does not exist")
        return self._groups[number - 1]

    def _set(self) -> str:
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[str, str]] = []
        while self._peek() != "]" or not ranges:
            if self._pattern.startswith("[:", self._at):
                raise UnsupportedError("POSIX classes are not understood")
            ranges.extend(self._members())
        self._at += 1
        if not negated:
            return ranges[0][0]
        for char in _CANDIDATES:
            if not any(low <= char <= high for low, high in ranges):
                return char
        raise UnsupportedError(f"nothing known is outside a set of {self._pattern}")

    def _members(self) -> tuple[tuple[str, str], ...]:
        """The range, or the ranges of a class like `\\w`, that stand next in a set."""
        low = self._next()
        if low == "\\":
            known = _RANGES.get(self._peek())
            if known is not None:
                self._at += 1
                return known
            low = self._escape()
        if self._peek() != "-" or self._pattern[self._at + 1 : self._at + 2] in ("", "]"):
            return ((low, low),)
        self._at += 1
        high = self._next()
        return ((low, self._escape() if high == "\\" else high),)
