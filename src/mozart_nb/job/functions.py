"""Functions of a notebook that rules of type `python` call, with the arguments that they name."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mozart_nb.job.names import SYNONYMS, VARIABLES
from mozart_nb.job.report import nearest

ARGUMENTS: Final[dict[str, str]] = {
    "answer": "text of the answer",
    "data": "the answer as JSON data where the job asks for JSON, else None",
    "workspace": "path of the workspace, a `pathlib.Path`",
    "variables": "all variables of the template, by name",
}
"""What a function gets besides the variables of templates; `workspace` is a text there."""


class UnfitFunctionError(ValueError):
    """The function cannot serve as a rule; `value`, `allowed` and `near` are those of a `Problem`."""

    def __init__(self, message: str, *, value: str = "", allowed: str = "", near: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.value = value
        self.allowed = allowed
        self.near = near


@dataclass(frozen=True)
class RuleFunction:
    """A function and the names of the arguments it is given."""

    name: str
    call: Callable[..., Any]
    positional: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    takes_all: bool = False

    @classmethod
    def of(cls, name: str, given: Any, known: Collection[str]) -> RuleFunction:
        """From what a name of the notebook is bound to; `known` are the variables of the job's templates.

        Raises `UnfitFunctionError` when it is no function, or asks for what nobody can give.
        """
        parameters = _parameters(name, given)
        allowed = {*known, *ARGUMENTS}
        wanted = []
        for parameter in parameters:
            if parameter.name in allowed:
                wanted.append(parameter)
            elif parameter.default is parameter.empty and parameter.kind not in (_ALL_NAMED, _ALL_OTHERS):
                raise UnfitFunctionError(
                    f"the function `{name}` asks for `{parameter.name}`, which nothing is given for",
                    value=parameter.name,
                    allowed=_listed(allowed),
                    near=nearest(parameter.name, allowed),
                )
        return cls(
            name,
            given,
            tuple(one.name for one in wanted if one.kind is one.POSITIONAL_ONLY),
            tuple(one.name for one in wanted if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)),
            any(one.kind is _ALL_NAMED for one in parameters),
        )

    @property
    def is_asynchronous(self) -> bool:
        """Whether what it returns has to be awaited, as far as that can be seen beforehand."""
        return inspect.iscoroutinefunction(self.call)

    def arguments(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """What it is called with, out of `values`. A parameter without a value keeps its default.

        They are copies: what a function does to them must not reach the next prompt. Raises `KeyError` where a
        parameter has neither.
        """
        names = values.keys() if self.takes_all else self.named
        return (
            [copy.deepcopy(values[name]) for name in self.positional],
            {name: copy.deepcopy(values[name]) for name in names if name in values and name not in self.positional},
        )


_ALL_NAMED: Final = inspect.Parameter.VAR_KEYWORD
_ALL_OTHERS: Final = inspect.Parameter.VAR_POSITIONAL


def _parameters(name: str, given: Any) -> list[inspect.Parameter]:
    if isinstance(given, type):
        raise UnfitFunctionError(f"`{name}` is a class, not a function", allowed="a function")
    if not callable(given):
        kind = type(given).__name__
        raise UnfitFunctionError(f"`{name}` is not a function", value=f"a value of type {kind}", allowed="a function")
    if inspect.isgeneratorfunction(given) or inspect.isasyncgenfunction(given):
        raise UnfitFunctionError(f"`{name}` yields values; a rule must return one", allowed="`return` instead")
    try:
        return list(inspect.signature(given).parameters.values())
    except Exception as error:  # also where an annotation names what does not exist, from Python 3.14 on
        message = f"the parameters of `{name}` cannot be read: {error}"
        raise UnfitFunctionError(message, allowed="a function with a `def`") from None


def _listed(allowed: Collection[str]) -> str:
    """The own variables of the job first: those are what one may have forgotten."""
    common = [*ARGUMENTS, "batch_num", "start_item", "end_item", "item", "items", "job_name"]
    own = sorted(set(allowed) - VARIABLES - set(common))
    rest = sorted(set(allowed) & VARIABLES - set(common) - SYNONYMS.keys())
    return ", ".join([*(name for name in common if name in allowed), *own, *rest])
