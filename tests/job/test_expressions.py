"""`condition` and `skip_when`."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.errors import PromptError
from mozart_nb.job.expressions import LazyBatches, compile_condition
from mozart_nb.job.names import SKIP_NAMES, VARIABLES

KNOWN = VARIABLES | SKIP_NAMES | {"tone"}


def batch(n: int) -> dict[str, Any]:
    return {
        1: {"status": "completed", "validation_passed": True, "attempts": 1, "stdout_tail": "all good"},
        2: {"status": "failed", "validation_passed": False, "attempts": 4, "stdout_tail": ""},
    }.get(n, {"status": "pending", "validation_passed": None, "attempts": 0, "stdout_tail": ""})


BATCHES = LazyBatches(5, batch)
CONTEXT: dict[str, Any] = {
    "batch_num": 3,
    "sheet_num": 3,
    "total_batches": 5,
    "stage": 2,
    "instance": 1,
    "items": ["a", "b"],
    "tone": "dry",
    "previous_outputs": {1: "VERDICT: ok"},
    "batches": BATCHES,
    "sheets": BATCHES,
    "job": {"status": "running", "total_sheets": 5},
}


def holds(text: str) -> bool:
    return compile_condition(text, KNOWN)(CONTEXT)


def failure(text: str) -> PromptError:
    with pytest.raises(PromptError) as caught:
        holds(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the grammar of the earlier tool's conditions
        ("sheet_num >= 3 and stage == 2", True),
        ("sheet_num > 3", False),
        ("sheet_num != 3", False),
        ("batch_num <= 3", True),
        # and of its skip_when
        ('sheets[1].status == "completed"', True),
        ("sheets[2].validation_passed", False),
        ("sheets.get(3) and sheets[3].validation_passed", False),
        ('sheets[1].status == "completed" and not sheets[2].validation_passed', True),
        ('job.status == "running"', True),
        ("job.total_sheets == len(sheets)", True),
        ('"good" in sheets[1].stdout_tail', True),
        ("len(items) > 1", True),
        ("True", True),
        ("False or None", False),
        ("sheets[4].validation_passed is None", True),
        ("sheets[1].validation_passed is not None", True),
        ("sheets[1].validation_passed is True", True),
        ("any([False, True])", True),
        ("all([False, True])", False),
        ("max(1, 2) == 2 and min([1, 2]) == 1", True),
        ('int("3") == batch_num and str(3) == "3" and bool(1)', True),
        ("1 <= sheet_num <= 3", True),
        ("sheet_num in (1, 3)", True),
        ("sheet_num not in [1, 3]", False),
        ("sheet_num % 2 == 1 and sheet_num // 2 == 1", True),
        ("stage == 2 if tone == 'dry' else False", True),
        ("not (stage == 1 or instance == 2)", True),
        ("tone.startswith('d') and items[-1] == 'b'", True),
        # what Jinja adds
        ("items | length == 2", True),
        ("tone is defined and tone is string", True),
        ("previous_outputs[1] | lower is in ['verdict: ok']", True),
        ("batches.values() | selectattr('status', 'eq', 'failed') | list | length == 1", True),
        ("\n  batch_num == 3\n  and stage == 2\n", True),
    ],
)
def test_conditions_mean_what_they_say(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('any(s.status == "failed" for s in sheets.values())', True),
        ('all(s.status == "failed" for s in sheets.values())', False),
        ("len([s for s in sheets.values() if s.attempts > 0]) == 2", True),
        ("max(s.attempts for s in batches.values()) == 4 and stage == 2", True),
        ('any(n == batch_num and s.status == "pending" for n, s in sheets.items())', True),
        ("all(any(i == j for j in items) for i in items if i != tone)", True),
        ("any(sheets[n].validation_passed for n in range(1, batch_num))", True),
        ("[x for x in items] == items", True),
        ('not any(x == "it\'s" for x in items)', True),
    ],
)
def test_comprehensions_of_the_earlier_tool_work(text: str, expected: bool) -> None:
    assert holds(text) is expected


@given(st.lists(st.integers(-5, 5)), st.integers(-5, 5))
def test_a_comprehension_agrees_with_python(numbers: list[int], limit: int) -> None:
    text = "[x * 2 + limit for x in numbers if x > limit if x != 3] == expected"
    expected = [x * 2 + limit for x in numbers if x > limit if x != 3]
    condition = compile_condition(text, {"numbers", "limit", "expected"})
    assert condition({"numbers": numbers, "limit": limit, "expected": expected})


names = st.sampled_from(["a", "b", "c"])
atoms = st.one_of(
    names,
    st.integers(0, 9).map(str),
    st.tuples(names, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(0, 9)).map(
        lambda t: f"{t[0]} {t[1]} {t[2]}"
    ),
)
formulas = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda text: f"(not {text})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"(({t[0]}) {t[1]} ({t[2]}))"),
    ),
    max_leaves=8,
)


def python_value(node: ast.expr, values: dict[str, int]) -> Any:
    """What Python makes of the small grammar above."""
    return eval(compile(ast.Expression(node), "<test>", "eval"), {"__builtins__": {}}, values)


@given(formulas, st.fixed_dictionaries({name: st.integers(0, 9) for name in "abc"}))
def test_formulas_mean_what_python_means(text: str, values: dict[str, int]) -> None:
    expected = bool(python_value(ast.parse(text, mode="eval").body, values))
    assert compile_condition(text, "abc")(values) is expected


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_an_unknown_variable_is_found_before_anything_runs() -> None:
    with pytest.raises(PromptError) as caught:
        compile_condition("stagee == 2", KNOWN, "validations[0].condition")
    assert str(caught.value) == (
        "validations[0].condition `stagee == 2`: unknown variable `stagee`; did you mean `stage`?"
    )
    assert caught.value.code == "E502"


def test_an_unknown_variable_that_is_like_nothing_lists_what_is_known() -> None:
    with pytest.raises(PromptError, match="unknown variable `zzz`") as caught:
        compile_condition("zzz", {"b", "a"})
    assert caught.value.hint == "known: a, b"


def test_an_unknown_variable_in_a_comprehension_is_found_too() -> None:
    assert "unknown variable `stagee`" in str(failure("any(x == stagee for x in items)"))


@pytest.mark.parametrize(
    "text", ["", "   ", "stage ==", "stage 2", "stage = 2", "stage && 1", "import os", "{{ stage }}"]
)
def test_what_is_no_expression_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(PromptError, match=r"^condition `"):
        compile_condition(text, KNOWN)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("any(1 for a in items for b in items)", "only one `for` is possible"),
        ("any(1 for a.b in items)", "`for` takes plain names"),
        ("(lambda: 1)()", "condition `"),
        ("{n for n in items}", "condition `"),
        ("any(x for x in [y for y in zzz])", "unknown variable `zzz`"),
    ],
)
def test_python_beyond_the_grammar_is_refused(text: str, why: str) -> None:
    assert why in str(failure(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sheets[1].statuss == 'x'", "there is no `statuss`; did you mean `status`?"),
        ("sheets[9].status == 'x'", "there is no `9`"),
        ("batch_num > 'x'", "TypeError"),
        ("int('x')", "ValueError"),
        ("batch_num / 0", "division by zero"),
        ("any(s.nope for s in sheets.values())", "there is no `nope`"),
        ("10 ** 100000", "too much"),
        ("tone.__class__", "unsafe"),
        ("''.__class__.__mro__[1].__subclasses__()", "unsafe"),
        ("str.format('{0.__class__}', 1)", "has no `format`"),
        ("any(s.__class__ for s in items)", "unsafe"),
        ("items.append(1)", "unsafe"),
    ],
)
def test_what_cannot_be_evaluated_is_a_prompt_error_that_names_the_expression(text: str, why: str) -> None:
    error = failure(text)
    assert why in str(error)
    assert str(error).startswith("condition `")
    assert str(error).count("condition `") == 1


def test_long_expressions_are_cut_in_messages() -> None:
    assert len(str(failure("batch_num == 1 and " * 100 + "stagee"))) < 300


# --- batches ----------------------------------------------------------------------------------------------------------


def test_only_the_batches_that_are_named_are_looked_up() -> None:
    asked: list[int] = []

    def look_up(n: int) -> dict[str, Any]:
        asked.append(n)
        return {"status": "pending"}

    batches = LazyBatches(100_000, look_up)
    assert compile_condition("sheets[70000].status == 'pending' and 7 in sheets", {"sheets"})({"sheets": batches})
    assert asked[0] == 70_000
    assert len(asked) <= 2
    assert len(batches) == 100_000


@pytest.mark.parametrize("number", [0, 6, -1, "1"])
def test_a_batch_that_does_not_exist_is_not_there(number: Any) -> None:
    assert number not in BATCHES
    assert BATCHES.get(number) is None
    with pytest.raises(KeyError):
        BATCHES[number]
