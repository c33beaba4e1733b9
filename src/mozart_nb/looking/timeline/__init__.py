"""Any moment of a job's past: the state as it was after any of its events.

timeline = Timeline(layout)
moments = await timeline.moments()          # how long the slider is, and its marks
state = await timeline.at(moments.last_seq // 2)
if state is not None: ...                   # None: a newer request has taken this one's place
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mozart_nb.looking.timeline.catching_up import InterruptedReadError
    from mozart_nb.looking.timeline.moments import Mark, MarkKind, Marks, Moments, Timeline

__all__ = ["InterruptedReadError", "Mark", "MarkKind", "Marks", "Moments", "Timeline"]


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: who only catches up with a journal needs no timeline."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "catching_up" if name == "InterruptedReadError" else "moments"
    return getattr(import_module(f"{__name__}.{module}"), name)
