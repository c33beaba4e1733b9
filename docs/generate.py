"""Writes the pages of this folder that are made from the code: `python docs/generate.py`.

With `--check` it writes nothing and fails when a page is not what the code says. A test does the same.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect as shapes

from mozart_nb import errors, events
from mozart_nb.codes import CODES, Category, ErrorCode
from mozart_nb.consumers.answers import answer_columns
from mozart_nb.consumers.history.rows import RUN_COLUMNS
from mozart_nb.consumers.job_rows import EVENT_COLUMNS, JOB_COLUMNS, VALIDATION_COLUMNS
from mozart_nb.consumers.learning.columns import RULE_COLUMNS, SUGGESTION_COLUMNS, TEMPLATE_COLUMNS, TIME_COLUMNS
from mozart_nb.consumers.rows import ATTEMPT_COLUMNS, BATCH_COLUMNS, ERROR_COLUMNS, Column
from mozart_nb.frames.tables import INDEXES
from mozart_nb.frames.typed import DTYPE_NAMES
from mozart_nb.job import reference
from mozart_nb.job.keys import UNKNOWN_KEY
from mozart_nb.job.model import JobConfig
from mozart_nb.job.price_table import ALIASES, AS_OF, MODELS, SOURCE
from mozart_nb.job.prices import Prices, shipped
from mozart_nb.job.vcodes import V_CODES, VCode
from mozart_nb.looking.diagnosis.columns import GROUP_COLUMNS

FOLDER: Final = Path(__file__).parent
sys.path.insert(0, str(FOLDER))  # the pages that have a module of their own, wherever this is started from

from command_page import command_page  # noqa: E402
from conductor_page import conductor_page  # noqa: E402
from file_page import file_page  # noqa: E402
from rest_page import rest_page  # noqa: E402

_WRITTEN: Final = "<!-- Written by `python docs/generate.py` from {source}: change those, not this page. -->"


def pages() -> dict[str, str]:
    """File name → text of every page that is made from the code."""
    return {
        "job-file.md": reference.render(),
        "error-codes.md": error_codes(),
        "events.md": event_page(),
        "prices.md": price_page(),
        "dataframes.md": with_columns("dataframes.md"),
        "diagnosis.md": with_columns("diagnosis.md"),
        "learning.md": with_columns("learning.md"),
        "history.md": with_columns("history.md"),
        "files.md": file_page(_written("the structures and tables of what is written"), _table, _every_field),
        "conductor.md": conductor_page(FOLDER / "conductor.md", _table),
        "rest.md": rest_page(FOLDER / "rest.md", _table),
        "commands.md": command_page(_written("the commands in cli.commands"), _table),
    }


# --- error-codes.md ---------------------------------------------------------------------------------------------------

_CODES_INTRODUCTION: Final = """\
When a batch or a job fails, `status`, `errors`, the journal and the log name a code that begins with **E**. What is
noticed in a job file before anything runs has a code that begins with **V**. What the command line and the Python API
refuse or cannot do is an exception.

## Failures of batches and jobs

*Reaches*: `batch` fails this batch alone; `account` makes every job of the account wait; `job` stops the job: no new
attempts, what has been completed stays. *Again*: whether another attempt can help. "Pauses" means that the job ends as
`paused`, not `failed`, because it can go on where it stopped.

The code is decided by structured facts first: how the process ended, what the program itself reports, an HTTP status.
Texts are compared with patterns last, and only error messages are, never an answer: prose about a 401 page is not an
authentication failure.
"""

_ABOUT: Final = {
    Category.TRANSIENT: "Passing trouble. Retried after a pause that grows, within `retry.max_retries`.",
    Category.RATE_LIMIT: "The account is over a limit. Nothing starts until the wait is over; then one attempt tries "
    "before the others follow. No retry is used.",
    Category.VALIDATION: "The session ended, and a rule is not satisfied. If enough rules pass, a completion attempt "
    "asks for what is missing; otherwise the batch is retried, with what was found.",
    Category.TIMEOUT: "The session took too long or went silent. Retried.",
    Category.SIGNAL: "The program was killed or crashed. Not retried: the same would probably happen again.",
    Category.FATAL: "Another attempt would end the same way. Mend the cause, then `mozart resume`.",
}

_CHECKS_INTRODUCTION: Final = """\
## Checks of a job file

