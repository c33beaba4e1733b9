"""The lines of the magics as they are typed: split as a shell would split them, and read.

Nothing is ever expanded. Whatever is wrong with a line is one `OptionError` that names the nearest thing that is right.
"""

from __future__ import annotations

import argparse
import difflib
import io
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Final, NoReturn

from mozart_nb.errors import OptionError
from mozart_nb.jupyter.magics.options import CELL, HELP_FLAGS, VERBS, Option, Verb

AWAITED: Final = "--awaited"
"""Put into a line by `waiting.Rewriter`: the cell awaits what the magic returns."""

_HELP_WIDTH: Final = 100


# --- what was asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunWish:
    """What was asked of `%%mozart` or `%mozart run`. None: as the settings say. `file` is empty for a cell."""

    file: str = ""
    out: str = ""
    wait: bool | None = None
    dry_run: bool = False
    check: bool = False
    fix: bool = False
    show: int = 0
    items: str = ""
    overrides: Sequence[str] = field(default_factory=list)
    variables: Sequence[str] = field(default_factory=list)
    rehearse: bool = False
    fresh: bool = False
    reload_config: bool = False
    limit: int = 0
    batches: str = ""
    start_batch: int = 1
    max_concurrent: int = 0
    strict: bool = False
    self_healing: bool = False
    escalation: bool = False
    conductor: bool | None = None
    workspace: str = ""
    dashboard: bool | None = None
    raises: bool = True
    debug: bool = False

    @classmethod
    def of(cls, given: argparse.Namespace) -> RunWish:
        """The wish that was parsed."""
        return cls(**{one.name: getattr(given, one.name) for one in fields(cls) if hasattr(given, one.name)})


@dataclass(frozen=True)
class Line:
    """The words of a magic's line. `is_silent`: it ends in `;`, so nothing is displayed but what it says."""

    words: tuple[str, ...]
    is_silent: bool = False

    @property
    def wants_help(self) -> bool:
        return any(word in HELP_FLAGS for word in self.words)

    @property
    def is_awaited(self) -> bool:
        return AWAITED in self.words


