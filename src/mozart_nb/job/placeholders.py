"""Placeholders in paths, commands and patterns: `{batch_num}` and `{{ batch_num }}` alike.

Only names that are known are filled in. Any other brace stays as it is: `{1,3}` of a regular expression, `${HOME}`,
JSON, `awk '{print $1}'`, `docker ps --format '{{.Names}}'`. Values come from rows that nobody has checked; what is
filled in is never looked at again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal

import regex

from mozart_nb.errors import PromptError
from mozart_nb.job.names import VARIABLES
from mozart_nb.job.shell import ShellScanner, Spot, UnquotableError
from mozart_nb.job.templates import Expression, nearest

Mode = Literal["path", "command", "regex", "text"]
"""How values are written: as they are (`path`, `text`), quoted (`command`) or escaped (`regex`)."""

_NAME: Final = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_SINGLE = re.compile(rf"\{{({_NAME})\}}", re.ASCII)
# The earlier tool filled paths in with `str.format`, so they may say `{batch_num:03d}`. Widths stay small.
_FORMATTED = re.compile(
    rf"\{{({_NAME})(?::([<>=^]?[+-]?#?0?\d{{0,3}}[,_]?(?:\.\d{{1,2}})?[bcdeEfFgGnosxX%]?))?\}}", re.ASCII
)
_MAX_EXPRESSION: Final = 500
# `\p{name}`, `\N{name}` and their like belong to the regular expression.
_REGEX_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\[pPNgkLuxX]?$")
# bash evaluates both sides of these as arithmetic, in which a text may hold a command.
_COMPARISON = re.compile(r"""-(?:eq|ne|lt|le|gt|ge)\s+["']?\Z|\A["']?\s+-(?:eq|ne|lt|le|gt|ge)\b""")


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """What stands between braces from `start` to `end`, and where in a command that is."""

    start: int
    end: int
    raw: str
    expression: Expression
    spec: str = ""
    spot: Spot | None = None

    def write(self, values: Mapping[str, Any], mode: Mode, batch: int | None) -> str:
        text = self._text(values, batch)
        if self.spot is not None:
            try:
                return self.spot.write(text)
            except UnquotableError as error:
                raise PromptError(f"placeholder `{self.raw}`: {error}", batch=batch, code="E502") from error
        if mode == "regex":
            return regex.escape(text)
        if mode == "path" and "\0" in text:
            raise PromptError(f"placeholder `{self.raw}`: a path cannot hold a NUL character", batch=batch, code="E502")
        return text

    def _text(self, values: Mapping[str, Any], batch: int | None) -> str:
        (name, *others) = self.expression.names
        # Nearly all are a name and nothing else; no need to ask Jinja.
        is_plain = not others and self.expression.text == name and name in values
        value = values[name] if is_plain else self.expression.evaluate(values, batch=batch)
        if not self.spec:
            return _as_text(value)
        try:
            return format(value, self.spec)
        except (TypeError, ValueError) as error:
            raise PromptError(f"placeholder `{self.raw}`: {error}", batch=batch, code="E502") from error


def expand(text: str, values: Mapping[str, Any], mode: Mode) -> str:
    """`text` with every known placeholder filled in from `values`, the variables of a batch, written as `mode` asks.

    Lists and mappings are written as JSON. A placeholder behind `$`, or behind a backslash in commands and regular
    expressions, is none. Raises `PromptError` when an expression cannot be evaluated, or when a value cannot be
    written safely where it stands in a command.
    """
    if "{" not in text:
        return text
    batch = getattr(values, "number", None)
    pieces: list[str] = []
    position = 0
    for placeholder in _parse(text, mode, VARIABLES.union(values)):
        pieces += [text[position : placeholder.start], placeholder.write(values, mode, batch)]
        position = placeholder.end
    return "".join([*pieces, text[position:]])


def placeholders_in(text: str, mode: Mode = "path") -> set[str]:
    """The names that placeholders of `text` use, known or not."""
    return {name for placeholder in _candidates(text, mode) for name in placeholder.expression.names}


def unknown_placeholders(text: str, known: Iterable[str], mode: Mode = "path") -> list[tuple[str, str]]:
    """Names in what looks like placeholders that are not among `known`, each with the nearest known name or "".

    In commands and regular expressions a name without a nearest one is most likely none of ours.
    """
    names = frozenset(known)
    found: dict[str, str] = {}
    for placeholder in _candidates(text, mode):
        for name in sorted(placeholder.expression.names - names):
            found.setdefault(name, nearest(name, names))
    return list(found.items())


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


# --- finding them -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _parse(text: str, mode: Mode, known: frozenset[str]) -> tuple[_Placeholder, ...]:
    """The placeholders to fill in. Cached: a rule's texts are the same for every batch."""
    if mode != "command":
        return tuple(_candidates(text, mode, known))
    scanner = ShellScanner()
    found: list[_Placeholder] = []
    position = 0
    for candidate in _candidates(text, mode, known):
        scanner.feed(text[position : candidate.start])
        position = candidate.start
        if not scanner.escaped:
            position = candidate.end
            spot = scanner.spot()
            if _COMPARISON.search(text[: candidate.start]) or _COMPARISON.search(text[candidate.end :]):
                spot = Spot("bare", "a comparison of numbers")
            found.append(replace(candidate, spot=spot))
    return tuple(found)


def _candidates(text: str, mode: Mode, known: frozenset[str] | None = None) -> Iterator[_Placeholder]:
    """What looks like a placeholder, from left to right; with `known`, only what can be filled in."""
    position = text.find("{")
    while position >= 0:
        found = None if _belongs_to_others(text, position, mode) else _at(text, position, mode)
        if found is not None and (known is None or found.expression.names <= known):
            yield found
            position = text.find("{", found.end)
        else:
            position = text.find("{", position + 1)


def _belongs_to_others(text: str, position: int, mode: Mode) -> bool:
    before = text[max(0, position - 100) : position]
    if before.endswith("$"):
        return True
    return mode == "regex" and _REGEX_ESCAPE.search(before) is not None


def _at(text: str, position: int, mode: Mode) -> _Placeholder | None:
    if text.startswith("{{", position):
        return _double(text, position)
    found = (_FORMATTED if mode == "path" else _SINGLE).match(text, position)
    if found is None:
        return None
    expression = _expression(found[1])
    spec = found[2] or "" if mode == "path" else ""
    return None if expression is None else _Placeholder(position, found.end(), found[0], expression, spec)


def _double(text: str, position: int) -> _Placeholder | None:
    """`{{ expression }}`; the expression may itself hold `}}`, so the ends are tried in turn."""
    end = text.find("}}", position + 2)
    while 0 <= end - position <= _MAX_EXPRESSION:
        expression = _expression(text[position + 2 : end])
        if expression is not None:
            return _Placeholder(position, end + 2, text[position : end + 2], expression)
        end = text.find("}}", end + 1)
    return None


@lru_cache(maxsize=4096)
def _expression(source: str) -> Expression | None:
    """None when it is no Jinja expression, or one that uses no variable and so is none of ours."""
    # `{{- x -}}` asks Jinja to trim what stands around, which is for templates.
    source = source.removeprefix("-").removesuffix("-").strip()
    try:
        expression = Expression(source, f"placeholder `{source}`")
    except PromptError:
        return None
    return expression if expression.names else None
