"""Showing a job while it runs: a live display on a terminal, one line per event anywhere else.

Both go to stderr and neither can hold up the job: what is written to a terminal or pipe that stands still is written
from a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from mozart_nb import events as ev
from mozart_nb.cli.output import Output, abandon
from mozart_nb.cli.render import MAX_RUNNING, count_line, head_line, line, running_lines, wait_lines
from mozart_nb.codes import Category, lookup
from mozart_nb.consumers.lines import line_of
from mozart_nb.consumers.progress import Progress, Pulse, Pulses, progress_of
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig
from mozart_nb.words import one_line

REFRESH_PER_SECOND: Final = 4
PROBLEMS_SHOWN: Final = 3
_LINES_BESIDE_RUNNING: Final = 9
"""Lines of the display that are not running batches."""


class View(Protocol):
    """Shows a job. `hear` gets every event once, `look` the progress a few times per second."""

    wants_progress: bool

    def hear(self, events: Sequence[ev.Event], at: float) -> None:
        """Events that happened; may block while they are written."""

    def look(self, progress: Progress) -> None:
        """The latest progress; never blocks."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def make_view(output: Output, done: int, total: int, hint: str = "") -> View:
    """The view that fits where stderr goes. `done`: batches of `total` that are already; `hint` says how to stop."""
    if output.quiet:
        return SilentView()
    if output.err.is_terminal and not output.err.is_dumb_terminal:
        return LiveView(output, hint)
    return LineView(done, total, verbose=output.verbose)


class SilentView:
    """Shows nothing."""

    wants_progress = False

    def hear(self, events: Sequence[ev.Event], at: float) -> None:
        """Nothing."""

    def look(self, progress: Progress) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class LineView:
    """One line per event. Progress of sessions is left out unless `verbose`."""

    wants_progress = False

    def __init__(self, done: int, total: int, *, verbose: bool = False) -> None:
        self._done = done
        self._total = total
        self._verbose = verbose
        self._is_broken = False

    def hear(self, events: Sequence[ev.Event], at: float) -> None:
        lines = [
            self._line(event, at) for event in events if self._verbose or not isinstance(event, ev.SessionProgress)
        ]
        if not lines or self._is_broken:
            return
        try:
            sys.stderr.write("".join(f"{text}\n" for text in lines))
            sys.stderr.flush()
        except (BrokenPipeError, ValueError):
            self._is_broken = True
            abandon(sys.stderr)

    def look(self, progress: Progress) -> None:
        """Lines say it all."""

    def close(self) -> None:
        """Nothing to put back."""

    def _line(self, event: ev.Event, at: float) -> str:
        if isinstance(event, ev.JobPlanned):
            self._total = event.plan.total
        if isinstance(event, ev.BatchSkipped) and event.last:
            self._done += event.last - event.batch + 1
        elif isinstance(event, ev.BatchCompleted | ev.BatchSkipped):
            self._done += 1
        else:
            return line_of(event, at)
        return line_of(event, at, done=f"{self._done}/{self._total}")


