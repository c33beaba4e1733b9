"""Rows, variables, classes and functions that whoever starts a job gives besides the job file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import numpy
import pandas
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from pydantic import BaseModel, Field, NaiveDatetime, TypeAdapter, field_validator, model_validator

from mozart_nb.errors import ConfigError, MisuseError, Problem
from mozart_nb.job.answer_class import AnswerClass, NotAFormError
from mozart_nb.job.answer_schema import compile_schema, schema_faults
from mozart_nb.job.borrowed import left_out, require_functions
from mozart_nb.job.frozen import config_digest, freeze, thaw
from mozart_nb.job.given import NOTHING, Given
from mozart_nb.job.load import LoadedJob, load_job, load_mapping, load_text
from mozart_nb.job.plain import NotPlainError, plain

HEAD = "name: sample\nprompt: {template: '{{ item }}'}\n"
COUNTED = HEAD + "batch: {size: 1, total_items: 3}\n"


def load(text: str, **given: Any) -> LoadedJob:
    return load_text(text, base_dir="/jobs", file_name="<cell>", first_line=2, given=Given(**given))


def problems_of(text: str, **given: Any) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(text, **given)
    return caught.value.problems


def only_problem(text: str, **given: Any) -> Problem:
    [problem] = problems_of(text, **given)
    return problem


# --- rows -------------------------------------------------------------------------------------------------------------


def test_with_given_rows_a_job_needs_neither_items_nor_counts() -> None:
    loaded = load(HEAD, rows=[{"city": "Rome"}, {"city": "Bern"}])
    assert loaded.config.items is not None
    assert loaded.config.items.given
    assert loaded.given.rows is not None
    assert list(loaded.given.rows) == [{"city": "Rome"}, {"city": "Bern"}]
    assert loaded.warnings == ()


def test_without_rows_the_amount_of_work_is_missing_as_before() -> None:
    assert {problem.path for problem in problems_of(HEAD)} == {"batch.size", "batch.total_items"}


def test_given_rows_beside_items_are_an_error_that_says_what_to_remove() -> None:
    problem = only_problem(HEAD + "items: {file: rows.csv}\n", rows=[1])
    assert (problem.line, problem.column, problem.path) == (4, 1, "items")
    assert problem.message == "rows were given, and the job file names rows too"
    assert "remove the section `items`" in problem.allowed


def test_a_pilot_of_the_given_rows_is_possible_and_more_than_there_are_is_not() -> None:
    assert load(HEAD + "batch: {size: 1, total_items: 2}\n", rows=[1, 2, 3]).config.batch.total_items == 2
    problem = only_problem(HEAD + "batch: {total_items: 1200}\n", rows=[0] * 1100)
    assert (problem.line, problem.column, problem.value) == (4, 22, "1200")
    assert problem.message == "`batch.total_items` is more than the 1,100 rows that were given"
    assert problem.allowed == "at most 1,100, or leave it out"
    assert only_problem(HEAD + "batch: {start_item: 5}\n", rows=[1, 2]).path == "batch.start_item"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there are no rows: what was given as items is empty"),
        ("abc", "a value of type str cannot be the items of a job"),
        ({"a": 1}, "a value of type dict cannot be the items of a job"),
        ([{"a": 1}, {"a": {"b": [1, object()]}}], "row 2, `a.b[1]`: a value of type object is no JSON"),
        ([1, "\ud800"], "row 2: 'utf-8' codec can't encode"),
    ],
    ids=["empty", "text", "mapping", "object", "half a character"],
)
def test_what_cannot_be_rows_is_said_so(rows: Any, message: str) -> None:
    problem = only_problem(HEAD, rows=rows)
    assert problem.message.startswith(message)
    assert problem.allowed
    assert problem.line == 0, "it stands nowhere in the cell"


def test_rows_are_what_a_resumed_job_will_read() -> None:
    class Mood(Enum):
        GOOD = "good"

    rows = [{"at": datetime(2026, 1, 2, tzinfo=UTC), "n": numpy.int64(3), 1: float("nan"), "mood": Mood.GOOD}, ("a",)]
    loaded = load(HEAD, rows=rows)
    assert loaded.given.rows is not None
    assert list(loaded.given.rows) == [{"at": "2026-01-02T00:00:00+00:00", "n": 3, "1": None, "mood": "good"}, ["a"]]


def test_a_file_may_say_that_its_rows_are_given_and_then_they_must_be() -> None:
    text = HEAD + "items: {given: true}\n"
    assert load(text, rows=[1]).config == load(HEAD, rows=[1]).config
    problem = only_problem(text)
    assert (problem.line, problem.column) == (4, 16)
    assert problem.message == "no rows were given when the job was started"


def test_other_rows_are_another_job_and_the_same_ones_are_not(tmp_path: Path) -> None:
    from mozart_nb.runtime import prepare

    def digest(rows: list[Any]) -> str:
        loaded = load_text(HEAD, base_dir=tmp_path, given=Given(rows=rows))
        return prepare(loaded, workspace=tmp_path / "w").digest

    assert digest([1, 2]) == digest([1, 2]) != digest([1, 3])


def test_rows_that_were_given_earlier_make_way_for_those_that_the_file_names_now() -> None:
    text = HEAD + "items: {file: rows.csv}\n"
    loaded = load(text, rows=[1], is_kept=True)
    assert loaded.given.rows is None
    assert loaded.config.items is not None
    assert loaded.config.items.file == "rows.csv"
    assert load(HEAD, rows=[1], is_kept=True).given.rows is not None


# --- variables --------------------------------------------------------------------------------------------------------


def test_given_variables_join_those_of_the_prompt() -> None:
    text = COUNTED.replace("{template: '{{ item }}'}", "{template: x, variables: {tone: kind}}")
    loaded = load(text, variables={"limit": numpy.int64(3), "since": pandas.Timestamp("2026-01-02")})
    assert loaded.config.prompt.variables == {"tone": "kind", "limit": 3, "since": "2026-01-02T00:00:00"}
    assert loaded.warnings == ()


def test_a_given_variable_wins_and_a_notice_says_so() -> None:
    text = COUNTED.replace("{template: '{{ item }}'}", "{template: x, variables: {tone: kind, n: 1}}")
    loaded = load(text, variables={"tone": "strict", "n": 1})
    assert loaded.config.prompt.variables == {"tone": "strict", "n": 1}
    [notice] = loaded.warnings
    assert (notice.code, notice.path, notice.line) == ("V127", "prompt.variables.tone", 3)
    assert notice.message == "the variable `tone` that was given takes the place of the one written here"


def test_variables_of_a_job_without_a_prompt_are_kept() -> None:
    assert load("name: x\nbatch: {size: 1, total_items: 1}\n", variables={"a": 1}).config.prompt.variables == {"a": 1}


def test_a_variable_that_is_no_json_names_itself_its_type_and_the_way_out() -> None:
    problem = only_problem(COUNTED, variables={"table": pandas.DataFrame({"a": [1]})})
    assert problem.message == (
        "the variable `table` (DataFrame) cannot stand in a prompt: a value of type DataFrame is no JSON"
    )
    assert problem.allowed == "pass its rows with `--items`, or `.to_dict('records')`"
    nested = only_problem(COUNTED, variables={"deep": {"a": [1, {"b": lambda: 1}]}})
    assert "`deep.a[1].b`: a value of type function is no JSON" in nested.message


def test_a_variable_needs_a_name_that_templates_can_say() -> None:
    problem = only_problem(COUNTED, variables={"not a name": 1})
    assert (problem.message, problem.value) == ("this is no name of a variable", "not a name")


def test_a_wrong_prompt_is_reported_and_given_variables_do_not_hide_it() -> None:
    assert only_problem("name: x\nbatch: {size: 1, total_items: 1}\nprompt: 3\n", variables={"a": 1}).path == "prompt"


def test_variables_change_what_the_job_is() -> None:
    one, other = (load(COUNTED, variables={"a": value}).config for value in (1, 2))
    assert config_digest(one) != config_digest(other)


# --- values as plain data ---------------------------------------------------------------------------------------------


@dataclass
class Point:
    x: int
    at: date


class Model(BaseModel):
    x: int
    at: date


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (numpy.float64(1.5), 1.5),
        (numpy.float32(0.5), 0.5),
        (numpy.longdouble(2.5), 2.5),
        (numpy.bool_(True), True),
        (numpy.str_("x"), "x"),
        (numpy.float64("nan"), None),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (numpy.datetime64("2026-01-02T03:04", "ns"), "2026-01-02T03:04:00"),
        (numpy.datetime64("NaT"), None),
        (numpy.timedelta64(5, "s"), "0:00:05"),
        (pandas.Timestamp("2026-01-02", tz="UTC"), "2026-01-02T00:00:00+00:00"),
        (pandas.Timedelta("1h"), "0 days 01:00:00"),
        (pandas.NaT, None),
        (pandas.NA, None),
        (float("nan"), None),
        (timedelta(seconds=5), "0:00:05"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("a/b"), "a/b"),
        ({3, 1, 2}, [1, 2, 3]),
        (Point(1, date(2026, 1, 2)), {"x": 1, "at": "2026-01-02"}),
        (Model(x=1, at=date(2026, 1, 2)), {"x": 1, "at": "2026-01-02"}),
        ({1: "a", False: "b", date(2026, 1, 2): "c"}, {"1": "a", "false": "b", "2026-01-02": "c"}),
    ],
    ids=repr,
)
def test_values_of_a_notebook_become_plain_data(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    "value",
    [b"x", print, int, object(), 1 + 2j, float("inf"), {(1, 2): 3}, pandas.Series([1]), (n for n in [1]), pytest],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_form_in_json_is_refused_with_advice(value: Any) -> None:
    with pytest.raises(NotPlainError) as caught:
        plain(value)
    assert caught.value.advice


def test_a_value_that_holds_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(NotPlainError, match="holds itself"):
        plain(ring)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@for_all(JSON)
def test_plain_data_stays_as_it_is(value: Any) -> None:
    assert plain(value) == value


# --- classes ----------------------------------------------------------------------------------------------------------


class Part(BaseModel):
    name: str = Field(description="what it is called")
    price: float = Field(ge=0)


class Review(BaseModel):
    """What a customer thinks."""

    mood: Literal["good", "bad"]
    parts: list[Part] = []


class Node(BaseModel):
    label: str
    below: list[Node] = []


class Strict(BaseModel):
    low: int
    high: int

    @field_validator("low")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("low must be even")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Strict:
        if self.low > self.high:
            raise AssertionError("low must not be above high")
        return self


NOTEBOOK = {"Review": Review, "Node": Node, "Strict": Strict, "number": 5, "shape": {"type": "object"}}
TYPED = COUNTED + "answer:\n  schema: "


def test_the_name_of_a_class_becomes_its_schema() -> None:
    loaded = load(TYPED + "Review\n", namespace=NOTEBOOK)
    schema = loaded.config.answer.json_schema
    assert isinstance(schema, dict)
    assert schema["title"] == "Review"
    assert schema["description"] == "What a customer thinks."
    assert schema["required"] == ["mood"]
    assert schema["$defs"]["Part"]["properties"]["name"] == {"description": "what it is called", "type": "string"}
    assert schema_faults(schema) == []
    assert loaded.borrowed.answer_class is not None
    assert not loaded.borrowed.class_has_checks


def test_a_class_given_in_a_mapping_means_the_same_as_its_name() -> None:
    written: dict[str, Any] = {"name": "sample", "prompt": {"template": "{{ item }}"}}
    written["batch"] = {"size": 1, "total_items": 3}
    direct = load_mapping({**written, "answer": {"schema": Review}}, base_dir="/jobs")
    assert direct.config == load(TYPED + "Review\n", namespace=NOTEBOOK).config
    listed = load_mapping({**written, "answer": {"schema": list[Review]}}, base_dir="/jobs").config.answer.json_schema
    assert isinstance(listed, dict)
    assert (listed["type"], listed["items"]) == ("array", {"$ref": "#/$defs/Review"})


def test_a_dict_of_the_notebook_is_a_schema_too() -> None:
    loaded = load(TYPED + "shape\n", namespace=NOTEBOOK)
    assert loaded.config.answer.json_schema == {"type": "object"}
    assert loaded.borrowed.class_name == ""


def test_a_class_inside_something_the_notebook_knows_is_found() -> None:
    class Forms:
        Answer = Review

    assert load(TYPED + "Forms.Answer\n", namespace={"Forms": Forms}).borrowed.class_name == "Forms.Answer"


def test_a_file_is_a_file_even_where_names_are_known(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("{}")
    for name in ("forms/review.json", "review.json", "plain"):
        loaded = load_text(TYPED + name, base_dir=tmp_path, given=Given(namespace={"review": NOTEBOOK}))
        assert loaded.config.answer.json_schema == name


def test_a_name_that_is_neither_class_nor_file_names_both_and_what_was_meant() -> None:
    problem = only_problem(TYPED + "Reviw\n", namespace=NOTEBOOK)
    assert (problem.line, problem.column, problem.value) == (6, 11, "Reviw")
    assert problem.message == "`Reviw` is neither a class of this notebook nor a file"
    assert problem.nearest == "Review"
    assert "or the name of a file" in problem.allowed


def test_outside_a_notebook_the_error_says_that_classes_need_one() -> None:
    problem = only_problem(TYPED + "Review\n")
    assert problem.message == "there is no file `Review`, and classes are known only in a notebook that starts the job"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "`number` is a value of type int in this notebook, and no file"),
        ("Callback", "`Callback` cannot be the form of answers: no JSON Schema can be made of it"),
    ],
)
def test_what_is_no_form_of_answers_is_refused(name: str, message: str) -> None:
    problem = only_problem(TYPED + name + "\n", namespace={**NOTEBOOK, "Callback": Callable[[int], int]})
    assert problem.message.startswith(message)


def test_a_value_in_a_mapping_that_is_no_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="it is a value of type set"):
        load_mapping({"name": "x", "answer": {"schema": {1}}, "batch": {"size": 1, "total_items": 1}}, base_dir="/")
    assert only_problem(TYPED + "3\n", namespace=NOTEBOOK).message == "wrong value for `answer.schema`"


def test_names_of_python_itself_are_never_looked_up() -> None:
    given = Given(namespace={"__builtins__": {"eval": eval}, "tools": pytest})
    assert given.find("__builtins__") is NOTHING
    assert given.find("tools.__loader__") is NOTHING
    assert given.find("tools.nothing") is NOTHING
    assert given.find("a b") is NOTHING
    assert given.find("tools.fail") is pytest.fail


def test_a_class_that_refers_to_itself_is_sent_as_an_object() -> None:
    form = AnswerClass.of("Node", Node)
    assert form.schema["type"] == "object"
    assert schema_faults(form.schema) == []
    assert list(form.faults({"label": "a", "below": [{"label": "b"}]})) == []


def test_a_naive_time_is_not_held_to_a_format_that_wants_a_zone() -> None:
    class Meeting(BaseModel):
        at: NaiveDatetime

    form = AnswerClass.of("Meeting", Meeting)
    assert form.schema["properties"]["at"].keys() == {"type", "pattern"}
    accepts = compile_schema(form.schema).is_valid
    assert accepts({"at": "2026-01-02T03:04:05"})
    assert not accepts({"at": "2026-01-02T03:04:05Z"})


@pytest.mark.parametrize(
    "form", [Point, list[int], int | None, TypeAdapter(dict[str, int]), Literal["a", "b"]], ids=str
)
def test_other_types_are_forms_as_well(form: Any) -> None:
    assert schema_faults(AnswerClass.of("form", form).schema) == []


def test_a_class_without_a_schema_says_why() -> None:
    class Odd(BaseModel):
        call: Callable[[int], int]

    with pytest.raises(NotAFormError, match="no JSON Schema can be made of it"):
        AnswerClass.of("Odd", Odd)


def test_the_checks_of_a_class_are_known_and_say_where_and_what() -> None:
    form = AnswerClass.of("Strict", Strict)
    assert form.has_checks
    assert list(form.faults({"low": 2, "high": 4})) == []
    assert list(form.faults({"low": 3, "high": 4})) == [(("low",), "low must be even")]
    assert list(form.faults({"low": 6, "high": 4})) == [((), "low must not be above high")]


def test_a_check_that_breaks_is_a_fault_and_no_exception() -> None:
    class Broken(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def _break(cls, value: int) -> int:
            raise KeyError("who")

    assert list(AnswerClass.of("Broken", Broken).faults({"x": 1})) == [
        ((), "`Broken` could not check it: KeyError: 'who'")
    ]


# --- functions --------------------------------------------------------------------------------------------------------

RULED = COUNTED + "validations:\n  - type: python\n    function: "


def long_enough(answer: str, limit: int = 10) -> bool:
    return len(answer) > limit


def yields(answer: str) -> Any:
    yield True


class Checks:
    def method(self, data: Any, **others: Any) -> bool:
        return True

    def __call__(self, answer: str) -> bool:
        return True


FUNCTIONS: dict[str, Any] = {
    "long_enough": long_enough,
    "checks": Checks(),
    "part": partial(long_enough, limit=3),
    "anonymous": lambda item, batch_num, workspace, variables, job_name: True,
}


@pytest.mark.parametrize("name", ["long_enough", "checks", "checks.method", "part"])
def test_functions_of_the_notebook_are_found_by_name(name: str) -> None:
    loaded = load(RULED + name + "\n", namespace=FUNCTIONS)
    assert list(loaded.borrowed.functions) == [name]
    assert loaded.borrowed.unfit == {}


def test_a_function_may_ask_for_the_row_where_there_is_one() -> None:
    text = RULED.replace("batch: {size: 1, total_items: 3}\n", "") + "anonymous\n"
    assert load(text, namespace=FUNCTIONS, rows=[1, 2]).borrowed.functions
    problem = only_problem(text + "batch: {size: 2}\n", namespace=FUNCTIONS, rows=[1, 2])
    assert problem.value == "item"


def test_an_unknown_function_names_the_one_that_was_meant() -> None:
    problem = only_problem(RULED + "long_enoug\n", namespace=FUNCTIONS)
    assert (problem.line, problem.column, problem.path) == (7, 15, "validations.0.function")
    assert (problem.message, problem.nearest) == (
        "there is no function `long_enoug` in this notebook",
        "long_enough",
    )


def test_a_parameter_that_nobody_can_fill_is_an_error_with_the_allowed_ones() -> None:
    text = RULED.replace("'{{ item }}'}", "x, variables: {minimum: 3}}") + "check\n"
    problem = only_problem(text, namespace={"check": lambda answer, minimun: True})
    assert problem.message == "the function `check` asks for `minimun`, which nothing is given for"
    assert (problem.value, problem.nearest) == ("minimun", "minimum")
    assert problem.allowed.startswith("answer, data, workspace, variables, batch_num, start_item, end_item, items")
    assert ", minimum" in problem.allowed
    assert load(text, namespace={"check": lambda answer, minimum, other=1, *rest, **more: True}).borrowed.functions


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        (5, "`check` is not a function"),
        (Review, "`check` is a class, not a function"),
        (yields, "`check` yields values; a rule must return one"),
    ],
    ids=["number", "class", "generator"],
)
def test_what_cannot_be_called_as_a_rule_is_refused(bound: Any, message: str) -> None:
    assert only_problem(RULED + "check\n", namespace={"check": bound}).message == message


def test_a_mapping_may_hold_the_functions_themselves() -> None:
    written = {"name": "x", "prompt": {"template": "go"}, "batch": {"size": 1, "total_items": 1}}
    rules = [{"type": "python", "function": long_enough}]
    loaded = load_mapping({**written, "validations": rules}, base_dir="/jobs")
    assert loaded.config.validations[0].function == "long_enough"
    assert list(loaded.borrowed.functions) == ["long_enough"]
    assert rules[0]["function"] is long_enough, "what was given is left alone"

    def other(answr: str) -> bool:
        return True

    with pytest.raises(ConfigError, match="asks for `answr`"):
        load_mapping({**written, "validations": [{"type": "python", "function": other}]}, base_dir="/jobs")
    other.__name__ = "long_enough"
    with pytest.raises(ConfigError, match="two functions are called `long_enough`"):
        load_mapping({**written, "validations": [*rules, {"type": "python", "function": other}]}, base_dir="/jobs")


def test_without_a_notebook_the_file_loads_and_what_it_needs_is_known() -> None:
    loaded = load(RULED + "check\n")
    assert loaded.borrowed.functions == {}
    assert "check" in loaded.borrowed.unfit
    with pytest.raises(MisuseError, match="this job has a rule of the notebook function `check`") as caught:
        require_functions(loaded.config, loaded.borrowed)
    assert "open it in the notebook" in caught.value.hint


# --- frozen, and again in another kernel ------------------------------------------------------------------------------


def test_a_frozen_job_says_what_it_needs_of_a_notebook_and_finds_it_again() -> None:
    text = TYPED + "Strict\nvalidations:\n  - {type: python, function: long_enough}\n"
    loaded = load(text, namespace={**NOTEBOOK, **FUNCTIONS})
    frozen = json.loads(json.dumps(freeze(loaded)))
    assert frozen["notebook"] == {
        "functions": ["long_enough"],
        "answer_class": "Strict",
        "class_has_checks": True,
        "variables": [],
    }

    here = thaw(frozen, given=Given(namespace={**NOTEBOOK, **FUNCTIONS}))
    assert here.config == loaded.config
    assert here.borrowed.functions.keys() == {"long_enough"}
    assert left_out(here.borrowed) == []

    elsewhere = thaw(frozen)
    assert elsewhere.config == loaded.config
    assert left_out(elsewhere.borrowed) == [
        "answers are checked against the schema of `Strict` only: the class itself, with its validators, is not here "
        "as it was when the job was planned"
    ]
    with pytest.raises(MisuseError, match="`long_enough`"):
        require_functions(elsewhere.config, elsewhere.borrowed)


def test_a_class_that_has_changed_its_form_is_not_taken_for_the_old_one() -> None:
    frozen = freeze(load(TYPED + "Strict\n", namespace=NOTEBOOK))
    changed = thaw(frozen, given=Given(namespace={"Strict": Review}))
    assert changed.borrowed.answer_class is None
    assert thaw(frozen, given=Given(namespace={"Strict": 5})).borrowed.answer_class is None
    assert left_out(changed.borrowed)


def test_a_class_without_checks_of_its_own_is_not_missed() -> None:
    assert left_out(thaw(freeze(load(TYPED + "Review\n", namespace=NOTEBOOK))).borrowed) == []


def test_bodies_of_functions_and_validators_do_not_change_the_job_and_names_do() -> None:
    def digest(text: str, **namespace: Any) -> str:
        return config_digest(load(text, namespace=namespace).config)

    class Strict(BaseModel):
        low: int
        high: int

    unchecked = AnswerClass.of("Strict", Strict)
    assert not unchecked.has_checks
    assert digest(TYPED + "Strict\n", Strict=Strict) == digest(TYPED + "Strict\n", Strict=NOTEBOOK["Strict"])
    assert digest(RULED + "f\n", f=long_enough) == digest(RULED + "f\n", f=lambda data: False)
    assert digest(RULED + "f\n", f=long_enough) != digest(RULED + "g\n", g=long_enough)

    class Other(Strict):
        pass

    assert digest(TYPED + "Strict\n", Strict=Strict) != digest(TYPED + "Other\n", Other=Other)


# --- where it stands --------------------------------------------------------------------------------------------------


def test_lines_of_a_cell_count_from_the_line_of_the_magic() -> None:
    problem, other = problems_of("name: x\nbatch: {size: 0}\nretry: {max_retries: -1}\n", rows=[1])
    assert (problem.line, problem.column) == (3, 15)
    assert (other.line, other.column) == (4, 22)


def test_everything_can_be_given_with_a_file_as_well(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(TYPED.replace("batch: {size: 1, total_items: 3}\n", "") + "Review\n")
    given = Given(rows=[1, 2], variables={"a": 1}, namespace=NOTEBOOK)
    loaded = load_job(file, given=given)
    assert loaded.given.rows is not None
    assert (len(loaded.given.rows), loaded.config.prompt.variables) == (2, {"a": 1})
    assert loaded.borrowed.class_name == "Review"
