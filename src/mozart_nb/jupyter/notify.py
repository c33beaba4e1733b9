"""Whether pages are told of jobs that settle while nobody looks: `%config MozartMagics.notify`.

In a module of its own, because it is set when the extension is loaded and the dashboard is imported later, or never.
"""

from __future__ import annotations

from typing import Literal

Mode = Literal["auto", "off"]

_mode: Mode = "auto"


def choose(mode: Mode) -> None:
    """`auto`: pages tell of it where a person cannot see the cell; `off`: never. Holds for this process."""
    global _mode
    _mode = mode


def is_on() -> bool:
    """Whether pages are to be told."""
    return _mode != "off"
