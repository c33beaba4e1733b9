from __future__ import annotations

import itertools
import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recorded import recordings

from mozart_nb.backends._outcome import Ended, session_result, signal_of
from mozart_nb.backends._stream import LINE_LIMIT, Lines, StreamReader
from mozart_nb.backends._text import decode_tail, last_bytes, printable, whole
from mozart_nb.engine.ports import SessionResult
from mozart_nb.events import Usage

INIT = {"type": "system", "subtype": "init", "session_id": "s-1", "model": "big", "claude_code_version": "2.1.197"}
GOOD: dict[str, Any] = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "done",
    "num_turns": 2,
    "total_cost_usd": 0.5,
    "session_id": "s-1",
    "stop_reason": "end_turn",
}


def said(words: str, **fields: Any) -> dict[str, Any]:
    message = {"model": "big", "content": [{"type": "text", "text": words}]}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None, **fields}


def stream(*records: Any) -> bytes:
    lines = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in records)
    return b"".join(line + b"\n" for line in lines)


def read(*records: Any) -> StreamReader:
    reader = StreamReader()
    reader.feed(stream(*records))
    reader.close()
    return reader


def result(*records: Any, exit_code: int | None = 0, stderr: str = "", **options: Any) -> SessionResult:
    return session_result(read(*records), Ended("exited", exit_code), stderr=stderr, **options)


# --- lines ------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_lines_are_the_same_however_the_bytes_arrive(data: bytes, cuts: list[int]):
    lines = Lines()
    marks = sorted({0, len(data), *(cut for cut in cuts if cut <= len(data))})
    found = [line for start, end in itertools.pairwise(marks) for line in lines.feed(data[start:end])]
    found += lines.close()
    expected = data.split(b"\n")
    assert found == (expected if expected[-1] else expected[:-1])


def test_a_line_over_the_limit_is_skipped_and_the_next_one_is_read():
    lines = Lines(limit=10)
    found = [line for part in (b"short\nfar too l", b"ong indeed", b" no end\nlast\n") for line in lines.feed(part)]
    assert (found, lines.oversized) == ([b"short", b"last"], 1)


def test_a_line_of_exactly_the_limit_is_kept():
    assert list(Lines(limit=4).feed(b"abcd\n")) == [b"abcd"]


def test_a_hundred_megabytes_without_a_newline_stay_out_of_memory():
    reader = StreamReader()
    chunk = b"x" * (1024 * 1024)
    tracemalloc.start()
    try:
        for _ in range(100):
            reader.feed(chunk)
        reader.feed(b"\n" + stream(GOOD))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * LINE_LIMIT
    assert (reader.oversized, reader.bytes_received > 100e6, reader.result is not None) == (1, True, True)


# --- records ----------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(recordings())), st.integers(1, 997))
def test_a_recorded_session_reads_the_same_in_pieces_of_any_size(case: str, size: int):
    recording = recordings()[case]
    at_once, in_pieces = StreamReader(), StreamReader()
    at_once.feed(recording.stdout)
    for start in range(0, len(recording.stdout), size):
        in_pieces.feed(recording.stdout[start : start + size])
    for reader in (at_once, in_pieces):
        reader.close()
    ended = Ended("exited", recording.exit_code)
    assert session_result(at_once, ended) == session_result(in_pieces, ended)
    assert at_once.bytes_received == in_pieces.bytes_received == len(recording.stdout)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   ",
        b"not json",
        b"{",
        b'{"type":',
        b"null",
        b"17",
        b'"text"',
        b"[[[[]]]]",
        b'{"type": ["result"]}',
        b'{"type": "result"}',
        b'{"type": "assistant", "message": 3}',
        b'{"type": "assistant", "message": {"content": [1, null, {"type": "text", "text": 5}]}}',
        b'{"type": "system", "subtype": "init", "session_id": 7}',
        b'{"type": "rate_limit_event", "rate_limit_info": "soon"}',
        b'{"type": "result", "modelUsage": [1], "permission_denials": {"a": 1}, "errors": "x", "num_turns": "2"}',
        b'{"type": "result", "total_cost_usd": 1e999, "num_turns": 99999999999999999999999999999999}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"type": "result", "result": ' + b"[" * 100_000,
        b"\x1b[2J\x1b]0;title\x07",
    ],
)
def test_no_line_can_break_the_reader(line: bytes):
    assert result(INIT, line, GOOD).outcome == "ok"
    without = result(INIT, line, exit_code=1)
    assert without.outcome == "error"
    assert msgspec.json.encode(without)


_names = ["type", "result", "errors", "message", "content", "usage", "modelUsage", "permission_denials", "tool_input"]
_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_names), inner, max_size=4),
)


