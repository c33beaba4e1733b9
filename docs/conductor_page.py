"""The parts of docs/conductor.md that are made from the code: its settings and its methods."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from mozart_nb.hosts.conductor import faults, rpc
from mozart_nb.hosts.conductor.methods import METHODS, Method, in_order
from mozart_nb.hosts.conductor.settings import FIXED, ConductorSettings
from mozart_nb.hosts.conductor.wanted import Params
from mozart_nb.job.fields import describe, field_type, keys_of

Table = Callable[[tuple[str, ...], Iterable[tuple[str, ...]]], str]

_PART = re.compile(r"(<!-- (settings|methods|numbers): begin -->)\n.*?(<!-- \2: end -->)", re.DOTALL)

_STANDARD = {
    rpc.PARSE_ERROR: "no JSON, or nested too deep",
    rpc.INVALID_REQUEST: "no call as the standard has it, or a message that is too long",
    rpc.METHOD_NOT_FOUND: "there is no such method",
    rpc.INVALID_PARAMS: "parameters that the method does not have, or of the wrong type",
    rpc.INTERNAL_ERROR: "a mistake of ours; `message` names it",
    faults.RESOURCE_EXHAUSTED: "too many connections, watches or jobs",
    faults.SHUTTING_DOWN: "the conductor is stopping",
}


def conductor_page(page: Path, table: Table) -> str:
    """The page, which people write, with its tables filled in."""
    parts = {"settings": _settings(table), "methods": _methods(table), "numbers": _numbers(table)}
    text = page.read_text(encoding="utf-8")
    return _PART.sub(lambda found: f"{found[1]}\n{parts[found[2]]}\n{found[3]}", text)


def _settings(table: Table) -> str:
    rows = []
    for name, field in keys_of(ConductorSettings).items():
        default = "" if field.default is None else f"`{field.default}`"
        later = " Only after a restart." if name in FIXED else ""
        rows.append((f"`{name}`", describe(field_type(field)), default, f"{field.description}{later}"))
    return table(("key", "value", "default", "meaning"), rows)


def _numbers(table: Table) -> str:
    ours = {number: f"`{kind.__name__}`" for kind, number in faults.NUMBERS.items()}
    rows = [(f"`{number}`", meaning) for number, meaning in _STANDARD.items()]
    return table(("code", "what it stands for"), [*rows, *((f"`{number}`", kind) for number, kind in ours.items())])


def _methods(table: Table) -> str:
    parts = []
    for method in METHODS.values():
        parts.append(f"### `{method.name}`\n")
        parts.append(f"{method.summary} Returns {method.result}.{_aliases(method)}\n")
        rows = list(_params(method.params))
        parts.append(table(("parameter", "type", "default", "meaning"), rows) if rows else "No parameters.\n")
    return "\n".join(parts)


def _aliases(method: Method) -> str:
    return f" Also: {', '.join(f'`{name}`' for name in method.aliases)}." if method.aliases else ""


def _params(params: type[Params]) -> Iterable[tuple[str, ...]]:
    fields = {field.name: field for field in msgspec.structs.fields(params)}
    for field in map(fields.__getitem__, in_order(params)):
        default = "required" if field.required else _default(field)
        yield f"`{field.encode_name}`", _type(field.type), default, _meaning(params, field.name)


def _default(field: Any) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "" if value in ("", [], None, False, 0) else f"`{value}`"


def _meaning(params: type[Params], name: str) -> str:
    hint = get_type_hints(params, include_extras=True)[name]
    found = [meta.description for meta in getattr(hint, "__metadata__", ()) if getattr(meta, "description", None)]
    return found[-1] if found else ""


def _type(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _type(get_args(kind)[0])
    if get_origin(kind) is list:
        return f"list of {_type(get_args(kind)[0])}"
    if kind in _TYPES:
        return _TYPES[kind]
    options = [one for one in get_args(kind) if one is not type(None)]
    if options and all(isinstance(one, str) for one in options):
        return ", ".join(f"`{one}`" for one in options)
    return _type(options[0]) if options else str(kind)


_TYPES = {str: "text", int: "number", float: "number", bool: "true or false"}
