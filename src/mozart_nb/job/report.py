"""How findings about a job file are put: where they stand, what was given, what would be right."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from mozart_nb.errors import Problem
from mozart_nb.job.document import KeyPath, Positions, show_path
from mozart_nb.masking import masked_head

MAX_SHOWN_VALUE: Final = 80

_SHORTEST: Final = 4
"""Letters of a name below which a slip could be anything."""

_DIGITS: Final = re.compile(r"\d+")


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
    """`value` as it could stand in a job file, cut to 80 characters and without secrets."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = " ".join(text.split()) if text.strip() else '""'
    shown = masked_head(text, MAX_SHOWN_VALUE)
    return shown if len(text) <= MAX_SHOWN_VALUE else shown[: MAX_SHOWN_VALUE - 1] + "…"


def beyond_doubt(name: str, known: Iterable[str], *, is_key: bool = False) -> str:
    """The one known name that `name` can only be a slip of, or an empty text.

    Two neighbouring letters exchanged, one missing or too many within the word, other capitals or underscores; for keys
    (`is_key`), which nobody makes up, also another number (`retrys`). Never a name that people choose on purpose beside
    another: `topic_b`, `topic2`, `topics`, `_retry`.
    """
    found = [one for one in known if _is_slip(name, one) or (is_key and _is_inflected(name, one))]
    return found[0] if len(found) == 1 else ""


def _is_slip(name: str, known: str) -> bool:
    one, other = _letters(name), _letters(known)
    if one == other:
        return True
    if not name[:1].isalpha() or len(other) < _SHORTEST or _DIGITS.findall(one) != _DIGITS.findall(other):
        return False
    if len(one) == len(other):
        differ = [place for place, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]
        return len(differ) == 2 and differ[1] == differ[0] + 1 and sorted(one) == sorted(other)
    short, long = sorted((one, other), key=len)
    return len(long) == len(short) + 1 and any(
        long[:place] + long[place + 1 :] == short for place in range(1, len(long) - 1)
    )


def _is_inflected(name: str, known: str) -> bool:
    return name[:1].isalpha() and _singular(_letters(name)) == _singular(_letters(known))


def _letters(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower() if name[:1].isalpha() else name


def _singular(word: str) -> str:
    return word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, or an empty text."""
    matches = difflib.get_close_matches(name, sorted(known), n=1)
    return matches[0] if matches else ""
