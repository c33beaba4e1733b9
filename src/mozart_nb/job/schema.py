"""The JSON Schema of job files, for editors that complete and check while typing.

Generated from the models, so that it cannot say anything else than they do; what the loader accepts on top (synonyms,
known keys without effect) is added here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from mozart_nb.job.fields import keys_of
from mozart_nb.job.known import UNSUPPORTED
from mozart_nb.job.model import JobConfig
from mozart_nb.job.section import Section

_HERE: Final = f"{__name__.rpartition('.')[0]}."
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def job_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of a whole job file. A fresh copy; keys nobody knows are not allowed by it."""
    schema = JobConfig.model_json_schema(by_alias=True)
    for model in sections():
        part = schema if model is JobConfig else schema["$defs"][model.__name__]
        _accept_synonyms(part, model)
        _name_unsupported(part, model)
    _accept_sheet_events(schema["$defs"]["NotificationConfig"]["properties"]["on_events"]["items"])
    for name in ("ChannelSettings", "NotificationConfig"):
        _accept_sheet_events(schema["$defs"][name]["properties"]["template"]["anyOf"][1]["propertyNames"])
    _tidy(schema)
    _require_work(schema)
    return {"$schema": DIALECT, "title": "mozart_nb job file", **schema}


def sections() -> Iterator[type[Section]]:
    """Every class that is part of a job file; settings of other files are sections, too, once they are imported."""
    waiting: list[type[Section]] = [Section]
    while waiting:
        for model in waiting.pop().__subclasses__():
            if model.__module__.startswith(_HERE):
                yield model
                waiting.append(model)


def _accept_synonyms(part: dict[str, Any], model: type[Section]) -> None:
    for synonym, name in model.SYNONYMS.items():
        # `$ref` may stand beside a description in this draft.
        part["properties"][synonym] = {**copy.deepcopy(part["properties"][name]), "description": f"Same as `{name}`."}
        part.setdefault("allOf", []).append({"not": {"required": [name, synonym]}})


def _name_unsupported(part: dict[str, Any], model: type[Section]) -> None:
    for key, reason in UNSUPPORTED.get(model, {}).items():
        if key not in keys_of(model):
            part["properties"][key] = {"description": f"Has no effect: {reason}.", "deprecated": True}


def _accept_sheet_events(events: dict[str, Any]) -> None:
    words: list[str] = events["enum"]
    words += [word.replace("batch_", "sheet_", 1) for word in list(words) if word.startswith("batch_")]


def _require_work(schema: dict[str, Any]) -> None:
    """Size and number of items must be given, under either name, unless `items` says where rows come from."""
    counted = {"required": ["size", "total_items"]}
    schema["if"] = {"not": {"required": ["items"]}}
    schema["then"] = {
        "anyOf": [{"required": [name], "properties": {name: counted}} for name in ("batch", "sheet")],
    }


# Behind a validator function pydantic writes limits under their own names.
_LIMITS: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}


def _tidy(node: Any) -> None:
    """Limits under their JSON Schema names; no titles, which editors would show instead of the descriptions."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            for one in value.values() if key in ("properties", "$defs") else [value]:
                _tidy(one)
        if isinstance(node.get("title"), str):
            del node["title"]
        for name in _LIMITS.keys() & node.keys():
            node[_LIMITS[name]] = node.pop(name)
