"""`condition` and `skip_when`: Jinja expressions in the sandbox that also read the Python of the earlier tool.

`batch_num >= 3 and stage == 2`, `sheets[1].status == "completed"`, `len(items) > 5`, `x is None` are expressions in
both. What Jinja lacks and people write, `any(s.status == "failed" for s in sheets.values())`, is translated.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mozart_nb.errors import PromptError
from mozart_nb.job.templates import Expression, nearest

_SHOWN = 120
"""Characters of an expression that a message repeats."""


class Condition:
    """An expression that holds or does not. `names` are the variables it uses."""

    def __init__(self, text: str, label: str) -> None:
        self.text = text
        self._term = _Term(text, label)

    @property
    def names(self) -> frozenset[str]:
        return self._term.names

    def __call__(self, context: Mapping[str, Any]) -> bool:
        """Whether it holds. Raises `PromptError` when that cannot be said: a key that is not there, a wrong type."""
        return bool(self._term.evaluate(context))


def compile_condition(text: str, known_names: Iterable[str], label: str = "condition") -> Condition:
    """The condition `text`. `label` is what messages call it.

    Raises `PromptError` when it does not compile or uses a variable that is not among `known_names`.
    """
    shown = " ".join(text.split())
    label = f"{label} `{shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}`"
    condition = Condition(text, label)
    known = frozenset(known_names)
    for name in sorted(condition.names - known):
        alike = nearest(name, known)
        advice = f"; did you mean `{alike}`?" if alike else ""
        hint = "" if alike else f"known: {', '.join(sorted(known))}"
        raise PromptError(f"{label}: unknown variable `{name}`{advice}", hint=hint, code="E502")
    return condition


class LazyBatches(Mapping[int, Any]):
    """`batches[3].status` in an expression: what `look_up` says of a batch, asked only for the batches that are named.

    It has a value for each number from 1 to `total`, so batches nothing has happened to need one too.
    """

    def __init__(self, total: int, look_up: Callable[[int], Any]) -> None:
        self._total = total
        self._look_up = look_up

    def __getitem__(self, number: Any) -> Any:
        if not isinstance(number, int) or not 1 <= number <= self._total:
            raise KeyError(number)
        return self._look_up(number)

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, self._total + 1))

    def __len__(self) -> int:
        return self._total


# --- translation ------------------------------------------------------------------------------------------------------


class _Term:
    """An expression and the comprehensions in it, each of which it calls like a function of its source."""

    def __init__(self, text: str, label: str) -> None:
        self._each: dict[str, _Each] = {}
        try:
            self._expression = Expression(text, label)
        except PromptError:
            translated = self._translate(text, label)
            if translated is None:
                raise
            self._expression = Expression(translated, label)
        inner = [each.names for each in self._each.values()]
        self.names = (self._expression.names - self._each.keys()).union(*inner)

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        if not self._each:
            return self._expression.evaluate(values)
        return self._expression.evaluate({**values, **{name: each.bound(values) for name, each in self._each.items()}})

    def _translate(self, text: str, label: str) -> str | None:
        """`text` without comprehensions, None when it is no Python or holds none."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # `"\d"` is Jinja's business, not Python's
                tree = ast.parse(text.strip(), mode="eval")
            translated = ast.unparse(_Translator(label, self._each).visit(tree))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        return translated if self._each else None


class _Translator(ast.NodeTransformer):
    """Puts a call in the place of every outermost comprehension; those inside are translated with their part."""

    def __init__(self, label: str, found: dict[str, _Each]) -> None:
        self._label = label
        self.found = found

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._call(node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._call(node)

    def _call(self, node: ast.GeneratorExp | ast.ListComp) -> ast.AST:
        if len(node.generators) > 1:
            raise PromptError(f"{self._label}: only one `for` is possible", code="E502")
        name = f"_each_{len(self.found)}"
        (loop,) = node.generators
        self.found[name] = _Each(node.elt, loop, self._label)
        return ast.Call(ast.Name(name), [self.visit(loop.iter)], [])


class _Each:
    """One comprehension without its source: `bound(values)(source)` are its elements."""

    def __init__(self, element: ast.expr, loop: ast.comprehension, label: str) -> None:
        targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else [loop.target]
        self._targets = [target.id for target in targets if isinstance(target, ast.Name)]
        self._unpacks = isinstance(loop.target, ast.Tuple)
        self._element = _Term(ast.unparse(element), label)
        self._tests = [_Term(ast.unparse(test), label) for test in loop.ifs]
        if len(self._targets) != len(targets):
            raise PromptError(f"{label}: `for` takes plain names", code="E502")

    @property
    def names(self) -> frozenset[str]:
        used = self._element.names.union(*(test.names for test in self._tests))
        return used - frozenset(self._targets)

    def bound(self, values: Mapping[str, Any]) -> Callable[[Iterable[Any]], list[Any]]:
        def each(source: Iterable[Any]) -> list[Any]:
            scopes = ({**values, **self._named(value)} for value in source)
            return [self._element.evaluate(scope) for scope in scopes if all(t.evaluate(scope) for t in self._tests)]

        return each

    def _named(self, value: Any) -> dict[str, Any]:
        return dict(zip(self._targets, value if self._unpacks else (value,), strict=True))
