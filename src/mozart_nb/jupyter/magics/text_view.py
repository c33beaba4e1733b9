"""Jobs as plain text, for IPython in a terminal and wherever there is no dashboard.

While somebody waits, one line is drawn over and over; where the output is no terminal, only the last word is said.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as StillRunning
from typing import IO, TYPE_CHECKING, Final

from mozart_nb.consumers.phrases import count_phrases, money_text, wait_text
from mozart_nb.consumers.progress import Progress
from mozart_nb.words import one_line, rough_eta

if TYPE_CHECKING:
    from mozart_nb.job_handle import Job

DRAW_SECONDS: Final = 0.25
_BAR: Final = 20
_NARROWEST: Final = 40


# --- one job in words -------------------------------------------------------------------------------------------------


def progress_line(progress: Progress, width: int = 120) -> str:
    """How a job stands, in one line of at most `width` characters."""
    filled = round(_BAR * progress.done / progress.total) if progress.total else 0
    bar = "█" * filled + "░" * (_BAR - filled)
    facts = [f"{progress.done:,}/{progress.total:,}", *count_phrases(progress), money_text(progress)]
    if progress.eta_seconds is not None:
        facts.append(f"about {rough_eta(progress.eta_seconds)} left")
    facts += [wait_text(wait) for wait in progress.waits[:1]]
    return one_line(f"{progress.job_id} {progress.status} {bar} {' · '.join(facts)}", max(_NARROWEST, width))


# --- waiting in a terminal --------------------------------------------------------------------------------------------


class TextLine:
    """One line of a terminal that is drawn over; nothing where the output is no terminal."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout
        self._is_terminal = self._out.isatty()
        self._length = 0

    def draw(self, text: Callable[[int], str]) -> None:
        """Show `text(width)` in place of what was there."""
        if self._is_terminal:
            self._put(text(shutil.get_terminal_size().columns - 1))

    def clear(self) -> None:
        """Leave the line empty, with the cursor at its beginning."""
        if self._length:
            self._put("")
            self._out.write("\r")

    def _put(self, text: str) -> None:
        self._out.write("\r" + text.ljust(self._length))
        self._out.flush()
        self._length = len(text)


def wait_in_terminal(job: Job, out: IO[str] | None = None) -> None:
    """Return when `job` has settled, showing how it gets on. Raises what the run raised, and `KeyboardInterrupt`."""
    line = TextLine(out)
    finished: Future[None] = job.host.spawn(_settled(job))
    try:
        while not _is_over(finished):
            line.draw(lambda width: progress_line(job.progress(), width))
    finally:
        line.clear()
    finished.result()


async def _settled(job: Job) -> None:
    await job


def _is_over(finished: Future[None]) -> bool:
    try:
        finished.exception(timeout=DRAW_SECONDS)
    except StillRunning:
        return False
    except CancelledError:
        return True
    return True
