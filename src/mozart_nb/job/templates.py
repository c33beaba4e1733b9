"""Templates and expressions, compiled once, whose mistakes name the variable, the line and the nearest known name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import TemplateSyntaxError, Undefined, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser

from mozart_nb.errors import PromptError
from mozart_nb.job.sandbox import MAX_CHARACTERS, SANDBOX, LimitExceededError, UnknownNameError

# The name Jinja gives to the frames of templates that come from a text.
_FILENAME: Final = "<template>"
# What `_unknown` says of a name that is like a known one.
_MISSPELLED: Final = re.compile(r"unknown variable `(\w+)`; did you mean `(\w+)`\?")


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name a template uses and nobody provides. `line` counts from 1; `nearest` is "" when nothing is alike."""

    name: str
    line: int
    nearest: str


class CompiledTemplate:
    """A template ready to be rendered any number of times, from any thread.

    `label` is what messages call it (`prompt.template`). `names` are the variables it needs from outside.
    Raises `PromptError` when it does not compile.
    """

    def __init__(self, source: str, label: str) -> None:
        self.label = label
        try:
            tree = SANDBOX.parse(source)
            self.names = frozenset(find_undeclared_variables(tree)) - SANDBOX.globals.keys()
            self._lines = _first_lines(tree)
            self._template = SANDBOX.from_string(tree)
            # Every rendering copies them, and a plain dict is copied ten times faster than Jinja's chain of dicts.
            self._template.globals = dict(self._template.globals)
        except (TemplateSyntaxError, RecursionError) as error:
            raise explain(error, label) from error

    def render(self, values: Mapping[str, Any], *, batch: int | None = None) -> str:
        """The text with `values` filled in. Raises `PromptError`; `batch` is only named in it."""
        pieces: list[str] = []
        size = 0
        try:
            with SANDBOX.counting():
                for piece in self._template.generate(values):
                    size += len(piece)
                    if size > MAX_CHARACTERS:
                        raise LimitExceededError(f"a text of more than {MAX_CHARACTERS:,} characters")
                    pieces.append(piece)
        except PromptError:
            raise
        except Exception as error:
            raise explain(error, self.label, values, batch=batch) from error
        return "".join(pieces)

    def unknown(self, known: Iterable[str]) -> list[UnknownName]:
        """The names it needs that are not among `known`, in order of their first line."""
        names = set(known)
        missing = [name for name in self._lines if name in self.names and name not in names]
        return [UnknownName(name, self._lines[name], nearest(name, names)) for name in missing]


class Expression:
    """A Jinja expression (`batch_num + 1`, `item.path | lower`), compiled once.

    `names` are the variables it needs. Raises `PromptError` when it does not compile.
    """

    def __init__(self, text: str, label: str) -> None:
        self.text = text
        self.label = label
        try:
            self._compiled = SANDBOX.compile_expression(text, undefined_to_none=False)
            tree = Parser(SANDBOX, text, state="variable").parse_expression()
            self.names = frozenset(_first_lines(nodes.Output([tree]))) - SANDBOX.globals.keys()
        except (TemplateSyntaxError, RecursionError) as error:
            raise explain(error, label, has_lines="\n" in text) from error

    def evaluate(self, values: Mapping[str, Any], *, batch: int | None = None) -> Any:
        """The value. An undefined one, or anything that goes wrong, is a `PromptError`."""
        try:
            with SANDBOX.counting():
                value = self._compiled(values)
            if isinstance(value, Undefined):
                str(value)  # an undefined value says what it misses only when it is used
        except PromptError:
            raise
        except Exception as error:
            raise explain(error, self.label, values, batch=batch) from error
        return value


def nearest(name: object, known: Iterable[object]) -> str:
    """The known name most like `name`, "" when nothing is alike."""
    alike = difflib.get_close_matches(str(name), sorted(str(one) for one in known), n=1)
    return alike[0] if alike else ""


def misspelling(message: str) -> tuple[str, str] | None:
    """The unknown variable that a `PromptError` names and the known one it is most like; None when it names no two."""
    found = _MISSPELLED.search(message)
    return (found[1], found[2]) if found else None


def explain(
    error: Exception,
    label: str,
    known: Iterable[str] | None = None,
    *,
    batch: int | None = None,
    has_lines: bool = True,
) -> PromptError:
    """What went wrong in the template or expression called `label`, as one sentence for its author."""
    line = _line_of(error) if has_lines else 0
    where = f"{label}, line {line}" if line else label
    hint = ""
    if isinstance(error, UnknownNameError):
        said, hint = _unknown(error, known or ())
    elif isinstance(error, TemplateSyntaxError):
        said = error.message or "not a template"
    elif isinstance(error, RecursionError):
        said = "it calls itself without end"
    elif isinstance(error, LimitExceededError | OverflowError | MemoryError):
        said = f"it asks for too much: {error}"
    elif isinstance(error, TypeError) and "no loader" in str(error):
        said = "a template cannot include, import or extend another"
    else:
        said = f"{error} ({type(error).__name__})"
    return PromptError(f"{where}: {said}", hint=hint, batch=batch, code="E502")


def _unknown(error: UnknownNameError, known: Iterable[str]) -> tuple[str, str]:
    if error.owner is None:
        candidates: list[object] = [*known]
        said = f"unknown variable `{error.name}`"
    elif isinstance(error.owner, Mapping):
        candidates = [*error.owner]
        said = f"there is no `{error.name}`" + ("" if candidates else ": nothing is there")
    else:
        candidates = [name for name in dir(error.owner) if not name.startswith("_")]
        said = f"{type(error.owner).__name__} has no `{error.name}`"
    alike = nearest(error.name, candidates)
    shown = ", ".join(f"`{one}`" for one in candidates[:20])
    return (f"{said}; did you mean `{alike}`?", "") if alike else (said, f"there is: {shown}" if candidates else "")


def _line_of(error: Exception) -> int:
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILENAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _first_lines(tree: nodes.Node) -> dict[str, int]:
    """Each name and the line it first stands on, in that order."""
    lines: dict[str, int] = {}
    for node in sorted(tree.find_all(nodes.Name), key=lambda name: name.lineno):
        lines.setdefault(node.name, node.lineno)
    return lines
