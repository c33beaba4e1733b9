"""The line that IPython makes of a magic, rewritten so that a cell which waits awaits.

IPython has no asynchronous magics: what a magic returns is displayed, never awaited. So the one line that IPython makes
of `%%mozart` gets an `await` put before it, as long as nothing stands in between that would run it synchronously. While
the cell awaits, clicks are handled at once and an interrupt arrives within a tenth of a second; everywhere else (inside
`%%capture`, in a function, in a terminal) the wait is synchronous.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mozart_nb.errors import OptionError
from mozart_nb.jupyter.magics.lines import AWAITED, RunWish, parse_cell, parse_verb, split_line
from mozart_nb.jupyter.magics.settings import Settings

_MAGIC: Final = "mozart"
_RUNNERS: Final = ("run_cell_magic", "run_line_magic")
_NOT_HERE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class Rewriter:
    """Input transformer: awaits the magics that wait, and keeps a dashboard from being followed by its job's text."""

    def __init__(self, shell: Any, settings: Settings) -> None:
        self._shell = shell
        self._settings = settings

    def __call__(self, lines: list[str]) -> list[str]:
        source = "".join(lines)
        if f"_magic('{_MAGIC}'" not in source:
            return lines
        try:
            module = ast.parse(source)
        except (SyntaxError, ValueError):
            return lines  # to be told by whoever compiles it
        edits = [edit for call in _calls(module) for edit in self._edits(call)]
        return _edited(source, edits).splitlines(keepends=True) if edits else lines

    def _edits(self, call: _Call) -> Iterator[_Edit]:
        try:
            asked = _asked(call, self._settings)
        except OptionError:
            return  # the magic itself says it
        if asked.waits and can_await(self._shell):
            yield _Edit(call.start, call.start, "await ")
            yield _Edit(*call.line_span, repr(_marked(call)))
        if call.is_last and not call.is_cell and asked.shows and has_kernel(self._shell):
            yield _Edit(call.end, call.end, ";")  # its value would be displayed below the dashboard that shows it


def has_kernel(shell: Any) -> bool:
    """Whether a Jupyter kernel executes us: then there are widgets, and no terminal."""
    return getattr(shell, "kernel", None) is not None


def can_await(shell: Any) -> bool:
    """Whether code that is transformed now may await at its top level, on a loop that runs already."""
    from IPython.core.async_helpers import _asyncio_runner

    if not has_kernel(shell) or not shell.autoawait or shell.loop_runner is not _asyncio_runner:
        return False
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        return not _is_nested()
    return False


def _is_nested() -> bool:
    """Whether another magic (`%%capture`, `%%time`, `%run`) executes this code, synchronously."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name in _RUNNERS:
            return True
        frame = frame.f_back  # type: ignore[assignment]  # None ends it
    return False


@dataclass(frozen=True)
class _Call:
    """One call of our magic; places are (line from 1, column in bytes)."""

    is_cell: bool
    text: str
    start: tuple[int, int]
    end: tuple[int, int]
    line_span: tuple[tuple[int, int], tuple[int, int]]
    is_last: bool


@dataclass(frozen=True)
class _Edit:
    start: tuple[int, int]
    end: tuple[int, int]
    text: str


def _calls(module: ast.Module) -> Iterator[_Call]:
    """Statements that are nothing but our magic, or assign it, where an `await` is allowed."""
    waiting: list[ast.AST] = [*module.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _NOT_HERE):
            continue
        if isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Call):
            found = _call(node.value, is_last=node is module.body[-1] and isinstance(node, ast.Expr))
            if found is not None:
                yield found
        waiting.extend(ast.iter_child_nodes(node))


def _call(node: ast.Call, *, is_last: bool) -> _Call | None:
    function = node.func
    if not isinstance(function, ast.Attribute) or function.attr not in _RUNNERS:
        return None
    texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    if len(texts) < 2 or len(texts) != len(node.args) or texts[0] != _MAGIC:
        return None
    line = node.args[1]
    span = (line.lineno, line.col_offset), (line.end_lineno or 0, line.end_col_offset or 0)
    end = (node.end_lineno or 0, node.end_col_offset or 0)
    is_cell = function.attr == _RUNNERS[0]
    return _Call(is_cell, texts[1], (node.lineno, node.col_offset), end, span, is_last)


@dataclass(frozen=True)
class _Asked:
    """Whether a magic takes a while, and whether it shows its job itself."""

    waits: bool = False
    shows: bool = False


_TAKES_A_WHILE: Final = frozenset({"modify", "recover", "estimate", "notify-test", "diagnose", "errors"})
_SHOWS_ITSELF: Final = frozenset({"dashboard", "pause", "cancel", "modify"})


def _asked(call: _Call, settings: Settings) -> _Asked:
    """Raises `OptionError`."""
    line = split_line(call.text)
    verb, *words = line.words or ("",)
    if line.wants_help or line.is_awaited:
        return _Asked()
    if not call.is_cell and verb == "logs":
        return _Asked(waits=parse_verb(verb, words).follow)
    if not call.is_cell and verb not in ("run", "resume"):
        return _Asked(verb in _TAKES_A_WHILE, verb in _SHOWS_ITSELF)
    wish = parse_cell(line) if call.is_cell else RunWish.of(parse_verb(verb, words))
    if wish.dry_run or wish.show or wish.check:
        return _Asked()
    shows = settings.dashboard if wish.dashboard is None else wish.dashboard
    return _Asked(settings.waits if wish.wait is None else wish.wait, shows)


def _marked(call: _Call) -> str:
    """The line with the word that tells the magic that it is awaited."""
    if call.is_cell:
        return f"{AWAITED} {call.text}".rstrip()
    verb, _, rest = call.text.strip().partition(" ")
    end = ";" if verb.endswith(";") else ""
    return f"{verb.rstrip(';')} {AWAITED} {rest}".rstrip() + end


def _edited(source: str, edits: list[_Edit]) -> str:
    data = source.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        start, end = (starts[line - 1] + column for line, column in (edit.start, edit.end))
        data = data[:start] + edit.text.encode() + data[end:]
    return data.decode()
