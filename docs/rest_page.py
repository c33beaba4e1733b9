"""The parts of docs/rest.md that are made from the code: the operations and what they take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mozart_nb.jupyter.server.api.docs import type_of
from mozart_nb.jupyter.server.api.openapi import document

Table = Callable[[tuple[str, ...], Iterable[tuple[str, ...]]], str]

_PART = re.compile(r"(<!-- (operations|parameters|answers): begin -->)\n.*?(<!-- \2: end -->)", re.DOTALL)


def rest_page(page: Path, table: Table) -> str:
    """The page, which people write, with its tables filled in."""
    parts = {"operations": _operations(table), "parameters": _parameters(table), "answers": _answers(table)}
    text = page.read_text(encoding="utf-8")
    return _PART.sub(lambda found: f"{found[1]}\n{parts[found[2]]}\n{found[3]}", text)


def _each() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _operations(table: Table) -> str:
    rows = [(f"`{name}`", operation["summary"], _answer(operation)) for name, operation in _each()]
    return table(("address below `/mozart`", "what it does", "answers"), rows)


def _answer(operation: dict[str, Any]) -> str:
    [(status, answer), *_] = operation["responses"].items()
    schema = next(iter(answer["content"].values()))["schema"]
    return f"{status} `{type_of(schema)}`"


def _parameters(table: Table) -> str:
    parts = []
    for name, operation in _each():
        rows = [*_query(operation), *_body(operation)]
        if rows:
            parts += [f"### `{name}`\n", table(("name", "in", "type", "default", "meaning"), rows)]
    return "\n".join(parts)


def _query(operation: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in operation["parameters"]:
        if one["in"] != "path":
            default = one["schema"].get("default", "")
            yield f"`{one['name']}`", one["in"], _type(one["schema"]), _code(default), one.get("description", "")


def _body(operation: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    if "requestBody" not in operation:
        return
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = document()["components"]["schemas"][name]
    for field, part in schema["properties"].items():
        default = "required" if field in schema.get("required", ()) else _code(part.get("default", ""))
        yield f"`{field}`", "body", _type(part), default, part.get("description", "")


def _code(value: Any) -> str:
    return "" if value in ("", None, [], (), False) else f"`{value}`"


def _type(schema: dict[str, Any]) -> str:
    return type_of(schema).replace("|", "·")


def _answers(table: Table) -> str:
    told: dict[str, str] = {}
    for _, operation in _each():
        told.update({status: answer["description"] for status, answer in operation["responses"].items()})
    return table(("status", "when"), [(status, told[status]) for status in sorted(told)])
