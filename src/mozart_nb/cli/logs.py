"""The command `logs`: what happened, as lines, from the journal or the log file; and the raw output of sessions."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import owner
from mozart_nb.cli.output import OK, Output
from mozart_nb.consumers.lines import event_document, line_of
from mozart_nb.consumers.log import LogLine
from mozart_nb.errors import MisuseError
from mozart_nb.events import Event
from mozart_nb.looking.finding import find, known_layouts
from mozart_nb.looking.following import POLL_SECONDS
from mozart_nb.looking.logs import (
    FileFollower,
    LogFilter,
    LogFollower,
    RawOutput,
    last_events,
    last_lines,
    log_file_of,
    log_filter,
    raw_output,
    read_lines,
)
from mozart_nb.masking import masked
from mozart_nb.plans.frozen import know_secrets_of
from mozart_nb.words import clean


@dataclass(frozen=True, kw_only=True)
class LogWish:
    """What was asked of `logs`. `count` 0 means all; `file` is None for the journal, "" for the job's own log file."""

    keep_following: bool = False
    level: str = "INFO"
    count: int = 50
    batch: int = 0
    events: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    raw: bool = False
    file: str | None = None


def logs(output: Output, job_id: str | None, workspace: Path | None, wish: LogWish) -> int:
    """Show a job's events as lines, lines of a log file, or the raw output of a batch's last session."""
    wanted = log_filter(
        level=wish.level, batch=wish.batch, events=wish.events, since=wish.since, until=wish.until, job_id=job_id or ""
    )
    if wish.raw and not wish.batch:
        raise MisuseError("--raw: of which batch?", hint="`mozart logs ID --raw --batch N`")
    if wish.file and job_id is None:
        return _file(output, Path(wish.file), wish, wanted, goes_on=lambda: True)
    layout = resolve(job_id, workspace) if job_id is not None else _latest(output, workspace)
    if wish.raw:
        return _raw(output, layout, wish)
    if wish.file is not None:
        file = Path(wish.file) if wish.file else log_file_of(layout, as_json=output.json)
        return _file(output, file, wish, wanted, goes_on=lambda: _is_live(layout))
    return _journal(output, layout, wish, wanted)


def _latest(output: Output, workspace: Path | None) -> Layout:
    layouts = known_layouts(workspace)
    if not layouts:
        raise MisuseError("there are no jobs yet")
    output.say(f"job `{layouts[0].job_id}`, which did something last")
    return layouts[0]


def _is_live(layout: Layout) -> bool:
    found = owner(layout)
    return found is not None and found.alive is not False


def _repeatedly(step: Callable[[], bool]) -> None:
    """Four times a second, until there is nothing more to come, or Ctrl-C."""
    try:
        while step():
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return


# --- the journal ------------------------------------------------------------------------------------------------------


def _journal(output: Output, layout: Layout, wish: LogWish, wanted: LogFilter) -> int:
    if wish.keep_following:
        follower = LogFollower(layout, wanted, wish.count)
        for notice in follower.notices:
            output.warn(notice)

        def step() -> bool:
            _print_events(output, follower.poll())
            return not follower.is_over

        _repeatedly(step)
        if follower.is_gone:
            output.say(f"the record of job `{layout.job_id}` was removed")
        return OK
    notices: list[str] = []
    found = last_events(layout, wish.count, wanted, notices=notices)
    for notice in notices:
        output.warn(notice)
    if not found and wish.batch:
        total = find(layout).state.total
        if wish.batch > total:
            raise MisuseError(f"--batch {wish.batch}: there are batches 1 to {total}")
    if not found and wanted.is_narrow:
        output.say("no such events")
    _print_events(output, found)
    return OK


def _print_events(output: Output, events: Iterable[Event]) -> None:
    for event in events:
        if output.json:
            output.line(event_document(event))
        else:
            output.show(line_of(event))


# --- a log file -------------------------------------------------------------------------------------------------------


def _file(output: Output, file: Path, wish: LogWish, wanted: LogFilter, *, goes_on: Callable[[], bool]) -> int:
    if not wish.keep_following:
        _print_lines(output, last_lines(file, wish.count, wanted) if wish.count else read_lines(file, wanted))
        return OK
    with FileFollower(file, wanted, wish.count) as follower:
        if not follower.is_there:
            output.say(f"there is no log file {file} yet")

        def step() -> bool:
            is_live = goes_on()
            _print_lines(output, follower.poll())
            return is_live

        _repeatedly(step)
    return OK


def _print_lines(output: Output, lines: Iterable[LogLine]) -> None:
    for line in lines:
        if output.json:
            output.line(line.document)
        else:
            output.show(line.text)


# --- raw output -------------------------------------------------------------------------------------------------------


def _raw(output: Output, layout: Layout, wish: LogWish) -> int:
    found = raw_output(layout, wish.batch)
    know_secrets_of(layout)
    if output.json:
        logs = {path.suffix[1:]: path.read_text(encoding="utf-8", errors="replace") for path in found.files}
        logs = {
            name: masked(text) for name, text in (logs or dict(zip(("out", "err"), found.tails, strict=True))).items()
        }
        document = {"job_id": layout.job_id, "batch": found.batch, "attempt": found.attempt}
        output.line({**document, "is_raw": bool(found.files), **logs})
        return OK
    if not found.files:
        _say_kept(output, found)
        return OK
    output.say(f"batch {found.batch}, attempt {found.attempt}: {', '.join(str(path) for path in found.files)}")
    ends = [_print_raw(path, grows=wish.keep_following) for path in found.files]
    if wish.keep_following:
        _follow_raw(found.files[0], ends[0], lambda: find(layout).state.status_of(wish.batch) == "running")
    return OK


def _say_kept(output: Output, found: RawOutput) -> None:
    what = "no raw output was kept; the end of it:" if found.kept else "it printed nothing that was kept"
    output.say(f"batch {found.batch}, attempt {found.attempt}: {what}")
    if found.kept:
        output.show(found.kept)


def _print_raw(path: Path, offset: int = 0, *, grows: bool = False) -> int:
    """Print a file from `offset` on, masked; a terminal gets no control characters. Returns where it ends.

    Of a file that grows only whole lines: half a secret looks like none.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    if grows:
        data = data[: data.rfind(b"\n") + 1]
    if sys.stdout.isatty():
        sys.stdout.write(clean(data.decode("utf-8", "replace")))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(masked(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"))
    sys.stdout.flush()
    return offset + len(data)


def _follow_raw(path: Path, offset: int, goes_on: Callable[[], bool]) -> None:
    def step() -> bool:
        nonlocal offset
        is_running = goes_on()
        offset = _print_raw(path, offset, grows=is_running)
        return is_running

    _repeatedly(step)
