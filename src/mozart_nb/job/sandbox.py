"""Sandboxed Jinja for prompts, placeholders and expressions.

Templates come from job files that others wrote, values from rows and from models. Neither may run code, and a runaway
template must end in a message instead of a full memory: loops and calls are counted, texts and numbers are bounded.
The bounds stop accidents and the plain bombs; they are no defence against somebody who is set on using up memory.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from jinja2 import StrictUndefined, UndefinedError, nodes
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer

MAX_STEPS: Final = 1_000_000
"""Turns of loops in one rendering."""
CALL_STEPS: Final = 10
"""What a call costs, in turns."""
MAX_CHARACTERS: Final = 4_000_000
"""Length of one text or list, far above what any model reads."""
MAX_WIDTH: Final = 100_000
"""Widths and counts given to text methods and filters."""
MAX_BITS: Final = 10_000
"""Size of a product or power of whole numbers."""

_WIDE_FORMAT = re.compile(r"%[^a-zA-Z%]*(?:\d{6,}|\*)|\{[^{}]*:[^{}]*(?:\d{6,}|\{)")


class LimitExceededError(Exception):
    """A template went beyond a bound of this module."""


class UnknownNameError(UndefinedError):
    """Something undefined was used. `owner` is what it was looked up in, None for a variable of the template."""

    def __init__(self, message: str | None, name: object, owner: object) -> None:
        super().__init__(message)
        self.name = name
        self.owner = owner


class _Undefined(StrictUndefined):
    """StrictUndefined whose error knows the name."""

    __slots__ = ()

    def __init__(
        self, hint: str | None = None, obj: Any = missing, name: Any = None, exc: Any = UndefinedError
    ) -> None:
        def failure(message: str | None = None) -> Exception:
            return UnknownNameError(message, name, None if obj is missing else obj)

        super().__init__(hint, obj, name, failure if exc is UndefinedError else exc)  # type: ignore[arg-type]


class _Bounds(NodeTransformer):
    """Leads everything that can repeat or grow through the environment's counting filters."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_counted", node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "_sized", node.lineno)

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:
        self.generic_visit(node)
        node.filter = _filtered(node.filter, "_sized", node.lineno)
        return node


def _filtered(node: Any, name: str, lineno: int) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=lineno)


class Sandbox(ImmutableSandboxedEnvironment):
    """The one Jinja environment of the package: strict about undefined names, without autoescape, bounded."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=_Undefined, autoescape=False, keep_trailing_newline=True)
        self._steps = threading.local()
        self.filters.update(_counted=self._counted, _sized=_sized, tojson=_tojson)
        for name in ("center", "indent", "batch", "slice", "wordwrap", "truncate"):
            self.filters[name] = _narrow(self.filters[name])
        self.filters["format"] = _format
        self.globals.pop("lipsum")
        self.globals.update(_SAFE_FUNCTIONS)
        # Python writes `x is None`, Jinja `x is none`; job files of the earlier tool use the former.
        self.tests.update({"None": self.tests["none"], "True": self.tests["true"], "False": self.tests["false"]})

    @contextmanager
    def counting(self) -> Iterator[None]:
        """What is rendered inside may take `MAX_STEPS` steps. Everything is rendered inside."""
        before = getattr(self._steps, "left", 0)
        self._steps.left = MAX_STEPS
        try:
            yield
        finally:
            self._steps.left = before

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        __self._step(CALL_STEPS)
        if isinstance(__obj, LoopContext) and args:
            args = (__self._counted(args[0]), *args[1:])
        elif isinstance(getattr(__obj, "__self__", None), str):
            _check_widths(args, kwargs)
        return _sized(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            _check_product(left, right)
        elif operator == "**":
            _check_power(left, right)
        elif operator == "%":
            _check_format(left)
        return _sized(super().call_binop(context, operator, left, right))

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A column called `items` or `values` is more likely meant than the method of the dict.
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Bounds().visit(super()._parse(source, name, filename))
        return tree

    def _step(self, steps: int = 1) -> None:
        left = getattr(self._steps, "left", 0) - steps
        if left < 0:
            raise LimitExceededError(f"more than {MAX_STEPS:,} turns of loops and calls")
        self._steps.left = left

    def _counted(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self._step()
            yield value


# --- bounds -----------------------------------------------------------------------------------------------------------


def _sized(value: Any) -> Any:
    if isinstance(value, str | list | tuple) and len(value) > MAX_CHARACTERS:
        raise LimitExceededError(f"a value of more than {MAX_CHARACTERS:,} characters or elements")
    return value


def _check_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() + right.bit_length()
        if bits > MAX_BITS:
            raise LimitExceededError("a number that is too large")
        return
    text, times = (left, right) if isinstance(right, int) else (right, left)
    if isinstance(text, str | list | tuple) and isinstance(times, int) and len(text) * times > MAX_CHARACTERS:
        raise LimitExceededError(f"a value of more than {MAX_CHARACTERS:,} characters or elements")


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MAX_BITS:
        raise LimitExceededError("a number that is too large")


def _check_format(text: Any) -> None:
    if isinstance(text, str) and _WIDE_FORMAT.search(text):
        raise LimitExceededError("a format that is too wide")


def _check_widths(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if any(isinstance(value, int) and value > MAX_WIDTH for value in (*args, *kwargs.values())):
        raise LimitExceededError(f"a width of more than {MAX_WIDTH:,}")


def _narrow(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, a filter, with its numbers bounded."""

    def narrow(*args: Any, **kwargs: Any) -> Any:
        _check_widths(args[1:], kwargs)
        return function(*args, **kwargs)

    # By this mark Jinja knows which filters want the environment as their first argument.
    if hasattr(function, "jinja_pass_arg"):
        narrow.jinja_pass_arg = function.jinja_pass_arg  # type: ignore[attr-defined]
    return narrow


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    _check_format(str(value))
    return str(value) % (kwargs or args)


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON for a model to read: not escaped for HTML as Jinja's own filter does it, letters kept as they are."""
    _check_widths((indent,), {})
    return json.dumps(value, ensure_ascii=False, indent=indent)


# --- functions of the earlier tool's expressions ----------------------------------------------------------------------
# Functions and not the types themselves: `str.format` and `dict.update` reached through the type would get around the
# sandbox.


def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


def _int(*args: Any) -> int:
    return int(*args)


def _str(value: Any = "") -> str:
    return str(value)


def _bool(value: Any = False) -> bool:
    return bool(value)


_SAFE_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "dict": _dict,
    "int": _int,
    "str": _str,
    "bool": _bool,
    "len": len,
    "any": any,
    "all": all,
    "max": max,
    "min": min,
}

SANDBOX: Final = Sandbox()
"""Shared by everything that renders; safe in threads."""
