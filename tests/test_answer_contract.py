"""Answers that must be JSON: what is sent, what is accepted, and what is said about the rest."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    Field,
    HttpUrl,
    NaiveDatetime,
    PastDate,
    PositiveInt,
    StrictInt,
    field_validator,
    model_validator,
)

from mozart_nb.backends._anthropic_schema import sendable_schema
from mozart_nb.backends._claude_schema import schema_argument
from mozart_nb.backends._made_up import made_up
from mozart_nb.engine.ports import AnswerContract, AnswerReading
from mozart_nb.errors import ConfigError
from mozart_nb.job.answer_class import AnswerClass
from mozart_nb.job.answers import AnswerForm, form_of
from mozart_nb.job.model import AnswerConfig
from mozart_nb.validation.answer import JsonContract

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["x"],
    "additionalProperties": False,
}


def contract(schema: Any = None, *, per_item: bool = False, texts: dict[str, str] | None = None) -> AnswerContract:
    config = AnswerConfig.model_validate({"format": "json", "schema": schema, "per_item": per_item})
    return JsonContract.of(config, texts or {})


def read(made: AnswerContract, text: str, rows: int = 1, *, data: Any = None) -> AnswerReading:
    return asyncio.run(made.read(text, data, rows))


def fault(made: AnswerContract, text: str, rows: int = 1, *, data: Any = None) -> str:
    reading = read(made, text, rows, data=data)
    assert reading.data is None
    assert reading.fault is not None
    assert (reading.fault.rule, reading.fault.type, reading.fault.status) == (0, "answer", "failed")
    assert not reading.fault.could_not_run
    assert 0 < len(reading.fault.message) <= 1000
    return reading.fault.message


ANY = contract()
POINTS = contract(POINT, per_item=True)

# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_schema_of_an_object_is_sent_as_it_is():
    assert contract(POINT).schema(3) == POINT


def test_a_schema_of_rows_is_sent_as_an_object_with_a_list_of_that_length():
    assert POINTS.schema(3) == {
        "type": "object",
        "properties": {"items": {"type": "array", "items": POINT, "minItems": 3, "maxItems": 3}},
        "required": ["items"],
        "additionalProperties": False,
    }


def test_a_schema_of_anything_else_is_sent_inside_an_object():
    schema = contract({"enum": ["yes", "no"]}).schema(1)
    assert schema is not None
    assert schema["properties"] == {"value": {"enum": ["yes", "no"]}}
    assert schema["required"] == ["value"]


def test_a_schema_with_properties_means_an_object():
    made = contract({"properties": {"n": {"type": "integer"}}})
    assert made.schema(1) == {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert "not an object" in fault(made, "[]")


def test_without_a_schema_nothing_is_sent():
    assert ANY.schema(1) is None
    assert contract(per_item=True).schema(2) is None


def test_references_lead_to_the_same_place_in_what_is_sent():
    tree = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}, "size": {"$ref": "#/$defs/Size"}, "$ref": {"type": "string"}},
        "$defs": {"Size": {"type": "integer"}, "Self": {"$ref": "#/properties/size"}},
    }
    sent = contract(tree, per_item=True).schema(1)
    assert sent is not None
    row = sent["properties"]["items"]["items"]
    assert row["properties"]["next"] == {"$ref": "#/properties/items/items"}
    assert row["properties"]["size"] == {"$ref": "#/$defs/Size"}
    assert row["properties"]["$ref"] == {"type": "string"}
    assert sent["$defs"]["Self"] == {"$ref": "#/properties/items/items/properties/size"}
    assert read(JsonContract(AnswerForm(sent)), '{"items": [{"next": {"size": 1}}]}').fault is None
    assert "whole number" in fault(JsonContract(AnswerForm(sent)), '{"items": [{"next": {"size": "1"}}]}')


def test_the_prompt_says_what_is_wanted_in_any_case():
    words = POINTS.instructions(3)
    assert "JSON only" in words
    assert "exactly 3 objects" in words
    assert "in the order of the items" in words
    assert json.dumps(POINTS.schema(3), separators=(",", ":")) in words
    assert "exactly 2 objects" in contract(per_item=True).instructions(2)
    assert "one object, for the one item" in POINTS.instructions(1)
    assert "Schema" not in ANY.instructions(1)


def test_a_schema_in_a_file_is_read_from_the_frozen_text():
    made = contract("s.json", texts={"s.json": json.dumps(POINT)})
    assert made.schema(1) == POINT
    with pytest.raises(ConfigError, match="cannot be read"):
        contract("s.json")
    with pytest.raises(ConfigError, match="not JSON"):
        contract("s.json", texts={"s.json": "{"})
    with pytest.raises(ConfigError, match="not a JSON Schema"):
        contract("s.json", texts={"s.json": "[" * 3 + "]" * 3})


def test_a_schema_or_rows_imply_json():
    for section in ({"schema": {}}, {"per_item": True}, {"format": "json"}):
        assert AnswerConfig.model_validate(section).wants_json
    assert not AnswerConfig().wants_json
    assert form_of(AnswerConfig(), {}).schema(1) is None


# --- what is accepted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"a": [1, 2.5, true, null, "ä"]}', {"a": [1, 2.5, True, None, "ä"]}),
        ('\ufeff \n{"a": 1}\n', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n{"a": 1}\n```', {"a": 1}),
        ('Here it is:\n\n```json\n{"a": "[x] {y}"}\n```\n\nSee [1] for {more}.', {"a": "[x] {y}"}),
        ("```python\nprint({})\n```\n```json\n[1]\n```", [1]),
        ('The answer is {"a": {"b": [1]}}. Ask me anything.', {"a": {"b": [1]}}),
        ('```json\n{"a": 1}', {"a": 1}),
        ('{"a": "```\\n{"}', {"a": "```\n{"}),
        ("42", 42),
        ('"text"', "text"),
        ("[]", []),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_one_json_value_is_found(text: str, data: Any):
    assert read(ANY, text) == AnswerReading(data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\ufeff\n ", "is empty"),
        ("I could not do that.", "not JSON"),
        ('{"a": 1,}', "not JSON"),
        ("{'a': 1}", "not JSON"),
        ('{"a": {"b": 1}, "c": ', "where it ends"),
        ('The result: {"a": {"b": 1}, "c":', "not JSON"),
        ('{"a": 1} and {"a": 2}', "more than one"),
        ('See [1]: {"a": 1}', "more than one"),
        ('```json\n{"a": 1}\n```\n```json\n{"a": 2}\n```', "2 JSON blocks"),
        ('```json\n{"a": }\n```', "not JSON"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": 1e999}', "too large"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', '"c" stands twice'),
        ('{"a": "\\ud800"}', "surrogate"),
        ('"\ud800"', "surrogate"),
        ("18446744073709551616", "64 bits"),
        ("-9223372036854775809", "64 bits"),
        ("[" + "1" * 10_000 + "]", "64 bits"),
        ("[" * 100_000, "nested"),
        ("[" * 10_000 + "]" * 10_000, "nested"),
        ("[" * 70 + "]" * 70, "nested"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested"),
    ],
)
def test_what_is_not_clearly_one_json_value_is_said_and_never_mended(text: str, said: str):
    assert said in fault(ANY, text)


def test_rows_come_bare_or_in_the_object_that_was_asked_for():
    rows = [{"x": 1}, {"x": 2}]
    for answer in (rows, {"items": rows}):
        assert read(POINTS, json.dumps(answer), 2).data == rows
        assert read(POINTS, "", 2, data=answer).data == rows


def test_a_value_is_taken_out_of_its_object():
    made = contract({"enum": ["yes", "no"]})
    assert read(made, '{"value": "yes"}').data == "yes"
    assert read(made, '"no"').data == "no"
    assert "is not one of" in fault(made, '{"value": "maybe"}')


def test_what_the_service_parsed_counts_and_is_checked_as_well():
    assert read(contract(POINT), "irrelevant", data={"x": 3}).data == {"x": 3}
    assert "`x`: " in fault(contract(POINT), '{"x": 1}', data={"x": "3"})
    assert "64 bits" in fault(ANY, "", data={"x": 10**30})


# --- what is said -----------------------------------------------------------------------------------------------------


def test_every_row_that_is_wrong_is_named():
    said = fault(POINTS, '[{"x": 1}, {"y": 2}, {"x": "one"}]', 3)
    assert said == (
        'item 2: `y`: 2 is more than 1; item 2: the key `x` is missing; item 3: `x`: "one" is not a whole number'
    )


def test_a_list_of_the_wrong_length_is_named():
    reading = read(POINTS, '[{"x": 1}]', 3)
    assert reading.fault is not None
    assert reading.fault.message == "the list has 1 entry, but the batch has 3"
    assert "in the order of the items" in reading.fault.expected
    assert "not a list of 3 but an object with `x`" in fault(POINTS, '{"x": 1}', 3)
    assert "not a list" in fault(POINTS, '{"items": [], "more": 1}', 0)


def test_rows_without_a_schema_are_objects():
    made = contract(per_item=True)
    assert read(made, '[{"a": 1}, {}]', 2).fault is None
    assert "item 2: 5 is not an object" in fault(made, '[{"a": 1}, 5]', 2)


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"type": ["string", "null"]}, 3, "3 is not a text or null"),
        ({"const": "a"}, "b", '"b" is not "a"'),
        ({"enum": list(range(50))}, "x", "…"),
        ({"type": "string", "minLength": 3}, "ab", "has 2 characters, fewer than 3"),
        ({"type": "string", "pattern": "^a+$"}, "b", '"b" does not match the pattern ^a+$'),
        ({"type": "string", "format": "date"}, "2026-13-01", "not of the format `date`"),
        ({"type": "string", "format": "date"}, "20260101", "not of the format `date`"),
        ({"type": "string", "format": "date-time"}, "2026-01-01T10:00:00", "not of the format `date-time`"),
        ({"type": "string", "format": "time"}, "10:00", "not of the format"),
        ({"type": "string", "format": "email"}, "nobody", "not of the format"),
        ({"type": "string", "format": "uri"}, "no address", "not of the format"),
        ({"type": "string", "format": "uuid"}, "123", "not of the format"),
        ({"type": "string", "format": "ipv4"}, "300.1.1.1", "not of the format"),
        ({"type": "array", "minItems": 2}, [1], "the list has 1 entry, fewer than 2"),
        ({"type": "array", "uniqueItems": True}, [1, 1], "equal entries"),
        ({"type": "array", "items": {"type": "object"}}, [{}, 1], "`value[1]`: 1 is not an object"),
        ({"type": "number", "multipleOf": 5}, 3, "3 is not a multiple of 5"),
        ({"exclusiveMinimum": 3}, 3, "3 is not more than 3"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, [], "none of the allowed forms"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, 3, "more than one of the forms"),
        (
            {"anyOf": [{"type": "object", "properties": {"n": {"type": "integer"}}}, {"type": "null"}]},
            {"n": "x"},
            '`n`: "x" is not a whole number',
        ),
        ({"type": "object", "patternProperties": {"^s_": {"type": "string"}}}, {"s_a": 1}, "s_a`: 1 is not a text"),
        ({"not": {"type": "null"}}, None, "should not be valid"),
        ({"type": "object", "required": ["it's"]}, {}, "the key `it's` is missing"),
    ],
)
def test_a_message_says_where_what_and_what_would_be_right(schema: Any, value: Any, said: str):
    wrapped = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    assert said in fault(contract(wrapped), json.dumps({"value": value}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("date", "2026-02-28"),
        ("date-time", "2026-02-28T23:59:59.5Z"),
        ("date-time", "2026-02-28t10:00:00+02:00"),
        ("time", "10:00:00Z"),
        ("email", "a@example.org"),
        ("uri", "https://example.org/ä"),
        ("uuid", "C56A4180-65AA-42EC-A945-5FD21DEC0538"),
        ("ipv6", "2001:db8::1"),
        ("made-up", "anything"),
    ],
)
def test_formats_that_are_right_pass(name: str, text: str):
    assert read(contract({"type": "string", "format": name}), json.dumps({"value": text})).data == text


def test_unknown_keys_are_named_with_those_that_are_allowed():
    said = fault(contract(POINT), '{"x": 1, "z": 1, "\\u001b": 2}')
    assert "unknown keys: z" in said
    assert "allowed: `x`, `y`" in said


def test_messages_stay_short_however_much_is_wrong():
    rows = [{"x": "w" * 10_000, "k" * 5_000: 1} for _ in range(200)]
    said = fault(POINTS, json.dumps(rows), 200)
    assert said.endswith("and more")


def test_the_draft_that_the_schema_names_counts():
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "type": "number", "minimum": 0}
    old["exclusiveMinimum"] = True
    assert fault(contract(old), '{"value": 0}')
    assert read(contract(old), '{"value": 1}').data == 1


def test_a_schema_that_cannot_be_used_is_the_job_files_fault():
    for schema in ({"type": "x"}, {"$ref": "#/nowhere"}, {"$ref": "https://example.org/s"}, {"$ref": "#"}):
        with pytest.raises(ConfigError):
            read(contract(schema), "{}")


# --- hostile and large ------------------------------------------------------------------------------------------------


def test_a_pattern_that_never_ends_is_given_up():
    made = contract({"type": "object", "properties": {"n": {"type": "string", "pattern": "^(a|aa)+$"}}})
    began = time.monotonic()
    assert "too long" in fault(made, json.dumps({"n": "a" * 200 + "b"}))
    assert time.monotonic() - began < 60


async def test_a_large_answer_does_not_hold_up_the_loop():
    made = contract({"type": "array", "items": POINT}, per_item=False)
    text = json.dumps([{"x": n, "y": 0.5} for n in range(8_000)])
    await made.read("[]", None, 1)
    longest, last = 0.0, time.perf_counter()
    reading = asyncio.ensure_future(made.read(text, None, 1))
    while not reading.done():
        await asyncio.sleep(0.001)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert reading.result().fault is None
    assert longest < 0.5


def test_an_answer_beyond_all_measure_is_not_read():
    assert "more than" in fault(ANY, " " + "[" * 17_000_000)


def test_a_small_answer_is_read_quickly():
    made, text = contract(POINT), '{"x": 1, "y": 0.5}'

    async def spent() -> float:
        await made.read(text, None, 1)
        began = time.process_time()
        for _ in range(2_000):
            await made.read(text, None, 1)
        return (time.process_time() - began) / 2_000

    assert asyncio.run(spent()) < 0.0005  # 30 µs on an idle machine


def test_the_validator_is_imported_with_the_first_answer():
    code = "import sys, mozart_nb.validation.answer, mozart_nb.job.lint; print('jsonschema' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)

SCRAPS = [
    *("```", "```json\n", "\n```\n", "{", "}", "[", "]", '"', ",", ":", "\\", "\\u", "\\ud800", "1e999", "NaN"),
    *("null", "9" * 30, "\ufeff", "\ud800", "\n", "items", "value", "x", " "),
]
pieces = st.sampled_from(SCRAPS)


@settings(max_examples=100, deadline=None)
@given(
    text=st.one_of(st.text(max_size=200), st.lists(pieces, max_size=30).map("".join)),
    rows=st.integers(0, 3),
    made=st.sampled_from([ANY, POINTS, contract(POINT), contract({"enum": [1, "x"]})]),
)
def test_no_text_makes_reading_raise(text: str, rows: int, made: AnswerContract):
    reading = read(made, text, rows)
    if reading.fault is None:
        msgspec.json.encode(reading.data)
    else:
        assert reading.data is None
        assert len(reading.fault.message) <= 1000


@settings(max_examples=100, deadline=None)
@given(value=json_values, ascii_only=st.booleans(), around=st.sampled_from(["{}", "```json\n{}\n```", " \n{} "]))
def test_whatever_json_is_sent_is_read_as_it_was_meant(value: Any, ascii_only: bool, around: str):
    text = around.replace("{}", json.dumps(value, ensure_ascii=ascii_only))
    assert read(ANY, text) == AnswerReading(value)


# --- the class itself -------------------------------------------------------------------------------------------------


class Range(BaseModel):
    low: int
    high: int

    @field_validator("low")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value == 13:
            raise KeyError("unlucky")
        if value % 2:
            raise ValueError("low must be even")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


def class_contract(form: Any = Range, *, per_item: bool = False) -> JsonContract:
    made = AnswerClass.of(form.__name__, form)
    config = AnswerConfig.model_validate({"schema": made.schema, "per_item": per_item})
    return JsonContract.of(config, {}, made)


def test_an_answer_must_satisfy_the_validators_of_its_class():
    made = class_contract()
    assert read(made, '{"low": 2, "high": 4}').data == {"low": 2, "high": 4}
    assert fault(made, '{"low": 3, "high": 4}') == "`low`: low must be even"
    assert fault(made, '{"low": 6, "high": 4}') == "low must not be above high"
    assert fault(made, '{"low": "6", "high": 4}') == '`low`: "6" is not a whole number', "the schema comes first"
    assert fault(made, '{"low": 13, "high": 14}') == "`Range` could not check it: KeyError: 'unlucky'"


def test_each_row_must_satisfy_the_class():
    made = class_contract(per_item=True)
    rows = [{"low": 2, "high": 4}, {"low": 3, "high": 4}, {"low": 6, "high": 4}]
    assert fault(made, json.dumps(rows), 3) == "item 2: `low`: low must be even; item 3: low must not be above high"
    assert read(made, json.dumps({"items": rows[:1]}), 1).data == rows[:1]


def test_what_a_class_makes_of_an_answer_is_not_what_is_kept():
    class Upper(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def _upper(cls, value: str) -> str:
            return value.upper()

    assert read(class_contract(Upper), '{"word": "a"}').data == {"word": "a"}


def test_a_class_without_validators_still_says_what_its_schema_cannot():
    class Birthday(BaseModel):
        on: PastDate

    made = class_contract(Birthday)
    assert read(made, '{"on": "2001-02-03"}').fault is None
    assert "past" in fault(made, '{"on": "2999-01-01"}')


def test_validators_run_beside_the_event_loop_and_within_a_time(monkeypatch):
    go_on = threading.Event()

    class Slow(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def _wait(cls, value: int) -> int:
            assert threading.current_thread() is not threading.main_thread()
            go_on.wait(5)
            return value

    monkeypatch.setattr("mozart_nb.validation.answer.CLASS_SECONDS", 0.05)
    assert "took longer than 0.05 seconds" in fault(class_contract(Slow), '{"x": 1}')
    go_on.set()
    assert read(class_contract(Slow), '{"x": 1}').data == {"x": 1}


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: PositiveInt


class Square(BaseModel):
    kind: Literal["square"]
    side: Annotated[str, Field(min_length=2, max_length=5, pattern="^[a-z]+$")]


class Everything(BaseModel):
    """A class with most of what people write into one."""

    mood: Literal["good", "bad"]
    shape: Annotated[Circle | Square, Field(discriminator="kind")]
    parts: list[Circle] = []
    maybe: int | None = None
    day: date
    at: datetime
    local: NaiveDatetime
    lasts: timedelta
    price: Decimal
    id: UUID
    page: HttpUrl
    tags: set[str]
    share: Annotated[float, Field(gt=0, lt=1)]
    steps: Annotated[int, Field(multiple_of=5)]
    strict: StrictInt


@pytest.mark.parametrize("per_item", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_what_a_rehearsal_makes_up_satisfies_the_class(seed, per_item):
    made = class_contract(Everything, per_item=per_item)
    rows = read(made, json.dumps(made_up(made.schema(2), seed)), 2).data
    assert len(rows) == 2 if per_item else isinstance(rows, dict)


@pytest.mark.parametrize("per_item", [False, True])
def test_the_schema_of_a_class_can_be_sent_to_every_service(per_item):
    schema = class_contract(Everything, per_item=per_item).schema(2)
    assert schema is not None
    assert schema["type"] == "object"
    sent = sendable_schema(schema)
    assert sent is not None
    assert "discriminator" not in json.dumps(sent)
    closed = [part for part in (sent, *sent["$defs"].values()) if part["type"] == "object"]
    assert all(part["additionalProperties"] is False for part in closed)
    assert schema_argument(schema) is not None
