"""The output that stays: how a job stood when it was last looked at, without kernel, browser or style sheet.

It is meant to be saved. The HTML can be read as plain paragraphs and tables where a sanitiser takes its clothes away
(untrusted notebooks, GitHub); the text says nothing that differs between two runs that did the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from mozart_nb.codes import lookup
from mozart_nb.consumers.isolation import isolation_phrases
from mozart_nb.consumers.phrases import count_phrases, money_text, next_steps, wait_text
from mozart_nb.consumers.progress import Progress
from mozart_nb.engine.state import JobState
from mozart_nb.jupyter.looks.errors import errors_html
from mozart_nb.jupyter.looks.head import head
from mozart_nb.jupyter.looks.picture import Picture, picture_html
from mozart_nb.jupyter.looks.table import BatchRow, table
from mozart_nb.jupyter.looks.text import escaped_line, shown_line
from mozart_nb.jupyter.looks.theme import STYLE, framed
from mozart_nb.words import count, plural

MOST_ROWS: Final = 20
TEXT_ROWS: Final = 10
_PROBLEMS: Final = ("failed", "blocked")


def rows_to_keep(state: JobState, most: int = MOST_ROWS) -> tuple[list[BatchRow], str]:
    """The rows that a saved output shows, and their caption: failed batches, then blocked ones, else the first ones."""
    problems = {status: state.count(status) for status in _PROBLEMS}
    total = sum(problems.values())
    if not total:
        numbers = list(range(1, min(most, state.total) + 1))
        return [BatchRow.of(state, number) for number in numbers], _caption(len(numbers), state.total, "batches")
    found: dict[str, list[int]] = {status: [] for status in _PROBLEMS}
    for number, batch in state.batches.items():
        if batch.status in found:
            found[batch.status].append(number)
    numbers = [number for status in _PROBLEMS for number in sorted(found[status])][:most]
    words = " and ".join(f"{number:,} {status}" for status, number in problems.items() if number)
    return [BatchRow.of(state, number) for number in numbers], _caption(len(numbers), total, words)


def _caption(shown: int, total: int, words: str) -> str:
    if shown < total:
        return f"first {shown:,} of {total:,} {words}" if words == "batches" else f"first {shown:,} of {words}"
    return plural(total, "batch") if words == "batches" else words


def static_html(
    progress: Progress,
    picture: Picture | None = None,
    rows: Sequence[BatchRow] = (),
    caption: str = "",
    *,
    as_of: float,
    errors: Sequence[Mapping[str, Any]] = (),
    hint: str | None = None,
    with_style: bool = True,
) -> str:
    """How the job stood at `as_of` (epoch seconds; for a settled job its end, so that the output does not change).

    `rows` and `caption` come from `rows_to_keep`, `errors` are the failed batches by code; `hint` says where more is
    shown, by default how to open the dashboard.
    """
    parts = [
        STYLE if with_style else "",
        head(progress, running=0),
        picture_html(picture) if picture is not None and picture.grid.total else "",
        _rows(rows, caption),
        errors_html(errors, is_over=not progress.is_live, counted="batches") if errors else "",
        f'<p class="mozart-foot"><small>{_foot(progress, as_of, hint)}</small></p>',
    ]
    return framed("".join(parts), "static")


def _rows(rows: Sequence[BatchRow], caption: str) -> str:
    """Problems in the open; rows of a job without any are folded away."""
    if not rows:
        return ""
    if any(row.status in _PROBLEMS for row in rows):
        return table(rows, caption)
    return f"<details><summary>{escaped_line(caption)}</summary>{table(rows)}</details>"


def _foot(progress: Progress, as_of: float, hint: str | None) -> str:
    said = " · ".join(f"<bdi>{escaped_line(way, 400)}</bdi>" for way in _ways(progress, hint))
    return f"as of {_moment(as_of)} · {said}" if as_of else said


def _ways(progress: Progress, hint: str | None) -> list[str]:
    """How to go on from here. By the job's id: what variable holds the job is not known."""
    steps = list(next_steps(progress, "%mozart"))
    if hint is None:
        hint = f"%mozart dashboard {progress.job_id}"
    status = f"%mozart status {progress.job_id}"
    return [*steps, *([] if any(status in step for step in steps) else [status]), *([hint] if hint else [])]


def _moment(at: float) -> str:
    """This machine's time, with its zone: a saved notebook travels."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def static_text(progress: Progress, rows: Sequence[BatchRow] = (), *, hint: str | None = None) -> str:
    """The same in a few lines of plain text, without times: two runs that did the same read the same."""
    facts = [
        progress.status,
        f"{progress.done:,} of {plural(progress.total, 'batch')} done",
        *(count_phrases(progress)),
        money_text(progress),
        f"{count(progress.usage.total)} tokens",
    ]
    lines = [f"{shown_line(progress.job_id, 120)}: {', '.join(facts)}"]
    if progress.reason or progress.code:
        lines.append(f"  {_reason(progress)}")
    lines += [f"  {shown_line(phrase, 400)}" for phrase in isolation_phrases(progress.isolation)]
    lines += [f"  {shown_line(wait_text(wait), 300)}" for wait in progress.waits]
    problems = [row for row in rows if row.status in _PROBLEMS]
    lines += [f"  {_problem(row)}" for row in problems[:TEXT_ROWS]]
    if len(problems) > TEXT_ROWS:
        lines.append(f"  and {len(problems) - TEXT_ROWS} more")
    ways = [shown_line(way, 400) for way in _ways(progress, hint)]
    return "\n".join([*lines, f"  {' · '.join(ways)}"])


def _reason(progress: Progress) -> str:
    code = f"{progress.code} {lookup(progress.code).meaning}: " if progress.code else ""
    return f"{code}{shown_line(progress.reason, 400)}".removesuffix(": ")


def _problem(row: BatchRow) -> str:
    return " ".join(f"batch {row.number} {row.status} {row.code} {shown_line(row.message, 120)}".split())
