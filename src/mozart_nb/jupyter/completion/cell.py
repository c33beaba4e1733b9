"""Completion in the YAML of a cell: keys where they belong, values that are allowed, names of templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mozart_nb.job.backends import API_FIELDS, CLI_FIELDS, BackendConfig
from mozart_nb.job.fields import Shape, describe, field_type, keys_of, shape_of
from mozart_nb.job.names import HOOK_MEANINGS, MEANINGS, SKIP_NAMES, SYNONYMS
from mozart_nb.job.outputs import REQUIRED_FIELDS, RuleConfig
from mozart_nb.job.price_table import MODELS
from mozart_nb.job.section import Section
from mozart_nb.jupyter.completion.matcher import Choice, Found, Names
from mozart_nb.jupyter.completion.model_paths import own_key, shape_at, type_at, words_of
from mozart_nb.jupyter.completion.outline import Cursor, Outline, Path, read
from mozart_nb.jupyter.completion.sources import JOB_FILES, classes, files, first_sentence, functions, matching

ALIASES: Final = ("sonnet", "opus", "haiku")
"""Short names that the `claude` program takes for a model."""

_TEMPLATE: Final = re.compile(r"\{[{%](?:(?![%}]\}).)*?(?<![\w.'\"])(\w*)$")
_COLUMN: Final = re.compile(r"\{[{%](?:(?![%}]\}).)*?\b(?:item|items\[[^\]]*\])\.(\w*)$")
_PLACEHOLDER: Final = re.compile(r"(?<!\{)\{(\w*)$")
_WORD: Final = re.compile(r"(?<![\w.'\"])(\w*)$")
_ITEMS: Final = re.compile(r"--items(?:=|\s+)(\w+)")
_NEEDS_QUOTES: Final = re.compile(r"[\s'\"]|^[{\[*&!%@`|>#-]|: |: ?$| #")


def complete_body(lines: Sequence[str], line: int, column: int, names: Names, first_line: str = "") -> Found:
    """What may stand at the cursor of a cell's body; `line` and `column` count from 0.

    `first_line` is what stands behind `%%mozart`.
    """
    cursor, outline = read(lines, line, column)
    if cursor.kind == "comment":
        return Found("")
    found = _in_template(cursor, outline, _columns(names, first_line))
    if found is not None or cursor.kind == "text":
        return found or Found("")
    after = lines[line][column:]
    if cursor.kind == "key":
        return _keys(cursor, outline, line, after, names)
    return _values(cursor, outline, names)


# --- keys -------------------------------------------------------------------------------------------------------------


def _keys(cursor: Cursor, outline: Outline, line: int, after: str, names: Names) -> Found:
    shape = shape_at(cursor.path)
    if shape.kind == "list":
        return _entries(cursor, shape)
    if cursor.has_dash and shape.section is None:
        return _values(cursor, outline, names)
    if shape.section is None:
        return Found(cursor.fragment)
    section = shape.section
    taken = {section.SYNONYMS.get(key, key) for key in outline.keys_beside(cursor, line)}
    ends = "" if after.lstrip().startswith(":") else ": "
    # An entry may be a word instead of keys (`ok` for `{kind: ok}`).
    choices = [Choice(word) for word in words_of(section)] if cursor.has_dash else []
    for key, field in _ordered(section, cursor.path, outline).items():
        if key not in taken:
            spelling = _spelling(section, key, cursor.fragment)
            choices.append(Choice(_key_text(spelling, field, ends, cursor), _note(field)))
    return _spaced(cursor, matching(choices, cursor.fragment))


def _entries(cursor: Cursor, shape: Shape) -> Found:
    """A list whose next entry is yet to begin."""
    section = shape_of(shape.inner).section
    required = [key for key, field in keys_of(section).items() if field.is_required()] if section else []
    text = f"- {required[0]}: " if required else "- "
    note = first_sentence(section.__doc__ or "") if section else describe(shape.inner)
    choices = [Choice(text, note), *(Choice(f"- {word}") for word in words_of(shape.inner))]
    return Found(cursor.fragment, [one for one in choices if one.text.startswith(cursor.fragment)])


def _key_text(key: str, field: FieldInfo, ends: str, cursor: Cursor) -> str:
    """Sections and lists go on in the next line, unless one is within brackets."""
    is_value = shape_of(field_type(field)).kind == "value"
    return key + (ends if is_value or cursor.in_flow else ends.rstrip())


def _spelling(section: type[Section], key: str, fragment: str) -> str:
    """The other spelling of a key where somebody is typing just that."""
    twins = [twin for twin, name in section.SYNONYMS.items() if name == key]
    begins = len(fragment) > 1 and not key.startswith(fragment)
    return next((twin for twin in twins if begins and twin.startswith(fragment)), key)


def _ordered(section: type[Section], path: Path, outline: Outline) -> dict[str, FieldInfo]:
    """The section's keys, those first that matter to the type of backend or rule that is given."""
    fields = keys_of(section)
    kind = outline.values.get((*path, "type"), "")
    first: Collection[str] = REQUIRED_FIELDS.get(kind, ()) if section is RuleConfig else ()
    last: Collection[str] = ()
    if section is BackendConfig:
        own = {"claude_cli": CLI_FIELDS, "rehearsal": frozenset[str]()}.get(kind or "claude_cli", API_FIELDS)
        first, last = own, (CLI_FIELDS | API_FIELDS) - own
    rank = {key: 0 if key == "type" or key in first else 2 if key in last else 1 for key in fields}
    return {key: fields[key] for key in sorted(fields, key=lambda key: rank[key])}


