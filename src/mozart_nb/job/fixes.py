"""Mistakes in the text of a job file that can be corrected without asking: text in, text out.

    text, what = fixed(text, issues)                     what these issues name
    text, what = fixed_throughout(text, look)            until `look` finds nothing more

Only misspelled names that can mean one thing are corrected (`report.beyond_doubt`): unknown keys, variables in inline
templates, placeholders. Comments, layout and everything else stay as they are, and that is proven for every single
correction: the new text, parsed, holds the same data but for the one name.

Not corrected, because people have to decide: a working directory that does not exist (sessions would be paid for in an
empty folder), keys that belong elsewhere, values out of range, and whatever stands in other files.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import yaml

from mozart_nb.errors import ConfigError, PromptError, UnreadableError
from mozart_nb.job.document import KeyPath, parse_document, show_path
from mozart_nb.job.placeholders import Mode, placeholders_in
from mozart_nb.job.report import Notice, Respelling
from mozart_nb.job.templates import CompiledTemplate

MOST: Final = 100
"""Corrections of one text; a file with more mistakes is another kind of file."""

_JINJA: Final = re.compile(
    r"(?P<verbatim>\{%[-+]?\s*raw\b.*?endraw\s*[-+]?%\}|\{#.*?#\})|\{\{.*?\}\}|\{%.*?%\}", re.DOTALL
)
_BRACES: Final = re.compile(r"(?P<verbatim>\$\{[^{}]*\})|\{\{.*?\}\}|\{[^{}]*\}", re.DOTALL)
_QUOTED: Final = r"""(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""


class Fixable(Protocol):
    """What `fixed` needs to know of an issue (`lint.Issue`) or of a notice in a `ConfigError`."""

    @property
    def respells(self) -> Respelling | None: ...


def fixables(error: ConfigError) -> list[Notice]:
    """What of a job file that does not even load can be corrected: perhaps just what keeps it from loading."""
    return [problem for problem in error.problems if isinstance(problem, Notice) and problem.respells is not None]


def fixed(text: str, issues: Iterable[Fixable], load: Callable[[str], object] | None = None) -> tuple[str, list[str]]:
    """`text` with what of `issues` can be corrected, and what was done, one sentence each.

    `load` reads a text as a job and raises `ConfigError` for one that is none: a correction after which more is wrong
    than before is left out.
    """
    done: list[str] = []
    respellings = [issue.respells for issue in issues if issue.respells is not None][:MOST]
    faults = _faults(load, text) if load is not None and respellings else 0
    for respells in respellings:
        better = _corrected(text, respells)
        left = _faults(load, better) if load is not None and better is not None else 0
        if better is not None and left <= faults:
            text, faults = better, left
            done.append(f"`{show_path(respells.at)}`: `{respells.old}` is now `{respells.new}`")
    return text, done


def fixed_throughout(
    text: str, look: Callable[[str], Iterable[Fixable]], load: Callable[[str], object] | None = None
) -> tuple[str, list[str]]:
    """As `fixed`, and again with what `look` finds in the better text: below a misspelled key there may be others."""
    done: list[str] = []
    while True:
        text, more = fixed(text, look(text), load)
        if not more:
            return text, done
        done += more


def _faults(load: Callable[[str], object], text: str) -> int:
    """How much keeps a text from being a job, unknown keys not counted."""
    try:
        load(text)
    except ConfigError as error:
        return sum(not isinstance(problem, Notice) for problem in error.problems)
    return 0


def _corrected(text: str, respells: Respelling) -> str | None:
    """`text` with one name corrected; None where that cannot be done, or not without changing anything else."""
    found = _node_at(text, respells.at)
    if found is None:
        return None
    key, value = found
    node = key if respells.is_in == "key" else value
    if not isinstance(node, yaml.ScalarNode):
        return None
    start, end = node.start_mark.index, node.end_mark.index
    better = text[:start] + _renamed(text[start:end], respells) + text[end:]
    try:
        before, after = parse_document(text).data, parse_document(better).data
    except UnreadableError:
        return None
    return better if better != text and after == _expected(before, respells) else None


def _node_at(text: str, path: KeyPath) -> tuple[yaml.Node | None, yaml.Node] | None:
    """The nodes of key and value at `path`; None where an alias or `<<` brings them in from elsewhere."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    key: yaml.Node | None = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                return None
            key, node = pair
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            key, node = None, node.value[part]
        else:
            return None
    return (key, node) if node is not None else None


def _renamed(text: str, respells: Respelling) -> str:
    """`text`, as written in the file or as read from it, with the name replaced wherever it counts."""
    if respells.is_in == "key":
        return text.replace(respells.old, respells.new, 1)
    # Not a part of another name, not an attribute, not a text in quotes, not the name of an argument; nor in what the
    # template shows as it is, or not at all.
    name = re.compile(rf"{_QUOTED}|(?<![\w.'\"]){re.escape(respells.old)}(?![\w'\"]|\s*=(?!=))", re.DOTALL)
    outside = _JINJA if respells.is_in == "template" else _BRACES

    def corrected(inside: re.Match[str]) -> str:
        return inside["verbatim"] or name.sub(lambda found: found["quoted"] or respells.new, inside[0])

    return outside.sub(corrected, text)


def _expected(data: dict[Any, Any], respells: Respelling) -> Any:
    """What the data must be after the correction, and nothing else; None where the correction does not do its work."""
    changed = copy.deepcopy(data)
    *above, last = respells.at
    inside: Any = changed
    for part in above:
        inside = inside[part]
    if respells.is_in == "key":
        if respells.new in inside:
            return None
        inside[respells.new] = inside.pop(last)
        return changed
    old = inside[last]
    inside[last] = new = _renamed(old, respells)
    if respells.is_in == "command" and re.search(rf"\b{re.escape(respells.old)}\b", new):
        return None  # a name of the command itself, which is used elsewhere in it too
    return changed if _uses(new, respells) == (_uses(old, respells) - {respells.old}) | {respells.new} else None


def _uses(text: str, respells: Respelling) -> frozenset[str]:
    """The names that a template or a text with placeholders uses."""
    if respells.is_in != "template":
        mode: Mode = respells.is_in if respells.is_in != "key" else "text"
        return frozenset(placeholders_in(text, mode))
    try:
        return CompiledTemplate(text, "").names
    except PromptError:
        return frozenset()
