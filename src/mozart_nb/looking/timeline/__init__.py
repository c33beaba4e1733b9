"""Any moment of a job's past: the state as it was after any of its events.

timeline = Timeline(layout)
moments = await timeline.moments()          # how long the slider is, and its marks
state = await timeline.at(moments.last_seq // 2)
if state is not None: ...                   # None: a newer request has taken this one's place
"""

from mozart_nb.looking.timeline.catching_up import InterruptedReadError
from mozart_nb.looking.timeline.moments import Mark, MarkKind, Moments, Timeline

__all__ = ["InterruptedReadError", "Mark", "MarkKind", "Moments", "Timeline"]
