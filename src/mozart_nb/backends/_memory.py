"""Whether the kernel killed processes for lack of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_COUNTERS: Final = Path("/proc/vmstat")


def memory_kills() -> int | None:
    """How many processes the kernel has killed for lack of memory since it was booted; None where it does not say.

    Linux counts them since version 4.13, those of a control group's limit included (`oom_kill` in /proc/vmstat).
    """
    try:
        lines = _COUNTERS.read_bytes().splitlines()
    except OSError:
        return None
    counts = (line.split()[1] for line in lines if line.startswith(b"oom_kill "))
    return next((int(count) for count in counts if count.isdigit()), None)
