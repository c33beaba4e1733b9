"""`answers`: what a job's sessions answered, as rows; shown, or written in the format that is asked for."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, cast

from rich.text import Text

from mozart_nb.checkpoint.follow import look
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.output import OK, Output, status_text
from mozart_nb.consumers.answer_files import FORMATS, AnswerFormat, write_answers
from mozart_nb.consumers.answers import AnswerTable, answer_records, answer_table, input_columns
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError
from mozart_nb.frames.reading import reading_answers
from mozart_nb.job.answers import schema_of
from mozart_nb.plans.frozen import FrozenPlan, read_frozen
from mozart_nb.words import clean, one_line, plural

SHOWN_ROWS: Final = 50
"""Rows that a terminal is shown."""

_CELL: Final = 60
_NARROWEST: Final = 10
_NAMED: Final = 5


@dataclass(frozen=True, kw_only=True)
class AnswersWish:
    """What was asked of `answers`. Without a format the file's name decides, then whether anybody looks."""

    form: str = ""
    file: Path | None = None
    only_failed: bool = False
    with_items: bool = False
    escape_formulas: bool = False


@dataclass
class _Tally:
    """What went by while rows were written."""

    statuses: Counter[str] = field(default_factory=Counter)
    unnamed: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return self.statuses.total()


def answers(output: Output, job_id: str, workspace: Path | None, wish: AnswersWish) -> int:
    """Show or export one job's answers. Reads what is on disk, without the job's lock."""
    layout = resolve(job_id, workspace)
    form = _form(output, wish)
    frozen, state = read_frozen(layout), look(layout).state
    table = _table(frozen, with_items=wish.with_items)
    tally = _Tally()
    with _rows(layout, frozen, state, table, wish, tally) as rows:
        if form is None:
            _show(output, table, rows, tally)
        elif wish.file is not None:
            with _replacing(wish.file) as file:
                write_answers(table, rows, form, file, escape_formulas=wish.escape_formulas)
            output.say(f"{plural(tally.rows, 'row')} written to {wish.file}{_told(tally)}")
        else:
            output.has_written = True
            told = map(_harmless, rows) if sys.stdout.isatty() else rows
            write_answers(table, told, form, sys.stdout.buffer, escape_formulas=wish.escape_formulas)
            sys.stdout.buffer.flush()
    _warn(output, tally)
    return OK


def _form(output: Output, wish: AnswersWish) -> AnswerFormat | None:
    """The format; None for a table on a terminal. Raises `MisuseError`."""
    by_name = wish.file.suffix.lower().removeprefix(".") if wish.file is not None else ""
    named = "json" if output.json and not wish.form else wish.form.lower()
    if named and named not in FORMATS:
        raise MisuseError(f"there is no format `{wish.form}`", hint=f"one of {', '.join(FORMATS)}")
    form = named or (by_name if by_name in FORMATS else "")
    if not form and wish.file is None and sys.stdout.isatty():
        return None
    if form == "parquet" and wish.file is None and sys.stdout.isatty():
        raise MisuseError("Parquet is nothing to read on a terminal", hint="-o FILE.parquet")
    return cast(AnswerFormat, form or "jsonl")


def _table(frozen: FrozenPlan, *, with_items: bool) -> AnswerTable:
    config = frozen.loaded.config
    inputs = input_columns(frozen.rows or ()) if with_items else ()
    return answer_table(config, schema_of(config.answer, frozen.texts), inputs=inputs)


@contextlib.contextmanager
def _rows(
    layout: Layout, frozen: FrozenPlan, state: JobState, table: AnswerTable, wish: AnswersWish, tally: _Tally
) -> Iterator[Iterator[dict[str, Any]]]:
    """The rows, counted while they go by."""
    with reading_answers(layout, frozen, state.plan) as read:

        def rows() -> Iterator[dict[str, Any]]:
            inputs = frozen.rows if wish.with_items else None
            for record in answer_records(state, frozen.loaded.config, read, rows=inputs, only_failed=wish.only_failed):
                tally.statuses[record.status] += 1
                tally.unnamed.update(table.unnamed(record))
                yield table.row_of(record)

        yield rows()


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when it is whole. Raises `MisuseError` when it cannot be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        raise MisuseError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


# --- for people -------------------------------------------------------------------------------------------------------


def _show(output: Output, table: AnswerTable, rows: Iterator[dict[str, Any]], tally: _Tally) -> None:
    shown = list(islice(rows, SHOWN_ROWS))
    if not shown:
        output.say("no rows")
        return
    used = [column.name for column in table.columns if any(row[column.name] not in (None, False) for row in shown)]
    width = _cell_width(used, shown, output.out.width)
    cells = ([_coloured(name, _cell(row[name], width)) for name in used] for row in shown)
    output.table(used, cells)
    left = sum(1 for _ in rows)
    if left:
        output.say(f"… and {plural(left, 'more row', 'more rows')}: `--format csv -o answers.csv` writes them all")
    output.say(f"{plural(tally.rows, 'row')}{_told(tally)}")


def _cell_width(names: list[str], rows: list[dict[str, Any]], terminal: int) -> int:
    """How long a cell may be so that the table fits; short columns, numbers above all, are never cut."""
    widths = [max(len(name), *(len(_cell(row[name], _CELL)) for row in rows)) for name in names]
    fitting = (most for most in range(_CELL, _NARROWEST, -1) if sum(min(one, most) + 2 for one in widths) <= terminal)
    return next(fitting, _NARROWEST)


def _coloured(name: str, cell: str) -> str | Text:
    return status_text(cell) if name == "status" else cell


def _cell(value: Any, width: int) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return one_line(text, width)


def _harmless(row: dict[str, Any]) -> dict[str, Any]:
    """Nothing that a terminal obeys; files and pipes get texts as they are."""
    return {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}


def _told(tally: _Tally) -> str:
    counts = ", ".join(f"{count:,} {status}" for status, count in tally.statuses.most_common())
    return f": {counts}" if counts else ""


def _warn(output: Output, tally: _Tally) -> None:
    if tally.unnamed:
        named = ", ".join(f"`{one_line(key, 40)}`" for key, _ in tally.unnamed.most_common(_NAMED))
        output.warn(
            f"answers have keys that the schema does not name, so they have no column: {named}; "
            "add them to its `properties`"
        )