`mozart validate` prints these with file, line and column. A job with an ERROR does not run; a WARNING means that the
job may do something else than was meant; INFO is worth knowing. Checks execute nothing.

`mozart validate --fix` (and `%%mozart --fix` in a notebook) corrects what needs no questions, in the file itself:
comments and layout stay, what changed is shown, and `--dry-run` only shows it. A name is corrected where it can mean
one thing only, and where the corrected file holds the same but for that name. Not corrected, because people have to
decide: a working directory that is missing (sessions would be paid for in an empty folder), keys that belong elsewhere,
values out of range, time limits, and whatever stands in files of its own. A file that somebody changes meanwhile is
left alone.
"""

_EXCEPTIONS_INTRODUCTION: Final = """\
## Exceptions

The command line turns a `MisuseError` into exit code 2, and a `WorldError` into 1, or 3 when the job can go on later.
In Python each carries `message`, `hint` (what to try next) and, where they apply, `job_id`, `batch`, `attempt` and
`code`.
"""


def error_codes() -> str:
    """The page of E-codes, V-codes and exceptions."""
    parts = ["# Codes and errors\n", _written("the tables in codes, errors and job.vcodes"), _CODES_INTRODUCTION]
    for category in Category:
        rows = [_code_row(row) for row in CODES.values() if row.category is category]
        parts.append(f"### {category}\n\n{_ABOUT[category]}\n")
        parts.append(_table(("code", "meaning", "reaches", "again", "what to do"), rows))
    checks = [(f"`{row.code}`", str(row.severity), _sentence(row.meaning), _fix(row)) for row in V_CODES.values()]
    parts += [_CHECKS_INTRODUCTION, _table(("code", "severity", "meaning", "notes"), checks)]
    parts += [_EXCEPTIONS_INTRODUCTION, f"```text\n{_tree()}\n```\n"]
    return "\n".join(parts)


def _code_row(row: ErrorCode) -> tuple[str, ...]:
    again = "yes" if row.retriable else "no"
    if row.pauses:
        again = "pauses"
    elif row.category is Category.RATE_LIMIT:
        again = "yes, after the wait"
    return f"`{row.code}`", _sentence(row.meaning), str(row.scope), again, _sentence(row.advice)


def _fix(row: VCode) -> str:
    notes = [f"`--fix` {row.fixed_by}"] if row.fixed_by else []
    if row.code == UNKNOWN_KEY:
        notes.append("`--strict` makes it an error")
    return "; ".join(notes)


def _tree() -> str:
    """The tree in the docstring of `errors.py`."""
    lines = (errors.__doc__ or "").splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip() == "MozartError")
    last = max(number for number, line in enumerate(lines) if "──" in line)
    return textwrap.dedent("\n".join(lines[first : last + 1]))


# --- events.md --------------------------------------------------------------------------------------------------------

_EVENTS_INTRODUCTION: Final = """\
A job is a journal of events: whatever happens to it is written to `.mozart/<job id>/journal/` in the workspace before
anybody is told and before anything is done about it. State, progress display, log and reports are all made from these
events. The names below are the same in the journal, in the log and in what `mozart logs` prints.

Each line of the journal is one JSON object: a checksum (CRC-32 of the bytes of the inner object, as eight hexadecimal
digits) and the event.

```json
{example}
```

Every event has `kind` (its name), `seq` (its number in the job, from 1 without gaps) and `at` (UTC, in seconds since
1970, by a clock that never runs backwards within one job). Fields that have their default value are left out. Times are
seconds since 1970, durations are seconds, costs are US dollars, and a cost of `null` means unknown, which is not zero.

