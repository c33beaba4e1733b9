"""`--set key.path=value`: changes to a job file for one run, made before it is validated."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mozart_nb.errors import ConfigError, Problem, UnreadableError
from mozart_nb.job.document import KeyPath, Positions, parse_value
from mozart_nb.job.fields import field_type, keys_of, shape_of
from mozart_nb.job.model import JobConfig
from mozart_nb.job.section import Section


def apply_overrides(raw: dict[Any, Any], overrides: Sequence[str]) -> dict[Any, Any]:
    """A copy of `raw` with every `key.path=value` applied, later ones over earlier ones.

    Values are YAML. Steps are keys, numbers of list entries (from 0) and batch numbers; sections that do not exist
    are made. Either spelling of a key (`sheet.size`, `batch.size`) changes the one that is there.

    Raises ConfigError when an argument has no `=`, its value is no YAML, or its path runs into a plain value.
    """
    return override(raw, overrides, Positions())


def override(raw: dict[Any, Any], overrides: Sequence[str], positions: Positions) -> dict[Any, Any]:
    """As `apply_overrides`, and `positions` learns which argument gave which value."""
    changed = copy.deepcopy(raw) if overrides else raw
    problems = []
    for argument in overrides:
        try:
            path, value = _parse(argument)
            given = _put(changed, path, value)
        except _OverrideError as error:
            problems.append(Problem(str(error), file=f"--set {argument}", allowed="key.path=value"))
        else:
            positions.overrides |= dict.fromkeys(given, argument)
    if problems:
        raise ConfigError(problems)
    return changed


class _OverrideError(Exception):
    pass


def _parse(argument: str) -> tuple[list[str], Any]:
    key, equals, text = argument.partition("=")
    steps = [step.strip() for step in key.split(".")]
    if not equals or not all(steps):
        raise _OverrideError("this is not of the form key.path=value")
    try:
        return steps, parse_value(text)
    except UnreadableError as error:
        raise _OverrideError(f"the value is not YAML: {error.problems[0].message}") from None


def _put(target: Any, steps: list[str], value: Any) -> list[KeyPath]:
    """Set the value; what was given by that: its path, and those of sections that had to be made for it."""
    annotation: Any = JobConfig
    path: KeyPath = ()
    given = []
    for step in steps[:-1]:
        key, annotation = _step(target, step, annotation)
        path = (*path, key)
        if _is_missing(target, key):
            given.append(path)
            _set(target, key, {})
        target = target[key]
    key, _ = _step(target, steps[-1], annotation)
    _set(target, key, value)
    return [*given, (*path, key)]


def _is_missing(target: Any, key: Any) -> bool:
    return key == len(target) if isinstance(target, list) else target.get(key) is None


def _set(target: Any, key: Any, value: Any) -> None:
    if isinstance(target, list) and key == len(target):
        target.append(value)
    else:
        target[key] = value


def _step(target: Any, step: str, annotation: Any) -> tuple[str | int, Any]:
    """The key that `step` means in `target`, and the type of what is below it."""
    if isinstance(target, list):
        if not step.isdecimal() or int(step) > len(target):
            raise _OverrideError(f"`{step}` is no entry of a list of {len(target)}; entries count from 0")
        return int(step), shape_of(annotation).inner
    if not isinstance(target, dict):
        raise _OverrideError(f"there is no key `{step}` below a plain value")
    shape = shape_of(annotation)
    if shape.section is not None:
        return _spelling(shape.section, step, target)
    number = int(step) if step.isdecimal() else None
    if number is not None and (number in target or shape.key is int) and step not in target:
        return number, shape.inner
    return step, shape.inner


def _spelling(model: type[Section], step: str, target: dict[Any, Any]) -> tuple[str, Any]:
    name = model.SYNONYMS.get(step, step)
    field = keys_of(model).get(name)
    annotation = field_type(field) if field is not None else None
    spellings = [name, *(other for other, meant in model.SYNONYMS.items() if meant == name)]
    return next((spelling for spelling in spellings if spelling in target), step), annotation