def _note(field: FieldInfo) -> str:
    if field.is_required():
        return "required · " + first_sentence(field.description or "")
    return first_sentence(field.description or "")


# --- values -----------------------------------------------------------------------------------------------------------


def _values(cursor: Cursor, outline: Outline, names: Names) -> Found:
    annotation = type_at(cursor.path)
    if annotation is None:
        return Found(cursor.fragment)
    given = _given_here(cursor.path, names, _unquoted(cursor.fragment))
    choices = [*given, *(Choice(word) for word in words_of(annotation)), *_default(cursor.path)]
    wanted = matching(choices, _unquoted(cursor.fragment))
    if wanted or not _is_expression(cursor.path):
        return _spaced(cursor, [_quoted(choice, cursor) for choice in wanted])
    word = _WORD.search(cursor.fragment)
    return Found(word[1], matching(_template_names(cursor.path, outline), word[1])) if word else Found("")


def _given_here(path: Path, names: Names, fragment: str) -> list[Choice]:
    """Values that come from the notebook and the disk."""
    key = tuple(part for part in path if isinstance(part, str))
    if key == ("answer", "schema"):
        return [*classes(names), *files(fragment, (".json",))]
    if key == ("validations", "function"):
        return functions(names)
    suffixes = _FILES.get(key)
    if suffixes is not None:
        return files(fragment, suffixes or None)
    if key in _FOLDERS:
        return files(fragment, folders_only=True)
    if key and key[-1] in ("model", "cli_model", "fallback_model"):
        return [Choice(name, "model") for name in (*(ALIASES if key[-1] != "model" else ()), *MODELS)]
    return []


_FILES: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("items", "file"): (".csv", ".jsonl", ".json", ".parquet", ".txt"),
    ("prompt", "template_file"): (),
    ("backend", "system_prompt_file"): (),
    ("backend", "attachments"): (),
    ("on_success", "job_path"): JOB_FILES,
}
_FOLDERS: Final = (("workspace",), ("state_path",), ("backend", "working_directory"))


def _default(path: Path) -> list[Choice]:
    """The default of a number, as something to start from."""
    shape = shape_at(path[:-1])
    field = keys_of(shape.section).get(own_key(shape.section, path[-1])) if shape.section else None
    value = PydanticUndefined if field is None or field.is_required() else field.default
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [Choice(f"{value:g}" if isinstance(value, float) else str(value), "default")]
    return []


def _quoted(choice: Choice, cursor: Cursor) -> Choice:
    """The value as YAML needs it; a quote that is open already is closed."""
    mark = cursor.fragment[:1] if cursor.fragment[:1] in ("'", '"') else ""
    if not mark and not _NEEDS_QUOTES.search(choice.text):
        return choice
    mark = mark or '"'
    text = choice.text.replace("'", "''") if mark == "'" else choice.text.replace("\\", "\\\\").replace('"', '\\"')
    return Choice(f"{mark}{text}{mark}", choice.note)


def _unquoted(fragment: str) -> str:
    return fragment[1:] if fragment[:1] in ("'", '"') else fragment


def _spaced(cursor: Cursor, choices: Iterable[Choice]) -> Found:
    """Behind `type:` and a lonely `-` a space comes first."""
    if not cursor.needs_space:
        return Found(cursor.fragment, list(choices))
    return Found("", [Choice(f" {choice.text}", choice.note) for choice in choices])


# --- templates --------------------------------------------------------------------------------------------------------


def _in_template(cursor: Cursor, outline: Outline, columns: Callable[[], Iterable[str]]) -> Found | None:
    """Names, where the cursor stands in `{{ … }}` of a text, or in the `{…}` of a path."""
    column = _COLUMN.search(cursor.fragment)
    if column is not None:
        return Found(column[1], matching([Choice(name, "column") for name in columns()], column[1]))
    is_text = cursor.kind == "text" or cursor.fragment[:1] in ("'", '"') or not cursor.in_flow
    found = _TEMPLATE.search(cursor.fragment)
    if found is None and is_text and cursor.kind == "value" and not cursor.fragment.startswith("{"):
        found = _PLACEHOLDER.search(cursor.fragment)
    if found is None:
        return None
    return Found(found[1], matching(_template_names(cursor.path, outline), found[1]))


def _template_names(path: Path, outline: Outline) -> list[Choice]:
    meanings = HOOK_MEANINGS if path[:1] in (("on_success",), ("concert",)) else MEANINGS
    own = [Choice(name, "prompt.variables") for name in outline.keys.get(("prompt", "variables"), {})]
    twins = [Choice(twin, MEANINGS[name]) for twin, name in SYNONYMS.items()]
    known = [Choice(name, first_sentence(text)) for name, text in meanings.items()]
    skip = [Choice(name) for name in sorted(SKIP_NAMES)] if "skip_when" in path else []
    return [*own, *skip, *known, *twins]


def _is_expression(path: Path) -> bool:
    return "skip_when" in path or path[-1:] == ("condition",)


def _columns(names: Names, first_line: str) -> Callable[[], Iterator[str]]:
    """The columns of the table that `--items` names."""

    def columns() -> Iterator[str]:
        named = _ITEMS.search(first_line)
        table = names.names.get(named[1]) if named else None
        for name in getattr(table, "columns", ()):
            if isinstance(name, str) and name.isidentifier():
                yield name

    return columns
