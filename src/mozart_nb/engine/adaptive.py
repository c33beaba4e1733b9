"""How many sessions at once the service bears: additive increase, multiplicative decrease.

A job begins with as many as the job file allows. A refusal for lack of capacity takes away a part of that, once for
all sessions that were under way; every session that succeeds gives a little back. The window is a fold over events,
so a resumed reader of the journal comes to the same number; the job file's own maximum is applied by the policy.
"""

from __future__ import annotations

import msgspec

SHRINK = 0.7
"""What is left of the window after a refusal."""

GROWTH = 0.05
"""What a window full of successful sessions adds to it, as a share of it, but at least one session."""

_OVERLOADED = ("overloaded", "529")


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    """The sessions that may run at once as far as the service is concerned; `size` 0 means that it never complained.

    `peak` is the most there were at once in this run, `cut_at` the time of the last decrease (epoch seconds).
    """

    size: float = 0.0
    peak: int = 0
    cut_at: float = 0.0

    def within(self, most: int) -> int:
        """The most sessions at once when nobody wants more than `most`: at least 1."""
        return max(1, min(most, int(self.size))) if self.size else most


def after_start(window: Window, running: int) -> Window:
    """A session began and now so many are under way."""
    if running <= window.peak:
        return window
    return msgspec.structs.replace(window, peak=running)


def after_session(window: Window, code: str, message: str, *, began_at: float, now: float) -> Window:
    """A session that began at `began_at` ended with `code`, empty for success."""
    if is_congestion(code, message):
        return _shrunk(window, now) if began_at > window.cut_at else window
    if code or not window.size:
        return window
    grown = window.size + max(1.0, GROWTH * window.size) / window.size
    # No further than one beyond what was ever made use of: a window that nobody fills proves nothing.
    return msgspec.structs.replace(window, size=min(grown, max(window.size, window.peak + 1.0)))


def is_congestion(code: str, message: str) -> bool:
    """Whether the service refused because of too much at once. A quota that is used up is no such thing."""
    if code == "E003":
        return any(word in message.lower() for word in _OVERLOADED)
    return code in ("E101", "E103")


def _shrunk(window: Window, now: float) -> Window:
    used = min(window.size, window.peak) if window.size else window.peak
    return msgspec.structs.replace(window, size=max(1.0, used * SHRINK), cut_at=now)
