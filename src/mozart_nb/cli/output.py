"""Where output goes: what a command was asked for to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any, Final, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mozart_nb.errors import MOST_SHOWN, ConfigError, MisuseError, MozartError, Problem, WorldError
from mozart_nb.masking import masked
from mozart_nb.words import clean

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
PAUSED: Final = 3
CANCELLED: Final = 4

EXIT_CODES: Final = {"completed": OK, "failed": FAILED, "cancelled": CANCELLED}
"""Status a command ends with → exit code; what can go on later is 3."""

STYLES: Final = {
    "completed": "green",
    "running": "cyan",
    "waiting": "yellow",
    "pausing": "yellow",
    "paused": "yellow",
    "interrupted": "yellow",
    "failed": "red",
    "blocked": "red",
    "cancelled": "magenta",
    "skipped": "dim",
    "pending": "dim",
    "error": "red",
    "warning": "yellow",
    "info": "dim",
    "ok": "green",
}

Row = Sequence[str | Text]

_UNLIMITED_WIDTH: Final = 10_000
_GAP: Final = 2
_LEAST_ROOM: Final = 16
"""Columns of a table that keep apart, and columns that are left of the one that may be cut."""


def exit_code_of(status: str) -> int:
    """The exit code for a job's status."""
    return EXIT_CODES.get(status, PAUSED)


def exit_code_for(error: MozartError) -> int:
    """The exit code for an error: 2 the call was wrong, 3 the job can go on later, 1 the world failed."""
    if isinstance(error, MisuseError):
        return USAGE
    return PAUSED if error.code == "E703" else FAILED


@dataclass
class Output:
    """The two streams of one invocation. `json`: stdout holds exactly one document (or JSON Lines)."""

    verbose: bool = False
    quiet: bool = False
    json: bool = False
    has_written: bool = False
    _said: set[str] = field(default_factory=set)

    @cached_property
    def out(self) -> Console:
        return _console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        return _console(sys.stderr)

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer a question."""
        return sys.stdin.isatty() and self.err.is_terminal and not self.json

    # --- stdout -------------------------------------------------------------------------------------------------------

    def document(self, document: Any) -> None:
        """The one JSON document of the command."""
        self.has_written = True
        _write_json(sys.stdout, document, indent=2)

    def line(self, document: Any) -> None:
        """One line of JSON Lines."""
        self.has_written = True
        _write_json(sys.stdout, document, indent=None)

    def show(self, text: str | Text = "") -> None:
        """A line or more of what was asked for; text of others is cleaned here."""
        self.out.print(_safe(text), soft_wrap=True)

    def table(self, heads: Sequence[str], rows: Iterable[Row], *, flexible: int = -1) -> None:
        """Rows under heads, if there are any. A narrow terminal cuts the column `flexible`, a pipe nothing.

        What is wider than the terminal all the same goes on in its next line: a number or name is never cut.
        """
        cells = [[_safe(cell) for cell in row] for row in rows]
        widths = [max(map(cell_len, (head, *(row[n].plain for row in cells)))) for n, head in enumerate(heads)]
        widths[flexible] = self._room(widths, flexible % len(heads))
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0), show_header=any(heads))
        for head, width in zip(heads, widths, strict=True):
            table.add_column(head, no_wrap=True, overflow="ellipsis", width=width)
        for row in cells:
            table.add_row(*row)
        with self.out.capture() as capture, self._wide():
            self.out.print(table)
        lines = (line.rstrip() for line in capture.get().splitlines())
        self.out.file.write("\n".join(lines) + "\n")

    def _room(self, widths: Sequence[int], flexible: int) -> int:
        """How wide the column that may be cut is: what the others leave, but enough to see what it is about."""
        others = sum(width + _GAP for n, width in enumerate(widths) if n != flexible)
        return min(widths[flexible], max(self.out.width - others, _LEAST_ROOM))

    @contextlib.contextmanager
    def _wide(self) -> Iterator[None]:
        """Columns are as wide as they are told to be, however narrow the terminal is."""
        usual, self.out.width = self.out.width, _UNLIMITED_WIDTH
        try:
            yield
        finally:
            self.out.width = usual

    # --- stderr -------------------------------------------------------------------------------------------------------

    def say(self, text: str | Text) -> None:
        """Something worth knowing; silent with -q."""
        if not self.quiet:
            self.err.print(_safe(text), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A warning, each text once."""
        if not self.quiet and text not in self._said:
            self._said.add(text)
            self.err.print(Text.assemble(("warning: ", "yellow"), clean(text)), soft_wrap=True)

    def complain(self, text: str, hint: str = "") -> None:
        """An error; never silent."""
        self.err.print(Text.assemble(("error: ", "bold red"), clean(text)), soft_wrap=True)
        if hint:
            self.err.print(Text.assemble(("hint: ", "bold"), clean(hint)), soft_wrap=True)

    def failure(self, error: MozartError) -> None:
        """An error of ours: a message for people, and with `json` a document for machines."""
        if self.json and not self.has_written:
            self.document(error_document(error))
        if isinstance(error, ConfigError):
            self.complain_problems(error.problems)
            if error.hint:
                self.complain_hint(error.hint)
            return
        label = f"{error.code}: " if isinstance(error, WorldError) and error.code else ""
        self.complain(f"{label}{error.message}", error.hint)

    def complain_problems(self, problems: Sequence[Problem]) -> None:
        """The first mistakes of a job file, each with its line, and how many more there are."""
        for problem in problems[:MOST_SHOWN]:
            self.complain("\n".join(problem.shown()))
        if len(problems) > MOST_SHOWN:
            self.complain(f"and {len(problems) - MOST_SHOWN} more")

    def complain_hint(self, hint: str) -> None:
        self.err.print(Text.assemble(("hint: ", "bold"), clean(hint)), soft_wrap=True)

    def ask(self, question: str) -> bool:
        """Yes or no, no when nothing is said. Only where `can_ask`."""
        self.err.print(f"{question} [y/N] ", end="", soft_wrap=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=STYLES.get(status, ""))


