"""YAML text → plain data, with line and column of every key and value.

As safe as `yaml.safe_load`, and stricter: aliases cannot expand without bound, a key given twice is an error, and
values whose YAML 1.1 meaning surprises (`12:30`, `0123`, dates) stay the text they look like.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import yaml

from mozart_nb.errors import Problem, UnreadableError
from mozart_nb.excerpts import lines_of

KeyPath = tuple[str | int, ...]

MAX_CHARACTERS: Final = 4_000_000
MAX_NODES: Final = 500_000
MAX_DEPTH: Final = 64


class _Loader(yaml.SafeLoader):
    """SafeLoader without timestamps, base-60 numbers and octal numbers."""


_INT: Final = re.compile(r"^(?:0|[-+]?[1-9][0-9_]*|0b[0-1_]+|[-+]?0x[0-9a-fA-F_]+)$")
_FLOAT: Final = re.compile(
    r"^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_DROPPED: Final = {"tag:yaml.org,2002:" + kind for kind in ("timestamp", "int", "float", "value")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _DROPPED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SCALAR_TAGS: Final = {"tag:yaml.org,2002:" + kind for kind in ("str", "int", "float", "bool", "null")}
_MERGE: Final = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key and its value stand; all numbers count from 1, 0 where nothing is known.

    `text` is the value as written when it is a plain scalar; `is_block` says that its lines begin below (`|`, `>`).
    """

    line: int = 0
    column: int = 0
    value_line: int = 0
    value_column: int = 0
    text: str = ""
    is_block: bool = False


@dataclass
class Positions:
    """Place of every key path of a document. Looking up a path that is not there gives its nearest ancestor.

    `text` is the document itself, whose first line is line number `first_line`.
    """

    places: dict[KeyPath, Place] = field(default_factory=dict)
    written: dict[KeyPath, KeyPath] = field(default_factory=dict)
    overrides: dict[KeyPath, str] = field(default_factory=dict)
    text: str = field(default="", repr=False)
    first_line: int = 1

    @cached_property
    def _lines(self) -> list[str]:
        return lines_of(self.text)

    def source(self, line: int) -> str:
        """Line number `line` of the document, secrets blotted out; empty where there is none."""
        index = line - self.first_line
        return self._lines[index] if 0 <= index < len(self._lines) else ""

    def seen(self, path: KeyPath, line: int) -> dict[str, str]:
        """`source` and `before` of a problem in `line`; empty where the document has nothing of `path`, as written."""
        if path and path[:1] not in self.places:
            return {"source": "", "before": ""}
        return {"source": self.source(line), "before": self.before(line)}

    def before(self, line: int) -> str:
        """The line above line number `line` where that is what it belongs to, being indented less; else empty."""
        above = self.source(line - 1)
        return above if above.strip() and _indent(above) < _indent(self.source(line)) else ""

    def as_written(self, path: KeyPath) -> KeyPath:
        """`path` with the spellings that the document uses (`sheet` for `batch`)."""
        for length in range(len(path), 0, -1):
            head = self.written.get(path[:length])
            if head is not None:
                return head + path[length:]
        return path

    def find(self, path: KeyPath) -> Place:
        return self.find_written(self.as_written(path))

    def find_written(self, path: KeyPath) -> Place:
        """As `find`, for a path that has the document's spellings already."""
        for length in range(len(path), -1, -1):
            place = self.places.get(path[:length])
            if place is not None:
                return place
        return Place()

    def override_of(self, path: KeyPath) -> str | None:
        """The `--set` argument that gave the value at `path`, if one did."""
        return self.override_of_written(self.as_written(path))

    def override_of_written(self, path: KeyPath) -> str | None:
        """As `override_of`, for a path that has the document's spellings already."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return self.overrides[path[:length]]
        return None


@dataclass
class Document:
    """Parsed text: its data, where everything stands, and what is wrong below the level of syntax."""

    data: dict[Any, Any]
    positions: Positions
    problems: list[Problem]


def parse_document(text: str, *, file: str = "", first_line: int = 1) -> Document:
    """Parse one YAML mapping.

    Raises UnreadableError when `text` is no YAML, no mapping, or too large or too deep to be a job file.
    """
    if len(text) > MAX_CHARACTERS:
        raise _unreadable(f"the file is larger than {MAX_CHARACTERS:,} characters", file)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise UnreadableError([_syntax_problem(error, text, file, first_line)]) from None
    except yaml.reader.ReaderError as error:
        raise UnreadableError([_forbidden_character(error, text, file, first_line)]) from None
    except RecursionError:
        raise _unreadable(f"nested more than {MAX_DEPTH} levels deep", file) from None
    if node is None:
        raise _unreadable("the file is empty", file, hint="`mozart init` writes a job file to start from")
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + first_line
        lines = Positions(text=text, first_line=first_line)
        message = "the file must hold keys and values (`name: my-job`)"
        raise UnreadableError([Problem(message, file=file, line=line, source=lines.source(line))])
    return _Builder(file, Positions(text=text, first_line=first_line)).build(node)


def parse_value(text: str) -> Any:
    """A single YAML value, as after `--set key=`. Raises UnreadableError."""
    return parse_document(f"value: {text}" if text.strip() else 'value: ""').data["value"]


def _unreadable(message: str, file: str, line: int = 0, *, hint: str = "") -> UnreadableError:
    return UnreadableError([Problem(message, file=file, line=line)], hint=hint)


class _Builder:
    """Walks the node graph once, building data and positions side by side."""

    def __init__(self, file: str, positions: Positions) -> None:
        self.file = file
        self.first_line = positions.first_line
        self.document = Document({}, positions, [])
        self.nodes_left = MAX_NODES
        self.scalars = yaml.constructor.SafeConstructor()

    def build(self, root: yaml.MappingNode) -> Document:
        line, column = self._at(root)
        self.document.positions.places[()] = Place(line, column, line, column)
        self.document.data = self._mapping(root, ())
        return self.document

    def _at(self, node: yaml.Node) -> tuple[int, int]:
        return node.start_mark.line + self.first_line, node.start_mark.column + 1

    def _problem(self, node: yaml.Node, path: KeyPath, message: str, **more: str) -> None:
        line, column = self._at(node)
        seen = self.document.positions.seen((), line)
        problem = Problem(message, path=show_path(path), line=line, column=column, file=self.file, **seen, **more)
        self.document.problems.append(problem)

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.nodes_left -= 1
        if self.nodes_left < 0:
            raise _unreadable(f"the aliases of this file expand to more than {MAX_NODES:,} values", self.file)
        if len(path) > MAX_DEPTH:
            line, _ = self._at(node)
            raise _unreadable(f"nested more than {MAX_DEPTH} levels deep", self.file, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, path)

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        line, column = self._at(node)
        self._place(path, node, line, column)
        return self._value(node, path)

    def _place(self, path: KeyPath, node: yaml.Node, line: int, column: int) -> None:
        value_line, value_column = self._at(node)
        style = node.style if isinstance(node, yaml.ScalarNode) else "-"
        plain = node.value if style is None else ""
        is_block = style in ("|", ">")
        self.document.positions.places[path] = Place(line, column, value_line, value_column, plain, is_block)

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        if node.tag not in _SCALAR_TAGS:
            self._problem(node, path, "YAML tags are not allowed here", value=node.tag)
            return node.value
        try:
            return self._whole(node, path, self.scalars.construct_object(node))
        except (ValueError, KeyError):
            self._problem(node, path, "this value does not fit its YAML tag", value=node.value)
            return node.value

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                result = self._merged(value_node, path) | result
        seen: set[Any] = set()
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in seen:
                self._problem(key_node, (*path, key), f"`{key}` is given twice")
                continue
            seen.add(key)
            below = (*path, key)
            self._place(below, value_node, *self._at(key_node))
            result[key] = self._value(value_node, below)
        return result

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[Any, Any]:
        """What `<<` brings in; of several mappings the first that has a key wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[Any, Any] = {}
        for source in reversed(sources):
            if isinstance(source, yaml.MappingNode):
                result |= self._value(source, path)
            else:
                self._problem(node, path, "`<<` needs a mapping, or a list of mappings")
        return result

    def _key(self, node: yaml.Node, path: KeyPath) -> str | int | None:
        if not isinstance(node, yaml.ScalarNode):
            self._problem(node, path, "a key must be a word; text that begins with `{{` must be in quotes")
            return None
        # A plain `on`, `no` or `1.5` as a key is the word it looks like, not true, false or a number.
        if node.tag == "tag:yaml.org,2002:int":
            return int(self.scalars.construct_object(node))
        return str(self._whole(node, path, node.value))

    def _whole(self, node: yaml.Node, path: KeyPath, value: Any) -> Any:
        """`value` with pairs of surrogates joined (JSON writes such escapes); half a pair is no character."""
        if not isinstance(value, str) or not _SURROGATE.search(value):
            return value
        try:
            return value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._problem(node, path, "half of a surrogate pair is no character", value=ascii(value))
            return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)


