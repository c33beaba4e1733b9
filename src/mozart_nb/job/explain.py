"""What pydantic found, as problems a person can act on: where, what was given, what is allowed, what was meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mozart_nb.errors import Problem
from mozart_nb.job.document import KeyPath, Positions, show_path
from mozart_nb.job.fields import describe, describe_key, is_choice_of_types, keys_of, shape_of, type_at
from mozart_nb.job.known import UNSUPPORTED_BACKENDS
from mozart_nb.job.model import JobConfig
from mozart_nb.job.report import locate, nearest, show_value
from mozart_nb.job.section import Fault

# Values whose YAML reading surprises; the text as written is what was meant.
_LOOKS_LIKE_TEXT: Final = "string_type"


def explain(error: ValidationError, positions: Positions, file: str = "") -> list[Problem]:
    """One problem per place, in the order of the models."""
    problems: dict[KeyPath, Problem] = {}
    for details in error.errors(include_url=False):
        for problem_path, problem in _explain_one(details, positions, file):
            problems.setdefault(problem_path, problem)
    return list(problems.values())


def _explain_one(details: ErrorDetails, positions: Positions, file: str) -> list[tuple[KeyPath, Problem]]:
    loc = details["loc"]
    faults: Sequence[Fault] = details.get("ctx", {}).get("faults", ())
    if faults:
        return [(_own(loc) + fault.at, _fault(_own(loc), fault, positions, file)) for fault in faults]
    if loc and loc[-1] == "[key]":
        path = _own(loc[:-1])
        allowed = describe_key(shape_of(type_at(JobConfig, path[:-1])))
        value = show_value(details["input"])
        message = f"wrong key in `{show_path(positions.as_written(path[:-1]))}`"
        problem = locate(path, positions, message, file=file, value=value, allowed=allowed, at_key=True)
        return [((*path, "[key]"), problem)]
    path = _own(loc)
    if details["type"] == "missing":
        return [(path, _missing(path, positions, file))]
    return [(path, _wrong_value(path, details, positions, file))]


def _own(loc: tuple[str | int, ...]) -> KeyPath:
    """The part of a pydantic location that names keys; it may go on with the name of a union's member."""
    for length in range(len(loc)):
        annotation = type_at(JobConfig, loc[:length])
        if annotation is None or is_choice_of_types(annotation):
            return loc[:length]
    return loc if type_at(JobConfig, loc) is not None else loc[:-1]


def _fault(base: KeyPath, fault: Fault, positions: Positions, file: str) -> Problem:
    path = base + fault.at
    at_key = not fault.value
    return locate(path, positions, fault.message, file=file, value=fault.value, allowed=fault.allowed, at_key=at_key)


def _missing(path: KeyPath, positions: Positions, file: str) -> Problem:
    return locate(
        path, positions, "`{path}` is required", file=file, allowed=describe(type_at(JobConfig, path)), at_key=True
    )


def _wrong_value(path: KeyPath, details: ErrorDetails, positions: Positions, file: str) -> Problem:
    annotation = type_at(JobConfig, path)
    given = details["input"]
    written = positions.find(path).text if positions.override_of(path) is None else ""
    allowed = describe(annotation)
    section = shape_of(annotation).section
    if section is not None:
        allowed += ": " + ", ".join(keys_of(section))
    if details["type"] == _LOOKS_LIKE_TEXT and written:
        allowed += f', in quotes: "{written}"'
    message = "wrong value for `{path}`"
    if path == ("backend", "type") and given in UNSUPPORTED_BACKENDS:
        message = f"the backend `{given}` is not supported"
    near = nearest(given, _choices(annotation)) if isinstance(given, str) else ""
    value = show_value(written or given)
    return locate(path, positions, message, file=file, value=value, allowed=allowed, near=near)


def _choices(annotation: Any) -> list[str]:
    """Every word that a type made of literals allows."""
    words = []
    for part in get_args(annotation):
        words += [part] if isinstance(part, str) else _choices(part)
    return words