def error_document(error: MozartError) -> dict[str, Any]:
    """An error as JSON."""
    document: dict[str, Any] = {"code": error.code, "message": masked(error.message), "hint": masked(error.hint)}
    document |= {"job_id": error.job_id, "batch": error.batch}
    if isinstance(error, ConfigError):
        document["problems"] = [
            {
                "message": masked(problem.message),
                "file": masked(problem.file),
                "path": masked(problem.path),
                "line": problem.line,
                "column": problem.column,
                "value": masked(problem.value),
                "allowed": problem.allowed,
                "nearest": problem.nearest,
                "source": problem.source,
            }
            for problem in error.problems
        ]
    return {"error": document}


def _safe(text: str | Text) -> Text:
    """Nothing that a terminal obeys: what a text says may come from anywhere. Such a text loses its colours."""
    plain = text.plain if isinstance(text, Text) else text
    cleaned = clean(plain)
    return text if isinstance(text, Text) and cleaned == plain else Text(cleaned)


class _Console(Console):
    """A console whose reader may go away: what nobody reads does not end the command."""

    def on_broken_pipe(self) -> None:
        abandon(self.file)


def abandon(stream: IO[str]) -> None:
    """Let a stream that nobody reads any more lead nowhere; what is still buffered must not fail at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _console(stream: TextIO) -> Console:
    console = _Console(file=stream, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _UNLIMITED_WIDTH
    return console


def _write_json(stream: TextIO, document: Any, *, indent: int | None) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:  # a stream that is not UTF-8, or half a surrogate pair
        text = json.dumps(document, ensure_ascii=True, indent=indent)
    stream.write(text + "\n")
    stream.flush()
