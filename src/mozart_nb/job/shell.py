"""Where in a shell command a value stands, and how it must be written there.

Follows the quoting rules of POSIX `sh` ("Shell Command Language": 2.2 Quoting, 2.6 Word Expansions, 2.7.4
Here-Document) over the literal text of a command, and what bash adds where that makes a difference. Where nothing can
be quoted safely (backticks, arithmetic, parameter expansions) only harmless values are let through.

A value is quoted for the shell that reads the command, once. What a program then makes of its argument no quoting can
change: an option for a leading dash, code for `eval`, `sh -c`, `awk`, and for bash's `let` and `printf -v`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Literal

How = Literal["word", "double", "single", "comment", "here-document", "literal here-document", "bare", "never"]
Frame = Literal[
    "word",
    "group",
    "array",
    "command substitution",
    "double",
    "single",
    "comment",
    "$'…'",
    "${…}",
    "((…))",
    "[…]",
    "backticks",
]

_HARMLESS = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_HERE_DOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n\\$`]+)\"|(\\?)([\w.-]+))(?=[\s;&|()<>]|$)")
# A subscript or a set of a wildcard; `[ … ]` and `[[ … ]]` are commands.
_SUBSCRIPT = re.compile(r"\[(?![\s\[])")
_TEST = re.compile(r"\[\[(?=\s)|\]\]")
_CASE = re.compile(r"case\s")
# Characters after which a new word begins, so that `#` starts a comment.
_BOUNDARIES: Final = frozenset(" \t\n;&|()<>")
# First halves of operators; a backslash and a newline between the halves are no more than a line break in the text.
_SPLITTABLE: Final = frozenset("$<([")
_OPENERS: Final[tuple[tuple[str, Frame], ...]] = (
    ("$((", "((…))"),
    ("$[", "[…]"),
    ("$(", "command substitution"),
    ("${", "${…}"),
    ("`", "backticks"),
)
# Arithmetic, array subscripts and the like: bash expands what stands there even between single quotes.
_NESTED: Final[dict[Frame, tuple[str, str]]] = {"${…}": ("{", "}"), "((…))": ("(", ")"), "[…]": ("[", "]")}
_EXPANSIONS: Final = tuple(opener for opener, _ in _OPENERS)
_PLAIN_EXPANSION = re.compile(r"\$\{\w+\}|\$\([^()'\"`$\\{}#\n]*\)")
_VARIABLE = re.compile(r"\$\w+\Z")
_CLOSERS: Final[dict[Frame, str]] = {"single": "'", "double": '"', "$'…'": "'", "backticks": "`"}
_INSIDE_A_WORD: Final = "x"


class UnquotableError(ValueError):
    """A value cannot be written safely where it is wanted; the message says why."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a command.

    `how` a value is written there; `within` names the place in a refusal. No value may end the here-document that
    `delimiter` ends. `one_line`: a newline, even a quoted one, could begin a here-document. `after_variable`: `$name`
    stands before it, and the value must not become part of that name.
    """

    how: How
    within: str = ""
    delimiter: str = ""
    one_line: bool = False
    after_variable: bool = False

    def write(self, value: str) -> str:
        """`value` in such a form that the shell reads exactly it. Raises `UnquotableError`."""
        refusal = self._refusal(value)
        if refusal:
            raise UnquotableError(refusal)
        match self.how:
            case "word":
                quoted = shlex.quote(value)
                return f"'{quoted}'" if self.after_variable and quoted == value else quoted
            case "double":
                escaped = re.sub(r'([\\"$`])', r"\\\1", value)
                return f'""{escaped}' if self.after_variable else escaped
            case "single":
                return value.replace("'", "'\\''")
            case "here-document":
                return re.sub(r"([\\$`])", r"\\\1", value)
            case "comment":
                return shlex.quote(re.sub(r"[\r\n]", " ", value))
            case _:
                return value

    def _refusal(self, value: str) -> str:
        if "\0" in value:
            return "a NUL character cannot be part of a command"
        if self.how == "never" or (self.how == "bare" and not _HARMLESS.fullmatch(value)):
            return f"this value cannot be quoted safely inside {self.within}"
        if self.one_line and "\n" in value:
            return f"a value of several lines cannot be written safely inside {self.within}"
        if self.delimiter and value.strip("\t") in self.delimiter:
            return f"this value could end {self.within}"
        if self.delimiter and self._is_damaged(value.lstrip("\t")):
            return f"some shells would damage this value, which begins as the end of {self.within} does"
        if self.how == "here-document" and self.after_variable and re.match(r"\w", value):
            return f"this value would become part of the variable before it, inside {self.within}"
        return ""

    def _is_damaged(self, value: str) -> bool:
        """dash 0.5 loses a byte of what is not ASCII right behind the beginning of a delimiter."""
        pairs = zip(value, self.delimiter, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return common > 0 and not value[common : common + 1].isascii()


_UNSURE_HERE: Final = Spot("never", "a here-document whose end is not plain")


@dataclass(frozen=True, slots=True)
class _HereDoc:
    delimiter: str
    is_literal: bool
    strips_tabs: bool

    def spot(self, after_variable: bool) -> Spot:
        how: How = "literal here-document" if self.is_literal else "here-document"
        return Spot(how, "a here-document", self.delimiter, one_line=True, after_variable=after_variable)


class ShellScanner:
    """Reads the literal text of a command piece by piece; `spot()` is the place of a value between two pieces.

    Values leave the quoting as it is and are not read.
    """

    def __init__(self) -> None:
        self.escaped = False
        """The next character is preceded by a backslash that takes its meaning away."""
        self._frames: list[Frame] = ["word"]
        self._previous = "\n"
        self._announced: list[_HereDoc] = []
        self._bodies: list[_HereDoc] = []
        self._line = ""
        self._after_variable = False
        self._in_test = False
        self._lost: Spot | None = None

    def feed(self, text: str) -> None:
        """Read on."""
        self._after_variable = _VARIABLE.search(text) is not None
        position = 0
        while position < len(text) and self._lost is None:
            position += self._read(text, position)

    def spot(self) -> Spot:
        """How a value must be written here. One is taken to follow."""
        after_variable, self._after_variable = self._after_variable, False
        self._previous = _INSIDE_A_WORD
        self._line += "\0"  # a line with a value in it is no delimiter: `Spot` sees to that
        if self._lost is not None:
            return self._lost
        if self._bodies:
            return self._bodies[0].spot(after_variable)
        frame = self._frames[-1]
        within = "a line that begins a here-document" if self._announced else ""
        if "array" in self._frames:
            within = "an array"  # after a mistake in one, bash goes on with the next line, quoted or not
        if frame in ("word", "group", "array", "command substitution"):
            return Spot("word", within, one_line=bool(within), after_variable=after_variable)
        if frame == "double" or frame == "single" or frame == "comment":
            return Spot(frame, within, one_line=bool(within), after_variable=after_variable)
        return Spot("bare", f"{frame} (use $(…))" if frame == "backticks" else frame)

    def _read(self, text: str, at: int) -> int:
        """Take in what stands at `at`; returns how many characters that were."""
        if self._bodies:
            return self._read_here_document(text, at)
        char, frame = text[at], self._frames[-1]
        if self.escaped:
            self.escaped = False
            self._previous = self._previous if char == "\n" else _INSIDE_A_WORD
            return 1
        if frame == "comment":
            if char == "\n":
                self._frames.pop()
                return 0
            return 1
        if char == "\\" and frame != "single":
            if text.startswith("\n", at + 1) and text[max(0, at - 1) : at] in _SPLITTABLE:
                return self._lose(Spot("bare", "a command whose operators are split over lines"))
            self.escaped = True
            return 1
        if char == _CLOSERS.get(frame):
            self._frames.pop()
            return 1
        if frame in ("single", "$'…'", "backticks"):
            return 1
        if frame in _NESTED and char in "'\"`":
            return self._lose(Spot("bare", f"{frame} with quotes in it"))
        if char == "\n" and frame == "double" and self._announced:
            return self._lose(_UNSURE_HERE)
        for opener, inner in _OPENERS:
            if text.startswith(opener, at):
                return self._open(opener, inner)
        if frame in _NESTED:
            return self._read_nested(char, frame)
        return 1 if frame == "double" else self._read_words(text, at)

    def _open(self, opener: str, frame: Frame) -> int:
        # Two parentheses must close before `((` ends.
        self._frames += [frame, frame] if frame == "((…))" else [frame]
        self._previous = "(" if frame == "command substitution" else _INSIDE_A_WORD
        return len(opener)

    def _read_nested(self, char: str, frame: Frame) -> int:
        opener, closer = _NESTED[frame]
        if char in "\n<" and (char == "\n" or frame == "[…]"):
            return self._lose(_UNSURE_HERE)
        if frame == "[…]" and char in _BOUNDARIES:
            return self._lose(Spot("bare", frame))
        if char == closer:
            self._frames.pop()
        elif char == opener:
            self._frames.append(frame)
        return 1

    def _read_words(self, text: str, at: int) -> int:
        char, previous = text[at], self._previous
        self._previous = char
        if char in "'\"":
            self._frames.append("double" if char == '"' else "$'…'" if previous == "$" else "single")
            self._previous = _INSIDE_A_WORD
        elif char == "(" and previous == "=":
            self._frames.append("array")
        elif text.startswith("((", at):
            return self._open("((", "((…))")
        elif char == "(":
            self._frames.append("group")
        elif previous in _BOUNDARIES and _TEST.match(text, at):
            self._in_test = char == "["  # where bash reads `<<` as no here-document
            self._previous = _INSIDE_A_WORD
            return 2
        elif char == "[" and (previous.isalnum() or previous == "_" or _SUBSCRIPT.match(text, at)):
            return self._open("[", "[…]")
        elif char == ")" and self._announced:
            return self._lose(_UNSURE_HERE)
        elif char == ")" and len(self._frames) > 1:
            self._previous = _INSIDE_A_WORD if self._frames.pop() == "command substitution" else ")"
        elif char == "#" and previous == ")":
            return self._lose(Spot("bare", "what may be a comment"))
        elif char == "#" and previous in _BOUNDARIES:
            self._frames.append("comment")
        elif char == "\n":
            self._bodies, self._announced, self._line = self._announced, [], ""
        elif text.startswith("<<", at):
            return self._announce(text, at)
        elif previous in _BOUNDARIES and "command substitution" in self._frames and _CASE.match(text, at):
            return self._lose(Spot("bare", "a `case` in $(…)"))
        return 1

    def _announce(self, text: str, at: int) -> int:
        if text.startswith("<<<", at):
            self._previous = "<"
            return 3
        found = _HERE_DOC.match(text, at)
        if found is None or self._in_test or "array" in self._frames:
            return self._lose(_UNSURE_HERE)
        tabs, single, double, backslash, word = found.groups()
        is_literal = bool(single or double or backslash)
        self._announced.append(_HereDoc(single or double or word, is_literal, bool(tabs)))
        self._previous = _INSIDE_A_WORD
        return found.end() - at

    def _read_here_document(self, text: str, at: int) -> int:
        char, here = text[at], self._bodies[0]
        if self.escaped:
            self.escaped = False
            if char == "\n":
                return self._lose(_UNSURE_HERE)
            self._line += char
        elif char == "\n":
            if (self._line.lstrip("\t") if here.strips_tabs else self._line) == here.delimiter:
                self._bodies.pop(0)
            self._line = ""
        elif not here.is_literal and text.startswith(_EXPANSIONS, at):
            plain = _PLAIN_EXPANSION.match(text, at)
            if plain is None:
                return self._lose(_UNSURE_HERE)
            self._line += plain[0]
            return plain.end() - at
        else:
            self.escaped = char == "\\" and not here.is_literal
            self._line += char
        return 1

    def _lose(self, spot: Spot) -> int:
        """From here on the quoting is not followed any more: `spot` is what is safe anywhere."""
        self._lost = spot
        return 1