def split_line(line: str, *, windows: bool = os.name == "nt") -> Line:
    r"""Split as a POSIX shell would, without expanding anything; `#` behind a space begins a comment.

    On Windows a backslash is part of a path, not an escape. Raises `OptionError` for a quote that is not closed.
    """
    text = line.strip()
    stream = io.StringIO(text)
    lexer = shlex.shlex(stream, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if windows:
        lexer.escape = ""
    words: list[str] = []
    try:
        while not text[stream.tell() :].lstrip().startswith("#"):
            word = lexer.get_token()
            if word is None:
                break
            words.append(word)
    except ValueError:
        raise OptionError(f"a quote is not closed: {text}") from None
    is_silent = bool(words) and words[-1].endswith(";") and not text.endswith(("'", '"'))
    if is_silent:
        words[-1:] = [words[-1].rstrip(";")] if words[-1].rstrip(";") else []
    return Line(tuple(words), is_silent)


def parse_cell(line: Line) -> RunWish:
    """What `%%mozart` is asked. Raises `OptionError`."""
    return RunWish.of(_parse(CELL, line.words))


def parse_verb(name: str, words: Sequence[str]) -> argparse.Namespace:
    """What `%mozart NAME` is asked: `file` or `job`, and the `dest` of every option. Raises `OptionError`."""
    return _parse(verb_called(name), words)


def verb_called(name: str) -> Verb:
    """Raises `OptionError` with the nearest verb."""
    verb = VERBS.get(name)
    if verb is None:
        near = nearest(name, VERBS)
        hint = f"did you mean `%mozart {near}`?" if near else "`%mozart --help` lists what there is"
        raise OptionError(f"`%mozart {name}`: there is no such verb", hint=hint)
    return verb


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, or an empty text."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), "")


def help_of(verb: Verb) -> str:
    """The page that `--help` shows."""
    return _parser(verb, says_required=True).format_help().rstrip()


def overview() -> str:
    """The page that `%mozart --help` shows."""
    width = max(map(len, VERBS))
    lines = [
        "%%mozart [options]     run the job that the YAML below describes",
        "%mozart VERB [options]",
        "",
        *(f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items()),
        "",
        "`%mozart` alone shows how the jobs here stand; `%mozart VERB --help` and `%%mozart --help` show the options;",
        "`%config MozartMagics` shows the settings.",
    ]
    return "\n".join(lines)


_COMMAND: Final = re.compile(rf"`mozart (?={'|'.join(VERBS)})")


def in_notebook(text: str) -> str:
    """Advice that names commands of the shell, with the verbs of the notebook instead."""
    return _COMMAND.sub("`%mozart ", text.replace("`mozart learning", "`mozart insights"))


# --- parsing ----------------------------------------------------------------------------------------------------------


def _parse(verb: Verb, words: Sequence[str]) -> argparse.Namespace:
    given, extra = _parser(verb).parse_known_args([word for word in words if word != AWAITED])
    if extra:
        raise _unexpected(verb, extra)
    for option in verb.options:
        if option.dest not in given:
            setattr(given, option.dest, [] if option.is_list else option.default)
    if verb.words:
        _sort_words(verb, given)
    missing = _missing(verb, given)
    if missing:
        raise OptionError(f"{verb.command}: {missing} is missing", hint=f"`{verb.command} --help` shows how it is used")
    vars(given).pop(_GIVEN, None)
    return given


def _sort_words(verb: Verb, given: argparse.Namespace) -> None:
    """The last words are those that have to be there; the place before them may be left out."""
    typed = vars(given).pop(_WORDS)
    count = len(verb.words)
    if len(typed) > count + 1:
        raise _unexpected(verb, typed[count + 1 :])
    if len(typed) < count:
        hint = f"`{verb.command} --help` shows how it is used"
        raise OptionError(f"{verb.command}: {verb.words[len(typed)].metavar} is missing", hint=hint)
    given.job = typed[0] if len(typed) > count else ""
    for word, value in zip(verb.words, typed[-count:], strict=True):
        setattr(given, word.metavar.lower(), value)


def _missing(verb: Verb, given: argparse.Namespace) -> str:
    """What is required and was not given. Not left to argparse, which would say it before a misspelled option."""
    if verb.place is not None and verb.place.is_required and not given.file:
        return verb.place.metavar
    required = (option for option in verb.options if option.is_required)
    return next(("/".join(option.names) for option in required if not getattr(given, option.dest)), "")


def _unexpected(verb: Verb, extra: Sequence[str]) -> OptionError:
    """Options are blamed first: what looks like a superfluous word may be the value of a misspelled option."""
    option = next((word.partition("=")[0] for word in extra if word.startswith("-") and word != "-"), "")
    if option:
        near = nearest(option, [name for one in verb.options for name in one.names] + list(HELP_FLAGS))
        hint = f"did you mean `{near}`?" if near else f"`{verb.command} --help` lists the options"
        return OptionError(f"{verb.command}: there is no option `{option}`", hint=hint)
    if not verb.name:
        hint = "the job is the YAML below the line; `%mozart run FILE` runs a file"
        return OptionError(f"{verb.command}: `{extra[0]}` is no option", hint=hint)
    hint = f"`{verb.command} --help` shows how it is used"
    return OptionError(f"{verb.command}: `{extra[0]}` is one word too many", hint=hint)


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process, in words of the notebook."""

    def __init__(self, verb: Verb) -> None:
        super().__init__(
            prog=verb.command,
            description=verb.summary,
            add_help=False,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=_HELP_WIDTH),
        )
        self.color = False  # Python 3.14 would colour the help wherever it believes in a terminal

    def error(self, message: str) -> NoReturn:
        raise OptionError(
            f"{self.prog}: {message.removeprefix('argument ')}", hint=f"`{self.prog} --help` shows how it is used"
        )

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise OptionError(message or f"`{self.prog}` gave up ({status})")


_WORDS: Final = "typed words"
_GIVEN: Final = "given options"
"""Name in the namespace, while it is parsed, of: `dest` → the option as it was typed."""


class _Once(argparse.Action):
    """Sets a value that may be given once."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, name: str | None = None
    ) -> None:
        given: dict[str, str | None] = vars(namespace).setdefault(_GIVEN, {})
        if self.dest in given:
            earlier = given[self.dest]
            if earlier in self.option_strings:
                parser.error(f"`{name}` is given twice" + (f", first as `{earlier}`" if earlier != name else ""))
            parser.error(f"`{earlier}` and `{name}` contradict each other")
        given[self.dest] = name
        setattr(namespace, self.dest, self.const if self.nargs == 0 else values)


@cache
def _parser(verb: Verb, *, says_required: bool = False) -> _Parser:
    """`says_required`: for the page of help; what is missing is said by `_missing`."""
    parser = _Parser(verb)
    if verb.words and not says_required:
        parser.add_argument(_WORDS, nargs="*", default=[])
    elif verb.place is not None:
        dest = "file" if verb.place.metavar == "FILE" else "job"
        nargs = None if says_required and verb.place.is_required else "?"
        parser.add_argument(dest, metavar=verb.place.metavar, nargs=nargs, default="", help=verb.place.help)
    for word in verb.words if says_required else ():
        parser.add_argument(word.metavar.lower(), metavar=word.metavar, help=word.help)
    for option in verb.options:
        _add(parser, option, says_required=says_required)
    parser.add_argument(*HELP_FLAGS, action="store_true", help="Show this page.")
    return parser


def _add(parser: _Parser, option: Option, *, says_required: bool) -> None:
    if not option.metavar:
        more: dict[str, Any] = {"action": _Once, "nargs": 0, "const": option.const}
    else:
        action = "append" if option.is_list else _Once
        more = {"action": action, "metavar": option.metavar, "type": option.kind, "choices": option.choices or None}
    more["required"] = says_required and option.is_required
    parser.add_argument(*option.names, dest=option.dest, help=option.help.replace("%", "%%"), **more)
