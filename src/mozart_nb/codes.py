"""The error codes a user sees: what each means, how far it reaches, and whether another try can help."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    TRANSIENT = "TRANSIENT"
    RATE_LIMIT = "RATE_LIMIT"
    VALIDATION = "VALIDATION"
    TIMEOUT = "TIMEOUT"
    SIGNAL = "SIGNAL"
    FATAL = "FATAL"


class Scope(StrEnum):
    """How far a failure reaches: the one batch, every job of the account, or the whole job."""

    BATCH = "batch"
    ACCOUNT = "account"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the table. `pauses`: the job stops as `paused`, not `failed`, because it can go on afterwards."""

    code: str
    category: Category
    scope: Scope
    meaning: str
    retriable: bool
    advice: str
    pauses: bool = False

    @property
    def passes(self) -> bool:
        """Whether time alone mends it, so that another attempt is all there is to do."""
        return self.category is Category.RATE_LIMIT or self.code in ("E001", "E003")


def _table(*rows: ErrorCode) -> dict[str, ErrorCode]:
    return {row.code: row for row in rows}


_T, _R, _V, _O, _S, _F = (
    Category.TRANSIENT,
    Category.RATE_LIMIT,
    Category.VALIDATION,
    Category.TIMEOUT,
    Category.SIGNAL,
    Category.FATAL,
)
_B, _A, _J = Scope.BATCH, Scope.ACCOUNT, Scope.JOB

CODES: dict[str, ErrorCode] = _table(
    ErrorCode("E001", _T, _B, "transient failure", True, "it is retried by itself; else see the log of the session"),
    ErrorCode(
        "E002",
        _T,
        _B,
        "connection, network, DNS or TLS failure",
        True,
        "see whether the address can be reached (base URL, proxy, network), then resume",
    ),
    ErrorCode("E003", _T, _B, "service temporarily unavailable (5xx, overloaded)", True, "it is retried by itself"),
    ErrorCode("E101", _R, _A, "API rate limit", True, "nothing: work goes on after the wait"),
    ErrorCode("E102", _R, _A, "usage limit or quota reached", True, "nothing: work goes on after the wait"),
    ErrorCode("E103", _R, _A, "overloaded, with a long advised wait", True, "nothing: work goes on after the wait"),
    ErrorCode(
        "E201",
        _V,
        _B,
        "output validation failed",
        True,
        "see what each rule expected and saw; mend the prompt or the rule, then go on with `--reload-config`",
    ),
    ErrorCode(
        "E202",
        _V,
        _B,
        "the answer is not the JSON or schema asked for",
        True,
        "see what came instead; mend the prompt or the schema, then go on with `--reload-config`",
    ),
    ErrorCode(
        "E203",
        _V,
        _B,
        "a command or function of a rule could not run or timed out",
        True,
        "run it by hand, mend it, then recover",
    ),
    ErrorCode(
        "E301", _O, _B, "execution timed out", True, "raise backend.timeout_seconds, then go on with `--reload-config`"
    ),
    ErrorCode(
        "E302",
        _O,
        _B,
        "killed after its timeout",
        True,
        "raise backend.timeout_seconds, then go on with `--reload-config`",
    ),
    ErrorCode(
        "E303",
        _O,
        _B,
        "session went silent",
        True,
        "see where it hung, or raise stale_detection.idle_timeout_seconds, then go on with `--reload-config`",
    ),
    ErrorCode(
        "E401",
        _S,
        _B,
        "killed by a signal",
        False,
        "find who ended it (a person, a scheduler, a shutdown), then resume",
    ),
    ErrorCode("E402", _S, _B, "the program crashed", False, "see the log of the session, then resume"),
    ErrorCode(
        "E403",
        _S,
        _B,
        "out of memory",
        False,
        "lower parallel.max_concurrent or make more memory available, then resume",
    ),
    ErrorCode("E501", _F, _J, "authentication or permission failure", False, "log in or fix the key, then resume"),
    ErrorCode("E502", _F, _J, "configuration error", False, "mend the description, then go on with `--reload-config`"),
    ErrorCode(
        "E503",
        _F,
        _J,
        "the claude program was not found",
        False,
        "install Claude Code or correct backend.cli_path, then resume",
    ),
    ErrorCode("E504", _F, _J, "model not found", False, "correct the model's name, then go on with `--reload-config`"),
    ErrorCode("E505", _F, _B, "prompt too large", False, "make the batch smaller"),
    ErrorCode("E506", _F, _J, "budget exhausted", True, "raise the budget, then resume", pauses=True),
    ErrorCode("E601", _F, _B, "workspace or path missing", False, "put it back, then resume"),
    ErrorCode(
        "E602",
        _F,
        _B,
        "working directory invalid",
        False,
        "put the folder back or correct backend.working_directory, then resume",
    ),
    ErrorCode("E603", _F, _B, "preflight: prompt over the hard limit", False, "make the batch smaller"),
    ErrorCode(
        "E701",
        _F,
        _J,
        "checkpoint corrupt",
        False,
        "restore the job's folder from a backup, or start over with --fresh",
    ),
    ErrorCode("E702", _F, _J, "checkpoint written by a newer version", False, "upgrade mozart_nb"),
    ErrorCode(
        "E703",
        _F,
        _J,
        "checkpoint cannot be written",
        True,
        "make room, or make it writable, then resume: nothing is lost",
        pauses=True,
    ),
    ErrorCode("E999", _F, _B, "unclassified failure", False, "see the log of the session"),
)


def lookup(code: str) -> ErrorCode:
    """The row of `code`; an unknown code (from a newer journal) reads as E999."""
    return CODES.get(code, CODES["E999"])
