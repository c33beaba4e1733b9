"""Commands that look closer: `errors`, `logs`, `limits`."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from mozart_nb.checkpoint.follow import JournalReader, read_events
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.output import OK, Output, status_text
from mozart_nb.consumers.documents import error_document, error_groups
from mozart_nb.consumers.lines import LEVELS, event_document, level_of, line_of
from mozart_nb.consumers.rows import Attempts, ErrorRecord, errors_of, iso
from mozart_nb.errors import MisuseError, MozartError
from mozart_nb.events import Event, RuleResult
from mozart_nb.gate import GateEntry
from mozart_nb.looking.finding import find, known_layouts
from mozart_nb.looking.following import POLL_SECONDS
from mozart_nb.runtime import gate_book
from mozart_nb.words import clean, clock, last_lines, moment, one_line, plural, spans, time_of_day

TAIL_LINES: Final = 10
"""Lines of a session's output that `errors --verbose` prints."""

# --- errors -----------------------------------------------------------------------------------------------------------


def errors(output: Output, job_id: str | None, workspace: Path | None, *, code: str, batch: int, verbose: bool) -> int:
    """Show failures by code: of one job, or of all of them."""
    if batch and job_id is None:
        raise MisuseError("--batch needs a job", hint="mozart errors ID --batch N")
    layouts = [resolve(job_id, workspace)] if job_id is not None else known_layouts(workspace)
    found = [error for layout in layouts for error in _errors_at(output, layout, alone=job_id is not None)]
    wanted = [e for e in found if (not code or e.code == code.upper()) and (not batch or e.batch == batch)]
    wanted.sort(key=lambda error: error.at)
    if output.json:
        rows = [error_document(error, verbose=verbose) for error in wanted]
        output.document({"total": len(wanted), "groups": error_groups(wanted), "errors": rows})
        return OK
    if not wanted:
        output.say("no errors")
        return OK
    for group in error_groups(wanted):
        members = [error for error in wanted if error.code == group["code"]]
        _show_group(output, group, members, verbose=verbose, names_jobs=job_id is None)
    return OK


def _errors_at(output: Output, layout: Layout, *, alone: bool) -> list[ErrorRecord]:
    """Failures of one job; one that cannot be read does not hide the others."""
    try:
        attempts = Attempts()
        attempts.hear(read_events(layout))
        return errors_of(find(layout).state, attempts.records)
    except MozartError as error:
        if alone:
            raise
        output.warn(f"{layout.job_id}: {error.message}")
        return []


def _show_group(
    output: Output, group: dict[str, Any], members: Sequence[ErrorRecord], *, verbose: bool, names_jobs: bool
) -> None:
    style = "bold red" if group["unresolved"] else "bold"
    title = Text.assemble((group["code"], style), f" {group['meaning']} · {plural(group['count'], 'time')}")
    if group["unresolved_batches"]:
        title.append(f" · not mended: batches {spans(group['unresolved_batches'])}")
    elif not group["unresolved"]:
        title.append(" · mended by later attempts", style="green")
    output.show(title)
    if names_jobs:
        output.show(f"  jobs  {', '.join(group['jobs'])}")
    if group["unresolved"]:
        output.show(f"  do    {group['advice']}")
    for text in dict.fromkeys(text for error in members if not error.is_resolved for text in error.remedies):
        output.show(f"  help  {one_line(text, 500)}")
    last = members[-1]
    output.show(f"  last  {_where(last)}{one_line(last.message, 300)}")
    if verbose:
        for error in _worth_showing(members):
            _show_error(output, error)


def _where(error: ErrorRecord) -> str:
    where = f"{moment(error.at, time.time())} " if error.at else ""
    return f"{where}batch {error.batch}, attempt {error.attempt}: " if error.batch else f"{where}the job: "


def _worth_showing(members: Sequence[ErrorRecord]) -> Iterable[ErrorRecord]:
    """The last failure of each batch, those not mended first."""
    last = {(error.job_id, error.batch): error for error in members}
    return sorted(last.values(), key=lambda error: (error.is_resolved, error.job_id, error.batch))


def _show_error(output: Output, error: ErrorRecord) -> None:
    mended = " (mended since)" if error.is_resolved else ""
    output.show()
    output.show(Text(f"  {error.job_id} {_where(error).rstrip(': ')}{mended}", style="bold"))
    output.show(f"    {one_line(error.message, 500)}")
    for result in error.results:
        if result.status == "failed":
            _show_rule(output, result)
    for name, tail in (("stdout", error.stdout_tail), ("stderr", error.stderr_tail)):
        if tail.strip():
            output.show(f"    end of {name}:")
            output.show("\n".join(f"      {line}" for line in last_lines(tail, TAIL_LINES).splitlines()))


def _show_rule(output: Output, result: RuleResult) -> None:
    rule = f"rule {result.rule} {result.type} {one_line(result.path, 200)}" if result.rule else "form of the answer"
    output.show(f"    {rule}")
    for label, text in (
        ("what for", result.description),
        ("expected", result.expected),
        ("seen", result.actual if result.rule else result.message),
    ):
        if text:
            output.show(f"      {label:<9}{one_line(text, 500)}")


# --- logs -------------------------------------------------------------------------------------------------------------


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


# --- limits -----------------------------------------------------------------------------------------------------------


def limits(output: Output, *, clear: bool, account: str | None) -> int:
    """Show the rate-limit gates that all jobs of an account share, or open them."""
    book = gate_book()
    if account is not None and account not in {entry.key for entry in book.entries()}:
        known = ", ".join(entry.key for entry in book.entries()) or "none"
        raise MisuseError(f"there is no gate `{account}`", hint=f"known: {known}")
    cleared = book.clear(account) if clear else []
    now = time.time()
    entries = [entry for entry in book.entries() if account in (None, entry.key)]
    if output.json:
        output.document({"gates": [_gate(entry, now) for entry in entries], "cleared": [e.key for e in cleared]})
        return OK
    for entry in cleared:
        output.say(f"opened {entry.key}: work goes on with one attempt that tries")
    if clear and not cleared:
        output.say("no gate was closed")
    _show_gates(output, entries, now)
    return OK


def _gate(entry: GateEntry, now: float) -> dict[str, Any]:
    reading = entry.reading
    return {
        "account": entry.key,
        "name": entry.account,
        "closed": reading.closed,
        "code": reading.code or None,
        "message": reading.message,
        "source": reading.source,
        "until": iso(reading.until),
        "seconds_left": round(max(0.0, reading.until - now), 1) if reading.closed else 0.0,
        "hit_at": iso(reading.hit_at),
        "cleared_at": iso(reading.cleared_at),
    }


def _show_gates(output: Output, entries: Sequence[GateEntry], now: float) -> None:
    if not entries:
        output.say("no rate limit has been hit yet")
        return
    output.table(["account", "gate", "until", "code", "message"], (_gate_row(entry, now) for entry in entries))


def _gate_row(entry: GateEntry, now: float) -> list[str | Text]:
    reading = entry.reading
    if not reading.closed:
        return [entry.key, status_text("ok"), "", "", f"open since {moment(reading.cleared_at, now)}"]
    left = max(0.0, reading.until - now)
    until = f"{time_of_day(reading.until)}, in {clock(left)}" if left else "over, one attempt tries"
    return [entry.key, status_text("waiting"), until, reading.code, one_line(reading.message, 200)]
