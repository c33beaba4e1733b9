"""The pure part of the API backends: requests to parameters, replies and errors to results."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from mozart_nb.backends._anthropic_headers import allowances, plain_headers, reset_at, retry_after
from mozart_nb.backends._anthropic_messages import cache_key, message_params
from mozart_nb.backends._anthropic_models import cache_minimum, writes_by_schema
from mozart_nb.backends._anthropic_outcome import api_error, result_of_error, result_of_message
from mozart_nb.backends._anthropic_schema import sendable_schema
from mozart_nb.engine.classify import classify
from mozart_nb.engine.ports import Allowance, SessionRequest, Turn
from mozart_nb.events import Usage
from mozart_nb.job.prices import PriceTable

LONG = "Read this carefully. " * 300  # about 1,500 tokens
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["name", "score"],
    "additionalProperties": False,
}


def request(prompt: str = "Do it.", **changes: Any) -> SessionRequest:
    facts: dict[str, Any] = {
        "job_id": "demo",
        "batch": 1,
        "attempt": 1,
        "mode": "first",
        "prompt": prompt,
        "session_id": "s-1",
        "marker": "m-1",
        "log": "",
        "working_directory": "",
        "workspace": "",
        "timeout_seconds": 60.0,
        "options": {"model": "claude-sonnet-5"},
    }
    return SessionRequest(**(facts | changes))


def options(**more: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-5", **more}


# --- parameters -------------------------------------------------------------------------------------------------------


def test_a_prompt_becomes_one_user_message():
    assert message_params(request(options={})) == {
        "model": "claude-sonnet-5",
        "max_tokens": 8192,
        "messages": [{"role": "user", "content": "Do it."}],
    }


def test_what_is_set_is_sent_and_nothing_else():
    params = message_params(request(options=options(system="Be brief.", temperature=0.0, max_tokens=100)))
    assert (params["system"], params["temperature"], params["max_tokens"]) == ("Be brief.", 0.0, 100)
    unset = options(system=None, temperature=None, base_url=None, attachments=(), prompt_caching="auto")
    assert set(message_params(request(options=unset))) == {"model", "max_tokens", "messages"}


def test_a_completion_sends_the_conversation_and_files_with_its_first_message():
    file = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "title": "a.txt"}
    earlier = (Turn("user", "First."), Turn("assistant", "Half."))
    messages = message_params(request("Go on.", earlier=earlier), file_blocks=[file])["messages"]
    assert messages == [
        {"role": "user", "content": [file, {"type": "text", "text": "First."}]},
        {"role": "assistant", "content": "Half."},
        {"role": "user", "content": "Go on."},
    ]


def test_turns_without_words_are_left_out_as_the_api_refuses_them():
    earlier = (Turn("user", "First."), Turn("assistant", " \n"))
    assert [m["content"] for m in message_params(request("Go on.", earlier=earlier))["messages"]] == [
        "First.",
        "Go on.",
    ]


def test_half_a_surrogate_pair_in_a_prompt_can_be_sent():
    params = message_params(request("a\ud83d b", options=options(system="\udc00")))
    assert json.loads(msgspec.json.encode(params))["messages"][0]["content"] == "a\ufffd b"


# --- prompt cache -----------------------------------------------------------------------------------------------------


def test_what_all_batches_share_is_a_block_of_its_own_and_marked():
    content = message_params(request(f"{LONG}Item 7", shared_prefix=len(LONG)))["messages"][0]["content"]
    assert content == [
        {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Item 7"},
    ]


def test_files_stand_behind_the_shared_prefix_and_before_the_rest():
    blocks = message_params(request(f"{LONG}Item 7", shared_prefix=len(LONG)), file_blocks=[{"type": "image"}])
    assert [block["type"] for block in blocks["messages"][0]["content"]] == ["text", "image", "text"]


def test_the_prefix_is_that_of_the_first_message_also_in_a_conversation():
    first = request(f"{LONG}Item 7", shared_prefix=len(LONG))
    later = request(
        "Go on.", shared_prefix=len(LONG), earlier=(Turn("user", f"{LONG}Item 7"), Turn("assistant", "Half."))
    )
    assert message_params(later)["messages"][0] == message_params(first)["messages"][0]
    assert cache_key(later) == cache_key(first) != b""


@pytest.mark.parametrize(
    ("changes", "marked"),
    [
        ({"shared_prefix": len(LONG)}, True),
        ({"shared_prefix": 0}, False),
        ({"shared_prefix": 40}, False),
        ({"shared_prefix": 40, "options": options(prompt_caching=True)}, True),
        ({"shared_prefix": len(LONG), "options": options(prompt_caching=False)}, False),
        ({"shared_prefix": len(LONG), "options": options(model="claude-haiku-4-5")}, False),
        ({"shared_prefix": len(LONG), "options": options(model="claude-haiku-4-5", system=LONG * 2)}, True),
    ],
)
def test_a_prefix_is_marked_where_the_models_cache_would_keep_it(changes, marked):
    asked = request(f"{LONG}Item 7", **changes)
    content = message_params(asked)["messages"][0]["content"]
    assert ("cache_control" in str(content)) is marked
    assert (cache_key(asked) != b"") is marked


def test_a_long_system_prompt_is_marked():
    params = message_params(request(options=options(system=LONG)))
    assert params["system"] == [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]


def test_a_prefix_that_is_the_whole_prompt_leaves_no_empty_block():
    content = message_params(request(f"{LONG}\n", shared_prefix=len(LONG)))["messages"][0]["content"]
    assert [block["text"] for block in content] == [LONG]


def test_the_shortest_prefix_that_is_cached_depends_on_the_model():
    names = ("claude-sonnet-5", "claude-opus-5", "claude-haiku-4-5-20251001", "somebody-elses")
    assert [cache_minimum(name) for name in names] == [1024, 512, 4096, 4096]


# --- structured output ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "takes_it"),
    [
        ("claude-sonnet-5", True),
        ("claude-opus-4-5-20251101", True),
        ("claude-haiku-4-5", True),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("anthropic/claude-opus-4.6", True),
        ("claude-opus-4-1-20250805", False),
        ("claude-opus-4.1", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-sonnet-4-0", False),
        ("claude-opus-4", False),
        ("claude-3-7-sonnet-latest", False),
        ("claude-2.1", False),
        ("glm-5", False),
    ],
)
def test_a_schema_goes_along_where_the_model_takes_one(model, takes_it):
    assert writes_by_schema(model) is takes_it
    params = message_params(request(answer_schema=SCHEMA, options={"model": model}))
    assert ("output_config" in params) is takes_it


def test_a_schema_is_sent_as_output_format():
    params = message_params(request(answer_schema=SCHEMA))
    assert params["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}


def test_what_the_service_said_about_a_model_outranks_its_name():
    asked = request(answer_schema=SCHEMA)
    assert "output_config" not in message_params(asked, is_structured=False)
    old = request(answer_schema=SCHEMA, options={"model": "claude-opus-4"})
    assert "output_config" in message_params(old, is_structured=True)


def test_constraints_that_the_api_does_not_know_move_into_descriptions():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "description": "How many"}}}
    sent = sendable_schema(schema)
    assert sent == {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": "How many\n\n{minimum: 1}"}},
        "additionalProperties": False,
    }


def test_the_schema_of_a_pydantic_class_with_references_can_be_sent():
    schema = {
        "$defs": {"Row": {"type": "object", "properties": {"v": {"anyOf": [{"type": "number"}, {"type": "null"}]}}}},
        "type": "object",
        "title": "Answer",
        "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/Row"}, "minItems": 2, "maxItems": 2}},
        "required": ["rows"],
    }
    sent = sendable_schema(schema)
    assert sent is not None
    jsonschema.Draft202012Validator.check_schema(sent)
    assert sent["properties"]["rows"]["items"] == {"$ref": "#/$defs/Row"}
    assert sent["$defs"]["Row"]["additionalProperties"] is False
    assert "title" not in sent


def test_old_definitions_are_sent_as_new_ones():
    schema = {
        "definitions": {"Row": {"type": "string"}},
        "type": "object",
        "properties": {"a": {"$ref": "#/definitions/Row"}},
    }
    sent = sendable_schema(schema)
    assert sent is not None
    assert sent["properties"]["a"] == {"$ref": "#/$defs/Row"}
    assert sent["$defs"] == {"Row": {"type": "string"}}


@pytest.mark.parametrize(
    ("node", "sent"),
    [
        ({"type": ["integer", "null"]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ({"type": ["null"], "description": "d"}, {"type": "null", "description": "d"}),
        ({"type": "string", "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "string", "enum": ["a", "b"]}, {"enum": ["a", "b"]}),
        ({"const": 3}, {"enum": [3]}),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "isbn"}, {"type": "string", "description": '{format: "isbn"}'}),
        (
            {"type": "array", "items": {"const": 1}, "minItems": 1},
            {"type": "array", "items": {"enum": [1]}, "minItems": 1},
        ),
    ],
)
def test_nodes_are_put_in_the_language_of_the_api(node, sent):
    whole = sendable_schema({"type": "object", "properties": {"x": node}})
    assert whole is not None
    assert whole["properties"]["x"] == sent


@pytest.mark.parametrize(
    "node",
    [
        {},
        True,
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]},
        {"type": "array"},
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}},
        {"type": "date"},
        {"enum": [{"a": 1}]},
        {"$ref": "https://example.org/x"},
        {"$ref": "#"},
        {"anyOf": 3},
    ],
)
def test_what_the_api_cannot_be_told_is_not_sent_at_all(node):
    assert sendable_schema({"type": "object", "properties": {"x": node}}) is None
    assert "output_config" not in message_params(request(answer_schema={"type": "object", "properties": {"x": node}}))


# --- messages to results ----------------------------------------------------------------------------------------------


def message(**changes: Any) -> dict[str, Any]:
    facts = {
        "id": "msg_1",
        "type": "message",
        "model": "claude-sonnet-5",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            *({"type": "text", "text": part} for part in ("an", "swer")),
        ],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1_000_000, "output_tokens": 100_000},
    }
    return facts | changes


def result(said: dict[str, Any], asked: SessionRequest | None = None, **more: Any):
    return result_of_message(said, asked or request(), PriceTable().charge, **more)


def test_a_message_that_ended_by_itself_is_a_success():
    done = result(message(), duration=1.5)
    assert (done.outcome, done.text, done.has_result, done.turns) == ("ok", "answer", True, 1)
    assert (done.model, done.session_id, done.stop_reason, done.duration) == (
        "claude-sonnet-5",
        "msg_1",
        "end_turn",
        1.5,
    )
    assert done.stdout_tail == "answer"
    assert done.cost_usd == 3.0  # 2 for a million tokens of input, 10 for a million of output


def test_a_batched_message_costs_half():
    assert result(message(), is_batch=True).cost_usd == 1.5


def test_tokens_of_the_cache_are_counted_and_its_saving_told():
    usage = {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_input_tokens": 1_000_000,
        "cache_creation_input_tokens": 400,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 300},
    }
    done = result(message(usage=usage))
    assert done.usage == Usage(10, 20, 1_000_000, 400, 300)
    assert done.saved_usd > 1.7


def test_a_model_without_a_price_has_an_unknown_cost():
    assert result(message(model="claude-next")).cost_usd is None


def test_an_answer_cut_off_at_its_limit_keeps_text_and_cost_and_says_what_to_raise():
    cut = result(message(stop_reason="max_tokens"), request(options=options(max_tokens=100)))
    assert (cut.outcome, cut.text, cut.cost_usd) == ("error", "answer", 3.0)
    assert "backend.max_tokens" in cut.error_text
    assert classify(cut, wall=0).code == "E999"


def test_a_refusal_keeps_text_and_cost_and_says_why():
    refused = result(message(stop_reason="refusal", stop_details={"type": "refusal", "category": "bio"}))
    assert (refused.outcome, refused.stop_reason, refused.text, refused.cost_usd) == ("error", "refusal", "answer", 3.0)
    assert refused.error_text == "the model refused to answer: bio"
    assert classify(refused, wall=0).code == "E999"


def test_an_answer_that_does_not_fit_into_the_context_means_a_smaller_batch():
    assert classify(result(message(stop_reason="model_context_window_exceeded")), wall=0).code == "E505"


def test_an_unknown_ending_is_no_success():
    odd = result(message(stop_reason=None))
    assert odd.outcome == "error"
    assert classify(odd, wall=0).code == "E001"


def test_data_is_read_where_a_schema_was_sent():
    said = message(content=[{"type": "text", "text": '{"name": "a", "score": 1}'}])
    assert result(said, is_structured=True).data == {"name": "a", "score": 1}
    assert result(said).data is None
    assert result(message(), is_structured=True).data is None  # the words are judged by whoever asked


@pytest.mark.parametrize("said", [{}, {"content": 3}, {"content": [1, {"text": 3}], "usage": [], "model": None}])
def test_a_message_of_another_shape_raises_nothing(said):
    assert result(said).outcome == "error"


# --- errors to results ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "words", "code"),
    [
        (400, "invalid_request_error", "messages: text content blocks must be non-empty", "E999"),
        (400, "invalid_request_error", "prompt is too long: 213462 tokens > 200000 maximum", "E505"),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API", "E506"),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", "E102"),
        (401, "authentication_error", "invalid x-api-key", "E501"),
        (402, "billing_error", "payment required", "E506"),
        (403, "permission_error", "your key may not use this", "E501"),
        (404, "not_found_error", "model: claude-none", "E504"),
        (413, "request_too_large", "Request exceeds the maximum size", "E505"),
        (429, "rate_limit_error", "This would exceed your rate limit of 50 requests per minute", "E101"),
        (500, "api_error", "Internal server error", "E003"),
        (504, "timeout_error", "timed out", "E003"),
        (529, "overloaded_error", "Overloaded", "E003"),
        (503, "", "upstream connect error", "E003"),
        (408, "", "too slow", "E002"),
    ],
)
def test_every_error_of_the_api_has_its_code(status, kind, words, code):
    failed = result_of_error(status, kind, words)
    assert (failed.outcome, failed.api_status, failed.cost_usd) == ("error", status, 0.0)
    assert words in failed.error_text
    assert classify(failed, wall=0).code == code


def test_an_error_without_a_status_has_that_of_its_kind():
    assert result_of_error(None, "overloaded_error", "Overloaded").api_status == 529
    assert result_of_error(None, "new_error", "what?").api_status is None


def test_an_overload_with_a_long_advised_wait_is_waited_for():
    assert (
        classify(result_of_error(529, "overloaded_error", "Overloaded", {"retry-after": "90"}), wall=0).code == "E103"
    )


def test_the_id_of_a_request_is_told_for_those_who_ask_the_support():
    failed = result_of_error(500, "api_error", "Oops", {"request-id": "req_011"})
    assert failed.error_text == "Oops (HTTP 500, api_error, request req_011)"


def test_a_spent_subscription_is_a_usage_limit_until_its_reset():
    headers = {"anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-reset": "1790000000"}
    verdict = classify(result_of_error(429, "rate_limit_error", "no", headers), wall=1_789_999_000)
    assert (verdict.code, verdict.retry_after, verdict.source) == ("E102", 1000, "reset header")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"type":"error","error":{"type":"api_error","message":"m"}}', "api_error"),
        (b'{"error":{"type":"api_error","message":"m"}}', "api_error"),
        (b"<html>", ""),
        (b'{"error":"not found"}', ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b"", ""),
    ],
)
def test_errors_are_known_by_the_apis_own_form(body, kind):
    assert api_error(body).type == kind


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
    ],
)
def test_the_wait_that_a_server_asks_for(headers, seconds):
    assert retry_after(headers, wall=1795176000) == seconds


def test_the_limit_of_which_nothing_remains_names_the_end_of_the_wait():
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "3",
        "anthropic-ratelimit-requests-reset": "2026-11-20T13:00:00Z",
        "anthropic-ratelimit-tokens-limit": "1000",
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": "2026-11-20T12:01:00Z",
    }
    assert reset_at(headers) == 1795176060
    assert reset_at({}) is None
    failed = result_of_error(429, "rate_limit_error", "slow down", headers, wall=1795176000)
    assert classify(failed, wall=1795176000).retry_after == 60


def test_limits_are_heard_as_the_service_tells_them():
    raw = [
        (b"Anthropic-RateLimit-Output-Tokens-Limit", b"8000"),
        (b"anthropic-ratelimit-output-tokens-remaining", b"7000"),
        (b"anthropic-ratelimit-output-tokens-reset", b"2026-11-20T12:00:00+00:00"),
        (b"anthropic-ratelimit-requests-limit", b"many"),
        (b"anthropic-ratelimit-requests-remaining", b"3"),
    ]
    assert allowances(plain_headers(raw)) == [Allowance("output-tokens", 8000, 7000, 1795176000)]
