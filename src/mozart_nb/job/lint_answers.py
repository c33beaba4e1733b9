"""Rules about the section `answer`: its schema, and settings that do not fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mozart_nb.errors import ConfigError
from mozart_nb.job.answer_schema import schema_faults
from mozart_nb.job.answers import SCHEMA_PATH, parse_schema
from mozart_nb.job.document import show_path
from mozart_nb.job.vcodes import Finding, Rule, Subject


def schema_is_valid(subject: Subject) -> Iterator[Finding]:
    """A schema that cannot be used would have every answer paid for and refused."""
    given = subject.loaded.config.answer.json_schema
    if isinstance(given, dict):
        for fault in schema_faults(given):
            yield Finding((*SCHEMA_PATH, *fault.at), f"the schema is not valid: {fault.message}")
        return
    text = subject.text_of(given) if given is not None else None
    if given is None or text is None:
        return  # V003 is about files that are not there
    try:
        schema = parse_schema(text, given)
    except ConfigError as error:
        yield Finding(SCHEMA_PATH, f"the schema cannot be used: {error.problems[0]}")
        return
    for fault in schema_faults(schema):
        where = f", {show_path(fault.at)}" if fault.at else ""
        yield Finding(SCHEMA_PATH, f"the schema in {given}{where} is not valid: {fault.message}")


def settings_fit_together(subject: Subject) -> Iterator[Finding]:
    answer, batch = subject.loaded.config.answer, subject.loaded.config.batch
    if "format" in answer.model_fields_set and answer.format == "text" and answer.wants_json:
        key = "schema" if answer.json_schema is not None else "per_item"
        yield Finding(("answer", "format"), f"`{key}` asks for JSON, whatever `format` says", "format: json")
    if not answer.per_item:
        return
    if batch.fan_out:
        message = "with a fan-out every batch has one item, so each answer is a list of one"
        yield Finding(("answer", "per_item"), message, "leave `per_item` out")
    if _is_list(_schema(subject)):
        message = "with `per_item` the schema is that of one object; this one asks for a list for every item"
        yield Finding(SCHEMA_PATH, message, "give the schema of its `items`")


RULES: Final[Mapping[str, Rule]] = {"V125": schema_is_valid, "V126": settings_fit_together}


def _schema(subject: Subject) -> dict[str, Any] | None:
    given = subject.loaded.config.answer.json_schema
    if given is None or isinstance(given, dict):
        return given
    try:
        return parse_schema(subject.text_of(given) or "", given)
    except ConfigError:
        return None


def _is_list(schema: dict[str, Any] | None) -> bool:
    return schema is not None and schema.get("type") == "array"
