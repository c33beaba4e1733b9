"""`docs/job-file.md`, written from the models. `python -m mozart_nb.job.reference` rewrites it.

A test fails when the page in the repository is not what this module makes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mozart_nb.job.fields import describe, field_type, keys_of, shape_of
from mozart_nb.job.functions import ARGUMENTS
from mozart_nb.job.known import UNSUPPORTED, UNSUPPORTED_BACKENDS
from mozart_nb.job.model import JobConfig
from mozart_nb.job.names import MEANINGS, SYNONYMS
from mozart_nb.job.outputs import REQUIRED_FIELDS, RuleConfig
from mozart_nb.job.section import Section
from mozart_nb.job.vcodes import V_CODES

PAGE: Final = Path("docs/job-file.md")

_INTRODUCTION: Final = """\
# The job file

<!-- Written by `python -m mozart_nb.job.reference` from the models: change those, not this page. -->

A job is described in YAML: a file, or the body of a notebook cell. The least that works:

```yaml
name: my-job
batch: {size: 10, total_items: 100}
prompt:
  template: |
    Work on items {{ start_item }} to {{ end_item }}.
```

`mozart validate job.yaml` checks a file without running anything, and `mozart schema` prints a JSON Schema, with which
editors complete and check job files.

- **Paths.** Relative paths in the file start at the file's own directory (in a notebook: the notebook's directory).
  Relative paths in rules and commands start at the backend's working directory. `~` is your home directory.
- **Units** are part of the names: `_seconds`, `_minutes`, `_ms`, `_bytes`, `_percent`, `_usd`. Costs are US dollars.
- **Unknown keys** are reported with the nearest known key; `--strict` makes them errors.
- **Two spellings.** `sheet` is accepted wherever `batch` stands in a key, a variable or an event, but not both at once.
- **Changes for one run.** `--set retry.max_retries=5` overrides a key; steps of the path are keys, batch numbers, or
  numbers of list entries from 0 (`validations.0.path`). The value is YAML.
- **YAML.** Text that begins with `{`, `*`, `&`, `%`, `@` or `!` must be quoted: `path: "{{ workspace }}/report.md"`.
  Times (`12:30`), dates and numbers with leading zeros stay text; keys such as `on` and `no` stay words. Of two equal
  keys in one section, the second is an error. Anchors, aliases and `<<` work.
"""

_VARIABLES: Final = """\
## Variables and placeholders

Templates are Jinja. In paths, commands and patterns both `{batch_num}` and `{{ batch_num }}` work; other braces stay as
they are. Values are quoted in commands and escaped in regular expressions. A name that does not exist is an error in a
template, never an empty text. Besides these names there is every key of `prompt.variables`.
"""

_CHECKS: Final = """\
## Checks

What `mozart validate` looks for. A job with an ERROR does not run; a WARNING says that it may do something else than
was meant. Mistakes in keys and values are errors too, and are all reported at once, with line and column.
"""

_FUNCTIONS: Final = """\
A function of a rule of type `python` is called with what its parameters name, and may name any variable of templates
besides these. It passes with `True` or `None` and fails with `False`, with a text, which is the reason, or with an
`AssertionError`. [Rows in, typed answers out](answers.md#functions-as-rules) has an example.
"""

_NOT_HERE: Final = """\
## Known, but without effect

Each of these is named in one warning when a file has it.
"""


def render() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, *_section_pages(), _variables(), _checks(), _without_effect()]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _section_pages() -> Iterator[str]:
    yield "## Top level\n\n" + _table(JobConfig)
    for key, field in keys_of(JobConfig).items():
        model = _section_below(field)
        if model is not None:
            yield from _pages(model, key + _suffix(field), 2)


def _pages(model: type[Section], path: str, level: int) -> Iterator[str]:
    words = " ".join(line.strip() for line in (model.__doc__ or "").splitlines()).strip()
    yield f"{'#' * level} `{path}`\n\n{words}\n\n{_table(model)}"
    if model is RuleConfig:
        yield _rule_types()
    for key, field in keys_of(model).items():
        below = _section_below(field)
        if below is not None:
            yield from _pages(below, f"{path}.{key}{_suffix(field)}", level + 1)


def _section_below(field: FieldInfo) -> type[Section] | None:
    shape = shape_of(field_type(field))
    while shape.inner is not None and shape.section is None:
        shape = shape_of(shape.inner)
    return shape.section


def _suffix(field: FieldInfo) -> str:
    """How the path goes on below a list (`[]`) or a map (`.N`, `.NAME`), down to the section."""
    shape = shape_of(field_type(field))
    text = ""
    while shape.inner is not None:
        text += "[]" if shape.kind == "list" else ".N" if shape.key is int else ".NAME"
        shape = shape_of(shape.inner)
    return text


def _table(model: type[Section]) -> str:
    rows = []
    for key, field in keys_of(model).items():
        others = [synonym for synonym, name in model.SYNONYMS.items() if name == key]
        also = f" Also written {', '.join(f'`{other}`' for other in others)}." if others else ""
        meaning = (field.description or "") + also
        rows.append((f"`{key}`", _cell(describe(field_type(field))), _default(field), meaning))
    return _rows(("key", "allowed", "default", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in (None, "", PydanticUndefined) or isinstance(value, Section):
        return ""
    if isinstance(value, tuple | list):
        return " ".join(_cell(f"`{_plain(item)}`") for item in value) or "none"
    if isinstance(value, dict):
        return "none"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rule_types() -> str:
    rows = [(f"`{kind}`", ", ".join(f"`{name}`" for name in names)) for kind, names in REQUIRED_FIELDS.items()]
    needs = "What each type of rule needs:\n\n" + _rows(("type", "needs"), rows)
    arguments = [(f"`{name}`", meaning) for name, meaning in ARGUMENTS.items()]
    return f"{needs}\n{_FUNCTIONS}\n{_rows(('argument', 'value'), arguments)}"


def _variables() -> str:
    rows = []
    for name, meaning in MEANINGS.items():
        twin = next((twin for twin, meant in SYNONYMS.items() if meant == name), None)
        rows.append((f"`{name}`" + (f", `{twin}`" if twin else ""), meaning))
    return _VARIABLES + "\n" + _rows(("name", "value"), rows)


def _checks() -> str:
    rows = [
        (row.code, str(row.severity), row.meaning + (" (`--fix` makes it)" if row.auto_fixable else ""))
        for row in V_CODES.values()
    ]
    return _CHECKS + "\n" + _rows(("code", "severity", "meaning"), rows)


def _without_effect() -> str:
    paths = dict(_paths_of_sections())
    rows = [
        (", ".join(f"`{paths[model]}{key}`" for key in keys), reason)
        for model, table in UNSUPPORTED.items()
        for reason, keys in _by_reason(table.items())
    ]
    rows += [(f"`backend.type: {name}`", "not supported: an error") for name in UNSUPPORTED_BACKENDS]
    rows.append(("`notifications[].type: email`", "not supported"))
    return f"{_NOT_HERE}\n{_rows(('key', 'why'), rows)}"


def _paths_of_sections() -> Iterator[tuple[type[Section], str]]:
    yield JobConfig, ""
    for key, field in keys_of(JobConfig).items():
        model = _section_below(field)
        if model is not None:
            yield model, f"{key}{_suffix(field)}."


def _by_reason(items: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for key, reason in items:
        groups.setdefault(reason, []).append(key)
    return list(groups.items())


def _rows(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the page; an argument names another place than docs/job-file.md."""
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    page.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
