"""The columns of a diagnosis as a DataFrame: one row per code of failure."""

from __future__ import annotations

from dataclasses import dataclass

from mozart_nb.consumers.rows import CODE_CATEGORIES, ERROR_CODES, Column
from mozart_nb.looking.diagnosis.findings import ErrorGroup


@dataclass(frozen=True, slots=True)
class GroupView:
    """The failures of a job with one code."""

    job_id: str
    group: ErrorGroup


GROUP_COLUMNS: tuple[Column[GroupView], ...] = (
    Column("job_id", "str", lambda v: v.job_id, "job"),
    Column("code", "category", lambda v: v.group.code, "error code", ERROR_CODES),
    Column("category", "category", lambda v: v.group.category, "kind of failure", CODE_CATEGORIES),
    Column("meaning", "str", lambda v: v.group.meaning, "what the code means"),
    Column("cause", "str", lambda v: v.group.cause or None, "the likely cause in words"),
    Column("advice", "str", lambda v: v.group.advice, "what helps"),
    Column("retriable", "bool", lambda v: v.group.retriable, "whether another try can help"),
    Column("count", "int", lambda v: v.group.count, "failed attempts"),
    Column("unresolved", "int", lambda v: v.group.unresolved, "of them those that no later attempt mended"),
    Column("batches", "int", lambda v: len(v.group.batches), "batches that it happened to"),
    Column("unresolved_batches", "object", lambda v: list(v.group.unresolved_batches), "numbers of those not mended"),
    Column("first_at", "timestamp", lambda v: v.group.first_at or None, "the first time"),
    Column("last_at", "timestamp", lambda v: v.group.last_at or None, "the last time"),
    Column(
        "message", "str", lambda v: v.group.messages[0][0] if v.group.messages else None, "what was said most often"
    ),
    Column(
        "example_batch",
        "int",
        lambda v: (v.group.example.batch or None) if v.group.example is not None else None,
        "a batch to look at",
    ),
)
