"""Errors as documents: `application/problem+json` (RFC 9457), the same for every address of the API."""

from __future__ import annotations

import sqlite3
from http import HTTPStatus
from typing import Any, Final

import msgspec

from mozart_nb.errors import (
    AmbiguousJobError,
    CheckpointCorruptError,
    CheckpointTooNewError,
    ConfigError,
    JobBusyError,
    JobChangedError,
    MozartError,
    PlanMismatchError,
    Problem,
    UnknownJobError,
    WorldError,
)
from mozart_nb.jupyter.server.workers import CrowdedError
from mozart_nb.masking import masked

MEDIA_TYPE: Final = "application/problem+json"

STATUS_OF: Final[tuple[tuple[type[BaseException], HTTPStatus], ...]] = (
    (UnknownJobError, HTTPStatus.NOT_FOUND),
    (AmbiguousJobError, HTTPStatus.CONFLICT),
    (JobBusyError, HTTPStatus.CONFLICT),
    (JobChangedError, HTTPStatus.CONFLICT),
    (PlanMismatchError, HTTPStatus.CONFLICT),
    (ConfigError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (CheckpointCorruptError, HTTPStatus.CONFLICT),
    (CheckpointTooNewError, HTTPStatus.CONFLICT),
    (WorldError, HTTPStatus.SERVICE_UNAVAILABLE),
    (MozartError, HTTPStatus.BAD_REQUEST),
    (CrowdedError, HTTPStatus.SERVICE_UNAVAILABLE),
    (sqlite3.OperationalError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""Kind of error → status of the answer; the first that fits. Whatever is not here is a mistake of ours: 500."""


class Mistake(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with a job file or with a request; line and column count from 1."""

    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    allowed: str = ""
    nearest: str = ""


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, for programs and people. `error` names the class of mozart_nb's errors where it is one."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    hint: str = ""
    error: str = ""
    job_id: str = ""
    code: str = ""
    mistakes: list[Mistake] = []


def problem(status: int, detail: str = "", *, hint: str = "") -> ProblemDocument:
    """The document of an error that HTTP itself knows."""
    return ProblemDocument(title=phrase(status), status=status, detail=masked(detail), hint=hint)


def problem_of(error: BaseException) -> ProblemDocument:
    """The document of any error. What is a mistake of ours says nothing of its inside."""
    status = status_of(error)
    if isinstance(error, CrowdedError):
        return problem(status, "Too many requests wait for an answer.", hint="Ask again in a moment.")
    if not isinstance(error, MozartError):
        return problem(status)
    return ProblemDocument(
        title=phrase(status),
        status=status,
        detail=masked(error.message),
        hint=masked(error.hint),
        error=type(error).__name__,
        job_id=error.job_id or "",
        code=error.code or "",
        mistakes=[_mistake(one) for one in error.problems] if isinstance(error, ConfigError) else [],
    )


def status_of(error: BaseException) -> int:
    """The status that an error is answered with."""
    return next((int(status) for kind, status in STATUS_OF if isinstance(error, kind)), 500)


def phrase(status: int) -> str:
    """What HTTP calls this status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def encoded(document: ProblemDocument) -> bytes:
    """As it is sent."""
    return msgspec.json.encode(document)


def _mistake(one: Problem) -> Mistake:
    return Mistake(
        message=masked(one.message),
        path=one.path,
        line=one.line,
        column=one.column,
        allowed=one.allowed,
        nearest=one.nearest,
    )


def as_dict(document: ProblemDocument) -> dict[str, Any]:
    """As templates show it."""
    return msgspec.structs.asdict(document)
