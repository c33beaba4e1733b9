"""Sessions that go on although their job has lost sight of them: they write into what others work on, and cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import PurePath

from mozart_nb.engine.ports import Stray, Strays
from mozart_nb.healing.remedy import Case, Finding


def find_orphans(case: Case) -> Finding | None:
    """Processes of this batch's earlier sessions, or, when a run begins (batch 0), of any session of this job."""
    strays = case.site.strays
    # No session of this batch can be opened meanwhile: it waits for us.
    orphans = [
        stray for stray in strays.all() if _is_of(stray, case.ailment.batch) and stray.marker not in case.followed
    ]
    if case.session_id and (left := strays.left_of(case.session_id)) is not None:
        orphans.append(left)
    if not orphans:
        return None
    pids = ", ".join(map(str, sorted({pid for stray in orphans for pid in stray.pids})))
    return Finding(
        cause=f"an earlier session that nobody follows still ran (pid {pids})",
        deed="it was ended",
        advice="What it wrote meanwhile may be in the results.",
        effect=partial(_end, strays, orphans),
    )


def _is_of(stray: Stray, batch: int) -> bool:
    """Whether a session belongs to a batch: its log is named after batch and attempt (`0007-1.out`)."""
    number = PurePath(stray.log).name.partition("-")[0]
    return not batch or (number.isdecimal() and int(number) == batch)


async def _end(strays: Strays, orphans: Sequence[Stray]) -> None:
    for stray in orphans:
        if not await asyncio.to_thread(strays.end, stray):
            raise TimeoutError(f"the processes {', '.join(map(str, stray.pids))} cannot be ended")
