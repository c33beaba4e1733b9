"""Completion of what stands behind `%mozart` and `%%mozart`: verbs, options and what they take."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from mozart_nb.codes import CODES, Category
from mozart_nb.consumers.progress import ShownStatus
from mozart_nb.engine.state import BatchStatus
from mozart_nb.events import event_types, kind_of
from mozart_nb.job.backends import BackendType
from mozart_nb.job.fields import describe, field_type, keys_of, shape_of
from mozart_nb.jupyter.completion.matcher import Choice, Found, Names
from mozart_nb.jupyter.completion.model_paths import shape_at, type_at, words_of
from mozart_nb.jupyter.completion.sources import (
    JOB_FILES,
    files,
    first_sentence,
    handles,
    jobs,
    matching,
    tables,
    variables,
)
from mozart_nb.jupyter.magics.options import CELL, HELP_FLAGS, VERBS, Option, Place, Verb

_TYPES: Final = tuple(category.value.lower() for category in Category)
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_QUOTES: Final = "\"'"


@dataclass(frozen=True, slots=True)
class Typed:
    """The words before the cursor, and the one that is being typed: as it stands there, and what it means."""

    words: tuple[str, ...]
    fragment: str
    meaning: str


def complete_line(text: str, names: Names, *, is_cell: bool) -> Found:
    """What may come next; `text` is all between the magic's name and the cursor."""
    typed = typed_words(text)
    if is_cell:
        return _after_verb(CELL, typed.words, typed, names)
    if not typed.words:
        return _found(typed, [Choice(verb.name, first_sentence(verb.summary)) for verb in VERBS.values()], *_HELP)
    verb = VERBS.get(typed.words[0])
    return _after_verb(verb, typed.words[1:], typed, names) if verb is not None else Found(typed.fragment)


def typed_words(text: str) -> Typed:
    """Split as far as the cursor; a quote may still be open, which then is part of the last word."""
    words: list[str] = []
    start, quote, word = 0, "", ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif character.isspace():
            if word:
                words.append(_meaning(word))
            start, word = at + 1, ""
            continue
        word += character
    return Typed(tuple(words), text[start:], _meaning(word))


def _meaning(word: str) -> str:
    for closing in ("", "'", '"'):
        try:
            return "".join(shlex.split(word + closing))
        except ValueError:
            continue
    return word


def _after_verb(verb: Verb, words: Sequence[str], typed: Typed, names: Names) -> Found:
    options = {name: option for option in verb.options for name in option.names}
    before = options.get(words[-1]) if words else None
    if before is not None and before.metavar:
        return _value_of(before, verb, typed, names)
    head, equals, _ = typed.fragment.partition("=")
    if equals and head in options and options[head].metavar:
        rest = typed_words(typed.fragment[len(head) + 1 :])
        return _value_of(options[head], verb, rest, names)
    given = {options[word.partition("=")[0]].dest for word in words if word.partition("=")[0] in options}
    if typed.fragment.startswith("-"):
        return _found(typed, _options(verb, given), *_HELP)
    if verb.place is not None and not _has_place(words, options):
        return _place(verb.place, typed, names)
    return _found(typed, _options(verb, given)) if not typed.fragment else Found(typed.fragment)


def _options(verb: Verb, given: set[str]) -> list[Choice]:
    """Long names, and short ones of options that are typed so; none that is given already."""
    open_ones = [option for option in verb.options if option.is_list or option.dest not in given]
    long_names = [Choice(option.names[-1], option.help.rstrip(".")) for option in open_ones]
    return long_names + [Choice(option.names[0], option.help.rstrip(".")) for option in open_ones if option.names[1:]]


_HELP: Final = tuple(Choice(name, "Show all options") for name in reversed(HELP_FLAGS))


def _has_place(words: Sequence[str], options: Mapping[str, Option]) -> bool:
    """Whether one of the words is neither an option nor its value."""
    is_value = False
    for word in words:
        if not is_value and not word.startswith("-"):
            return True
        option = options.get(word)
        is_value = option is not None and bool(option.metavar)
    return False


