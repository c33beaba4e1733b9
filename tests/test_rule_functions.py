"""Rules of type `python`: what a function is given, what its verdict means, and how it fails."""

from __future__ import annotations

import asyncio
import linecache
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest

from mozart_nb.events import RuleResult
from mozart_nb.job.functions import RuleFunction
from mozart_nb.job.names import VARIABLES
from mozart_nb.job.outputs import RuleConfig
from mozart_nb.validation import RuleChecker
from mozart_nb.validation.aside import run_aside

VALUES = {"batch_num": 3, "start_item": 5, "end_item": 6, "items": [{"a": 1}, {"a": 2}], "job_name": "job", "tone": "x"}


class Desk:
    """Checks one function as the rule of a batch."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self.work = folder / "work"
        for made in (self.workspace, self.work):
            made.mkdir()

    def checker(self, *functions: Any, **options: Any) -> RuleChecker:
        named = {f"f{number}": one for number, one in enumerate(functions)}
        rules = [{"type": "python", "function": name, **options.get("rule", {})} for name in named]
        return RuleChecker(
            [RuleConfig.model_validate(rule) for rule in [*rules, *options.get("rules", ())]],
            workspace=self.workspace,
            working_directory=self.work,
            functions={name: RuleFunction.of(name, one, VARIABLES | {"tone"}) for name, one in named.items()},
            rehearsed_commands=options.get("rehearsed", False),
        )

    def check(self, *functions: Any, answer: str = "", data: Any = None, **options: Any) -> tuple[RuleResult, ...]:
        checker = self.checker(*functions, **options)
        return asyncio.run(checker.check(VALUES, answer=answer, baseline={}, before={}, data=data))

    def one(self, function: Any, **options: Any) -> RuleResult:
        return self.check(function, **options)[0]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- what it is given -------------------------------------------------------------------------------------------------


def test_a_function_gets_what_it_names_and_nothing_else(desk: Desk) -> None:
    seen: dict[str, Any] = {}

    def check(
        answer: str, data: Any, batch_num: int, *, items: list[Any], workspace: Path, tone: str, k: int = 7
    ) -> None:
        seen.update(locals())

    assert desk.one(check, answer="text", data={"x": 1}).status == "passed"
    del seen["seen"]
    assert seen == {
        "answer": "text",
        "data": {"x": 1},
        "batch_num": 3,
        "items": [{"a": 1}, {"a": 2}],
        "workspace": desk.workspace,
        "tone": "x",
        "k": 7,
    }


def test_a_function_with_keywords_of_every_name_gets_all_of_them(desk: Desk) -> None:
    seen: dict[str, Any] = {}

    def check(answer: str, /, **others: Any) -> None:
        seen.update(others, answer=answer)

    desk.one(check, answer="text")
    assert seen.keys() == {*VALUES, "answer", "data", "workspace", "variables"}
    assert seen["variables"] == VALUES


def test_what_a_function_does_to_its_arguments_stays_with_it(desk: Desk) -> None:
    def check(items: list[Any], data: dict[str, Any]) -> None:
        items.clear()
        data["x"] = 2

    data = {"x": 1}
    assert desk.one(check, data=data).status == "passed"
    assert (len(VALUES["items"]), data) == (2, {"x": 1})


def test_it_runs_beside_the_event_loop(desk: Desk) -> None:
    def check() -> bool:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return threading.current_thread() is not threading.main_thread()

    assert desk.one(check).status == "passed"


def test_a_coroutine_function_is_awaited(desk: Desk) -> None:
    async def check(answer: str) -> str | None:
        await asyncio.sleep(0)
        return None if answer else "there is no answer"

    assert desk.one(check, answer="x").status == "passed"
    assert desk.one(check).message == "there is no answer"
    assert desk.one(lambda answer: check(answer)).message == "there is no answer", "also one that cannot be seen to be"


# --- its verdict ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [True, None, "", numpy.True_, numpy.bool_(1)], ids=repr)
def test_these_verdicts_pass(desk: Desk, verdict: Any) -> None:
    result = desk.one(lambda: verdict)
    assert (result.status, result.message, result.type) == ("passed", "", "python")


@pytest.mark.parametrize("verdict", [False, numpy.False_], ids=repr)
def test_false_fails_in_the_name_of_the_function(desk: Desk, verdict: Any) -> None:
    result = desk.one(lambda: verdict, rule={"description": "tone"})
    assert (result.status, result.could_not_run) == ("failed", False)
    assert result.message == "tone: `f0` says that this will not do"
    assert result.expected == "what the function `f0` asks for"


def test_a_text_is_the_reason_for_the_failure(desk: Desk) -> None:
    result = desk.one(lambda answer: f"{len(answer)} characters are too few", answer="abc")
    assert (result.status, result.message) == ("failed", "3 characters are too few")
    assert result.actual == "3 characters are too few"


def test_an_assertion_is_a_failure_with_its_message(desk: Desk) -> None:
    def check(data: Any) -> None:
        if not data:
            raise AssertionError("nothing was found")

    result = desk.one(check)
    assert (result.message, result.could_not_run) == ("nothing was found", False)


def test_an_assertion_without_a_message_shows_its_line(desk: Desk) -> None:
    cell = "def check(data):\n    total = 3\n    assert total > 5\n"
    result = desk.one(from_cell(cell))
    assert result.message == "an assertion of `f0` does not hold (line 3: `assert total > 5`)"


@pytest.mark.parametrize("verdict", [0, 1, {"ok": True}, [], object()], ids=lambda value: type(value).__name__)
def test_any_other_verdict_is_a_mistake_of_the_function(desk: Desk, verdict: Any) -> None:
    result = desk.one(lambda: verdict)
    assert result.could_not_run
    kind = type(verdict).__name__
    assert result.message == f"`f0` returned a value of type {kind}: True, False, None or a text is understood"


def from_cell(text: str, name: str = "<ipython-input-7>") -> Any:
    """The function `check` of a cell, known to Python as IPython makes it known."""
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {}
    exec(compile(text, name, "exec"), namespace)
    return namespace["check"]


def test_an_exception_names_its_type_and_the_line_of_the_cell(desk: Desk) -> None:
    cell = (
        "import json\n"
        "def helper(text):\n"
        "    return json.loads(text)['stars']\n"
        "def check(answer):\n"
        "    return helper(answer) > 3\n"
    )
    result = desk.one(from_cell(cell), answer="{}")
    assert (result.status, result.could_not_run) == ("failed", True)
    assert result.message == "`f0` could not be run: KeyError: 'stars' (line 3: `return json.loads(text)['stars']`)"
    broken = desk.one(from_cell(cell), answer="nonsense")
    assert broken.message.endswith("(line 3: `return json.loads(text)['stars']`)"), "the line is the user's own"


def test_the_line_is_known_of_partial_functions_and_objects_too(desk: Desk) -> None:
    check = from_cell("def check(answer, limit):\n    raise ValueError('no')\n", "<ipython-input-8>")
    assert "line 2" in desk.one(partial(check, limit=3)).message

    class Check:
        def __call__(self, answer: str) -> None:
            raise ValueError("no")

    assert "raise ValueError" in desk.one(Check()).message


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(), RuntimeError()], ids=repr)
def test_nothing_a_function_raises_reaches_the_job(desk: Desk, error: BaseException) -> None:
    def check() -> None:
        raise error

    result = desk.one(check)
    assert result.could_not_run
    assert type(error).__name__ in result.message


def test_an_exception_with_a_very_long_message_is_cut(desk: Desk) -> None:
    def check() -> None:
        raise ValueError("x" * 100_000)

    assert len(desk.one(check).message) <= 500


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_function_that_takes_too_long_has_failed_and_is_left_alone(desk: Desk) -> None:
    go_on, done = threading.Event(), threading.Event()

    def check() -> None:
        go_on.wait(5)
        done.set()

    began = time.monotonic()
    result = desk.one(check, rule={"timeout_seconds": 0.05})
    assert time.monotonic() - began < 2
    assert result.could_not_run
    assert result.message == "`f0` took longer than 0.05 seconds"
    go_on.set()
    assert done.wait(5), "it goes on by itself"


def test_a_blocked_loop_does_not_make_a_function_late(desk: Desk) -> None:
    async def scene() -> tuple[RuleResult, ...]:
        checker = desk.checker(lambda: True, rule={"timeout_seconds": 0.1})
        task = asyncio.create_task(checker.check(VALUES, answer="", baseline={}, before={}))
        await asyncio.sleep(0)
        time.sleep(0.15)  # noqa: ASYNC251 - the loop is to be blocked
        return await task

    [result] = asyncio.run(scene())
    assert result.status == "passed"


async def test_a_cancelled_check_does_not_wait_for_the_function(desk: Desk) -> None:
    go_on = threading.Event()
    checker = desk.checker(lambda: go_on.wait(5) and None)
    task = asyncio.create_task(checker.check(VALUES, answer="", baseline={}, before={}))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()


def test_a_thread_that_ends_after_its_loop_says_nothing() -> None:
    go_on = threading.Event()

    async def scene() -> None:
        with pytest.raises(TimeoutError):
            await run_aside(lambda: go_on.wait(5), seconds=0.01)

    asyncio.run(scene())
    left = [thread for thread in threading.enumerate() if thread.name == "mozart-rule"]
    assert all(thread.daemon for thread in left), "the process need not wait for it"
    go_on.set()
    for thread in left:
        thread.join(5)


# --- among other rules ------------------------------------------------------------------------------------------------


def test_functions_take_their_turn_by_stage_and_a_failed_stage_skips_them(desk: Desk) -> None:
    called: list[int] = []
    rules = [{"type": "file_exists", "path": "missing.md", "stage": 1}]
    results = desk.check(lambda: called.append(1), rule={"stage": 2}, rules=rules)
    assert [result.status for result in results] == ["skipped", "failed"]
    assert called == []


def test_a_condition_decides_whether_a_function_is_asked(desk: Desk) -> None:
    assert desk.check(lambda: False, rule={"condition": "batch_num > 5"}) == ()
    assert desk.one(lambda: True, rule={"condition": "batch_num == 3"}).status == "passed"


def test_several_functions_are_told_apart(desk: Desk) -> None:
    results = desk.check(lambda: True, lambda: "no", lambda answer: answer == "x", answer="x")
    assert [(result.rule, result.status) for result in results] == [(1, "passed"), (2, "failed"), (3, "passed")]


def test_a_rehearsal_calls_no_function_and_says_so(desk: Desk) -> None:
    called: list[int] = []
    result = desk.one(lambda: called.append(1), rehearsed=True)
    assert (result.status, called) == ("rehearsed", [])
    [unknown] = asyncio.run(
        RuleChecker(
            [RuleConfig(type="python", function="elsewhere")],
            workspace=desk.workspace,
            working_directory=desk.work,
            rehearsed_commands=True,
        ).check(VALUES, answer="", baseline={}, before={})
    )
    assert unknown.status == "rehearsed"


def test_prints_of_a_function_are_its_own_affair(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.one(lambda answer: print("seen", file=sys.stdout)).status == "passed"
    assert capsys.readouterr().out == "seen\n"