class LiveView:
    """A few lines that are drawn over: bar, counts, waits with countdown, running batches, the last problems."""

    wants_progress = True

    def __init__(self, output: Output, hint: str = "") -> None:
        self._console = output.err
        self._hint = hint
        self._progress: Progress | None = None
        self._problems: tuple[tuple[int, Text], ...] = ()  # replaced as a whole: it is drawn from another thread
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=REFRESH_PER_SECOND,
            redirect_stdout=False,
            transient=True,
        )
        self._live.start()

    def hear(self, events: Sequence[ev.Event], at: float) -> None:
        for event in events:
            if isinstance(event, ev.JobNotice):
                self._console.print(line((f"notice: {one_line(event.message, 500)}", "yellow")))
                continue
            text = problem_of(event)
            if text:
                style = "red" if isinstance(event, ev.BatchFailed) else "yellow"
                self._add(getattr(event, "batch", 0), line((text, style), indent=2))

    def _add(self, batch: int, text: Text) -> None:
        """The latest about a batch takes the place of what was said about it before."""
        kept = [problem for problem in self._problems if not batch or problem[0] != batch]
        self._problems = (*kept, (batch, text))[-PROBLEMS_SHOWN:]

    def look(self, progress: Progress) -> None:
        self._progress = progress

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError, OSError):
            self._live.stop()

    def _render(self) -> RenderableType:
        progress = self._progress
        if progress is None:
            return line(("starting …", "bright_black"))
        room = self._console.height - _LINES_BESIDE_RUNNING - len(self._problems)
        parts = [head_line(progress, self._console.width - 1), count_line(progress), *wait_lines(progress)]
        parts += running_lines(progress, max(1, min(MAX_RUNNING, room)))
        parts += [text for _, text in self._problems]
        hint = _PAUSING_HINT if progress.status == "pausing" else self._hint
        if hint:
            parts.append(line((hint, "bright_black"), indent=2))
        return Group(*parts)


_PAUSING_HINT: Final = "running batches finish; Ctrl-C again leaves at once (what can go on by itself does)"


def problem_of(event: ev.Event) -> str:
    """What went wrong, in one line; empty for an event that is no problem."""
    match event:
        case ev.BatchFailed():
            return f"batch {event.batch} failed: {event.code} {_said(event.code, event.message)}"
        case ev.ValidationFailed():
            if lookup(event.code).category is Category.RATE_LIMIT:
                return ""  # `limit.hit` says it once for all batches
            return f"batch {event.batch}, attempt {event.attempt}: {event.code} {_said(event.code, event.message)}"
        case ev.LimitHit():
            return f"{event.code} {_said(event.code, event.message)}"
        case ev.SessionAbandoned():
            return f"batch {event.batch}, attempt {event.attempt} abandoned: {one_line(event.reason)}"
        case ev.BatchPreflight():
            return f"batch {event.batch}: {one_line('; '.join(finding.message for finding in event.findings))}"
        case _:
            return ""


def _said(code: str, message: str) -> str:
    return one_line(message) or lookup(code).meaning


# --- beside a running driver ------------------------------------------------------------------------------------------


class Runs(Protocol):
    """What is watched: a driver."""

    state: JobState
    config: JobConfig


class Watcher:
    """Observes a driver on its loop and feeds a view: `observers=[watcher]`, `on_start=watcher.attach`."""

    def __init__(self, output: Output, hint: str = "") -> None:
        self._output = output
        self._hint = hint
        self._pulses = Pulses()
        self._view: View = SilentView()
        self._ticking: asyncio.Task[None] | None = None

    def attach(self, driver: Runs) -> None:
        """Begin to show; called on the driver's loop before it runs."""
        state = driver.state
        done = state.count("completed") + state.count("skipped") if state.total else 0
        self._view = make_view(self._output, done, state.total, self._hint)
        if self._view.wants_progress:
            self._ticking = asyncio.get_running_loop().create_task(self._tick(driver), name="mozart display")

    async def __call__(self, events: Sequence[ev.Event]) -> None:
        now = time.time()
        self._pulses.hear(events, now)
        await asyncio.to_thread(self._view.hear, events, now)

    @property
    def pulses(self) -> Mapping[int, Pulse]:
        return self._pulses.latest

    def close(self) -> None:
        """Leave the terminal as it was; safe to call more than once, and after the loop is gone."""
        if self._ticking is not None and not self._ticking.done():
            with contextlib.suppress(RuntimeError):
                self._ticking.cancel()
        view, self._view = self._view, SilentView()
        view.close()

    async def _tick(self, driver: Runs) -> None:
        while True:
            if driver.state.total:
                self._view.look(progress_of(driver.state, driver.config, time.time(), pulses=self._pulses.latest))
            await asyncio.sleep(1 / REFRESH_PER_SECOND)