@given(_values)
def test_no_value_can_break_the_reader(value: Any):
    line = json.dumps(value).encode()
    assert msgspec.json.encode(result(line, {"type": "result", "result": value, "errors": value}, exit_code=1))
    assert result({**GOOD, "result": value, "modelUsage": value, "permission_denials": value}).outcome == "ok"


def test_half_a_surrogate_pair_in_an_answer_can_be_stored():
    answer = result(b'{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"cut \\ud83d here"}')
    assert (answer.outcome, answer.text) == ("ok", "cut � here")
    assert answer.text.encode()


def test_invalid_utf8_in_an_answer_is_replaced():
    assert result(json.dumps(GOOD).encode().replace(b"done", b"d\xffne")).text == "d�ne"


def test_an_array_of_records_reads_like_lines():
    assert result(json.dumps([INIT, said("hm"), GOOD]).encode()).text == "done"


def test_the_last_result_counts_wherever_it_stands():
    first = {**GOOD, "result": "first"}
    answer = result(INIT, first, GOOD, {"type": "system", "subtype": "task_updated"})
    assert answer.text == "done"


def test_an_interrupt_does_not_undo_the_result_before_it():
    aborted = {"type": "result", "subtype": "error_during_execution", "terminal_reason": "aborted_tools"}
    assert read(GOOD, aborted).result == GOOD
    assert read(aborted, GOOD).result == GOOD
    assert read({**GOOD, "is_error": True}, aborted).result == aborted


# --- success and failure ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "exit_code"),
    [
        ({"is_error": True}, 0),
        ({"subtype": "error_max_turns"}, 0),
        ({}, 1),
        ({"is_error": None}, 0),
        ({"is_error": 0}, 0),
    ],
)
def test_success_needs_exit_code_subtype_and_no_error_together(change: dict[str, Any], exit_code: int):
    assert result(GOOD).outcome == "ok"
    assert result({**GOOD, **change}, exit_code=exit_code).outcome == "error"


def test_exit_code_zero_without_a_result_is_a_failure():
    answer = result(INIT, said("I am on it"))
    assert (answer.outcome, answer.error_kind, answer.has_result) == ("error", "no_result", False)
    assert (answer.text, answer.cost_usd) == ("I am on it", None)


def test_an_adopted_session_is_judged_by_its_result_line_alone():
    assert session_result(read(GOOD), Ended("adopted")).outcome == "ok"
    assert session_result(read({**GOOD, "is_error": True}), Ended("adopted")).outcome == "error"


def test_a_session_that_did_not_go_away_after_its_result_was_good_all_the_same():
    answer = session_result(read(INIT, GOOD), Ended("timeout", forced=True))
    assert (answer.outcome, answer.text, answer.signal) == ("ok", "done", 0)
    assert answer.warnings == ("the program did not exit after its result and was ended",)


def test_a_timed_out_session_keeps_what_it_said_and_what_it_cost():
    aborted = {**GOOD, "subtype": "error_during_execution", "terminal_reason": "aborted_streaming", "is_error": True}
    answer = session_result(read(INIT, said("so far"), aborted), Ended("timeout"))
    assert (answer.outcome, answer.text, answer.cost_usd, answer.signal) == ("timeout", "so far", 0.5, 2)
    assert session_result(read(INIT), Ended("timeout", forced=True)).cost_usd is None


def test_a_session_that_was_retrying_when_it_was_ended_says_so():
    retry = {"type": "system", "subtype": "api_retry", "attempt": 1, "error_status": 429, "error": "rate_limit"}
    answer = session_result(read(INIT, retry, retry), Ended("timeout"))
    assert answer.warnings == ("it was retrying after an answer 429 rate_limit (2 times)",)


@pytest.mark.parametrize(
    ("exit_code", "number"), [(None, 0), (0, 0), (1, 0), (128, 0), (-9, 9), (143, 15), (137, 9), (255, 0)]
)
def test_the_signal_behind_an_exit_code(exit_code: int | None, number: int):
    assert signal_of(exit_code) == number


def test_a_prompt_that_was_taken_for_a_command_is_a_failure():
    answer = result({**GOOD, "num_turns": 0})
    assert (answer.outcome, answer.subtype) == ("error", "local_command")


def test_structured_output_is_data_and_its_absence_a_failure_where_it_was_asked_for():
    answer = result({**GOOD, "structured_output": {"n": 42}}, expects_data=True)
    assert (answer.outcome, answer.data) == ("ok", {"n": 42})
    assert result(GOOD, expects_data=True).subtype == "no_structured_output"


def test_a_session_that_never_opened_cost_nothing():
    answer = result(exit_code=1, stderr="error: unknown option '--frob'\n")
    assert (answer.error_kind, answer.cost_usd) == ("not_started", 0.0)
    assert answer.error_text == "error: unknown option '--frob'"


def test_a_session_that_broke_off_is_told_from_one_that_never_opened():
    assert result(INIT, exit_code=1).error_kind == "crashed"


