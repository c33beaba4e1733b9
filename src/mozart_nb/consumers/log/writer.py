"""Writes a job's log: an observer that hands everything on to a thread of its own and returns at once.

The thread gathers what comes in a tenth of a second, puts it through structlog's processors and appends it with one
write. A log that cannot be written is told once; it goes on when that is over, from what a bounded queue still holds,
with a line that says how much is missing. The journal has everything in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final

from mozart_nb import events as ev
from mozart_nb.consumers.lines import LEVELS, Level, highest_level, level_of
from mozart_nb.consumers.log.files import json_sibling
from mozart_nb.consumers.log.form import console_line, has_words, json_line, mask_lines
from mozart_nb.consumers.log.keys import masked_event
from mozart_nb.consumers.log.packing import Packer
from mozart_nb.consumers.log.rotating import RotatingFile
from mozart_nb.job.outputs import LoggingConfig

MOST_WAITING: Final = 20_000
"""Events that are kept for a log that cannot be written at the moment; beyond it they are counted."""

GATHER_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 0.5
_LONGEST_CLOSE_SECONDS: Final = 5.0
_SLICE: Final = 64
"""Events rendered at a time: between two slices other threads get their turn."""

_SLICES_AT_ONCE: Final = 32
"""Slices that are written with one write."""

_MEGABYTE: Final = 1_000_000
_RUN = (ev.JobStarted, ev.JobResumed)
_Render = Callable[..., str]


class LogWriter:
    """Observes one run of a job. Cheap to make; the first burst starts the thread.

    `tell` is called in the log's thread, at most once, with what keeps the log from being written.
    """

    def __init__(self, config: LoggingConfig, file: Path, *, job_id: str, tell: Callable[[str], None]) -> None:
        least = LEVELS.index(config.level)
        self._passed_over = frozenset(
            kind for kind in ev.event_types() if LEVELS.index(highest_level(kind)) < least and kind not in _RUN
        )
        self._outlets = _outlets(config, Path(os.path.realpath(file)), self._cannot_pack)
        self._config = config
        self._context = {"job_id": job_id}
        self._tell = tell
        self._has_told = False
        self._guard = threading.Lock()
        self._queue: deque[ev.Event] = deque()
        self._missed = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._steps = 0
        self._run_id = ""
        self._log: Any = None
        self._says: dict[Level, Callable[..., Any]] = {}

    # --- on the event loop --------------------------------------------------------------------------------------------

    async def observe(self, events: Sequence[ev.Event]) -> None:
        """Take a burst; returns at once and never raises."""
        kept = [event for event in events if type(event) not in self._passed_over]
        if not kept or not self._outlets:
            return
        with self._guard:
            room = MOST_WAITING - len(self._queue)
            self._queue.extend(kept[:room])
            self._missed += max(0, len(kept) - room)
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._work, name="mozart-log", daemon=True)
            self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    async def close(self) -> None:
        """Write what is still there. Gives up when nothing has moved for half a second, and after five in any case."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            await asyncio.to_thread(self._wait, self._thread)

    def _wait(self, thread: threading.Thread) -> None:
        """As long as the thread gets on."""
        for _ in range(int(_LONGEST_CLOSE_SECONDS / CLOSE_SECONDS)):
            before = self._steps
            thread.join(CLOSE_SECONDS)
            if not thread.is_alive() or (self._steps == before and self._log is not None):
                return

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._bind(_structured(self._config, self._context, self._outlets))
            for outlet in self._outlets:
                outlet.open()
            is_last = False
            while not is_last:
                self._wake.wait()
                is_last = self._closing.wait(GATHER_SECONDS)
                self._wake.clear()
                self._flush()
        except Exception as error:  # an observer never hurts a run, whatever is wrong with it
            self._say(f"the log stopped: {type(error).__name__}: {error}")
        finally:
            for outlet in self._outlets:
                outlet.close()

    def _flush(self) -> None:
        """Write until nothing is left, or it cannot be written at the moment."""
        try:
            while True:
                for outlet in self._outlets:
                    outlet.write()
                self._steps += 1
                if not self._render():
                    return
                for _ in range(_SLICES_AT_ONCE):
                    time.sleep(0)  # the loop's turn
                    if not self._render():
                        break
        except OSError as error:
            self._say(_trouble(error, self._outlets[0].path))
            self._wake.set()
            self._closing.wait(RETRY_SECONDS)

    def _render(self) -> bool:
        """Turn the next events into lines; False when there are none."""
        with self._guard:
            events = [self._queue.popleft() for _ in range(min(_SLICE, len(self._queue)))]
            missed, self._missed = (self._missed, 0) if not self._queue else (0, self._missed)
        if not self._run_id:  # the first events of a run happen before it says its name
            self._begin_run(next((event for event in events if isinstance(event, _RUN)), None))
        for event in events:
            self._log_event(event)
        if missed:
            text = f"{missed:,} events are missing here, as this log could not be written; `mozart logs` shows all"
            self._log_event(ev.JobNotice(message=text, at=events[-1].at if events else 0.0))
        return bool(events or missed)

    def _begin_run(self, event: ev.Event | None) -> None:
        if isinstance(event, _RUN) and event.run_id != self._run_id:
            self._run_id = event.run_id
            self._bind(self._log.bind(run_id=event.run_id))

    def _bind(self, log: Any) -> None:
        self._log = log
        self._says = {level: getattr(log, level.lower()) for level in LEVELS}

    def _log_event(self, event: ev.Event) -> None:
        kind = type(event)
        if kind in _RUN:
            self._begin_run(event)
        elif kind in ev.VOLATILE:
            event = ev.without_secrets(ev.writable(event))  # what is journaled has been through that
        level = level_of(event)
        self._says[level](kind.__name__, level=level, record=event)

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _cannot_pack(self, error: OSError) -> None:
        self._say(f"a backup of the log cannot be compressed: {error.strerror or error}")

    def _say(self, text: str) -> None:
        if not self._has_told:
            self._has_told = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
                self._tell(text)


