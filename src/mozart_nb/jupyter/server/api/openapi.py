"""The OpenAPI document, made from the table of operations and the types they name.

Source: https://spec.openapis.org/oas/v3.1.1 (its schemas are JSON Schema 2020-12, as msgspec makes them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from mozart_nb.jupyter.server.api.operation import LARGEST_NUMBER, Operation, Resource
from mozart_nb.jupyter.server.api.params import list_names
from mozart_nb.jupyter.server.api.table import RESOURCES
from mozart_nb.jupyter.server.problems import MEDIA_TYPE as PROBLEM_TYPE
from mozart_nb.jupyter.server.problems import ProblemDocument, phrase

VERSION: Final = "3.1.1"
JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/{name}"

_PATH_PARAMETERS: Final[Mapping[str, dict[str, Any]]] = {
    "key": {
        "description": "`key` of a job, as lists of jobs have it",
        "schema": {"type": "string"},
    },
    "number": {
        "description": "number of a batch, from 1; of frames: of an event",
        "schema": {"type": "integer", "minimum": 0, "maximum": LARGEST_NUMBER},
    },
}

_TAGS: Final[Mapping[str, str]] = {
    "jobs": "Jobs of this user, wherever they run.",
    "batches": "What a job is made of.",
    "what happened": "Events, logs, failures, the past.",
    "job files": "Before there is a job.",
    "server": "The server itself, and the conductor.",
}

_WHY: Final[Mapping[int, str]] = {
    304: "Not modified since the answer with this `If-None-Match`",
    400: "The request cannot be understood, or cannot be done as asked",
    403: "Not signed in, not allowed, or without XSRF token",
    404: "No such job, batch or address",
    409: "Not as the job stands: another host has it, it is over, or two workspaces have the id",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The job file has mistakes: `mistakes` has all of them",
    503: "Something is missing for a moment: ask again",
}


@cache
def document() -> dict[str, Any]:
    """The whole document; addresses in it are relative to `/mozart` of the server that sends it."""
    from mozart_nb import __version__

    types = [*{operation.answer: None for _, operation in _operations()}, ProblemDocument]
    types += {operation.body: None for _, operation in _operations() if operation.body is not None}
    _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    return {
        "openapi": VERSION,
        "info": {
            "title": "mozart_nb",
            "version": __version__,
            "description": (
                "Jobs of Claude sessions: watching them, steering them, creating them. Every request needs the token "
                "of the server, or the cookies of somebody who signed in; with cookies alone, what changes something "
                "also needs the header `X-XSRFToken`. Whatever goes wrong is answered with `application/problem+json`. "
                "Times are ISO 8601 in UTC, durations seconds, money US dollars."
            ),
        },
        "servers": [{"url": "."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": {resource.path: _path(resource) for resource in RESOURCES},
        "components": {
            "schemas": {name: _tidied(schema) for name, schema in sorted(components.items())},
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`token <token>`"},
                "address": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
        "security": [{"token": []}, {"address": []}],
    }


def _operations() -> Iterator[tuple[Resource, Operation]]:
    for resource in RESOURCES:
        for operation in resource.operations.values():
            yield resource, operation


def _path(resource: Resource) -> dict[str, Any]:
    return {method.lower(): _operation(resource, method, one) for method, one in resource.operations.items()}


def _operation(resource: Resource, method: str, operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [resource.tag],
        "summary": operation.summary,
        "parameters": [*_path_parameters(resource), *_query_parameters(operation), *_header_parameters(operation)],
        "responses": _responses(resource, method, operation),
    }
    if operation.description:
        found["description"] = operation.description
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": _reference(operation.body)}}}
    return found


def _path_parameters(resource: Resource) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, **_PATH_PARAMETERS[name]} for name in resource.parameters]


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    _, components = msgspec.json.schema_components([operation.query], ref_template=_REFERENCE)
    properties: dict[str, Any] = components[operation.query.__name__].get("properties", {})
    lists = list_names(operation.query)
    for name, schema in properties.items():
        found: dict[str, Any] = {"name": name, "in": "query", "required": False}
        plain = {key: value for key, value in _tidied(schema).items() if key not in ("description", "default")}
        if "anyOf" in plain:  # null is what is meant when the parameter is left out
            [plain] = [option for option in plain["anyOf"] if option.get("type") != "null"]
        if text := schema.get("description") or plain.pop("description", ""):
            found["description"] = text
        if name in lists:
            found |= {"style": "form", "explode": False}
        elif schema.get("default") not in (None, ""):
            plain["default"] = schema["default"]
        yield {**found, "schema": plain}


def _header_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.stream is not None:
        yield {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "for an event stream: the last event that was seen; what is no number counts as none",
            "schema": {"type": "string"},
        }


def _responses(resource: Resource, method: str, operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in operation.statuses:
        content: dict[str, Any] = {JSON: {"schema": _reference(operation.answer)}}
        if operation.stream is not None:
            content["text/event-stream"] = {"schema": {"type": "string"}}
        found[str(status)] = {"description": phrase(status), "content": content}
        if status == 201:
            found[str(status)]["headers"] = {"Location": {"schema": {"type": "string"}}}
    if method == "GET":
        found["304"] = {"description": _WHY[304]}
    for status in sorted({*_usual_failures(resource, method), *operation.fails}):
        problem = {"description": _WHY[status], "content": {PROBLEM_TYPE: {"schema": _reference(ProblemDocument)}}}
        found[str(status)] = problem
        if status == 503:
            problem["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return found


def _usual_failures(resource: Resource, method: str) -> Iterator[int]:
    yield from (400, 403, 404, 503)
    if "key" in resource.parameters or resource.path == "/api/history":
        yield 409
    if method == "POST":
        yield from (413, 415)


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def _tidied(value: Any) -> Any:
    """Schemas without what msgspec adds and nobody needs: titles that repeat the name."""
    if isinstance(value, dict):
        return {key: _tidied(part) for key, part in value.items() if key != "title" or not isinstance(part, str)}
    return [_tidied(part) for part in value] if isinstance(value, list) else value