def show_path(path: KeyPath) -> str:
    """`("validations", 0, "path")` as `validations.0.path`, the form that `--set` takes."""
    return ".".join(str(part) for part in path)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


_HINTS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(r"^\s*(?:-\s+)?(?:[\w.\-]+\s*:\s+)?(?:-\s+)?\{"),
        'quote text that begins with a brace: `path: "{{ workspace }}/report.md"`',
    ),
    (re.compile(r"^\s*\t"), "indent with spaces, not with tabs"),
    (
        re.compile(r"^\s*(?:-\s+)?(?:[\w.\-]+\s*:\s+)?[*&%@`!]"),
        "quote text that begins with `*`, `&`, `%`, `@`, `!` or a backtick",
    ),
    (re.compile(r":\s+[^\"'\s#|>][^#]*:\s"), "quote text that holds a colon followed by a space"),
)


_GOT_QUESTION: Final = "but got '?'"
"""What PyYAML says of text that ends with a question mark between braces."""
_QUOTE_QUESTION: Final = 'quote text that holds a question mark: `{message: "Go on?"}`'


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str, first_line: int) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = error.problem or error.context or "not valid YAML"
    if "expected a single document" in (error.context or ""):
        what = "there is more than one document in the file (`---`)"
    if mark is None:
        return Problem(f"not valid YAML: {what}", file=file)
    lines = Positions(text=text, first_line=first_line)
    line, column = mark.line + first_line, mark.column + 1
    near = [lines.source(line), lines.source(line - 1)]
    hint = next((hint for pattern, hint in _HINTS for text in near if pattern.search(text)), "")
    if what.endswith(_GOT_QUESTION):
        hint = _QUOTE_QUESTION
    return Problem(
        f"not valid YAML: {what}",
        line=line,
        column=column,
        value=next((text.strip() for text in near if text.strip()), ""),
        allowed=hint,
        file=file,
        source=near[0],
        before=near[1],
    )


def _forbidden_character(error: yaml.reader.ReaderError, text: str, file: str, first_line: int) -> Problem:
    line = text.count("\n", 0, error.position) + first_line
    column = error.position - text.rfind("\n", 0, error.position)
    source = Positions(text=text, first_line=first_line).source(line)
    message = f"the character U+{error.character:04X} is not allowed in YAML"
    return Problem(message, file=file, line=line, column=column, source=source)
