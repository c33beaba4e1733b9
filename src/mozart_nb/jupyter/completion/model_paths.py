"""Paths through a job's YAML as they are written, looked up in the models."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from mozart_nb.job.fields import Shape, field_type, keys_of, shape_of
from mozart_nb.job.model import JobConfig
from mozart_nb.job.section import Section
from mozart_nb.jupyter.completion.outline import Path


def type_at(path: Path) -> Any:
    """The annotation of the value at `path`, whichever spelling its keys have; None where no model knows it."""
    annotation: Any = JobConfig
    for part in path:
        shape = shape_of(annotation)
        if shape.section is not None:
            field = keys_of(shape.section).get(own_key(shape.section, part))
            annotation = field_type(field) if field is not None else None
        else:
            annotation = shape.inner
        if annotation is None:
            return None
    return annotation


def shape_at(path: Path) -> Shape:
    """Whether a section, a list, a map or a plain value belongs at `path`."""
    annotation = type_at(path)
    return Shape("value") if annotation is None else shape_of(annotation)


def own_key(section: type[Section], key: str | int) -> str:
    """The section's own spelling of a key (`batch` for `sheet`)."""
    return section.SYNONYMS.get(str(key), str(key))


def words_of(annotation: Any) -> list[str]:
    """Every word that a type allows: choices, true and false, the short forms of a section."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    if annotation is bool:
        return ["true", "false"]
    section = shape_of(annotation).section
    if section is not None:
        is_short = section.expand_shorthand("x") != "x"
        return words_of(next(iter(section.model_fields.values())).annotation) if is_short else []
    if get_origin(annotation) in (dict, tuple):
        return []
    return [word for part in get_args(annotation) for word in words_of(part)]