class _Outlet:
    """One of the files, the lines that wait for it, and how they are made."""

    def __init__(self, path: Path, render: _Render, config: LoggingConfig, cannot_pack: Callable[[OSError], None]):
        self.path = path
        self.packer = Packer(path, cannot_pack)
        self._options = {"with_time": config.include_timestamps, "with_context": config.include_context}
        self._render = render
        self._lines: list[str] = []
        self._worded: list[int] = []
        self._is_elsewhere = config.file_path is not None
        self._has_begun = False
        self._waiting = bytearray()
        limit = max(1, int(config.max_file_size_mb * _MEGABYTE))
        self._file = RotatingFile(path, limit=limit, keep=config.backup_count, rotated=self.packer.start)

    def open(self) -> None:
        """Make the folder of a log that is elsewhere; a workspace that has gone is not brought back by a log.

        What fails fails again when writing.
        """
        if not self._is_elsewhere:
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, event: ev.Event, level: Level, at: float, context: dict[str, str]) -> None:
        if has_words(event):
            self._worded.append(len(self._lines))
        self._lines.append(self._render(event, level, at, context, **self._options))

    def write(self) -> None:
        """Raises `OSError`; what could not be written is kept."""
        if self._lines:
            if self._worded:
                mask_lines(self._lines, self._worded)
            self._lines.append("")
            self._waiting += "\n".join(self._lines).encode("utf-8", "replace")
            self._lines.clear()
            self._worded.clear()
        if self._waiting:
            self._file.write(self._waiting)
            if not self._has_begun:
                self._has_begun = True
                self.packer.start()  # what the last one could not pack

    def close(self) -> None:
        self._file.close()
        self.packer.stop(CLOSE_SECONDS / 2)


def _outlets(config: LoggingConfig, file: Path, cannot_pack: Callable[[OSError], None]) -> list[_Outlet]:
    if file == Path(os.devnull):
        return []
    console = _Outlet(file, console_line, config, cannot_pack)
    if config.format == "console":
        return [console]
    if config.format == "json":
        return [_Outlet(file, json_line, config, cannot_pack)]
    return [console, _Outlet(json_sibling(file), json_line, config, cannot_pack)]


def _trouble(error: OSError, path: Path) -> str:
    what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
    return f"the log {path} cannot be written: {what}. The job goes on; the journal has everything"


# --- structlog --------------------------------------------------------------------------------------------------------


def _structured(config: LoggingConfig, context: dict[str, str], outlets: Sequence[_Outlet]) -> Any:
    """structlog's logger: what is important enough goes through the processors into every outlet."""
    import logging

    import structlog  # here, in the log's thread: it takes longer to import than most jobs take to be logged

    levels = logging.getLevelNamesMapping()
    return structlog.wrap_logger(
        _Sink(outlets),
        processors=[_without_secret_fields, _as_arguments],
        wrapper_class=structlog.make_filtering_bound_logger(levels[config.level]),
        context_class=dict,
    ).bind(**context)


def _without_secret_fields(logger: Any, method: str, event_dict: MutableMapping[str, Any]) -> Mapping[str, Any]:
    event_dict["record"] = masked_event(event_dict["record"])
    return event_dict


def _as_arguments(logger: Any, method: str, event_dict: MutableMapping[str, Any]) -> tuple[Any, ...]:
    """What is left beside event, level and record is the context."""
    del event_dict["event"]
    return (event_dict.pop("record"), event_dict.pop("level"), event_dict), {}


class _Sink:
    """What structlog wraps: hands an event on to the outlets."""

    def __init__(self, outlets: Sequence[_Outlet]) -> None:
        self._outlets = outlets
        self._last = 0.0

    def _take(self, record: ev.Event, level: Level, context: dict[str, str]) -> None:
        self._last = record.at or self._last  # what is only told to observers has no time of its own
        for outlet in self._outlets:
            outlet.add(record, level, self._last, context)

    debug = info = warning = error = _take
