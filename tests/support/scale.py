"""How much of a thing the suite does, which has ten minutes, and how much when asked for all of it."""

from __future__ import annotations

import os

IS_WHOLE = bool(os.environ.get("MOZART_NB_WHOLE"))
"""`MOZART_NB_WHOLE=1 make test` takes its time."""


def scaled(whole: int, suite: int) -> int:
    """`suite`, or `whole` when everything is asked for."""
    return whole if IS_WHOLE else suite
