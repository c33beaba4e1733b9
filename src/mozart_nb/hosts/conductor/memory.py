"""Memory that jobs have left behind, given back to the system: a conductor lives for weeks."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Have the C library return what it holds in reserve, where it is one that does that when asked (glibc).

    Jobs come and go in several threads, and what they free stays in as many pools: some megabytes more per hundred
    jobs. Blocks for some milliseconds.
    """
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
