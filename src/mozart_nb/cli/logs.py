"""The command `logs`: what happened, as lines, and the raw output of sessions."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mozart_nb.checkpoint.follow import JournalReader
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.output import OK, Output
from mozart_nb.consumers.lines import LEVELS, event_document, level_of, line_of
from mozart_nb.errors import MisuseError
from mozart_nb.events import Event
from mozart_nb.looking.finding import find, known_layouts
from mozart_nb.looking.following import POLL_SECONDS
from mozart_nb.words import clean


@dataclass(frozen=True, kw_only=True)
class LogWish:
    """What was asked of `logs`. `count` 0 means all."""

    keep_following: bool = False
    level: str = "INFO"
    count: int = 50
    batch: int = 0


def logs(output: Output, job_id: str | None, workspace: Path | None, wish: LogWish) -> int:
    """Show a job's events as lines, or the raw output of a batch's last session."""
    layout = resolve(job_id, workspace) if job_id is not None else _latest(output, workspace)
    if wish.batch:
        return _raw(output, layout, wish)
    level = wish.level.upper()
    if level not in LEVELS:
        raise MisuseError(f"--level {wish.level}: there is no such level", hint=f"one of {', '.join(LEVELS)}")
    least = LEVELS.index(level)
    reader = JournalReader(layout)
    wanted: deque[Event] = deque(maxlen=wish.count or None)
    wanted.extend(event for event in reader.poll() if LEVELS.index(level_of(event)) >= least)
    _print_events(output, wanted)
    if wish.keep_following:
        _follow_events(output, layout, reader, least)
    return OK


def _latest(output: Output, workspace: Path | None) -> Layout:
    layouts = known_layouts(workspace)
    if not layouts:
        raise MisuseError("there are no jobs yet")
    output.say(f"job `{layouts[0].job_id}`, which did something last")
    return layouts[0]


def _print_events(output: Output, events: Iterable[Event]) -> None:
    for event in events:
        if output.json:
            output.line(event_document(event))
        else:
            output.show(line_of(event))


def _follow_events(output: Output, layout: Layout, reader: JournalReader, least: int) -> None:
    """Until nobody runs the job any more, or Ctrl-C."""
    try:
        while True:
            is_live = find(layout).is_live
            _print_events(output, (event for event in reader.poll() if LEVELS.index(level_of(event)) >= least))
            if not is_live:
                return
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return


def _raw(output: Output, layout: Layout, wish: LogWish) -> int:
    state = find(layout).state
    if not 1 <= wish.batch <= state.total:
        raise MisuseError(f"--batch {wish.batch}: there are batches 1 to {state.total}")
    record = state.batches.get(wish.batch)
    attempt = record.attempts if record is not None else 0
    stem = layout.log_stem(wish.batch, attempt)
    files = [path for path in (Path(f"{stem}.out"), Path(f"{stem}.err")) if path.is_file()]
    if record is None or not attempt:
        raise MisuseError(f"batch {wish.batch} of job `{layout.job_id}` has not begun")
    logs = {path.suffix[1:]: path.read_text(encoding="utf-8", errors="replace") for path in files}
    if output.json:
        logs = logs or {"out": record.stdout_tail, "err": record.stderr_tail}
        output.line({"job_id": layout.job_id, "batch": wish.batch, "attempt": attempt, "is_raw": bool(files), **logs})
        return OK
    if not files:
        kept = "\n".join(text for text in (record.stdout_tail, record.stderr_tail) if text).rstrip("\n")
        what = "no raw output was kept; the end of it:" if kept else "it printed nothing that was kept"
        output.say(f"batch {wish.batch}, attempt {attempt}: {what}")
        if kept:
            output.show(kept)
        return OK
    output.say(f"batch {wish.batch}, attempt {attempt}: {', '.join(str(path) for path in files)}")
    for path in files:
        _print_raw(path)
    if wish.keep_following:
        _follow_raw(files[0], lambda: find(layout).state.status_of(wish.batch) == "running")
    return OK


def _print_raw(path: Path, offset: int = 0) -> int:
    """Print a file from `offset` on; a terminal gets no control characters. Returns where it ends."""
    data = path.read_bytes()[offset:]
    if sys.stdout.isatty():
        sys.stdout.write(clean(data.decode("utf-8", "replace")))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    sys.stdout.flush()
    return offset + len(data)


def _follow_raw(path: Path, goes_on: Callable[[], bool]) -> None:
    offset = path.stat().st_size
    try:
        while goes_on():
            offset = _print_raw(path, offset)
            time.sleep(POLL_SECONDS)
        _print_raw(path, offset)
    except KeyboardInterrupt:
        return
