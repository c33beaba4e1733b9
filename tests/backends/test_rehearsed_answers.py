"""Rehearsed answers of jobs whose answers have a schema."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.virtual_time import VirtualClock, run_virtual

from mozart_nb.backends._made_up import made_up
from mozart_nb.backends._sample import UnsupportedError
from mozart_nb.backends.rehearsal import RehearsalBackend
from mozart_nb.engine.ports import AnswerReading, Script, SessionRequest, SessionResult
from mozart_nb.job.answer_schema import compile_schema
from mozart_nb.job.answers import AnswerForm
from mozart_nb.job.backends import RehearsalConfig
from mozart_nb.validation.answer import JsonContract

REVIEW = {
    "type": "object",
    "properties": {
        "sentiment": {"enum": ["positive", "negative", "mixed"]},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "summary": {"type": "string", "minLength": 10, "maxLength": 60},
        "on": {"type": "string", "format": "date"},
    },
    "required": ["sentiment", "stars"],
    "additionalProperties": False,
}


class Ear:
    detaching = False

    async def opened(self, session_id: str) -> None:
        return None

    def progress(self, bytes_received: int, lines_received: int, note: str = "") -> None:
        return None


def play(tmp_path: Path, config: dict[str, Any] | None = None, **changes: Any) -> SessionResult:
    facts: dict[str, Any] = {
        "job_id": "demo",
        "batch": 1,
        "attempt": 1,
        "mode": "first",
        "prompt": "Do it.",
        "session_id": "s-1",
        "marker": "m-1",
        "log": str(tmp_path / "log"),
        "working_directory": str(tmp_path),
        "workspace": str(tmp_path),
        "timeout_seconds": 1800.0,
        "answer_schema": AnswerForm(REVIEW).schema(1),
    }

    async def main() -> SessionResult:
        backend = RehearsalBackend(RehearsalConfig.model_validate(config or {}), VirtualClock())
        return await backend.run(SessionRequest(**(facts | changes)), Ear())

    return run_virtual(main())[0]


def read(form: AnswerForm, result: SessionResult, rows: int = 1) -> AnswerReading:
    return asyncio.run(JsonContract(form).read(result.text, result.data, rows))


# --- valid ones -------------------------------------------------------------------------------------------------------


def test_a_rehearsed_answer_satisfies_the_schema(tmp_path: Path):
    reading = read(AnswerForm(REVIEW), play(tmp_path))
    assert reading.fault is None
    assert set(reading.data) >= {"sentiment", "stars"}


def test_each_row_of_a_batch_gets_an_answer_of_its_own(tmp_path: Path):
    form = AnswerForm(REVIEW, per_item=True)
    reading = read(form, play(tmp_path, answer_schema=form.schema(20)), 20)
    assert reading.fault is None
    assert len({json.dumps(row) for row in reading.data}) > 10


def test_batches_differ_and_attempts_of_one_do_not(tmp_path: Path):
    answers = [play(tmp_path, batch=number).text for number in range(1, 11)]
    assert len(set(answers)) > 5
    assert play(tmp_path, batch=3, attempt=2, mode="completion").text == answers[2]


def test_another_seed_makes_other_data(tmp_path: Path):
    assert play(tmp_path, {"seed": 1}).text != play(tmp_path, {"seed": 2}).text


def test_an_answer_in_the_script_is_given_as_it_stands(tmp_path: Path):
    assert play(tmp_path, script=Script(answer="as written", writes={})).text == "as written"


def test_a_schema_that_nothing_can_be_made_up_for_is_told_in_a_warning(tmp_path: Path):
    result = play(tmp_path, answer_schema={"type": "object", "not": {}})
    [warning] = result.warnings
    assert "rehearsal.answer" in warning
    assert "no model was asked" in result.text


# --- spoiled ones -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", range(1, 11))
@pytest.mark.parametrize(("form", "rows"), [(AnswerForm(REVIEW), 1), (AnswerForm(REVIEW, per_item=True), 3)])
def test_invalid_output_is_never_a_valid_answer(tmp_path: Path, form: AnswerForm, rows: int, batch: int):
    config = {"script": {batch: ["invalid_output"]}}
    result = play(tmp_path, config, batch=batch, answer_schema=form.schema(rows))
    assert result.outcome == "ok"
    reading = read(form, result, rows)
    assert reading.fault is not None
    again = play(tmp_path, config, batch=batch, attempt=2, mode="completion", answer_schema=form.schema(rows))
    assert read(form, again, rows).fault is None


def test_invalid_answers_are_invalid_in_different_ways(tmp_path: Path):
    form = AnswerForm(REVIEW)
    config = {"failures": {"invalid_output": 1.0}}
    faults = [read(form, play(tmp_path, config, batch=number)).fault for number in range(1, 6)]
    assert len({fault.message for fault in faults if fault is not None}) == 5


# --- the generator ----------------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "label", "score", "with space", "ä", "format"])
numbers = st.integers(-1000, 1000)


def ranges(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        low, high = sorted((draw(numbers), draw(numbers)))
        schema: dict[str, Any] = {"type": kind}
        if draw(st.booleans()):
            schema["minimum"] = low
        if draw(st.booleans()):
            schema["maximum"] = high + 20
        if draw(st.booleans()):
            schema["multipleOf"] = draw(st.sampled_from([1, 2, 5]))
        return schema

    return build()


@st.composite
def texts(draw: st.DrawFn) -> dict[str, Any]:
    least = draw(st.integers(0, 40))
    extra = draw(
        st.sampled_from(
            [
                {},
                {"minLength": least},
                {"maxLength": least},
                {"minLength": least, "maxLength": least + draw(st.integers(0, 9))},
                {"pattern": "^[A-Z]{2}-\\d{3}$"},
                *({"format": name} for name in ("date", "date-time", "time", "email", "uri", "uuid", "ipv4", "ipv6")),
            ]
        )
    )
    return {"type": "string", **extra}


leaves = st.one_of(
    ranges("integer"),
    ranges("number"),
    texts(),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({}),
    st.just({"const": {"x": [1, None]}}),
    st.just({"$ref": "#/$defs/Shared"}),
    st.just({"type": ["null", "string"]}),
    st.lists(st.one_of(numbers, st.text(max_size=5), st.none()), min_size=1, max_size=4).map(lambda c: {"enum": c}),
)


def containers(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def objects(draw: st.DrawFn) -> dict[str, Any]:
        properties = draw(st.dictionaries(names, inner, max_size=4))
        required = [name for name in properties if draw(st.booleans())]
        schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
        if draw(st.booleans()):
            schema["additionalProperties"] = False
        return schema

    @st.composite
    def arrays(draw: st.DrawFn) -> dict[str, Any]:
        least = draw(st.integers(0, 3))
        return {"type": "array", "items": draw(inner), "minItems": least, "maxItems": least + draw(st.integers(0, 3))}

    return st.one_of(
        objects(),
        arrays(),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        inner.map(lambda option: {"allOf": [option]}),
        st.tuples(inner, inner).map(lambda two: {"type": "array", "prefixItems": list(two), "minItems": 2}),
    )


SHARED = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Shared"}, "n": {"type": "integer"}}}
schemas = st.recursive(leaves, containers, max_leaves=8).map(
    lambda schema: {"type": "object", "properties": {"it": schema}, "required": ["it"], "$defs": {"Shared": SHARED}}
)


@settings(max_examples=60, deadline=None)
@given(schema=schemas, seed=st.integers(0, 2**48))
def test_whatever_is_made_up_satisfies_its_schema(schema: dict[str, Any], seed: int):
    value = made_up(schema, seed)
    assert compile_schema(schema).is_valid(value)
    assert made_up(schema, seed) == value


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 5}, "uniqueItems": True, "minItems": 5},
        {"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 200}]},
        {"allOf": [{"required": ["a"]}, {"properties": {"a": {"const": 1}}}]},
        {"type": "object", "minProperties": 3, "additionalProperties": {"type": "integer"}},
        {"type": "object", "required": ["k1"], "patternProperties": {"^k": {"type": "boolean"}}},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        {"type": "number", "multipleOf": 0.1, "minimum": 0.5, "maximum": 0.7},
        {"items": [{"type": "string"}], "$schema": "http://json-schema.org/draft-07/schema#", "additionalItems": False},
        {"minimum": -7, "maximum": -7},
        {"properties": {"a": True}},
    ],
)
def test_schemas_of_many_kinds_are_satisfied(schema: dict[str, Any]):
    for seed in range(20):
        assert compile_schema(schema).is_valid(made_up(schema, seed))


@pytest.mark.parametrize(
    "schema",
    [{"type": "integer", "minimum": 3, "maximum": 2}, {"not": {}}, {"enum": []}, {"$ref": "#/nowhere"}],
)
def test_what_cannot_be_satisfied_is_said(schema: dict[str, Any]):
    with pytest.raises(UnsupportedError):
        made_up(schema, 1)