def test_plain_output_explains_a_failure_when_standard_error_says_nothing():
    assert result(b"Invalid API key", exit_code=1).error_text == "Invalid API key"


# --- usage, models, warnings ------------------------------------------------------------------------------------------


def test_usage_is_summed_over_models_so_that_sub_agents_count():
    models = {
        "big": {"inputTokens": 10, "outputTokens": 2, "cacheReadInputTokens": 3, "cacheCreationInputTokens": 4},
        "small": {"inputTokens": 1, "outputTokens": 1},
    }
    answer = result({**GOOD, "modelUsage": models, "usage": {"input_tokens": 1}})
    assert answer.usage == Usage(11, 3, 3, 4)
    assert result({**GOOD, "usage": {"input_tokens": 7, "output_tokens": 1}}).usage == Usage(7, 1)


def test_the_model_is_the_one_that_answered():
    fallback = {"type": "assistant", "message": {"model": "small", "content": []}, "parent_tool_use_id": None}
    synthetic = {"type": "assistant", "message": {"model": "<synthetic>", "content": []}, "parent_tool_use_id": None}
    assert result(INIT, fallback, synthetic, GOOD).model == "small"
    assert result(INIT, GOOD).model == "big"


def test_the_words_of_a_sub_agent_are_not_the_sessions():
    assert read(INIT, said("mine"), said("its", parent_tool_use_id="toolu_1")).text == "mine"


def test_an_error_message_is_never_kept_as_the_answer():
    record = {**GOOD, "is_error": True, "result": "API Error: 500"}
    answer = result(INIT, said("half an answer"), said("API Error: 500", error="server_error"), record, exit_code=1)
    assert (answer.text, answer.error_text, answer.error_kind) == ("half an answer", "API Error: 500", "server_error")


def test_denied_tools_are_warnings_and_there_are_not_too_many():
    denial = {"tool_name": "Write", "tool_input": {"file_path": "/a\nb\x1b[31m", "content": "x" * 9999}}
    bash = {"tool_name": "Bash", "tool_input": {"command": "y" * 9999}}
    answer = result({**GOOD, "permission_denials": [denial, bash, {"tool_name": "Odd"}, 7] + [denial] * 20})
    assert answer.outcome == "ok"
    assert answer.warnings[0] == "Write was not permitted: /a b"
    assert answer.warnings[1].startswith("Bash was not permitted: yyy")
    assert len(answer.warnings[1]) < 200
    assert answer.warnings[2:4] == ("Odd was not permitted", "a tool was not permitted")
    assert answer.warnings[-1] == "14 more tool uses were not permitted"


def test_a_rejected_rate_limit_event_names_the_end_of_the_limit():
    event = {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": 1795201200}}
    answer = result(INIT, event, {**GOOD, "is_error": True, "api_error_status": 429}, exit_code=1)
    assert (answer.error_kind, answer.reset_at, answer.api_status) == ("usage_limit", 1795201200.0, 429)
    assert result(INIT, event, GOOD).reset_at is None


def test_coming_close_to_a_limit_is_a_warning():
    info = {"status": "allowed_warning", "rateLimitType": "five_hour", "utilization": 0.93}
    answer = result(INIT, {"type": "rate_limit_event", "rate_limit_info": info}, GOOD)
    assert answer.warnings == ("close to the usage limit (five hour): 93 % used",)


def test_progress_says_what_the_session_is_doing():
    tool = {"type": "assistant", "message": {"content": [{"type": "tool_use", "name": "Bash\x07"}]}}
    retry = {"type": "system", "subtype": "api_retry", "error_status": 529, "error": "overloaded"}
    assert [read(record).note for record in (said("x"), tool, retry)] == [
        "answering",
        "Bash",
        "retrying: 529 overloaded",
    ]


# --- text -------------------------------------------------------------------------------------------------------------


def test_nothing_that_a_terminal_obeys_survives():
    hostile = "a\x1b[2J\x1b]0;title\x07b\x1b(Bc\x00\x08\x9b31md\r\ne\rf\tg\x1b"
    assert printable(hostile) == "abc31md\ne\nf\tg"


@given(st.text())
def test_printable_text_has_no_control_characters_but_tab_and_newline(text: str):
    assert not [char for char in printable(text) if ord(char) < 32 and char not in "\t\n"]


@given(st.text(alphabet="aé€😀", max_size=30), st.integers(0, 40))
def test_the_end_of_a_text_is_cut_between_characters(text: str, limit: int):
    end = last_bytes(text, limit)
    assert text.endswith(end)
    assert limit - 4 < len(end.encode()) <= limit or end == text
    data = text.encode()
    assert decode_tail(data[-limit:] if limit else b"") == end


@given(st.text(alphabet=st.characters(codec=None, categories=None)))
def test_any_text_becomes_one_that_can_be_encoded(text: str):
    assert whole(text).encode() is not None