def _place(place: Place, typed: Typed, names: Names) -> Found:
    if place.metavar == "FILE":
        return _paths(typed, files(typed.meaning, JOB_FILES))
    return _found(typed, [*matching(handles(names), typed.meaning), *jobs(typed.meaning)])


# --- values -----------------------------------------------------------------------------------------------------------


def _value_of(option: Option, verb: Verb, typed: Typed, names: Names) -> Found:
    if option.choices:
        return _found(typed, [Choice(word) for word in option.choices])
    if option.dest == "status":
        kinds: Any = BatchStatus if verb.name == "batches" else ShownStatus
        return _found(typed, [Choice(word, "status") for word in statuses(kinds)])
    complete = _BY_DEST.get(option.dest)
    return complete(typed, names) if complete is not None else Found(typed.fragment)


def statuses(kind: Any) -> list[str]:
    """The words of a `Literal`, or of a union of some."""
    parts = get_args(kind)
    return [word for part in parts for word in ([part] if isinstance(part, str) else statuses(part))]


def _override(typed: Typed, names: Names) -> Found:
    """`retry.max_retries=5`: the key step by step, then a value that is allowed."""
    key, equals, value = typed.meaning.partition("=")
    steps = key.split(".")
    path = tuple(steps if equals else steps[:-1])
    if equals:
        return Found(value, matching([Choice(word) for word in words_of(type_at(path))], value))
    section = shape_at(path).section
    choices = []
    for name, field in keys_of(section).items() if section else ():
        is_section = shape_of(field_type(field)).section is not None
        note = first_sentence(field.description or "") or describe(field_type(field))
        choices.append(Choice(".".join([*path, name]) + ("." if is_section else "="), note))
    return _found(typed, choices)


def _code(typed: Typed, names: Names) -> Found:
    return _found(typed, [Choice(code, row.meaning) for code, row in CODES.items()])


def _event(typed: Typed, names: Names) -> Found:
    """Names of events, and a pattern for each family of them."""
    events = sorted(kind_of(kind) for kind in event_types())
    families = sorted({f"{name.partition('.')[0]}.*" for name in events})
    return _found(typed, [*(Choice(name, "events") for name in families), *(Choice(name, "event") for name in events)])


_BY_DEST: Final[Mapping[str, Callable[[Typed, Names], Found]]] = {
    "items": lambda typed, names: _found(typed, tables(names)),
    "variables": lambda typed, names: _found(typed, variables(names)),
    "overrides": _override,
    "code": _code,
    "backend": lambda typed, names: _found(typed, [Choice(word, "backend") for word in get_args(BackendType)]),
    "events": _event,
    "type": lambda typed, names: _found(typed, [Choice(word, "type") for word in _TYPES]),
    "level": lambda typed, names: _found(typed, [Choice(level) for level in _LEVELS]),
    "config": lambda typed, names: _paths(typed, files(typed.meaning, JOB_FILES)),
    "output": lambda typed, names: _paths(typed, files(typed.meaning, (".csv", ".jsonl", ".json", ".parquet"))),
    "workspace": lambda typed, names: _paths(typed, files(typed.meaning, folders_only=True)),
}


# --- as it must be written --------------------------------------------------------------------------------------------


def _found(typed: Typed, choices: Sequence[Choice], *more: Choice) -> Found:
    return Found(typed.fragment, matching([*choices, *more], typed.meaning))


def _paths(typed: Typed, choices: Sequence[Choice]) -> Found:
    """Paths in the quotes that are open, or in some where they need them; those of folders stay open."""
    mark = typed.fragment[:1] if typed.fragment[:1] in _QUOTES else ""
    return Found(typed.fragment, [Choice(_path_text(choice, mark), choice.note) for choice in choices])


def _path_text(choice: Choice, mark: str) -> str:
    text = choice.text
    mark = mark or ("" if shlex.quote(text) == text or not _is_split(text) else "'" if "'" not in text else '"')
    return f"{mark}{text}{'' if choice.note == 'folder' else mark}" if mark else text


def _is_split(text: str) -> bool:
    """Whether a line with this word would be read as something else."""
    try:
        return shlex.split(text) != [text]
    except ValueError:
        return True
