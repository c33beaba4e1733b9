"""An event of each kind with something in every field."""

from __future__ import annotations

import re
import typing

import msgspec

from mozart_nb import events as ev

SAMPLES: dict[str, object] = {
    "str": 'text with "quotes", = and \x1b[31mcolour\nlines',
    "int": 7,
    "float": 1.23456,
    "float | None": None,
    "int | None": 1,
    "bool": True,
    "tuple[int, ...]": (1, 2, 3, 9),
    "tuple[str, ...]": ("one", "two words"),
    "tuple[tuple[int, int, int], ...]": ((1, 5, 1), (6, 6, 2)),
    "tuple[Finding, ...]": (ev.Finding("a prompt that is long"),),
    "tuple[RuleResult, ...]": (ev.RuleResult(rule=1, type="file_exists", status="passed"),),
    "dict[str, str]": {"a": "b"},
    "PlanShape": ev.PlanShape(total=3, size=2),
    "RunOptions": ev.RunOptions(only=((1, 2), (5, 5)), limit=3),
    "Usage": ev.Usage(10, 20),
}


def sample(kind: type[ev.Event]) -> ev.Event:
    """An event of that kind with something in every field."""
    values = {}
    for info in msgspec.structs.fields(kind):
        hint = str(typing.get_type_hints(kind)[info.name])
        short = re.sub(r"[\w.]*\.(\w+)", r"\1", hint).removeprefix("<class '").removesuffix("'>")
        literal = re.match(r"Literal\['(\w+)'", short)
        struct = getattr(ev, short, None)
        values[info.name] = literal[1] if literal else SAMPLES[short] if short in SAMPLES else struct()
    return kind(**values)
