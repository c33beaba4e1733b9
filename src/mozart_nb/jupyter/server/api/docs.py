"""The API explained: as a document for programs, and as a page that needs no script and no network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from markupsafe import Markup, escape

from mozart_nb.jupyter.server.api.openapi import document
from mozart_nb.jupyter.server.base import ApiHandler, PageHandler


class OpenApiHandler(ApiHandler):
    """The OpenAPI document."""

    def get(self) -> None:
        self.answer(document())


class DocsHandler(PageHandler):
    """The same for people."""

    def get(self) -> None:
        self.render_page("docs.html", place="docs", info=_marked(document()["info"]), tags=_tags(), schemas=_schemas())


@cache
def _tags() -> list[dict[str, Any]]:
    whole = document()
    return [{**_marked(tag), "operations": [*_operations(whole, tag["name"])]} for tag in whole["tags"]]


def _marked(part: dict[str, Any]) -> dict[str, Any]:
    """The same with `code` in its texts as people see code."""
    texts = {key: part.get(key, "") for key in ("description", "summary")}
    return {**part, **{key: with_code(text) for key, text in texts.items()}}


def with_code(text: str) -> Markup:
    """A text of ours with what stands between backticks marked as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _operations(whole: dict[str, Any], tag: str) -> Iterator[dict[str, Any]]:
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield {
                    **_marked(operation),
                    "method": method.upper(),
                    "path": path,
                    "parameters": [*map(_parameter, operation["parameters"])],
                    "body": _body(operation),
                    "answers": [*_answers(operation)],
                }


def _parameter(one: dict[str, Any]) -> dict[str, Any]:
    default = one["schema"].get("default", "")
    kind = type_of(one["schema"])
    return {**_marked(one), "type": f"{kind} (default {default})" if default != "" else kind}


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return next((name_of(media["schema"]) for media in content.values()), "")


def _answers(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for status, answer in operation["responses"].items():
        media = answer.get("content", {})
        name = next((name_of(one["schema"]) for one in media.values()), "")
        yield {"status": status, "meaning": with_code(answer["description"]), "types": ", ".join(media), "schema": name}


@cache
def _schemas() -> list[dict[str, Any]]:
    found = document()["components"]["schemas"]
    return [
        {
            "name": name,
            "description": with_code(schema.get("description", "")),
            "fields": [
                {
                    "name": field,
                    "type": type_of(part),
                    "ref": name_of(part.get("items", part)),
                    "description": with_code(part.get("description", "")),
                    "required": field in schema.get("required", ()),
                }
                for field, part in schema.get("properties", {}).items()
            ],
        }
        for name, schema in found.items()
    ]


def name_of(schema: dict[str, Any]) -> str:
    """The name of the schema that is referred to; empty for others."""
    for option in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if "$ref" in option:
            return str(option["$ref"]).rpartition("/")[2]
    return ""


def type_of(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if name := name_of(schema) if "anyOf" not in schema else "":
        return name
    if "anyOf" in schema:
        return " or ".join(type_of(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(value) or "(empty)" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    kind = schema.get("type", "any")
    bounds = [f"{sign} {schema[key]:,}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in schema]
    return f"{kind} {', '.join(bounds)}".strip()
