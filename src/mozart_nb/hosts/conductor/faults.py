"""Errors on their way through the socket: what the conductor raises there is raised again here.

An error of JSON-RPC 2.0 has a number, a message and data. The data say which of our errors it was, with everything
that it carries; the number says it to programs that know nothing of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from mozart_nb import errors
from mozart_nb.errors import (
    AmbiguousJobError,
    ConductorError,
    ConfigError,
    JobBusyError,
    JobChangedError,
    MisuseError,
    MozartError,
    PlanMismatchError,
    Problem,
    UnknownJobError,
)
from mozart_nb.masking import masked

JOB_NOT_FOUND: Final = -32000
RESOURCE_EXHAUSTED: Final = -32001
JOB_ALREADY_RUNNING: Final = -32002
SHUTTING_DOWN: Final = -32003
JOB_NOT_RESUMABLE: Final = -32004
WORKSPACE_NOT_FOUND: Final = -32005
MISUSE: Final = -32010
INVALID_JOB_FILE: Final = -32011
AMBIGUOUS_JOB: Final = -32012
WORLD_FAILED: Final = -32013

NUMBERS: Final[Mapping[type[MozartError], int]] = {
    UnknownJobError: JOB_NOT_FOUND,
    AmbiguousJobError: AMBIGUOUS_JOB,
    JobBusyError: JOB_ALREADY_RUNNING,
    JobChangedError: JOB_NOT_RESUMABLE,
    PlanMismatchError: JOB_NOT_RESUMABLE,
    ConfigError: INVALID_JOB_FILE,
    MisuseError: MISUSE,
    MozartError: WORLD_FAILED,
}
"""Our error, or the nearest of its bases that stands here → its number."""

_OWN: Final = ("owner", "workspaces")
"""What some errors carry besides what all do."""


def fault_of(error: MozartError) -> dict[str, Any]:
    """The error as JSON-RPC has it. Secrets are blotted out."""
    if isinstance(error, ConductorError) and error.number:
        return {"code": error.number, "message": masked(error.message), "data": error.data}
    number = next(NUMBERS[kind] for kind in type(error).__mro__ if kind in NUMBERS)
    data: dict[str, Any] = {"type": type(error).__name__, "hint": masked(error.hint)}
    data |= {name: getattr(error, name) for name in ("job_id", "batch", "attempt", "code") if getattr(error, name)}
    data |= {name: getattr(error, name) for name in _OWN if hasattr(error, name)}
    if isinstance(error, ConfigError):
        data["problems"] = [_masked(asdict(problem)) for problem in error.problems]
    return {"code": number, "message": masked(error.message), "data": data}


def error_of(fault: Mapping[str, Any]) -> MozartError:
    """What `fault_of` was made of; a `ConductorError` for what is none of ours."""
    message, data = str(fault.get("message", "")), fault.get("data")
    kind = _kind(data.get("type")) if isinstance(data, Mapping) else None
    if kind is None or not isinstance(data, Mapping):
        hint = str(data.get("hint", "")) if isinstance(data, Mapping) else ""
        return ConductorError(message, number=int(fault.get("code", 0)), data=data, hint=hint)
    carried = {name: data.get(name) for name in ("job_id", "batch", "attempt", "code")}
    error = kind.__new__(kind)
    if isinstance(error, ConfigError):  # its notes show them, so they come first
        error.problems = tuple(Problem(**problem) for problem in data.get("problems", ()))
    MozartError.__init__(error, message, hint=str(data.get("hint", "")), **carried)
    for name in _OWN:
        if name in data:
            setattr(error, name, data[name])
    return error


def _kind(name: object) -> type[MozartError] | None:
    found = getattr(errors, name, None) if isinstance(name, str) else None
    return found if isinstance(found, type) and issubclass(found, MozartError) and found is not ConductorError else None


def _masked(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: masked(value) if isinstance(value, str) else value for name, value in fields.items()}
