"""Tab completion of `%mozart` lines and of `%%mozart` cells.

    connect(get_ipython())
    disconnect(get_ipython())

Here is only what every press of Tab in any cell needs; the rest is imported when one is in a cell of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_CELL: Final = re.compile(r"\s*%%mozart(?=\s|$)")
_LINE: Final = re.compile(r"\s*(?:[\w.,\s\[\]\"'()*]+=\s*)?%mozart(?=\s|$)")

_IDENTIFIER: Final = "mozart"

_LONGEST_NOTE: Final = 50
"""Characters of a note; front ends show it beside the completion."""
_UNBROKEN: Final = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion; `note` says in a few words what it is."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Completions for `fragment`, the text before the cursor that they replace; the likeliest come first."""

    fragment: str
    choices: Sequence[Choice] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a notebook. `hidden` are those that belong to IPython."""

    names: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name, value in list(self.names.items()):
            if not name.startswith("_") and self.hidden.get(name, self) is not value:
                yield name, value


def connect(shell: InteractiveShell) -> Callable[[], None]:
    """Complete in `shell` from now on; returns what ends that. Connecting twice is the same as once."""

    @context_matcher(identifier=_IDENTIFIER)  # type: ignore[untyped-decorator]  # IPython has no type for it
    def mozart_matcher(context: CompletionContext) -> SimpleMatcherResult:
        names = Names(shell.user_ns, shell.user_ns_hidden)
        found = complete(context.full_text, context.cursor_line, context.cursor_position, names)
        return _result(found, context)

    disconnect(shell)
    shell.Completer.custom_matchers.append(mozart_matcher)
    return lambda: disconnect(shell)


def disconnect(shell: InteractiveShell) -> None:
    """Complete nothing any more, whichever copy of this module was connected."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if getattr(one, "matcher_identifier", "") != _IDENTIFIER]


def complete(text: str, line: int, column: int, names: Names | None = None) -> Found | None:
    """What may stand at the cursor of a cell; None where it is no cell and no line of ours.

    `line` and `column` of the cursor count from 0.
    """
    lines = text.split("\n")
    found = _complete(lines, line, column, names or Names())
    if found is None or lines[line][:column].endswith(found.fragment):
        return found
    return Found("")  # a word that began in another line, or has quotes in its middle


def _complete(lines: Sequence[str], line: int, column: int, names: Names) -> Found | None:
    first = next((number for number, one in enumerate(lines) if one.strip()), 0)
    cell = _CELL.match(lines[first])
    if cell is not None and line > first:
        from mozart_nb.jupyter.completion.cell import complete_body

        return complete_body(lines[first + 1 :], line - first - 1, column, names, lines[first][cell.end() :])
    magic = cell if cell is not None and line == first else _LINE.match(lines[line])
    if magic is None or column <= magic.end():
        return None
    from mozart_nb.jupyter.completion.line import complete_line

    return complete_line(lines[line][magic.end() : column], names, is_cell=magic is cell)


class _NothingElse(list[SimpleCompletion]):
    """No completions, but IPython takes it for some: else it would offer Python in the middle of a prompt."""

    def __len__(self) -> int:
        return 1


def _result(found: Found | None, context: CompletionContext) -> SimpleMatcherResult:
    if found is None:
        return SimpleMatcherResult(completions=[], matched_fragment="")
    completions = [SimpleCompletion(text=choice.text, type=_short(choice.note or "value")) for choice in found.choices]
    return SimpleMatcherResult(
        completions=completions or _NothingElse(), matched_fragment=found.fragment, suppress=True, ordered=True
    )


def _short(note: str) -> str:
    """In one piece: JupyterLab makes its list as wide as the longest word and would put lines over each other."""
    cut = note if len(note) <= _LONGEST_NOTE else note[: _LONGEST_NOTE - 1].rstrip() + "…"
    return cut.replace(" ", _UNBROKEN)
