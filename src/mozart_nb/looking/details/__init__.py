"""Everything about one batch, bounded in size, read from disk in a worker thread.

attempts = AttemptIndex(layout)                     # kept while a dashboard is open
details = await batch_details(job.prepared, job.state, 7, attempts=attempts)
tail = await log_tail(job.layout, 7, details.record.attempts)
tail = await log_tail(job.layout, 7, details.record.attempts, known=tail)   # the same object: nothing new
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mozart_nb.looking.details.attempts import AttemptDetails, AttemptIndex
    from mozart_nb.looking.details.batch import (
        LARGEST_ANSWER,
        BatchDetails,
        Excerpt,
        Limits,
        batch_details,
        read_details,
    )
    from mozart_nb.looking.details.facts import Facts
    from mozart_nb.looking.details.logs import LineKind, LogLine, LogTail, log_tail, readable
    from mozart_nb.looking.details.prompts import PromptSource

__all__ = [
    "LARGEST_ANSWER",
    "AttemptDetails",
    "AttemptIndex",
    "BatchDetails",
    "Excerpt",
    "Facts",
    "Limits",
    "LineKind",
    "LogLine",
    "LogTail",
    "PromptSource",
    "batch_details",
    "log_tail",
    "read_details",
    "readable",
]

_MODULES: Final = {
    "attempts": ("AttemptDetails", "AttemptIndex"),
    "batch": ("LARGEST_ANSWER", "BatchDetails", "Excerpt", "Limits", "batch_details", "read_details"),
    "facts": ("Facts",),
    "logs": ("LineKind", "LogLine", "LogTail", "log_tail", "readable"),
    "prompts": ("PromptSource",),
}


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: composing prompts takes a backend's worth of modules, an attempt does not."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
