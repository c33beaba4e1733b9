"""How findings about a job file are put: where they stand, what was given, what would be right."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from mozart_nb.errors import Problem
from mozart_nb.job.document import KeyPath, Positions, show_path

MAX_SHOWN_VALUE: Final = 80

# Likeness of two names, from 0 to 1 as `difflib` measures it.
_NEAR: Final = 0.7
_VERY_NEAR: Final = 0.8
_CLEARLY: Final = 0.08


@dataclass(frozen=True, slots=True)
class Respelling:
    """A name that is misspelled beyond doubt, and how it is written: a key, or a name in a template or placeholder.

    `at` is where it stands, with the document's spellings; `is_in` says what the text there is.
    """

    at: KeyPath
    old: str
    new: str
    is_in: Literal["key", "template", "path", "command", "regex", "text"] = "key"


@dataclass(frozen=True, slots=True)
class Notice(Problem):
    """A problem that does not stop the job; `code` is the check that found it (V-code)."""

    code: str = ""
    respells: Respelling | None = None


def locate(path: KeyPath, positions: Positions, message: str, **more: Any) -> Problem:
    """A problem at the value of `path` (at its key with `at_key`), or at the `--set` argument that gave it.

    `path` has the models' names. Further arguments are those of `locate_written`.
    """
    return locate_written(positions.as_written(path), positions, message, **more)


def locate_written(
    path: KeyPath,
    positions: Positions,
    message: str,
    *,
    file: str = "",
    value: str = "",
    allowed: str = "",
    near: str = "",
    at_key: bool = False,
) -> Problem:
    """As `locate`, for a path with the spellings of the document. `{path}` in `message` is filled in."""
    override = positions.override_of_written(path)
    place = positions.find_written(path)
    line, column = (place.line, place.column) if at_key else (place.value_line, place.value_column)
    if override is not None:
        file, line, column = f"--set {override}", 0, 0
    shown = show_path(path)
    return Problem(
        message.replace("{path}", shown),
        path=shown,
        line=line,
        column=column,
        value=value,
        allowed=allowed,
        nearest=near,
        file=file,
        **positions.seen(path, line),
    )


def notice(code: str, problem: Problem, respells: Respelling | None = None) -> Notice:
    """`problem` as something that does not stop the job."""
    facts = {name: getattr(problem, name) for name in Problem.__dataclass_fields__}
    return Notice(**facts, code=code, respells=respells)


def show_value(value: Any) -> str:
    """`value` as it could stand in a job file, cut to 80 characters."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = " ".join(text.split()) if text.strip() else '""'
    return text if len(text) <= MAX_SHOWN_VALUE else text[: MAX_SHOWN_VALUE - 1] + "…"


def beyond_doubt(name: str, known: Iterable[str]) -> str:
    """The one known name that `name` can only be a misspelling of, or an empty text: nothing else is nearly as near."""
    matches = difflib.get_close_matches(name, sorted(known), n=2, cutoff=_NEAR)
    if len(matches) == 2 and _alike(name, matches[0]) - _alike(name, matches[1]) < _CLEARLY:
        return ""
    return matches[0] if matches and _is_slip(name, matches[0]) else ""


def _is_slip(name: str, known: str) -> bool:
    """Whether `name` is very like `known`, or the same with two neighbouring letters exchanged."""
    differ = [place for place, pair in enumerate(zip(name, known, strict=False)) if pair[0] != pair[1]]
    is_swapped = sorted(name) == sorted(known) and len(differ) == 2 and differ[1] == differ[0] + 1
    return is_swapped or _alike(name, known) >= _VERY_NEAR


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, one).ratio()


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, or an empty text."""
    matches = difflib.get_close_matches(name, sorted(known), n=1)
    return matches[0] if matches else ""
