"""Rules of type `python`: a function of the notebook looks at what a batch produced and says whether that will do."""

from __future__ import annotations

import asyncio
import inspect
import linecache
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from mozart_nb.events import RuleResult
from mozart_nb.job.functions import RuleFunction
from mozart_nb.masking import masked_head
from mozart_nb.validation.aside import Ended, run_aside
from mozart_nb.validation.verdicts import Rule

_SHOWN_LINE: Final = 120
_SHOWN_ERROR: Final = 300


async def judge_function(
    rule: Rule, function: RuleFunction, values: Mapping[str, Any], fair: Callable[[], float] = time.monotonic
) -> RuleResult:
    """Call the function with what it asks for, in a thread, within the rule's time limit. Never raises."""
    limit = rule.config.timeout_seconds
    try:
        ended = await run_aside(lambda: _call(function, values), seconds=limit, fair=fair)
    except TimeoutError:
        message = f"`{function.name}` took longer than {limit:g} seconds"
        return rule.failed(message, f"{message}; it cannot be ended and goes on by itself", could_not_run=True)
    return _judged(rule, function, ended)


def arguments(values: Mapping[str, Any], answer: str, data: Any, workspace: str) -> dict[str, Any]:
    """Everything that a function may ask for; see `job.functions.ARGUMENTS`."""
    own = {"answer": answer, "data": data, "workspace": Path(workspace), "variables": dict(values)}
    return {**values, **own}


def _call(function: RuleFunction, values: Mapping[str, Any]) -> Any:
    positional, named = function.arguments(values)
    found = function.call(*positional, **named)
    return asyncio.run(_awaited(found)) if inspect.isawaitable(found) else found


async def _awaited(found: Any) -> Any:
    return await found


def _judged(rule: Rule, function: RuleFunction, ended: Ended) -> RuleResult:
    name, error = function.name, ended.error
    if isinstance(error, AssertionError):
        message = str(error) or f"an assertion of `{name}` does not hold{_place(error, function)}"
        return rule.failed(message, message)
    if error is not None:
        said = masked_head(str(error), _SHOWN_ERROR)
        what = type(error).__name__ + (f": {said}" if said else "")
        message = f"`{name}` could not be run: {what}{_place(error, function)}"
        return rule.failed(message, message, could_not_run=True)
    verdict = _plain_verdict(ended.value)
    if verdict is None or verdict is True or verdict == "":
        return rule.passed("it holds")
    if verdict is False:
        return rule.failed(f"`{name}` says that this will not do", f"`{name}` returned False")
    if isinstance(verdict, str):
        return rule.failed(verdict, verdict)
    message = f"`{name}` returned a value of type {type(verdict).__name__}: True, False, None or a text is understood"
    return rule.failed(message, message, could_not_run=True)


def _plain_verdict(value: Any) -> Any:
    """Comparisons of numpy give a truth value of its own."""
    kind = type(value)
    return bool(value) if kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_") else value


def _place(error: BaseException, function: RuleFunction) -> str:
    """The last line of the user's own file or cell that took part, as far as that is known."""
    file, line = _file_of(function.call), 0
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    if not line:
        return ""
    text = linecache.getline(file, line).strip()
    return f" (line {line}: `{text[:_SHOWN_LINE]}`)" if text else f" (line {line})"


def _file_of(call: Any) -> str:
    while isinstance(call, partial):
        call = call.func
    if not inspect.isroutine(call):
        call = getattr(type(call), "__call__", call)  # noqa: B004 - the method itself, for the file it stands in
    code = getattr(inspect.unwrap(call), "__code__", None)
    return str(getattr(code, "co_filename", ""))