The format has version {format}; it is named in the first event. A journal of a higher version is refused with `E702`,
and nothing of it is touched.
"""

_GROUPS: Final = {
    "job": "The job",
    "batch": "Batches",
    "session": "Sessions",
    "remote": "Remote batches",
    "limit": "Rate limits",
    "breaker": "The circuit breaker",
}


def event_page() -> str:
    """The page of events."""
    parts = [
        "# Events\n",
        _written("the classes in events"),
        _EVENTS_INTRODUCTION.format(example=_example(), format=events.FORMAT),
    ]
    for prefix, title in _GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [_event(event) for event in events.event_types() if events.kind_of(event).startswith(f"{prefix}.")]
    parts.append("## Parts of events\n")
    parts += [_part(part) for part in _parts_of(events.event_types())]
    parts.append(f"### Answer\n\n{_doc(events.Answer)}\n\n{_fields(events.Answer)}")
    return "\n".join(parts)


def _example() -> str:
    from mozart_nb.checkpoint.frames import EVENTS

    event = events.BatchStarted(seq=12, at=1764000000.25, batch=3, attempt=2, mode="retry")
    return EVENTS.wrap(events.encode_event(event)).decode().strip()


def _event(event: type[events.Event]) -> str:
    return f"### `{events.kind_of(event)}`\n\n{_doc(event)}\n\n{_fields(event)}"


def _part(part: type[msgspec.Struct]) -> str:
    return f"### {part.__name__}\n\n{_doc(part)}\n\n{_fields(part)}"


def _parts_of(kinds: Iterable[type[msgspec.Struct]]) -> list[type[msgspec.Struct]]:
    """Every structure inside the events, as they stand in the source."""
    found: set[type[msgspec.Struct]] = set()
    waiting: list[Any] = [field.type for kind in kinds for field in _shape(kind).fields]
    while waiting:
        shape = waiting.pop()
        if isinstance(shape, shapes.StructType):
            if shape.cls not in found:
                found.add(shape.cls)
                waiting += [field.type for field in shape.fields]
        else:
            waiting += _inside(shape)
    return sorted(found, key=lambda part: (part.__module__, inspect.getsourcelines(part)[1]))


def _inside(shape: Any) -> list[Any]:
    if isinstance(shape, shapes.UnionType):
        return list(shape.types)
    if isinstance(shape, shapes.TupleType):
        return list(shape.item_types)
    if isinstance(shape, shapes.DictType):
        return [shape.key_type, shape.value_type]
    return [shape.item_type] if isinstance(shape, shapes.VarTupleType | shapes.ListType) else []


def _every_field(kind: type[msgspec.Struct]) -> str:
    return _fields(kind, without=())


def _fields(kind: type[msgspec.Struct], without: tuple[str, ...] = ("seq", "at")) -> str:
    rows = [
        (f"`{field.name}`", _type(field.type), _default(field))
        for field in _shape(kind).fields
        if field.name not in without
    ]
    return _table(("field", "type", "default"), rows) if rows else "No fields of its own.\n"


def _shape(kind: type[msgspec.Struct]) -> shapes.StructType:
    shape = shapes.type_info(kind)
    assert isinstance(shape, shapes.StructType)
    return shape


_WORDS: Final[dict[type, str]] = {
    shapes.StrType: "text",
    shapes.IntType: "whole number",
    shapes.FloatType: "number",
    shapes.BoolType: "true or false",
    shapes.NoneType: "null",
    shapes.AnyType: "anything",
}
_PLURALS: Final = {"text": "texts", "whole number": "whole numbers", "number": "numbers"}


def _type(shape: Any) -> str:
    word = _WORDS.get(type(shape))
    if word is not None:
        return word
    if isinstance(shape, shapes.LiteralType):
        # msgspec sorts the values.
        return " ".join(f"`{value}`" for value in shape.values)
    if isinstance(shape, shapes.StructType):
        name = str(shape.tag or shape.cls.__name__)
        return f"[{name}](#{name.lower().replace('.', '')})"
    if isinstance(shape, shapes.TupleType):
        return f"({', '.join(_type(part) for part in shape.item_types)})"
    if isinstance(shape, shapes.DictType):
        return f"map from {_type(shape.key_type)} to {_type(shape.value_type)}"
    if isinstance(shape, shapes.UnionType):
        return " or ".join(_type(part) for part in shape.types)
    inner = _type(_inside(shape)[0])
    return f"list of {_PLURALS.get(inner, inner)}"


def _default(field: shapes.Field) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if isinstance(value, msgspec.Struct) or value in ("", (), {}):
        return "empty"
    return f"`{msgspec.json.encode(value).decode()}`".replace('"', "")


# --- prices.md --------------------------------------------------------------------------------------------------------

_PRICES_INTRODUCTION: Final = """\
List prices of the Claude API in US dollars per million tokens, as of {day}, from
[Anthropic's pages]({source}). [What a job costs](cost.md) says how they are used
and how to give others. Message batches cost half of everything.

*Cache write*: for five minutes, and for an hour. *Cached from*: the shortest beginning (tokens) that the prompt cache
keeps; where no page that was read says it, the longest that any model needs. A row of "longer prompts" holds for all
tokens of a request whose prompt is longer.
"""


def price_page() -> str:
    """The page of prices."""
    header = ("model", "input", "output", "cache write", "an hour", "cache read", "cached from")
    rows = [row for model in MODELS for row in _price_rows(model, shipped()[model])]
    aliases = ", ".join(f"`{alias}` (`{model}`)" for alias, model in ALIASES.items())
    return "\n".join(
        [
            "# Prices\n",
            _written("job.price_table"),
            _PRICES_INTRODUCTION.format(day=AS_OF, source=SOURCE),
            _table(header, rows),
            f"Also known as: {aliases}.\n",
        ]
    )


def _price_rows(model: str, prices: Prices) -> Iterator[tuple[str, ...]]:
    yield f"`{model}`", *_amounts(prices), f"{prices.cache_minimum:,}"
    if prices.above is not None:
        limit, dearer = prices.above
        yield f"… longer prompts (over {limit:,} tokens)", *_amounts(dearer), ""


def _amounts(prices: Prices) -> tuple[str, ...]:
    amounts = (prices.input, prices.output, prices.cache_write, prices.cache_write_1h, prices.cache_read)
    return tuple(f"{amount:g}" for amount in amounts)


# --- dataframes.md ----------------------------------------------------------------------------------------------------

_COLUMNS: Final[dict[str, tuple[Column[Any], ...]]] = {
    "batches": BATCH_COLUMNS,
    "attempts": ATTEMPT_COLUMNS,
    "errors": ERROR_COLUMNS,
    "diagnosis": GROUP_COLUMNS,
    "validations": VALIDATION_COLUMNS,
    "events": EVENT_COLUMNS,
    "history": JOB_COLUMNS,
    "runs": RUN_COLUMNS,
    "templates": TEMPLATE_COLUMNS,
    "rules": RULE_COLUMNS,
    "times": TIME_COLUMNS,
    "suggestions": SUGGESTION_COLUMNS,
}
_OF_FRAME: Final = re.compile(r"(<!-- columns of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_columns(page: str) -> str:
    """A page about DataFrames, which people write, with the columns of every frame filled in."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    return _OF_FRAME.sub(lambda found: f"{found[1]}\n{_columns(found[2])}\n{found[3]}", text)


def _columns(frame: str) -> str:
    index = INDEXES.get(frame, ())
    columns = _COLUMNS[frame] if frame in _COLUMNS else answer_columns(_EXAMPLE, None)
    rows = [
        (f"`{column.frame_name}`", "index" if column.name in index else DTYPE_NAMES[column.dtype], column.meaning)
        for column in columns
    ]
    return _table(("column", "dtype", "meaning"), rows)


_EXAMPLE: Final = JobConfig.model_validate({"name": "example", "batch": {"size": 1, "total_items": 1}})

# --- both -------------------------------------------------------------------------------------------------------------


def _written(source: str) -> str:
    return _WRITTEN.format(source=source) + "\n"


def _doc(kind: type[Any]) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(_line(cells) for cells in (header, tuple("---" for _ in header), *rows))


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def outdated(folder: Path = FOLDER) -> Iterator[str]:
    """Names of the pages in `folder` that are not what the code says."""
    for name, text in pages().items():
        page = folder / name
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            yield name


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` only say which are out of date (exit code 1)."""
    names = list(outdated())
    if "--check" in arguments:
        for name in names:
            print(f"docs/{name} is not what the code says; `make docs` writes it anew", file=sys.stderr)
        return 1 if names else 0
    for name in names:
        (FOLDER / name).write_text(pages()[name], encoding="utf-8")
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
