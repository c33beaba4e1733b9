"""From keys as people write them to the keys of the models, with a notice for every key that no model has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from mozart_nb.errors import Problem
from mozart_nb.job.document import KeyPath, Positions
from mozart_nb.job.fields import field_type, keys_of, shape_of
from mozart_nb.job.known import MOVED, UNSUPPORTED
from mozart_nb.job.model import JobConfig
from mozart_nb.job.report import Notice, Respelling, beyond_doubt, locate_written, nearest, notice
from mozart_nb.job.section import Section

UNKNOWN_KEY: Final = "V108"
NO_EFFECT: Final = "V119"


@dataclass
class Canonical:
    """The mapping with the models' own keys only, and what was found on the way there."""

    data: dict[str, Any] = field(default_factory=dict)
    unknown: list[Notice] = field(default_factory=list)
    without_effect: list[Notice] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def canonical(raw: dict[Any, Any], positions: Positions, file: str = "") -> Canonical:
    """Map synonyms to field names and take out what no model knows, reporting each such key.

    `positions` learns which path each renamed key was written as.
    """
    walk = _Walk(positions, file)
    walk.result.data = walk.section(JobConfig, _moved(raw, positions), (), ())
    return walk.result


def _moved(raw: dict[Any, Any], positions: Positions) -> dict[Any, Any]:
    """The mapping with keys that stood in another section in the section of theirs; what stands there already wins."""
    for old, new in MOVED.items():
        there, here = raw.get(old[0]), raw.get(new[0])
        if not isinstance(there, dict) or old[1] not in there or not isinstance(here, dict | None):
            continue
        rest = {key: value for key, value in there.items() if key != old[1]}
        raw = {**raw, old[0]: rest, new[0]: {new[1]: there[old[1]], **(here or {})}}
        positions.written.setdefault(new, old)
    return raw


class _Walk:
    def __init__(self, positions: Positions, file: str) -> None:
        self.positions = positions
        self.file = file
        self.result = Canonical()

    def section(self, model: type[Section], raw: Any, path: KeyPath, written: KeyPath) -> Any:
        raw = model.expand_shorthand(raw)
        if not isinstance(raw, dict):
            return raw
        fields = keys_of(model)
        data: dict[str, Any] = {}
        spelled: dict[str, Any] = {}
        for key, value in raw.items():
            name = model.SYNONYMS.get(key, key) if isinstance(key, str) else key
            below = (*written, key)
            if name not in fields:
                self._unknown(model, key, below, raw)
            elif name in spelled:
                message = f"`{spelled[name]}` and `{key}` mean the same; give one of them"
                self.result.problems.append(self._problem(message, below))
            else:
                spelled[name] = key
                if name != key:
                    self.positions.written[(*path, name)] = below
                annotation = field_type(fields[name])
                if value is None and shape_of(annotation).kind != "value":
                    continue  # a section whose lines are all commented out
                data[name] = self._value(annotation, value, (*path, name), below)
        return data

    def _value(self, annotation: Any, value: Any, path: KeyPath, written: KeyPath) -> Any:
        shape = shape_of(annotation)
        if shape.section is not None:
            return self.section(shape.section, value, path, written)
        if shape.kind == "list" and isinstance(value, list):
            return [
                self._value(shape.inner, item, (*path, index), (*written, index)) for index, item in enumerate(value)
            ]
        if shape.kind == "map" and isinstance(value, dict):
            return {key: self._value(shape.inner, item, (*path, key), (*written, key)) for key, item in value.items()}
        return value

    def _unknown(self, model: type[Section], key: Any, written: KeyPath, beside: dict[Any, Any]) -> None:
        reason = UNSUPPORTED.get(model, {}).get(key)
        if reason is not None:
            message = f"`{key}` is {reason}"
            self.result.without_effect.append(notice(NO_EFFECT, self._problem(message, written)))
            return
        near = nearest(str(key), [*keys_of(model), *model.SYNONYMS]) or _elsewhere(str(key))
        message = f"unknown key `{key}`; it has no effect"
        meant = beyond_doubt(str(key), [*keys_of(model), *model.SYNONYMS], is_key=True)
        is_free = model.SYNONYMS.get(meant, meant) not in {model.SYNONYMS.get(str(one), one) for one in beside}
        is_in_text = written in self.positions.places and self.positions.override_of_written(written) is None
        respells = Respelling(written, str(key), meant) if meant and is_free and is_in_text else None
        self.result.unknown.append(notice(UNKNOWN_KEY, self._problem(message, written, near), respells))

    def _problem(self, message: str, written: KeyPath, near: str = "") -> Problem:
        return locate_written(written, self.positions, message, file=self.file, near=near, at_key=True)


def _elsewhere(key: str) -> str:
    """The one place where a key of this name belongs, if there is just one."""
    places = _places().get(key, [])
    return places[0] if len(places) == 1 else ""


@cache
def _places() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in _all_keys(JobConfig, ()):
        found.setdefault(path[-1], []).append(".".join(path))
    return found


def _all_keys(model: type[Section], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, one in keys_of(model).items():
        shape = shape_of(field_type(one))
        yield (*path, key)
        if shape.section is not None:
            yield from _all_keys(shape.section, (*path, key))
